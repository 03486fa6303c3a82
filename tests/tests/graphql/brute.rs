//! Guessing at leisure, over real HTTP: no document and no request holds more than one attempt (C-218), and no answer
//! tells who is known (C-217).

use carillon_tests::access::PASSWORD;
use serde_json::{Value, json};

use crate::places::Side;
use crate::sdl::Sdl;
use crate::served::Served;
use crate::setup::{Api, code};

const SIGN_IN: &str =
    "mutation($input: SignInInput!) { signIn(input: $input) { session { accessToken } userErrors { code message } } }";

/// What strangers may call and call again, with the reason.
const HARMLESS: &[(&str, &str)] = &[("signOut", "it tells nobody whether there was a session")];

#[actix_web::test]
async fn c218_whatever_strangers_may_call_stands_alone() {
    let side = Box::pin(Side::new(Api::new().await, 0)).await;
    let served = Served::new(&side.api).await;
    let sdl = Sdl::of(&side.api.schema);
    let (mut open, mut alone) = (Vec::new(), Vec::new());
    for mutation in sdl.fields("Mutation") {
        let name = mutation.name.node.as_str();
        let (kind, input) = (&mutation.arguments[0].node.ty.node, side.arguments(&sdl, mutation));
        let call = format!("{name}(input: $input) {{ userErrors {{ code }} }}");
        let once = served.post(&format!("mutation($input: {kind}) {{ {call} }}"), input.clone()).await;
        if ["UNAUTHENTICATED", "TENANT_REQUIRED", "NO_CATCHER"].contains(&code(&once)) {
            continue;
        }
        assert_ne!(code(&once), "BAD_REQUEST", "{name}: the input is none: {once}");
        open.push(name);
        let twice = served.post(&format!("mutation($input: {kind}) {{ a: {call} b: {call} }}"), input).await;
        if code(&twice) == "DOCUMENT_TOO_LARGE" {
            alone.push(name);
        }
    }
    assert!(open.contains(&"signIn") && open.contains(&"resetPassword"), "{open:?}");
    open.retain(|name| !HARMLESS.iter().any(|(harmless, _)| harmless == name));
    assert_eq!(open, alone, "what may be guessed at in one document");
    served.stop().await;
}

#[actix_web::test]
async fn c218_a_hundred_sign_ins_at_once_are_none() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let wrong = json!({ "input": { "email": "ada@example.org", "password": "not the password" } });
    let numbered = |part: &dyn Fn(usize) -> String| (0..100).map(part).collect::<String>();
    let sign_in = "signIn(input: $input) { session { accessToken } }";
    let aliases = numbered(&|n| format!("a{n}: {sign_in} "));
    let spread = format!("fragment F on Mutation {{ a: {sign_in} }}");
    let operations = numbered(&|n| format!("mutation M{n}($input: SignInInput!) {{ {sign_in} }} "));
    let before = api.world.wall().statements();
    for query in [
        format!("mutation($input: SignInInput!) {{ {aliases} }}"),
        format!("mutation($input: SignInInput!) {{ ...F b: {sign_in} }} {spread}"),
        format!(
            "mutation($input: SignInInput!) {{ ... @include(if: true) {{ a: {sign_in} }} ... {{ b: {sign_in} }} }}"
        ),
        format!("mutation($input: SignInInput!) {{ __typename {sign_in} ...F t: __typename }} {spread}"),
        operations,
    ] {
        let answer = served.post(&query, wrong.clone()).await;
        assert_eq!(code(&answer), "DOCUMENT_TOO_LARGE", "{answer}");
    }
    let one = json!({ "query": SIGN_IN, "variables": wrong });
    for batch in [json!(vec![one.clone(); 100]), json!([one]), json!([])] {
        let answer = served.post_text(batch.to_string()).await;
        assert!(answer.get("data").is_none() && code(&answer) == "BAD_REQUEST", "{answer}");
    }
    assert_eq!(api.world.wall().statements(), before, "nobody was looked for");
    // And nothing was counted against them, either.
    let right = json!({ "input": { "email": "ada@example.org", "password": PASSWORD } });
    // What does nothing may stand beside it: generators of documents ask for it everywhere.
    let beside = format!("mutation($input: SignInInput!) {{ __typename {sign_in} t: __typename }}");
    for query in [SIGN_IN, &beside] {
        let answer = served.post(query, right.clone()).await;
        assert!(answer["data"]["signIn"]["session"]["accessToken"].is_string(), "{answer}");
    }
    served.stop().await;
}

#[actix_web::test]
async fn c217_who_is_known_and_who_is_not_get_one_answer_for_one_price() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let sign_up = "mutation($input: SignUpInput!) { signUp(input: $input) { userErrors { code message } } }";
    let reset = "mutation($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) \
        { userErrors { code message } } }";
    let told = async |query: &str, mut input: Value, email: &str| {
        input["email"] = json!(email);
        let asked = served.post(query, json!({ "input": input }));
        let (answer, statements) = api.world.statements_of(asked).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        (answer, statements)
    };
    for (query, input) in [
        (SIGN_IN, json!({ "password": "not the password" })),
        (sign_up, json!({ "password": PASSWORD, "name": "Eve", "accountName": "Eve" })),
        (reset, json!({})),
    ] {
        let known = told(query, input.clone(), "ada@example.org").await;
        let unknown = told(query, input, "nobody@example.org").await;
        assert_eq!(known, unknown, "{query}");
        assert!(known.1 > 0, "somebody was looked for: {query}");
    }
    served.stop().await;
}
