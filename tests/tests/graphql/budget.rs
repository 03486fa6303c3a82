//! What a page costs (L5).

use std::collections::BTreeSet;

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{Role, Scope};
use serde_json::json;

use crate::sdl::Sdl;
use crate::setup::Api;

const ROWS: usize = 7;

/// Every list of the schema, with all that its rows load; `caughtMails` is in memory.
const LISTS: &[(&str, &str)] = &[
    (
        "contacts",
        "id tags attributes consents { status } ledger(first: 2) { nodes { id } } changes(first: 2) { nodes { values } } \
         events(first: 2) { nodes { properties } } \
         messages(first: 2) { nodes { state attempts { state } sender { fromName } template: templateVersion { locale } } } \
         workflowsPaused \
         enrollments(first: 2) { nodes { workflow { name } version { number } path(first: 2) { nodes { outcome } } } }",
    ),
    (
        "workflows",
        "name findings { code } versions(first: 2) { nodes { number } } \
         liveVersion { number nodes { node waiting } variants { label exposed } }",
    ),
    (
        "campaigns",
        "name sender { fromName } topic { key } variants { template { name } } counts { sent refusedByReason { reason } } \
         variantCounts { label } recipients(first: 2) { nodes { outcome contact { email } message { state } } }",
    ),
    ("contactLists", "name memberCount members(first: 2) { nodes { contact { email } } }"),
    (
        "messages",
        "id contact { tags consents { status } } topic { key } brand { name } sender { fromName } \
         templateVersion { locale } attempts { state } decisions { reason } history { kind }",
    ),
    ("imports", "fileName errorsUrl errors(first: 1) { nodes { code } pageInfo { hasNextPage } }"),
    ("templates", "name versions { locale }"),
    ("partials", "name html text version"),
    ("persistedDocuments", "documentId text"),
    ("documentSets", "name activeNumber versions { number documentCount }"),
    ("senders", "fromName dnsRecord { name }"),
    ("brands", "name"),
    ("topics", "key"),
    ("suppressions", "reason topicId"),
    ("attributeDefinitions", "name"),
    ("eventDefinitions", "name properties { name kind }"),
    ("members", "name role email inherited"),
    ("apiKeys", "name scopes"),
    ("auditEvents", "action detail"),
    ("webhookEndpoints", "url state eventTypes"),
    ("webhookDeliveries", "eventType state endpoint { url } attempts { outcome }"),
];

#[actix_web::test]
async fn l5_a_page_of_every_list_costs_the_same_whatever_its_size() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    let listed = sdl.fields("Query").iter().filter_map(|field| {
        let list = field.ty.node.to_string().ends_with("Connection!") && field.name.node != "caughtMails";
        list.then(|| field.name.node.to_string())
    });
    let named: BTreeSet<String> = LISTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.collect::<BTreeSet<_>>(), named, "every list has a line above");
    for n in 0..ROWS {
        api.row(n).await;
        api.people(n).await;
    }
    let mut faults = Vec::new();
    for (list, fields) in LISTS {
        let mut costs = Vec::new();
        for first in [1, ROWS] {
            let query = format!("query($first: Int!) {{ {list}(first: $first) {{ nodes {{ {fields} }} }} }}");
            let asked = api.ask(&query, json!({ "first": first }));
            let (answer, cost) = api.world.statements_of(asked).await;
            assert!(answer.get("errors").is_none(), "{list}: {answer}");
            let nodes = answer["data"][list]["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), first, "{list}: {answer}");
            costs.push(cost);
        }
        if costs[0] != costs[1] {
            faults.push(format!("{list}: {} statements for one row, {} for {ROWS}", costs[0], costs[1]));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Lists within what is no row of a list above, and which test asks what they cost.
const ELSEWHERE: &[(&str, &str)] = &[
    ("Account.members", "l5_the_members_of_many_accounts_cost_the_same_whatever_their_number"),
    ("Account.tenants", "l5_the_members_of_many_accounts_cost_the_same_whatever_their_number"),
    ("MatchingContacts.contacts", "l5_those_a_condition_holds_for_cost_the_same_whatever_their_number"),
    ("Viewer.accounts", "l5_the_members_of_many_accounts_cost_the_same_whatever_their_number"),
    ("Viewer.tenants", "l5_the_tenants_of_somebody_cost_the_same_whatever_their_number"),
];

#[actix_web::test]
async fn l5_every_list_within_an_object_has_its_budget() {
    let sdl = Sdl::of(&Api::new().await.schema);
    let within = sdl.objects.iter().filter(|(object, _)| !["Query", "Mutation"].contains(&object.as_str()));
    let lists = within.flat_map(|(object, fields)| {
        let lists = fields.iter().filter(|field| field.ty.node.base.to_string().ends_with("Connection"));
        lists.map(move |field| (object.as_str(), field.name.node.as_str()))
    });
    let is_asked = |field: &str| LISTS.iter().any(|(_, fields)| fields.contains(&format!("{field}(first:")));
    let is_elsewhere = |name: &str| ELSEWHERE.iter().any(|(list, _)| *list == name);
    let (mut faults, mut seen) = (Vec::new(), 0);
    for (object, field) in lists {
        let name = format!("{object}.{field}");
        seen += 1;
        if !is_elsewhere(&name) && !is_asked(field) {
            faults.push(name);
        }
    }
    assert!(faults.is_empty(), "nobody asks what these cost: {faults:#?}");
    assert!(seen >= ELSEWHERE.len() + 8, "only {seen}: the search is wrong");
}

#[actix_web::test]
async fn l5_those_a_condition_holds_for_cost_the_same_whatever_their_number() {
    let api = Api::new().await;
    for n in 0..ROWS {
        api.row(n).await;
    }
    let (_, rows) = LISTS[0];
    let query = format!(
        "query($first: Int!) {{ matchingContacts(condition: {{ not: {{ tag: \"nobody\" }} }}) \
         {{ totalCount contacts(first: $first) {{ nodes {{ {rows} }} }} }} }}"
    );
    let (_, one) = api.world.statements_of(api.ask(&query, json!({ "first": 1 }))).await;
    let (answer, many) = api.world.statements_of(api.ask(&query, json!({ "first": ROWS }))).await;
    let nodes = &answer["data"]["matchingContacts"]["contacts"]["nodes"];
    assert_eq!(nodes.as_array().map(Vec::len), Some(ROWS), "{answer}");
    assert_eq!(one, many);
}

#[actix_web::test]
async fn l5_many_nodes_of_a_kind_are_one_statement() {
    let api = Api::new().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let row = api.row(n).await;
        ids.push([row.contact, row.message, row.import, row.upload, row.version, row.brand]);
    }
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Contact { tags } } }";
    let (_, one) = api.world.statements_of(api.ask(query, json!({ "ids": ids[0] }))).await;
    let all: Vec<_> = ids.concat();
    let (answer, many) = api.world.statements_of(api.ask(query, json!({ "ids": all }))).await;
    assert_eq!(answer["data"]["nodes"].as_array().map(Vec::len), Some(18), "{answer}");
    assert_eq!(one, many);
}

#[actix_web::test]
async fn l5_the_tenants_of_somebody_cost_the_same_whatever_their_number() {
    let api = Api::new().await;
    for n in 0..ROWS {
        api.world.new_tenant(&api.ada, api.account, &format!("Tenant {n}")).await;
    }
    let ada = Caller::User(api.ada, None);
    let query = "query($first: Int!) { viewer { tenants(first: $first) { nodes { name myRole } } } }";
    let (_, one) = api.world.statements_of(api.ask_as(&ada, query, json!({ "first": 1 }))).await;
    let (answer, many) = api.world.statements_of(api.ask_as(&ada, query, json!({ "first": ROWS }))).await;
    assert_eq!(answer["data"]["viewer"]["tenants"]["nodes"].as_array().map(Vec::len), Some(ROWS), "{answer}");
    assert_eq!(one, many);
}

#[actix_web::test]
async fn l5_the_members_of_many_accounts_cost_the_same_whatever_their_number() {
    let api = Api::new().await;
    let ada = Caller::User(api.ada, None);
    let query = "{ viewer { accounts { nodes { account { name members(first: 2) { nodes { name } pageInfo { hasNextPage } } \
         tenants(first: 2) { nodes { name } } } } } } }";
    let (_, one) = api.world.statements_of(api.ask_as(&ada, query, json!({}))).await;
    for n in 0..ROWS {
        let input = json!({ "parentId": api.account.to_string(), "name": format!("Client {n}") });
        let create = "mutation($input: CreateAccountInput!) { createAccount(input: $input) { account { id } } }";
        let made = api.ask_as(&ada, create, json!({ "input": input })).await;
        let child = made["data"]["createAccount"]["account"]["id"].as_str().unwrap().parse().unwrap();
        for m in 0..3 {
            let email = format!("m{n}{m}@example.org");
            api.world.invited(&api.ada, Scope::Account(child), &email, Role::Viewer).await;
        }
    }
    let (answer, many) = api.world.statements_of(api.ask_as(&ada, query, json!({}))).await;
    let accounts = answer["data"]["viewer"]["accounts"]["nodes"].as_array().unwrap();
    assert_eq!(accounts.len(), 1 + ROWS, "{answer}");
    let members = |place: usize| accounts[place]["account"]["members"].clone();
    assert_eq!(members(1)["nodes"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!(
        (&members(0)["pageInfo"], &members(1)["pageInfo"]),
        (&json!({ "hasNextPage": false }), &json!({ "hasNextPage": true }))
    );
    assert_eq!(one, many);
    // Who may not change an account's members does not see them.
    let viewer = Caller::User(api.world.access("m00@example.org").await, None);
    let answer = api.ask_as(&viewer, query, json!({})).await;
    assert_eq!(crate::setup::code(&answer), "FORBIDDEN", "{answer}");
}
