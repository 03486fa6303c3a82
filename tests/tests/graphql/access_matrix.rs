//! Every mutation of the schema, run as everybody (L2). What a mutation needs is said once, by the grant it asks for;
//! this shows it, and a mutation that is new or changed its mind fails until somebody has looked.

use std::collections::VecDeque;

use async_graphql::parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type};
use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{
    AdministerTenant, CreateApiKey, Name, Permission, Role, Scope, TenantContext, VerifiedAccess, authenticate_key,
    create_api_key, enter_as_user, enter_tenant,
};
use carillon_tests::access::KEY_LIFE;
use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code, entered};

/// Makes inputs that the type system accepts; they need not make sense to the rules.
struct Inputs<'a> {
    api: &'a Api,
    sdl: &'a Sdl,
    /// Memberships to change or to end, each once.
    victims: VecDeque<String>,
}

impl Inputs<'_> {
    fn value(&mut self, field: &str, kind: &Type) -> Value {
        let name = match &kind.base {
            BaseType::List(of) => return json!([self.value(field, of)]),
            BaseType::Named(name) => name.as_str(),
        };
        match name {
            "ID" if field == "tenantId" => json!(self.api.tenant),
            "ID" if field == "accountId" || field == "parentId" => json!(self.api.account),
            "ID" if field == "membershipId" => json!(self.victims.pop_front().unwrap()),
            "Int" | "Float" => json!(1),
            "Boolean" => json!(true),
            "DateTime" => json!("2026-03-02T09:00:00Z"),
            "Date" => json!("2026-03-02"),
            "JSON" => json!({}),
            name if self.sdl.enums.contains_key(name) => json!(self.sdl.enums[name][0]),
            name if self.sdl.inputs.contains_key(name) => self.object(name),
            _ => json!("x"),
        }
    }

    /// Required fields only; of a type without any the first field, which is right for one-of types as well.
    fn object(&mut self, name: &str) -> Value {
        let sdl = self.sdl;
        let fields = &sdl.inputs[name];
        let is_required = |field: &&InputValueDefinition| {
            !field.ty.node.nullable && field.default_value.is_none() || field.name.node == "tenantId"
        };
        let mut chosen: Vec<_> = fields.iter().filter(is_required).collect();
        if chosen.is_empty() {
            chosen.extend(fields.first());
        }
        let value =
            |field: &InputValueDefinition| (field.name.node.to_string(), self.value(&field.name.node, &field.ty.node));
        Value::Object(chosen.into_iter().map(value).collect())
    }
}

/// Somebody to run mutations as.
struct Person {
    role: Option<Role>,
    /// Who they are to accounts, and inside the tenant.
    callers: [Caller; 2],
}

impl Person {
    async fn member(api: &Api, access: VerifiedAccess, role: Role) -> Self {
        let inside = entered(&api.world, &access, api.tenant).await;
        Self { role: Some(role), callers: [Caller::User(access, None), inside] }
    }
}

/// Nobody, and a member of each role on the account, the weakest first.
async fn people(api: &Api) -> Vec<Person> {
    let mut people = vec![Person { role: None, callers: [Caller::Anonymous, Caller::Anonymous] }];
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::Owner) {
        let access =
            api.world.invited(&api.ada, Scope::Account(api.account), &format!("{role}@example.org"), role).await;
        people.push(Person::member(api, access, role).await);
    }
    people.push(Person::member(api, api.ada, Role::Owner).await);
    people
}

/// A key for each scope that keys can have.
async fn keys(api: &Api) -> Vec<(Permission, Caller)> {
    let ports = api.world.ports();
    let session = enter_tenant(ports, api.world.desk(), &api.ada, api.tenant).await.unwrap();
    let context: TenantContext = enter_as_user(&ports.wall, &api.world.verified(&session.access_token)).unwrap();
    let grant = context.grant::<AdministerTenant>().unwrap();
    let mut keys = Vec::new();
    for scope in Permission::ALL.iter().copied().filter(|scope| scope.allows_keys()) {
        let expires_at = Some(ports.now() + KEY_LIFE);
        let (name, scopes) = (Name::parse("Key").unwrap(), vec![scope]);
        let command = CreateApiKey { name, role: Role::Owner, scopes, document_set: None, expires_at };
        let (_, text) = create_api_key(&grant, ports, command, None).await.unwrap();
        keys.push((scope, Caller::ApiKey(authenticate_key(ports, &text).await.unwrap())));
    }
    keys
}

/// What somebody is told: `yes`, or why not. Refusals of the input are for those who may.
async fn told(api: &Api, callers: &[Caller], (mutation, input, value): (&str, &str, &Value)) -> &'static str {
    let query = format!("mutation($input: {input}!) {{ {mutation}(input: $input) {{ userErrors {{ code }} }} }}");
    let mut told = "";
    for caller in callers {
        let answer = api.ask_as(caller, &query, json!({ "input": value })).await;
        told = match code(&answer) {
            "TENANT_REQUIRED" => continue,
            "UNAUTHENTICATED" => "sign in",
            "FORBIDDEN" => "no",
            "NO_CATCHER" => "embedded",
            "" | "TOO_MANY" => "yes",
            other => panic!("{mutation}: {other} {answer}"),
        };
        break;
    }
    told
}

#[actix_web::test]
async fn every_mutation_gives_each_role_and_key_what_the_policy_says() {
    let api = Api::new().await;
    let (sdl, people, keys) = (Sdl::of(&api.schema), people(&api).await, keys(&api).await);
    let mut victims = VecDeque::new();
    for n in 0..2 * (people.len() + keys.len()) {
        let scope = Scope::Tenant(api.tenant);
        let access = api.world.invited(&api.ada, scope, &format!("v{n}@example.org"), Role::Viewer).await;
        victims.push_back(api.world.own_membership(&access, scope).await.to_string());
    }
    let mut inputs = Inputs { api: &api, sdl: &sdl, victims };
    let heads = people.iter().map(|person| person.role.map_or("anonymous", Role::as_str));
    let mut lines = vec![line("mutation", heads.chain(["key with the scope"]))];
    for mutation in sdl.fields("Mutation") {
        let (name, input) = (mutation.name.node.as_str(), mutation.arguments[0].node.ty.node.base.to_string());
        let mut row = Vec::new();
        for person in &people {
            let value = inputs.object(&input);
            row.push(told(&api, &person.callers, (name, &input, &value)).await);
        }
        let mut opened_by = Vec::new();
        for (scope, key) in &keys {
            let value = inputs.object(&input);
            if told(&api, std::slice::from_ref(key), (name, &input, &value)).await == "yes" {
                opened_by.push(*scope);
            }
        }
        agree(name, &people, &row, &opened_by);
        let scopes = match opened_by.as_slice() {
            all if all.len() == keys.len() => "any".to_owned(),
            some => some.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "),
        };
        lines.push(line(name, row.into_iter().chain([scopes.as_str()])));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// A scope that opens a mutation to a key is the permission that opens it to members: for both it is the same grant.
fn agree(name: &str, people: &[Person], row: &[&str], opened_by: &[Permission]) {
    if let [permission] = opened_by {
        for (person, told) in people.iter().zip(row) {
            let may = person.role.is_some_and(|role| permission.allows(role));
            assert_eq!(*told == "yes", may, "{name} for {:?}: a key needs {permission}", person.role);
        }
    } else {
        assert!(opened_by.is_empty() || row[0] != "sign in", "{name}: keys of several scopes may, and not everybody");
    }
}

fn line<'a>(first: &str, cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:<10}")).collect();
    format!("{first:<24}{}", cells.concat()).trim_end().to_owned()
}

/// A query of every root field: an id that nothing has is looked for by those who may look.
fn question(field: &FieldDefinition) -> String {
    let name = &field.name.node;
    let required = field.arguments.iter().filter(|argument| !argument.node.ty.node.nullable);
    let given: Vec<String> = required
        .map(|argument| match argument.node.name.node.as_str() {
            "id" if name == "node" => "id: \"contact_00000000000000000000000000\"".to_owned(),
            "id" if name == "contactList" => "id: \"list_00000000000000000000000000\"".to_owned(),
            "id" => format!("id: \"{name}_00000000000000000000000000\""),
            "condition" => "condition: { tag: \"vip\" }".to_owned(),
            "ids" => "ids: [\"contact_00000000000000000000000000\"]".to_owned(),
            "input" if name == "previewTemplate" => {
                "input: { of: { templateVersionId: \"tplver_00000000000000000000000000\" } }".to_owned()
            }
            other => panic!("{name} wants {other}"),
        })
        .collect();
    let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
    let shown = if matches!(name.as_str(), "serverTime" | "allWorkflowsPaused") { "" } else { "{ __typename }" };
    format!("{{ {name}{given} {shown} }}")
}

/// Every query, run as everybody: one that loses its grant fails until somebody has looked.
#[actix_web::test]
async fn every_query_gives_each_role_and_key_what_the_policy_says() {
    let api = Api::new().await;
    let (sdl, people, keys) = (Sdl::of(&api.schema), people(&api).await, keys(&api).await);
    let heads = people.iter().map(|person| person.role.map_or("anonymous", Role::as_str));
    let mut lines = vec![line("query", heads.chain(["key with the scope"]))];
    for field in sdl.fields("Query") {
        let (name, query) = (field.name.node.as_str(), question(field));
        let mut row = Vec::new();
        for person in &people {
            row.push(answered(&api, &person.callers[1], &query).await);
        }
        let mut opened_by = Vec::new();
        for (scope, key) in &keys {
            if answered(&api, key, &query).await == "yes" {
                opened_by.push(scope.as_str());
            }
        }
        let scopes = if opened_by.len() == keys.len() { "any".to_owned() } else { opened_by.join(" ") };
        lines.push(line(name, row.into_iter().chain([scopes.as_str()])));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

async fn answered(api: &Api, caller: &Caller, query: &str) -> &'static str {
    let answer = api.ask_as(caller, query, json!({})).await;
    match code(&answer) {
        "UNAUTHENTICATED" => "sign in",
        "FORBIDDEN" => "no",
        "NO_CATCHER" => "embedded",
        "" => "yes",
        other => panic!("{query}: {other} {answer}"),
    }
}
