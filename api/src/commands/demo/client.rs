//! A client of the public GraphQL API, as any other program would write one: HTTP, JSON, documented operations.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

/// A documented operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its root field, whose value is the answer.
    field: &'static str,
    text: &'static str,
}

macro_rules! operations {
    ($($name:ident = $file:literal, $field:literal;)*) => {$(
        pub const $name: Operation = Operation {
            field: $field,
            text: include_str!(concat!("../../../../frontend-contract/operations/", $file, ".graphql")),
        };
    )*};
}

operations! {
    ACCOUNTS = "Accounts", "viewer";
    CATCHER_BEHAVE = "CatcherBehave", "catcherBehave";
    CAUGHT_MAILS = "CaughtMails", "caughtMails";
    CAUGHT_MAIL_TOTALS = "CaughtMailTotals", "caughtMailTotals";
    CONTACT_BY_ID = "ContactById", "contact";
    CONTACTS_PAGE = "ContactsPage", "contacts";
    CONTACT_WAYS = "ContactWays", "contact";
    CREATE_SENDER = "CreateSender", "createSender";
    CREATE_TEMPLATE = "CreateTemplate", "createTemplate";
    CREATE_TENANT = "CreateTenant", "createTenant";
    CREATE_TOPIC = "CreateTopic", "createTopic";
    CREATE_UPLOAD = "CreateUpload", "createUpload";
    CREATE_WORKFLOW = "CreateWorkflow", "createWorkflow";
    DECLARE_EVENTS = "DeclareEvents", "declareEvents";
    DEFAULT_BRAND = "DefaultBrand", "brands";
    ENTER_TENANT = "EnterTenant", "enterTenant";
    IMPORT_PROGRESS = "ImportProgress", "import";
    MESSAGE_STATS = "MessageStats", "messageStats";
    PUBLISH_TEMPLATE_VERSION = "PublishTemplateVersion", "publishTemplateVersion";
    PUBLISH_WORKFLOW = "PublishWorkflow", "publishWorkflow";
    SEND_MESSAGES = "SendMessages", "sendMessages";
    SERVER_TIME = "ServerTime", "serverTime";
    SIGN_IN = "SignIn", "signIn";
    SIGN_UP = "SignUp", "signUp";
    START_IMPORT = "StartImport", "startImport";
    SUPPRESSIONS_PAGE = "SuppressionsPage", "suppressions";
    TRACK_EVENTS = "TrackEvents", "trackEvents";
    UPSERT_CONTACTS = "UpsertContacts", "upsertContacts";
    VERIFY_SENDER = "VerifySender", "verifySender";
    WORKFLOW_NUMBERS = "WorkflowNumbers", "workflow";
}

/// The API as one caller sees it.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    endpoint: String,
    token: Option<String>,
}

/// One page of a connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<T> {
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl Api {
    /// An anonymous caller of the deployment at `base`.
    pub fn new(base: &str) -> Result<Self> {
        // Everything is on this machine: a proxy of the environment has no business here, and where a link leads is looked
        // at and not followed.
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let http = http.timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, endpoint: format!("{base}/graphql"), token: None })
    }

    /// The same with an access token.
    pub fn with_token(&self, token: String) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    /// For what is no GraphQL: links in mails, uploads.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Runs an operation; refusals are errors here, for the demo's own calls are all meant to be right.
    pub async fn call<T: DeserializeOwned>(&self, operation: Operation, variables: Json) -> Result<T> {
        let name = operation.field;
        let mut request =
            self.http.post(&self.endpoint).json(&json!({ "query": operation.text, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.with_context(|| format!("{name}: no answer"))?;
        let status = response.status();
        let mut answer: Json = response.json().await.with_context(|| format!("{name}: {status} without JSON"))?;
        let errors = answer["errors"].as_array().is_some_and(|errors| !errors.is_empty());
        ensure!(!errors, "{name}: {status} {}", answer["errors"]);
        let mut value = answer["data"][name].take();
        if let Some(refusals) = value.get("userErrors").and_then(Json::as_array).filter(|list| !list.is_empty()) {
            bail!("{name} was refused: {}", Json::from(refusals.clone()));
        }
        let object = value.as_object_mut();
        object.map(|object| object.remove("userErrors"));
        serde_json::from_value(value).with_context(|| format!("{name}: an unexpected answer"))
    }

    /// A mutation of one `input` that answers with one object.
    pub async fn mutate<T: DeserializeOwned>(&self, operation: Operation, input: Json) -> Result<T> {
        let payload: Json = self.call(operation, json!({ "input": input })).await?;
        let Json::Object(fields) = payload else { bail!("{}: no payload", operation.field) };
        // What is asked for beside userErrors is the object.
        let object = fields.into_iter().next().map_or(Json::Null, |(_, value)| value);
        serde_json::from_value(object).with_context(|| format!("{}: an unexpected payload", operation.field))
    }

    /// All nodes of a connection, page by page.
    pub async fn all<T: DeserializeOwned>(&self, operation: Operation, mut variables: Json) -> Result<Vec<T>> {
        const PAGE: u32 = 100;
        variables["first"] = PAGE.into();
        let mut nodes = Vec::new();
        loop {
            let page: Connection<T> = self.call(operation, variables.clone()).await?;
            nodes.extend(page.nodes);
            if !page.page_info.has_next_page {
                return Ok(nodes);
            }
            variables["after"] = page.page_info.end_cursor.into();
        }
    }
}

/// An object of which only the id matters.
#[derive(Debug, Deserialize)]
pub struct WithId {
    /// The id.
    pub id: String,
}

/// An object of which only the token matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithToken {
    /// The access token.
    pub access_token: String,
}

/// Asks until there is an answer.
///
/// # Errors
/// When there is none for a minute: `what` says what was waited for.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(began.elapsed() < super::PATIENCE, "{what}: not within {} seconds", super::PATIENCE.as_secs());
        tokio::time::sleep(super::POLL).await;
    }
}
