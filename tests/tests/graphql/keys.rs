//! Idempotency keys over the whole schema (C-186).

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{Role, Scope};
use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code, entered};

/// Mutations that take no key, each with what stands in its place.
const WITHOUT: &[(&str, &str)] = &[
    // Nobody's tenant: there is no one whose key it would be, and a kept answer would be a kept credential.
    ("signUp", "its mail says the same again, and opens nothing twice"),
    ("signIn", "gives a session; another one ends with its refresh token"),
    ("refreshSession", "its token is good once, which is how theft is seen (C-212)"),
    ("signOut", "ending an ended session is a success"),
    ("requestPasswordReset", "the newest link is as good, and attempts are counted"),
    ("enterTenant", "gives a token and changes nothing"),
    ("changePassword", "gives a session, and the old password is good once"),
    // The token of the mail is the key: it is good once.
    ("verifyEmail", "the link is good once"),
    ("resetPassword", "the link is good once"),
    ("acceptInvitation", "the link is good once"),
    // A tool of the embedded mode that sets a whole state.
    ("catcherBehave", "the same rules again are the same rules"),
];

#[actix_web::test]
async fn c186_every_mutation_takes_an_optional_key() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    let mut faults = Vec::new();
    for mutation in sdl.fields("Mutation") {
        let name = mutation.name.node.as_str();
        let input = mutation.arguments[0].node.ty.node.base.to_string();
        let key = sdl.inputs[&input].iter().find(|field| field.name.node == "idempotencyKey");
        let is_excused = WITHOUT.iter().any(|(without, _)| *without == name);
        match key.map(|key| key.ty.node.to_string()) {
            Some(kind) if kind == "String" && !is_excused => {}
            None if is_excused => {}
            found => faults.push(format!("{name}: {found:?}")),
        }
    }
    assert!(faults.is_empty(), "a key that may be left out, or a line above: {faults:#?}");
}

#[actix_web::test]
async fn c186_fifty_calls_of_a_mutation_with_one_key_have_one_effect() {
    let api = Api::new().await;
    let mutation = "mutation { createContact(input: { email: \"ada@example.org\", idempotencyKey: \"one\" }) \
        { contact { id } userErrors { code } } }";
    let answers = futures::future::join_all((0..50).map(|_| api.ask(mutation, json!({})))).await;
    assert_eq!(answers[0]["data"]["createContact"]["userErrors"], json!([]), "{}", answers[0]);
    assert!(answers.iter().all(|answer| answer["data"] == answers[0]["data"]), "{answers:#?}");
    let replayed = answers.iter().filter(|answer| answer["extensions"]["replayed"] == json!(["createContact"])).count();
    assert_eq!(replayed, 49, "all but one say so: {answers:#?}");
    assert_eq!(api.world.number("SELECT COUNT(*) AS amount FROM contacts").await, 1);
}

/// A mutation under a key: its payload, or the code of what was wrong.
async fn call(api: &Api, caller: &Caller, (name, object): (&str, &str), input: &Value) -> Result<Value, String> {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let query =
        format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field }} }} }}");
    let answer = api.ask_as(caller, &query, json!({ "input": input })).await;
    let payload = &answer["data"][name];
    match (code(&answer), payload["userErrors"][0]["code"].as_str()) {
        ("", None) => Ok(payload.clone()),
        ("", Some(refused)) => Err(format!("{refused} {}", payload["userErrors"][0]["field"][0])),
        (error, _) => Err(error.to_owned()),
    }
}

/// Calls a mutation three times under one key, the third time with another input; the answer of the first.
async fn once(api: &Api, caller: &Caller, mutation: (&str, &str), input: Value, other: (&str, Value)) -> Value {
    let mut input = input;
    input["idempotencyKey"] = json!("one");
    let first = call(api, caller, mutation, &input).await.unwrap();
    assert_eq!(call(api, caller, mutation, &input).await, Ok(first.clone()), "{mutation:?}");
    input[other.0] = other.1;
    let refused = call(api, caller, mutation, &input).await;
    assert_eq!(refused, Err("IDEMPOTENCY_MISMATCH \"idempotencyKey\"".to_owned()), "{mutation:?}");
    first
}

impl Api {
    async fn rows(&self, what: &str) -> i64 {
        self.world.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await
    }
}

#[actix_web::test]
async fn c186_accounts_invitations_and_members_change_once_under_a_key() {
    let api = Api::new().await;
    let tenant = Scope::Tenant(api.tenant);
    let eve = api.world.invited(&api.ada, tenant, "eve@example.org", Role::Viewer).await;
    let ada = Caller::user(api.world.ports(), api.ada);
    let (audit, mails) = (api.rows("audit_events").await, api.rows("messages").await);

    let input = json!({ "parentId": api.account.to_string(), "name": "Client" });
    once(&api, &ada, ("createAccount", "account { id }"), input, ("name", json!("Other"))).await;
    assert_eq!(api.rows("accounts WHERE name = 'Client'").await, 1);

    let input = json!({ "to": { "tenantId": api.tenant.to_string() }, "email": "cyd@example.org", "role": "VIEWER" });
    once(&api, &ada, ("inviteMember", ""), input, ("role", json!("ADMIN"))).await;
    assert_eq!(api.rows("credentials WHERE email_norm = 'cyd@example.org'").await, 1);
    assert_eq!(api.rows("messages").await, mails + 1);

    let version = eve.subject().auth_version;
    let membership = api.world.own_membership(&eve, tenant).await;
    let input = json!({ "membershipId": membership.to_string(), "role": "MARKETER" });
    once(&api, &ada, ("changeMemberRole", "membership { role }"), input, ("role", json!("ADMIN"))).await;
    assert_eq!(
        api.rows(&format!("users WHERE email_norm = 'eve@example.org' AND auth_version = {}", version + 1)).await,
        1
    );

    let input = json!({ "membershipId": membership.to_string() });
    let owners = api.world.membership_on(api.account).await.to_string();
    once(&api, &ada, ("removeMember", "membership { id }"), input, ("membershipId", json!(owners))).await;
    assert_eq!(api.rows("audit_events").await, audit + 4, "an entry each");
}

#[actix_web::test]
async fn c186_who_left_is_told_so_again() {
    let api = Api::new().await;
    let eve = api.world.invited(&api.ada, Scope::Tenant(api.tenant), "eve@example.org", Role::Viewer).await;
    let bound = entered(&api.world, &eve, api.tenant).await;
    let input = json!({ "scope": { "tenantId": api.tenant.to_string() }, "idempotencyKey": "one" });
    let leave = ("leave", "");
    let left = call(&api, &bound, leave, &input).await;
    assert!(left.is_ok(), "{left:?}");
    assert_eq!(
        call(&api, &bound, leave, &input).await,
        Err("UNAUTHENTICATED".to_owned()),
        "no stale token is answered"
    );
    let again = Caller::user(api.world.ports(), api.world.access("eve@example.org").await);
    assert_eq!(call(&api, &again, leave, &input).await, left);
    let input = json!({ "scope": { "tenantId": api.tenant.to_string() } });
    assert_eq!(call(&api, &again, leave, &input).await, Err("NOT_FOUND \"scope\"".to_owned()));
}

#[actix_web::test]
async fn c186_a_lost_api_key_is_told_again_in_its_tenant_only() {
    let api = Api::new().await;
    let create = ("createApiKey", "secret apiKey { id }");
    let input = json!({ "name": "Shop", "role": "VIEWER", "scopes": ["contacts.read"] });
    let made = once(&api, &api.owner, create, input.clone(), ("name", json!("Other"))).await;
    assert_eq!(api.rows("credentials WHERE kind = 'api_key'").await, 1);
    let secret = made["secret"].as_str().unwrap();
    let found = if api.world.wall().is_postgres() {
        format!("position('{secret}'::bytea IN sealed_answer)")
    } else {
        format!("instr(sealed_answer, CAST('{secret}' AS BLOB))")
    };
    let clear = api.rows(&format!("identity_idempotency_keys WHERE {found} > 0")).await;
    assert_eq!((api.rows("identity_idempotency_keys").await, clear), (1, 0), "kept, and sealed (C-233)");

    // The same person, key and input, but another tenant.
    let other = api.world.new_tenant(&api.ada, api.account, "Other").await;
    let there = entered(&api.world, &api.ada, other).await;
    let elsewhere = once(&api, &there, create, input, ("name", json!("Other"))).await;
    assert_ne!(elsewhere["apiKey"], made["apiKey"]);

    let audit = api.rows("audit_events").await;
    let input = json!({ "id": made["apiKey"]["id"] });
    let revoke = ("revokeApiKey", "apiKey { revokedAt }");
    once(&api, &api.owner, revoke, input, ("id", elsewhere["apiKey"]["id"].clone())).await;
    assert_eq!(api.rows("audit_events").await, audit + 1);
}

#[actix_web::test]
async fn c186_fifty_calls_without_a_tenant_have_one_effect() {
    let api = Api::new().await;
    let ada = Caller::user(api.world.ports(), api.ada);
    let create = ("createAccount", "account { id }");
    let input = json!({ "parentId": api.account.to_string(), "name": "Client", "idempotencyKey": "one" });
    let answers = futures::future::join_all((0..50).map(|_| call(&api, &ada, create, &input))).await;
    assert!(answers.iter().all(|answer| answer.is_ok() && answer == &answers[0]), "{answers:#?}");
    assert_eq!(api.rows("accounts WHERE name = 'Client'").await, 1);
}

#[actix_web::test]
async fn c186_a_relay_is_set_once_under_a_key() {
    let api = Api::new().await;
    let input = json!({ "url": "smtps://shop:pears@mx.example.org" });
    let other = ("url", json!("smtps://shop:plums@mx.example.org"));
    let set = once(&api, &api.owner, ("setRelay", "relay { host }"), input, other).await;
    assert_eq!(set["relay"]["host"], "mx.example.org:465");
}
