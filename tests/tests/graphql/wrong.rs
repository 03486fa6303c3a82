//! Bad input: a typed error that names the field, on either database, and never a fault of ours.

use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::{Api, code};

/// Codes and fields of an answer's errors.
fn told(answer: &Value) -> Vec<(String, String)> {
    let error = |error: &Value| {
        let path = error["extensions"]["field"].as_array().cloned().unwrap_or_default();
        let path: Vec<_> = path.iter().filter_map(Value::as_str).collect();
        (error["extensions"]["code"].as_str().unwrap_or_default().to_owned(), path.join("."))
    };
    answer["errors"].as_array().into_iter().flatten().map(error).collect()
}

#[actix_web::test]
async fn every_wrong_argument_of_a_query_is_named() {
    let api = Api::new().await;
    let cases = [
        ("contacts(filter: { externalId: \"\" })", "INVALID_FILTER", vec!["filter.externalId"]),
        (
            "contacts(search: \"\\u0000\", filter: { tag: \"\", email: \"nobody\", externalId: \"\" })",
            "INVALID_FILTER",
            vec!["search", "filter.tag", "filter.email", "filter.externalId"],
        ),
        (
            "contacts(filter: { attribute: { name: \"\\u0000\", value: { number: 1 } } })",
            "UNDECLARED_ATTRIBUTE",
            vec!["filter.attribute.name"],
        ),
        ("contacts(first: -1)", "INVALID_PAGE", vec!["first"]),
        ("contacts(last: 101)", "INVALID_PAGE", vec!["last"]),
        ("contacts(first: 1, before: \"x\")", "INVALID_PAGE", vec!["before"]),
        ("contacts(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("messages(before: \"x\", last: 1)", "INVALID_CURSOR", vec!["before"]),
        ("messages(filter: { contactId: \"x\" })", "NOT_FOUND", vec!["filter.contactId"]),
        ("suppressions(email: \"nobody\")", "INVALID_EMAIL", vec!["email"]),
        ("members(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("apiKeys(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("auditEvents(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("attributeDefinitions(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("eventDefinitions(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("brands(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("topics(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("senders(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("templates(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("partials(first: 101)", "INVALID_PAGE", vec!["first"]),
        ("persistedDocuments(after: \"x\")", "INVALID_CURSOR", vec!["after"]),
        ("persistedDocuments(within: { documentSetId: \"x\" })", "NOT_FOUND", vec!["within.documentSetId"]),
        ("documentSets(first: 101)", "INVALID_PAGE", vec!["first"]),
    ];
    for (field, code, names) in cases {
        let answer = api.ask(&format!("{{ {field} {{ nodes {{ __typename }} }} }}"), json!({})).await;
        let expected: Vec<_> = names.into_iter().map(|name| (code.to_owned(), name.to_owned())).collect();
        assert_eq!(told(&answer), expected, "{field}: {answer}");
    }
    let ids = json!({ "ids": vec!["x"; 101] });
    let answer = api.ask("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids).await;
    assert_eq!(told(&answer), [("TOO_MANY_IDS".to_owned(), "ids".to_owned())]);
}

#[actix_web::test]
async fn a_time_that_cannot_be_stored_or_ordered_is_refused() {
    let api = Api::new().await;
    for day in ["-4713-01-01", "0000-12-31", "+10000-01-01", "+262142-12-31"] {
        let since = json!({ "since": format!("{day}T00:00:00Z"), "day": day });
        for query in [
            "query($since: DateTime) { messages(filter: { since: $since }) { nodes { id } } }",
            "query($since: DateTime) { messageStats(since: $since) { total } }",
            "query($day: NaiveDate) { contacts(filter: { attribute: { name: \"a\", value: { date: $day } } }) { nodes { id } } }",
            "query($day: NaiveDate) { contacts(filter: { attribute: { name: \"a\", value: { dateRange: { from: $day } } } }) { nodes { id } } }",
            "mutation($since: DateTime) { createApiKey(input: { name: \"k\", scopes: [], role: VIEWER, expiresAt: $since }) { userErrors { code } } }",
        ] {
            let answer = api.ask(query, since.clone()).await;
            assert_eq!(code(&answer), "BAD_REQUEST", "{query} {answer}");
        }
    }
    let first = json!({ "since": "0001-01-01T00:00:00Z" });
    let query = "query($since: DateTime) { messages(filter: { since: $since }) { nodes { id } } messageStats(since: $since) { __typename } }";
    let answer = api.ask(query, first).await;
    assert!(answer.get("errors").is_none(), "{answer}");
}

#[actix_web::test]
async fn a_template_with_nul_is_refused() {
    let api = Api::new().await;
    let template =
        api.change("createTemplate", "template { id }", json!({ "name": "T", "class": "TRANSACTIONAL" })).await;
    let id = &template["template"]["id"];
    for part in ["subject", "html", "text"] {
        let mut input = json!({ "templateId": id, "locale": "en", "subject": "s", "html": "h", "text": "t" });
        input[part] = json!("a\0b");
        let query = "mutation($input: PublishTemplateVersionInput!) { publishTemplateVersion(input: $input) { userErrors { code field } } }";
        let answer = api.ask(query, json!({ "input": input })).await;
        let errors = &answer["data"]["publishTemplateVersion"]["userErrors"];
        assert_eq!(errors[0], json!({ "code": "TEMPLATE_CONTROL", "field": [part] }), "{answer}");
    }
}

/// Each of a batch is judged by itself: what is wrong with one names it by its place, and the property by its name.
#[actix_web::test]
async fn a3_14_hostile_events_are_named_and_the_rest_of_their_batch_is_stored() {
    let api = Api::new().await;
    let declared = json!({ "name": "order", "properties": [{ "name": "total", "kind": "NUMBER" }] });
    api.change("declareEvents", "events { id }", json!({ "events": [declared] })).await;
    let contact = api.change("createContact", "contact { id }", json!({ "email": "ada@example.org" })).await;
    let contact = json!({ "id": contact["contact"]["id"] });
    let with = |properties: Value| (contact.clone(), properties);
    let items = [
        (with(json!({ "total": 1 })), None),
        (with(json!({ "total": "one" })), Some(("WRONG_TYPE", "properties.total"))),
        (with(json!({ "total": { "amount": 1 } })), Some(("WRONG_TYPE", "properties.total"))),
        (with(json!({ "body": "x".repeat(33 * 1024) })), Some(("PROPERTIES_TOO_LARGE", "properties"))),
        (with(json!({ "body": "x\u{0}y" })), Some(("INVALID_PROPERTIES", "properties"))),
        (with(json!({ "a": [[[[[]]]]] })), Some(("INVALID_PROPERTIES", "properties"))),
        (with(json!({ "\u{0}": 1 })), Some(("INVALID_PROPERTY_NAME", "properties"))),
        (with(json!([1, 2])), Some(("INVALID_PROPERTIES", "properties"))),
        ((json!({ "id": "'; DROP TABLE contacts" }), json!({})), Some(("NOT_FOUND", "contact.id"))),
        ((json!({ "email": "nobody" }), json!({})), Some(("INVALID_EMAIL", "contact.email"))),
        (with(json!({ "total": 2.5 })), None),
    ];
    let events = items.iter().enumerate().map(|(n, ((contact, properties), _))| {
        json!({ "messageId": format!("m{n}"), "name": "order", "contact": contact, "properties": properties })
    });
    let events: Vec<Value> = events.collect();
    let told = api
        .change("trackEvents", "results { eventId userErrors { code field message } }", json!({ "events": events }))
        .await;
    for (n, (_, wrong)) in items.iter().enumerate() {
        let result = &told["results"][n];
        let Some((code, field)) = wrong else {
            assert!(result["eventId"].is_string() && result["userErrors"] == json!([]), "{n}: {result}");
            continue;
        };
        let error = &result["userErrors"][0];
        let field: Vec<&str> = field.split('.').collect();
        assert_eq!((&result["eventId"], &error["code"]), (&Value::Null, &json!(code)), "{n}: {result}");
        assert_eq!(error["field"], json!(field), "{n}: {result}");
        assert!(error["message"].as_str().is_some_and(|text| text.len() < 200), "{n}: {result}");
    }
    assert_eq!(api.world.number("SELECT COUNT(*) AS amount FROM contact_events").await, 2);
}

/// Where the library reads the specification too laxly; graphql-js judges many more in `tests/clients`.
#[actix_web::test]
async fn a_document_that_is_not_valid_runs_neither_by_post_nor_by_get() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for query in [
        "{ a: serverTime ...F } fragment F on Query { a: allWorkflowsPaused }",
        "{ tenant { a: id } tenant { a: name } }",
        "{ contacts(first: 1) { nodes { id } } contacts(first: 2) { nodes { id } } }",
        "{ node(id: \"a\") { ... on Contact { a: version } ... on Workflow { a: name } } }",
        "{ contacts { nodes { ... on Workflow { id } } } }",
        "{ contacts(filter: { state: \"ACTIVE\" }) { nodes { id } } }",
        "{ contacts(filter: { tag: \"a\", tag: \"b\" }) { nodes { id } } }",
        "query ($a: ID = null) { contact(id: $a) { id } }",
        "query ($a: Boolean = null) { serverTime @skip(if: $a) }",
        "query ($a: Int @skip(if: true)) { contacts(first: $a) { nodes { id } } }",
        "query ($a: Int) { serverTime }",
        "{ serverTime @include(if: $a) }",
        "query A { serverTime } query A { serverTime }",
        "query @skip(if: true) { serverTime }",
        "{ serverTime } fragment F on Query { serverTime }",
        "{ ...F }",
        "{ ...on } fragment on on Query { serverTime }",
        "mutation { a: signOut(input: {}) { userErrors { code } } a: signOut(input: {}) @include(if: true) { userErrors { code } } }",
        "mutation { signOut(input: {}) { userErrors { code } } ...F @skip(if: false) } fragment F on Mutation { signOut(input: {}) { userErrors { code } } }",
    ] {
        for answer in [served.post(query, json!({})).await, served.get(query).await] {
            assert!(code(&answer) == "BAD_REQUEST" && answer.get("data").is_none(), "{query}: {answer}");
        }
    }
    let required = "query ($a: Boolean!) { serverTime @skip(if: $a) }";
    let answer = served.post(required, json!({ "a": null })).await;
    assert!(code(&answer) == "BAD_REQUEST" && answer.get("data").is_none(), "{answer}");
    assert!(served.post(required, json!({ "a": false })).await["data"]["serverTime"].is_string());
    served.stop().await;
}

/// Strangers learn no schema from a production server, nor from what it says of their mistakes; who is signed in is helped.
#[actix_web::test]
async fn c222_a_stranger_is_not_told_what_does_not_fit() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let message = |answer: &Value| answer["errors"][0]["message"].as_str().unwrap().to_owned();
    for (query, names) in [
        ("{ contact { id } }", "contact"),
        ("{ contacts(first: 1) }", "contacts"),
        ("{ tenant { nothing } }", "Tenant"),
        ("mutation { signIn(input: {}) { __typename } }", "email"),
        ("mutation { signIn(input: 1) { __typename } }", "SignInInput"),
        ("query ($a: String!) { contact(id: $a) { id } }", "variable"),
        ("{ contacts(filter: { state: \"x\" }) { nodes { id } } }", "enum"),
    ] {
        let (told, helped) = (served.post(query, json!({})).await, served.ask(query, json!({})).await);
        assert_eq!(message(&told), "The document or its variables do not fit the schema.", "{query}: {told}");
        assert!(code(&told) == "BAD_REQUEST" && code(&helped) == "BAD_REQUEST", "{query}: {told} {helped}");
        assert!(message(&helped).contains(names), "{query}: {helped}");
    }
    // What names nothing of the schema is told to everybody.
    let told = served.post("{ a {", json!({})).await;
    assert!(message(&told).starts_with("The document is not GraphQL: "), "{told}");
    let told = served.post(&format!("{{ {} }}", "serverTime ".repeat(21)), json!({})).await;
    assert_eq!(code(&told), "DOCUMENT_TOO_LARGE", "{told}");
    served.stop().await;
}

/// The library knows those variables alone that a request sends: it would make a mutation that is to be skipped.
#[actix_web::test]
async fn a_condition_that_is_left_out_is_what_its_default_says() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for (default, directive, is_there) in
        [(true, "skip", false), (false, "skip", true), (true, "include", true), (false, "include", false)]
    {
        let query = format!("query($a: Boolean = {default}) {{ __typename serverTime @{directive}(if: $a) }}");
        // The second time the document is known.
        for (given, expected) in [(json!({}), is_there), (json!({ "a": !default }), !is_there), (json!({}), is_there)] {
            let answer = served.post(&query, given).await;
            assert_eq!(answer["data"]["__typename"], "Query", "{query}: {answer}");
            assert_eq!(answer["data"]["serverTime"].is_string(), expected, "{query}: {answer}");
        }
    }
    served.stop().await;
}
