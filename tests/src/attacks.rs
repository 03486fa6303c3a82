//! Documents that would be too much, one for each limit on them (C-218, C-221): a test has each refused, and `make bench` looks
//! how long that takes.

use serde_json::{Value, json};

/// A document that is refused.
#[derive(Debug)]
pub struct Attack {
    /// What of it is too much, as the answer names it.
    pub limit: &'static str,
    /// The document.
    pub query: String,
    /// Its variables.
    pub variables: Value,
}

fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(" ")
}

fn nested(open: &str, depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", open.repeat(depth), " }".repeat(open.matches('{').count() * depth))
}

/// One for each limit on documents.
pub fn attacks() -> Vec<Attack> {
    let fragment = |n: usize| format!("fragment F{n} on Query {{ {} }}", format!("...F{} ", n + 1).repeat(10));
    let bomb = format!("{{ ...F0 }} {} fragment F20 on Query {{ serverTime }}", numbered(20, fragment));
    let rows = "query($v: String) { contacts(first: 100) { nodes { events(first: 1, after: $v) { nodes { id } } } } }";
    let stats = |n: usize| format!("a{n}: tenants(first: 100) {{ nodes {{ messageStats {{ total }} }} }}");
    let sign_out = |n: usize| format!("m{n}: signOut(input: {{ refreshToken: \"x\" }}) {{ userErrors {{ code }} }}");
    let circle = nested("fields { type { ", 3, "name");
    let documents = [
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
    ];
    documents.into_iter().map(|(limit, query, variables)| Attack { limit, query, variables }).collect()
}
