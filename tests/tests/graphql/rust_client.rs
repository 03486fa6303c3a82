//! A client in Rust that is not ours: graphql_client makes its types of the contract's schema and operations when this is
//! compiled, and asks a served gateway with them.

use carillon_tests::access::PASSWORD;
use graphql_client::{GraphQLQuery, Response};
use serde_json::json;

use crate::served::Served;
use crate::setup::Api;

/// The schema that the types are made of: with this line a change of it compiles them again.
const _: &str = include_str!("../../../frontend-contract/schema.graphql");

/// The schema's scalar of the same name.
type Json = serde_json::Value;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "../frontend-contract/schema.graphql",
    query_path = "../frontend-contract/operations/SignIn.graphql",
    variables_derives = "Clone, Debug",
    response_derives = "Debug, PartialEq",
    normalization = "rust",
    skip_serializing_none
)]
struct SignIn;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "../frontend-contract/schema.graphql",
    query_path = "../frontend-contract/operations/EnterTenant.graphql",
    variables_derives = "Clone, Debug",
    response_derives = "Debug, PartialEq",
    normalization = "rust",
    skip_serializing_none
)]
struct EnterTenant;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "../frontend-contract/schema.graphql",
    query_path = "../frontend-contract/operations/UpsertContacts.graphql",
    variables_derives = "Clone, Debug",
    response_derives = "Debug, PartialEq",
    normalization = "rust",
    skip_serializing_none
)]
struct UpsertContacts;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "../frontend-contract/schema.graphql",
    query_path = "../frontend-contract/operations/ContactsPage.graphql",
    variables_derives = "Clone, Debug",
    response_derives = "Debug, PartialEq",
    normalization = "rust",
    skip_serializing_none
)]
struct ContactsPage;

/// Somebody with a program.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    fn new(served: &Served) -> Self {
        let url = format!("http://{}/graphql", served.address);
        Self { http: reqwest::Client::new(), url, token: String::new() }
    }

    /// One operation, as its own types have it.
    async fn ask<Q: GraphQLQuery>(&self, variables: Q::Variables) -> Response<Q::ResponseData> {
        let request = self.http.post(&self.url).json(&Q::build_query(variables));
        let request = if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        request.send().await.unwrap().json().await.unwrap()
    }

    /// One that has to succeed.
    async fn get<Q: GraphQLQuery>(&self, variables: Q::Variables) -> Q::ResponseData {
        let answer = self.ask::<Q>(variables).await;
        assert!(answer.errors.is_none(), "{:?}", answer.errors);
        answer.data.unwrap()
    }

    async fn sign_in(&mut self, password: &str) -> Vec<sign_in::SignInSignInUserErrors> {
        let (email, password) = ("ada@example.org".to_owned(), password.to_owned());
        let input = sign_in::SignInInput { email, password, client_mutation_id: None };
        let payload = self.get::<SignIn>(sign_in::Variables { input }).await.sign_in;
        if let Some(session) = payload.session {
            self.token = session.access_token;
        }
        payload.user_errors
    }

    async fn enter(&mut self, tenant_id: String) {
        let input = enter_tenant::EnterTenantInput { tenant_id, client_mutation_id: None };
        let payload = self.get::<EnterTenant>(enter_tenant::Variables { input }).await.enter_tenant;
        assert!(payload.user_errors.is_empty(), "{:?}", payload.user_errors);
        self.token = payload.session.unwrap().access_token;
    }

    async fn page(&self, after: Option<String>) -> contacts_page::ContactsPageContacts {
        self.get::<ContactsPage>(contacts_page::Variables { first: 2, after }).await.contacts
    }
}

/// Contacts that are created once, whatever happens to the answer.
fn created_once(emails: &[&str]) -> upsert_contacts::Variables {
    let contact = |email: &&str| upsert_contacts::UpsertContactInput {
        by: upsert_contacts::UpsertByInput::Email((*email).to_owned()),
        fields: None,
    };
    let input = upsert_contacts::UpsertContactsInput {
        contacts: emails.iter().map(contact).collect(),
        idempotency_key: Some("readers-1".to_owned()),
        dry_run: None,
        client_mutation_id: None,
    };
    upsert_contacts::Variables { input }
}

const READERS: [&str; 3] = ["ann@reader.example", "ben@reader.example", "cem@reader.example"];

#[actix_web::test]
async fn a_client_that_graphql_client_made_of_the_contract_works() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let mut client = Client::new(&served);

    // Errors have a code for programs, be they data or not.
    let stranger = client.ask::<ContactsPage>(contacts_page::Variables { first: 2, after: None }).await;
    assert_eq!(stranger.data, None);
    let code = |error: &graphql_client::Error| error.extensions.as_ref().and_then(|told| told.get("code").cloned());
    assert_eq!(stranger.errors.unwrap_or_default().first().and_then(code), Some(json!("UNAUTHENTICATED")));
    let refused = client.sign_in("not her password").await;
    let codes: Vec<_> = refused.into_iter().map(|refusal| refusal.code).collect();
    assert_eq!(codes, [sign_in::ErrorCode::InvalidCredentials]);

    assert!(client.sign_in(PASSWORD).await.is_empty());
    client.enter(api.tenant.to_string()).await;

    // The same key again is the same call, and says so.
    let first = client.ask::<UpsertContacts>(created_once(&READERS)).await;
    let results = first.data.as_ref().map(|data| &data.upsert_contacts.results[..]).unwrap_or_default();
    assert!(results.len() == 3 && results.iter().all(|result| result.created), "{first:?}");
    let again = client.ask::<UpsertContacts>(created_once(&READERS)).await;
    assert_eq!(again.data, first.data);
    assert_eq!(again.extensions.unwrap_or_default().get("replayed"), Some(&json!(["upsertContacts"])));
    let other = client.get::<UpsertContacts>(created_once(&READERS[..1])).await.upsert_contacts;
    assert_eq!(other.user_errors[0].code, upsert_contacts::ErrorCode::IdempotencyMismatch);

    // Pages follow each other to the end.
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = client.page(after).await;
        seen.extend(page.nodes.into_iter().filter_map(|contact| contact.email));
        after = page.page_info.end_cursor;
        if !page.page_info.has_next_page {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, READERS);
    served.stop().await;
}
