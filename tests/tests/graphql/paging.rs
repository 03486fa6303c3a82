//! Every list is the same list from its start, from its end, and the other way round.

use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::Api;

/// The ids of a list, page by page, in the order in which it tells them.
async fn walked(api: &Api, list: &str, (size, place, go_on): (&str, &str, [&str; 2]), more: &str) -> Vec<Value> {
    let query = format!(
        "query($place: String) {{ {list}({size}: 2, {place}: $place{more}) {{ edges {{ cursor node {{ id }} }} \
         pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
    );
    let mut pages: Vec<Vec<Value>> = Vec::new();
    let mut at = Value::Null;
    loop {
        let answer = api.ask(&query, json!({ "place": at })).await;
        assert!(answer.get("errors").is_none(), "{list}: {answer}");
        let page = &answer["data"][list];
        pages.push(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["id"].clone()).collect());
        at = page["pageInfo"][go_on[1]].clone();
        if page["pageInfo"][go_on[0]] == json!(false) {
            break;
        }
        assert!(pages.len() < 50, "{list} has no end");
    }
    if size == "last" {
        pages.reverse();
    }
    pages.concat()
}

#[actix_web::test]
async fn a_list_is_the_same_from_both_its_ends_and_in_both_orders() {
    const FORWARD: (&str, &str, [&str; 2]) = ("first", "after", ["hasNextPage", "endCursor"]);
    const BACK: (&str, &str, [&str; 2]) = ("last", "before", ["hasPreviousPage", "startCursor"]);
    let api = Api::new().await;
    for n in 0..5 {
        api.row(n).await;
        api.people(n).await;
    }
    let sdl = Sdl::of(&api.schema);
    let (mut backward, mut ordered) = (0, Vec::new());
    for field in sdl.fields("Query") {
        let takes = |name: &str| field.arguments.iter().any(|argument| argument.node.name.node == name);
        let list = field.name.node.as_str();
        if !field.ty.node.to_string().ends_with("Connection!") || list == "caughtMails" {
            continue;
        }
        assert!(takes("before"), "{list} has no way back");
        backward += 1;
        let there = walked(&api, list, FORWARD, "").await;
        assert!(there.len() > 4, "{list} has {} rows", there.len());
        assert_eq!(walked(&api, list, BACK, "").await, there, "{list}");
        if takes("orderBy") {
            let newest = ", orderBy: NEWEST_FIRST";
            let turned: Vec<_> = there.iter().rev().cloned().collect();
            assert_eq!(walked(&api, list, FORWARD, newest).await, turned, "{list}");
            assert_eq!(walked(&api, list, BACK, newest).await, turned, "{list}");
            ordered.push(list);
        }
    }
    assert!(backward > 10, "{backward}");
    for list in ["campaigns", "contacts", "imports", "messages", "templates", "webhookDeliveries", "workflows"] {
        assert!(ordered.contains(&list), "{list}");
    }
}
