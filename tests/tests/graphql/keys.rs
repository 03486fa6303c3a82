//! Idempotency keys over the whole schema (C-186).

use serde_json::json;

use crate::sdl::Sdl;
use crate::setup::Api;

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

/// Mutations that should take a key and do not: they change the identity space, which has nowhere to keep an answer in
/// the transaction of the effect, as tenants have.
const MISSING: &[&str] = &["createAccount", "inviteMember", "removeMember", "leave", "createApiKey"];

#[actix_web::test]
async fn c186_every_mutation_takes_an_optional_key() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    let mut faults = Vec::new();
    for mutation in sdl.fields("Mutation") {
        let name = mutation.name.node.as_str();
        let input = mutation.arguments[0].node.ty.node.base.to_string();
        let key = sdl.inputs[&input].iter().find(|field| field.name.node == "idempotencyKey");
        let is_excused = WITHOUT.iter().any(|(without, _)| *without == name) || MISSING.contains(&name);
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
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
    assert_eq!(api.world.number("SELECT COUNT(*) AS amount FROM contacts").await, 1);
}
