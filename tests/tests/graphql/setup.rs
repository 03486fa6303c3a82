//! A tenant and its owner, and requests run as anybody, as the gateway runs them.

use std::sync::Arc;

use async_graphql::{Request, Variables};
use carillon::graphql::execute::execute;
use carillon::graphql::scope::{Caller, Process, RequestScope};
use carillon::graphql::{CarillonSchema, error};
use carillon_domain::tenancy::{VerifiedAccess, enter_tenant};
use carillon_entities::ids::{AccountId, TenantId};
use carillon_tests::access::AccessWorld;
use serde_json::{Value, json};

/// A world with one account, one tenant and their owner.
pub struct Api {
    pub world: AccessWorld,
    pub process: Arc<Process>,
    pub schema: CarillonSchema,
    pub account: AccountId,
    pub tenant: TenantId,
    /// The owner outside the tenant.
    pub ada: VerifiedAccess,
    /// The owner inside it.
    pub owner: Caller,
}

impl Api {
    pub async fn new() -> Self {
        Self::within(AccessWorld::new().await, "ada@example.org").await
    }

    /// Another owner, account and tenant in the same world.
    pub async fn within(world: AccessWorld, email: &str) -> Self {
        let (ada, account) = world.owner_and_account(email).await;
        let tenant = world.new_tenant(&ada, account, "Torten").await;
        let gateway = carillon_tests::gateway::gateway(world.ports().clone()).into_inner();
        let (process, schema) = (Arc::clone(&gateway.process), gateway.schema.clone());
        let owner = entered(&world, &ada, tenant).await;
        Self { world, process, schema, account, tenant, ada, owner }
    }

    /// One request, as the gateway would answer it.
    pub async fn ask_as(&self, caller: &Caller, query: &str, variables: Value) -> Value {
        let scope = RequestScope::new(Arc::clone(&self.process), caller.clone(), None, "test".to_owned());
        let request = Request::new(query).variables(Variables::from_json(variables));
        let mut response = execute(&self.schema, scope, None, request).await;
        error::present(&mut response, "test");
        serde_json::to_value(&response).unwrap()
    }

    /// One request of the owner's.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        self.ask_as(&self.owner, query, variables).await
    }

    /// One mutation of the owner's that must succeed; its payload.
    pub async fn change(&self, name: &str, object: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query =
            format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field }} }} }}");
        let answer = self.ask(&query, json!({ "input": input })).await;
        let payload = answer["data"][name].clone();
        assert_eq!(payload["userErrors"], json!([]), "{name}: {answer}");
        payload
    }
}

/// Somebody inside a tenant.
pub async fn entered(world: &AccessWorld, access: &VerifiedAccess, tenant: TenantId) -> Caller {
    let session = enter_tenant(world.ports(), world.desk(), access, tenant).await.unwrap();
    Caller::user(world.ports(), world.verified(&session.access_token))
}

/// The code of an answer's first error; empty for none.
pub fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("")
}
