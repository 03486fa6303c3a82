//! Documents and templates made to take the process down, through a served listener.

use serde_json::json;

use crate::served::Served;
use crate::setup::{Api, code};

/// Documents that open `depth` brackets, in every place where the language has them.
fn bracketed(depth: usize) -> Vec<String> {
    let nested =
        |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
    let (list, object) = (nested("[", "", "]"), nested("{a:", "1", "}"));
    vec![
        format!("{{nodes(ids:{list}){{id}}}}"),
        format!("{{nodes(ids:{object}){{id}}}}"),
        format!("{{nodes(ids:{}){{id}}}}", nested("[{a:", "1", "}]")),
        format!("query($a: Int = {list}) {{ serverTime }}"),
        format!("query($a: Int = {object}) {{ serverTime }}"),
        format!("query($a: {}) {{ serverTime }}", nested("[", "Int", "]")),
        format!("{{ serverTime @include(if: {list}) }}"),
        format!("query @a(b: {object}) {{ serverTime }}"),
        nested("{ a ", "", "}"),
        nested("{ ... ", "{ serverTime }", "}"),
        nested("{ ... on Query ", "{ serverTime }", "}"),
        format!("fragment F on Query {}", nested("{ a ", "", "}")),
        "[".repeat(depth),
        "{a".repeat(depth),
        "{a(b:".repeat(depth),
    ]
}

#[actix_web::test]
async fn c221_brackets_within_each_other_do_not_take_the_stack() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for depth in [70, 1_600, 30_000] {
        for query in bracketed(depth) {
            let answer = served.post(&query, json!({})).await;
            assert_eq!(code(&answer), "DOCUMENT_TOO_LARGE", "{} {answer}", &query[..60]);
            if depth == 1_600 {
                let answer = served.get(&query).await;
                assert_eq!(code(&answer), "DOCUMENT_TOO_LARGE", "GET {} {answer}", &query[..60]);
            }
        }
    }
    // As deep as may be is read, and answered.
    for query in bracketed(60) {
        let answer = served.post(&query, json!({})).await;
        assert!(["BAD_REQUEST", "DOCUMENT_TOO_LARGE"].contains(&code(&answer)), "{query} {answer}");
    }
    served.lives().await;
    served.stop().await;
}

#[actix_web::test]
async fn c221_fragments_in_a_chain_do_not_take_the_stack() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let chain: Vec<String> = (0..550).map(|n| format!("fragment F{n} on Query{{...F{}}}", n + 1)).collect();
    let chain = chain.concat();
    for query in [
        format!("{{serverTime}}{chain}fragment F550 on Query{{serverTime}}"),
        format!("{{serverTime}}{chain}fragment F550 on Query{{...F0}}"),
    ] {
        let answer = served.post(&query, json!({})).await;
        assert_eq!(code(&answer), "BAD_REQUEST", "{answer}");
    }
    served.lives().await;
    served.stop().await;
}

#[actix_web::test]
async fn c221_variables_within_each_other_do_not_take_the_stack() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for depth in [100, 120, 1_000, 30_000] {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"query":"query($v:[ID!]!){{nodes(ids:$v){{id}}}}","variables":{{"v":{value}}}}}"#);
        let answer = served.post_text(body).await;
        assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{answer}");
    }
    served.lives().await;
    served.stop().await;
}

/// Pieces of a template that the engine's parser would follow without end.
fn endless(times: usize) -> Vec<String> {
    vec![
        format!("{{{{ {}1 }}}}", "-".repeat(times)),
        format!("{{{{ {}1 }}}}", "not ".repeat(times)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(times)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(times)),
        format!("{{{{ vars{} }}}}", ".a".repeat(times)),
        format!("{{{{ {}1{} }}}}", "(".repeat(times), ")".repeat(times)),
        format!("{}{}", "{% if 1 %}".repeat(times), "{% endif %}".repeat(times)),
        format!("{}{}", "{% for a in vars.b %}".repeat(times), "{% endfor %}".repeat(times)),
        "<p>".repeat(times),
    ]
}

#[actix_web::test]
async fn c229_templates_without_end_do_not_take_the_stack() {
    let api = Api::new().await;
    let template =
        api.change("createTemplate", "template { id }", json!({ "name": "T", "class": "TRANSACTIONAL" })).await;
    let served = Served::new(&api).await;
    let input = |html: &str| json!({ "templateId": template["template"]["id"], "locale": "en", "subject": "s", "html": html, "text": "t" });
    for html in endless(20_000) {
        let payload = served.change("publishTemplateVersion", input(&html)).await;
        let refusal = payload["userErrors"][0]["code"].as_str().unwrap_or_default();
        assert!(refusal.starts_with("TEMPLATE_"), "{} {payload}", &html[..60]);
    }
    // At the edge of what may be published, the stack has room.
    for html in endless(20).into_iter().chain(endless(49)) {
        served.change("publishTemplateVersion", input(&html)).await;
    }
    served.lives().await;
    served.stop().await;
}
