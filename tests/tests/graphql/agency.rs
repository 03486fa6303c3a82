//! An agency reads over its tenants in one document; what keeps one of them from being read is no matter of the others.

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{
    Name, Role, Scope, VerifiedAccess, create_account, enter_account, operate, suspend_account,
};
use carillon_entities::ids::AccountId;
use serde_json::{Value, json};

use crate::setup::{Api, code, entered};

const FIGURES: &str = "query($id: ID!, $first: Int, $after: String) { account(id: $id) { name \
    tenants(first: $first, after: $after) { edges { cursor node { id name suspended messageStats { total } } } \
    pageInfo { hasNextPage endCursor } } } }";

impl Api {
    async fn account_below(&self, name: &str) -> AccountId {
        self.world.advance(chrono::TimeDelta::milliseconds(1));
        let grant = enter_account(self.world.ports(), &self.ada, self.account, "parentId").await.unwrap();
        let (grant, name) = (grant.grant().unwrap(), Name::parse(name).unwrap());
        create_account(&grant, self.world.ports(), &name, None).await.unwrap().id
    }

    async fn figures(&self, access: VerifiedAccess, account: AccountId, page: Value) -> Value {
        let mut variables = page;
        variables["id"] = json!(account.to_string());
        self.ask_as(&Caller::User(access, None), FIGURES, variables).await
    }
}

type Pairs = Vec<(Value, Value)>;

/// Name and total of each tenant, and place and code of each error.
fn told(answer: &Value) -> (Pairs, Pairs) {
    let edges = answer["data"]["account"]["tenants"]["edges"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let edge = |edge: &Value| (edge["node"]["name"].clone(), edge["node"]["messageStats"]["total"].clone());
    let error = |error: &Value| (error["path"].clone(), error["extensions"]["code"].clone());
    let errors = answer["errors"].as_array().into_iter().flatten();
    (edges.iter().map(edge).collect(), errors.map(error).collect())
}

#[actix_web::test]
async fn an_agency_reads_figures_over_its_tenants_in_one_document() {
    let api = Api::new().await;
    api.row(0).await;
    let client = api.account_below("Client").await;
    api.world.advance(chrono::TimeDelta::milliseconds(1));
    api.world.new_tenant(&api.ada, client, "Brot").await;
    let (tenants, errors) = told(&api.figures(api.ada, api.account, json!({})).await);
    assert_eq!(tenants, [(json!("Torten"), json!(1)), (json!("Brot"), json!(0))], "each its own");
    assert!(errors.is_empty(), "{errors:?}");
    let (below, _) = told(&api.figures(api.ada, client, json!({})).await);
    assert_eq!(below, [(json!("Brot"), json!(0))], "what lies below, and nothing beside or above");

    let first = api.figures(api.ada, api.account, json!({ "first": 1 })).await;
    let page = &first["data"]["account"]["tenants"]["pageInfo"];
    assert_eq!(page["hasNextPage"], true, "{first}");
    let (second, _) = told(&api.figures(api.ada, api.account, json!({ "after": page["endCursor"] })).await);
    assert_eq!(second, [(json!("Brot"), json!(0))]);

    suspend_account(&operate().grant(), api.world.ports(), client).await.unwrap();
    let (tenants, errors) = told(&api.figures(api.ada, api.account, json!({})).await);
    assert_eq!(tenants, [(json!("Torten"), json!(1)), (json!("Brot"), Value::Null)], "the others go through");
    let path = json!(["account", "tenants", "edges", 1, "node", "messageStats"]);
    assert_eq!(errors, [(path, json!("TENANT_SUSPENDED"))]);
}

#[actix_web::test]
async fn c204_nobody_reads_over_tenants_that_they_do_not_reach() {
    let api = Api::new().await;
    let client = api.account_below("Client").await;
    api.world.new_tenant(&api.ada, client, "Brot").await;
    let eve = api.world.invited(&api.ada, Scope::Account(client), "eve@example.org", Role::Viewer).await;
    let (tenants, _) = told(&api.figures(eve, client, json!({})).await);
    assert_eq!(tenants, [(json!("Brot"), json!(0))]);
    let above = api.figures(eve, api.account, json!({})).await;
    assert_eq!(above, json!({ "data": { "account": null } }), "as of one that there is not");

    // Bound to a tenant, a token reaches no other.
    let bound = api.ask(FIGURES, json!({ "id": api.account.to_string() })).await;
    assert_eq!(code(&bound), "FORBIDDEN", "{bound}");
    let inside = api.ask("{ tenant { messageStats { total } } messageStats { total } }", json!({})).await;
    assert_eq!(inside["data"], json!({ "tenant": { "messageStats": { "total": 0 } }, "messageStats": { "total": 0 } }));
}

/// A role that ends between two requests ends the figures with it, and a token that is stale reads nothing (C-213).
#[actix_web::test]
async fn c213_figures_end_with_the_membership() {
    let api = Api::new().await;
    let query = "{ viewer { tenants { nodes { name messageStats { total } } } } }";
    let eve = api.world.invited(&api.ada, Scope::Tenant(api.tenant), "eve@example.org", Role::Analyst).await;
    let seen = api.ask_as(&Caller::User(eve, None), query, json!({})).await;
    let own = json!([{ "name": "Torten", "messageStats": { "total": 0 } }]);
    assert_eq!(seen["data"]["viewer"]["tenants"]["nodes"], own, "{seen}");
    let membership = api.world.own_membership(&eve, Scope::Tenant(api.tenant)).await.to_string();
    let remove = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { userErrors { code } } }";
    let ada = entered(&api.world, &api.ada, api.tenant).await;
    let removed = api.ask_as(&ada, remove, json!({ "input": { "membershipId": membership } })).await;
    assert_eq!(removed["data"]["removeMember"]["userErrors"], json!([]), "{removed}");
    let after = api.ask_as(&Caller::User(eve, None), query, json!({})).await;
    assert_eq!(code(&after), "UNAUTHENTICATED", "{after}");
}
