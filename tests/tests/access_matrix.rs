//! Every mutation of the schema, run as everybody: the access matrix as it is, not as it was meant (L2).

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, InputValueDefinition, Type, TypeKind, TypeSystemDefinition};
use async_graphql::{Request, Variables};
use carillon::graphql::access::{MUTATIONS, Needs};
use carillon::graphql::scope::{Caller, Process, RequestScope};
use carillon::graphql::{CarillonSchema, error, schema};
use carillon_domain::tenancy::{
    AdministerTenant, CreateApiKey, Name, Permission, Role, Scope, TenantContext, VerifiedAccess, authenticate_key,
    create_api_key, enter_tenant,
};
use carillon_entities::ids::{AccountId, TenantId};
use carillon_tests::access::AccessWorld;
use carillon_tests::gateway::gateway;
use serde_json::{Value, json};

/// The schema's types that inputs are made of.
struct Inputs {
    mutations: Vec<(String, String)>,
    objects: BTreeMap<String, Vec<InputValueDefinition>>,
    enums: BTreeMap<String, String>,
    account: AccountId,
    tenant: TenantId,
}

impl Inputs {
    fn of(schema: &CarillonSchema, account: AccountId, tenant: TenantId) -> Self {
        let mut inputs =
            Self { mutations: Vec::new(), objects: BTreeMap::new(), enums: BTreeMap::new(), account, tenant };
        for definition in parse_schema(schema.sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match definition.node.kind {
                TypeKind::InputObject(object) => {
                    inputs.objects.insert(name, object.fields.into_iter().map(|field| field.node).collect());
                }
                TypeKind::Enum(values) => {
                    inputs.enums.insert(name, values.values[0].node.value.node.to_string());
                }
                TypeKind::Object(object) if name == "Mutation" => {
                    for field in object.fields {
                        let input = field.node.arguments[0].node.ty.node.base.to_string();
                        inputs.mutations.push((field.node.name.node.to_string(), input));
                    }
                }
                _ => {}
            }
        }
        inputs
    }

    /// A value that the type system accepts; it need not make sense to the rules.
    fn value(&self, field: &str, kind: &Type) -> Value {
        let name = match &kind.base {
            BaseType::List(of) => return json!([self.value(field, of)]),
            BaseType::Named(name) => name.as_str(),
        };
        match name {
            "ID" if field == "tenantId" => json!(self.tenant),
            "ID" if field == "accountId" || field == "parentId" => json!(self.account),
            "Int" | "Float" => json!(1),
            "Boolean" => json!(true),
            "DateTime" => json!("2026-03-02T09:00:00Z"),
            "Date" => json!("2026-03-02"),
            "JSON" => json!({}),
            name if self.enums.contains_key(name) => json!(self.enums[name]),
            name if self.objects.contains_key(name) => self.object(name),
            _ => json!("x"),
        }
    }

    /// Required fields only; of a type without any the first field, which is right for one-of types as well.
    fn object(&self, name: &str) -> Value {
        let fields = &self.objects[name];
        let required = |field: &&InputValueDefinition| {
            !field.ty.node.nullable && field.default_value.is_none() || field.name.node == "tenantId"
        };
        let mut chosen: Vec<_> = fields.iter().filter(required).collect();
        if chosen.is_empty() {
            chosen.extend(fields.first());
        }
        let value =
            |field: &&InputValueDefinition| (field.name.node.to_string(), self.value(&field.name.node, &field.ty.node));
        Value::Object(chosen.iter().map(value).collect())
    }
}

/// Somebody to run mutations as.
struct Person {
    name: &'static str,
    /// Who they are to accounts, and inside the tenant.
    callers: [Caller; 2],
    allowed: fn(Needs) -> bool,
}

async fn code(process: &Arc<Process>, caller: &Caller, schema: &CarillonSchema, call: (&str, &str, Value)) -> String {
    let (mutation, input, value) = call;
    let query = format!("mutation($input: {input}!) {{ {mutation}(input: $input) {{ userErrors {{ code }} }} }}");
    let scope = RequestScope::new(Arc::clone(process), caller.clone(), None, "test".to_owned());
    let request = Request::new(query).variables(Variables::from_json(json!({ "input": value }))).data(scope.clone());
    let mut response = schema.execute(request).await;
    scope.end_reading().await;
    error::present(&mut response, "test");
    let response = serde_json::to_value(&response).unwrap();
    response["errors"][0]["extensions"]["code"].as_str().unwrap_or("").to_owned()
}

fn allowed_as(role: Role) -> fn(Needs) -> bool {
    match role {
        Role::Owner => |needs| needs.allows(Role::Owner),
        Role::Admin => |needs| needs.allows(Role::Admin),
        Role::Marketer => |needs| needs.allows(Role::Marketer),
        Role::Analyst => |needs| needs.allows(Role::Analyst),
        Role::Viewer => |needs| needs.allows(Role::Viewer),
    }
}

/// A key with every scope that keys can have.
async fn key(world: &AccessWorld, context: &TenantContext) -> Caller {
    let grant = context.grant::<AdministerTenant>().unwrap();
    let scopes = Permission::ALL.iter().copied().filter(|scope| scope.allows_keys()).collect();
    let command = CreateApiKey { name: Name::parse("Key").unwrap(), role: Role::Owner, scopes, expires_at: None };
    let end = Some(world.ports().now() + carillon_tests::access::KEY_LIFE);
    let (_, text) = create_api_key(&grant, world.ports(), CreateApiKey { expires_at: end, ..command }).await.unwrap();
    Caller::ApiKey(authenticate_key(world.ports(), &text).await.unwrap())
}

async fn person(world: &AccessWorld, access: VerifiedAccess, role: Role, tenant: TenantId) -> Person {
    let session = enter_tenant(world.ports(), world.desk(), &access, tenant).await.unwrap();
    let entered = world.verified(&session.access_token);
    let callers = [Caller::User(access, None), Caller::user(world.ports(), entered)];
    Person { name: role.as_str(), callers, allowed: allowed_as(role) }
}

#[actix_web::test]
async fn every_mutation_gives_each_role_what_the_table_says() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let (context, tenant) = world.made_tenant_of(&ada, "One").await;
    let owner_key = key(&world, &context).await;
    let mut people = vec![Person {
        name: "anonymous",
        callers: [Caller::Anonymous, Caller::Anonymous],
        allowed: |needs| needs == Needs::Nothing,
    }];
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::Owner) {
        let email = format!("{role}@example.org");
        let access = world.invited(&ada, Scope::Account(account), &email, role).await;
        people.push(person(&world, access, role, tenant).await);
    }
    people.push(person(&world, ada, Role::Owner, tenant).await);
    people.push(Person {
        name: "key",
        callers: [owner_key.clone(), owner_key],
        allowed: |needs| needs.allows_key(Role::Owner),
    });

    let (schema, process) = (schema(), Arc::clone(&gateway(world.ports().clone()).process));
    let inputs = Inputs::of(&schema, account, tenant);
    let mut matrix = format!("{:<24}", "mutation");
    matrix.extend(people.iter().map(|person| format!("{:<10}", person.name)));
    for (mutation, input) in &inputs.mutations {
        let needs = MUTATIONS.iter().find(|(name, _)| name == mutation).map(|(_, needs)| *needs).unwrap();
        matrix.extend([format!("\n{mutation:<24}")]);
        for person in &people {
            let caller = &person.callers[usize::from(matches!(needs, Needs::Tenant(_)))];
            let code = code(&process, caller, &schema, (mutation, input, inputs.object(input))).await;
            let allowed = !matches!(code.as_str(), "FORBIDDEN" | "UNAUTHENTICATED");
            assert!(code != "INTERNAL" && code != "BAD_REQUEST", "{mutation} as {}: {code}", person.name);
            assert_eq!(allowed, (person.allowed)(needs), "{mutation} as {}: {code}", person.name);
            matrix.extend([format!("{:<10}", if allowed { "yes" } else { "-" })]);
        }
    }
    let lines: Vec<_> = matrix.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
