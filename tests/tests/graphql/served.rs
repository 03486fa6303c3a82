//! The gateway behind a real listener, whose workers have the stacks they have in production.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web;
use carillon::http::{Gateway, serve};
use carillon_domain::tenancy::enter_tenant;
use serde_json::{Value, json};

use crate::setup::Api;

/// A listening server and a client of it.
pub struct Served {
    pub address: std::net::SocketAddr,
    client: reqwest::Client,
    token: String,
    handle: ServerHandle,
}

impl Served {
    /// Serves what an API's world holds, to its owner.
    pub async fn new(api: &Api) -> Self {
        Self::with(api, carillon_tests::gateway::gateway(api.world.ports().clone())).await
    }

    /// Serves through another gateway.
    pub async fn with(api: &Api, gateway: web::Data<Gateway>) -> Self {
        let session = enter_tenant(api.world.ports(), api.world.desk(), &api.ada, api.tenant).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(gateway, listener, Duration::from_secs(1)).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, client: reqwest::Client::new(), token: session.access_token, handle }
    }

    /// A request of nobody's, by POST.
    pub async fn post(&self, query: &str, variables: Value) -> Value {
        let request = self.client.post(self.url()).json(&json!({ "query": query, "variables": variables }));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// A body of nobody's, as it is.
    pub async fn post_text(&self, body: String) -> Value {
        let request = self.client.post(self.url()).header("content-type", "application/json").body(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// A request of nobody's, by GET.
    pub async fn get(&self, query: &str) -> Value {
        let url = reqwest::Url::parse_with_params(&self.url(), [("query", query)]).unwrap();
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// A request of the owner's.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        self.ask_with(&self.token, query, variables).await
    }

    /// A request of whoever has the token.
    pub async fn ask_with(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = self.client.post(self.url()).bearer_auth(token);
        let request = request.json(&json!({ "query": query, "variables": variables }));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// One mutation of the owner's; its payload.
    pub async fn change(&self, name: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ code field }} }} }}");
        let answer = self.ask(&query, json!({ "input": input })).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"][name].clone()
    }

    /// Still there.
    pub async fn lives(&self) {
        assert_eq!(self.post("{ __typename }", json!({})).await, json!({ "data": { "__typename": "Query" } }));
    }

    /// Ends it.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }

    fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }
}
