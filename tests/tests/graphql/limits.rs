//! Each limit on documents, attacked through a served listener by somebody signed in: refused before anything runs (C-221).
//! `flat_memory` asks what they take, and `make bench` how long.

use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::{Api, code};

fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(" ")
}

fn nested(open: &str, depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", open.repeat(depth), " }".repeat(open.matches('{').count() * depth))
}

/// Documents that would be too much, and what of them is named.
fn attacks() -> Vec<(&'static str, String, Value)> {
    let fragment = |n: usize| format!("fragment F{n} on Query {{ {} }}", format!("...F{} ", n + 1).repeat(10));
    let bomb = format!("{{ ...F0 }} {} fragment F20 on Query {{ serverTime }}", numbered(20, fragment));
    let rows = "query($v: String) { contacts(first: 100) { nodes { events(first: 1, after: $v) { nodes { id } } } } }";
    let stats = |n: usize| format!("a{n}: tenants(first: 100) {{ nodes {{ messageStats {{ total }} }} }}");
    let sign_out = |n: usize| format!("m{n}: signOut(input: {{ refreshToken: \"x\" }}) {{ userErrors {{ code }} }}");
    let circle = nested("fields { type { ", 3, "name");
    vec![
        ("tokens", format!("{{ {} }}", "serverTime ".repeat(5_000)), json!({})),
        ("brackets", format!("{{ nodes(ids: {}{}) {{ id }} }}", "[".repeat(70), "]".repeat(70)), json!({})),
        (
            "fields within each other",
            format!(
                "{{ messages(first: 1) {{ nodes {{ {} }} }} }}",
                nested("contact { messages(first: 1) { nodes { ", 4, "id")
            ),
            json!({}),
        ),
        ("lists of the schema", format!("{{ __schema {{ types {{ {circle} }} }} }}"), json!({})),
        ("costs more", format!("{{ viewer {{ {} }} }}", numbered(2, stats)), json!({})),
        (
            "values",
            "{ contacts(first: 100) { nodes { messages(first: 100) { nodes { id state } } } } }".to_owned(),
            json!({}),
        ),
        (
            "aliases",
            format!("{{ contacts(first: 1) {{ nodes {{ {} }} }} }}", numbered(31, |n| format!("a{n}: id"))),
            json!({}),
        ),
        ("root fields", format!("{{ {} }}", numbered(21, |n| format!("a{n}: serverTime"))), json!({})),
        ("mutations", format!("mutation {{ {} }}", numbered(11, sign_out)), json!({})),
        ("directives", format!("{{ serverTime {} }}", "@include(if: true) ".repeat(5)), json!({})),
        ("fields", bomb, json!({})),
        ("operations", numbered(11, |n| format!("query Q{n} {{ serverTime }}")), json!({})),
        ("values, counted wherever", rows.to_owned(), json!({ "v": "x".repeat(900_000) })),
        (
            "the only one",
            format!(
                "mutation {{ {} {} }}",
                numbered(2, |n| format!(
                    "a{n}: signIn(input: {{ email: \"a\", password: \"b\" }}) {{ userErrors {{ code }} }}"
                )),
                sign_out(0)
            ),
            json!({}),
        ),
    ]
}

#[actix_web::test]
async fn c221_whatever_is_too_much_is_refused_before_anything_runs() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for (limit, query, variables) in attacks() {
        // The second time it would be known, if it had been kept.
        for _ in 0..2 {
            let asked = served.ask(&query, variables.clone());
            let (answer, statements) = api.world.statements_of(asked).await;
            assert_eq!(code(&answer), "DOCUMENT_TOO_LARGE", "{limit}: {answer}");
            let message = answer["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(limit), "{limit}: {message}");
            assert_eq!((answer.get("data"), statements), (None, 0), "{limit}: {answer}");
        }
    }
    served.lives().await;
    served.stop().await;
}
