//! An agency signs up, follows the link in its mail, and sets up its two clients.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{self, Api, WithId, WithToken, until};
use super::{mailbox, recipients};

/// Whom the agency's mail goes to; also the login when the demo stays up.
pub const EMAIL: &str = "mara@nordlicht.example";
/// The password of a demo on loopback that forgets everything at its end.
pub const PASSWORD: &str = "lighthouse keeper of the north";

/// A client of the agency: who they are and how they write.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Name.
    pub name: &'static str,
    /// Address of the sender.
    pub from: &'static str,
    /// Whose address the law wants at the end of a mail.
    pub postal_address: &'static str,
    /// Subjects of the two mails.
    pub subjects: [&'static str; 2],
}

/// The agency's two clients.
pub const CLIENTS: [Client; 2] = [
    Client {
        name: "Bücherei Lindenhof",
        from: "lesen@lindenhof.example",
        postal_address: "Bücherei Lindenhof, Lindenstraße 4, 20099 Hamburg",
        subjects: ["{{ contact.first_name | default(\"Hallo\") }}, neue Bücher für Sie", "Lesenacht bei Kerzenlicht"],
    },
    Client {
        name: "Weingut Süßmuth",
        from: "keller@suessmuth.example",
        postal_address: "Weingut Süßmuth, Rebhang 12, 67433 Neustadt",
        subjects: ["Der neue Jahrgang ist da", "{{ contact.first_name | default(\"Hallo\") }}, Federweißer am Samstag"],
    },
];

#[derive(Debug, Deserialize)]
struct Viewer {
    accounts: Accounts,
}

#[derive(Debug, Deserialize)]
struct Accounts {
    nodes: Vec<Membership>,
}

#[derive(Debug, Deserialize)]
struct Membership {
    account: WithId,
}

/// Signs up and in; the result is the API as the agency sees it, and its account.
pub async fn open(api: &Api) -> Result<(Api, String)> {
    let sign_up = json!({
        "email": EMAIL, "password": PASSWORD, "name": "Mara Lindqvist", "accountName": "Agentur Nordlicht",
    });
    let _: Json = api.mutate(client::SIGN_UP, sign_up).await?;
    let mail = until("the sign-up's mail", async || Ok(mailbox::mails(api, Some(EMAIL)).await?.pop())).await?;
    recipients::follow(api, mail.links.first().context("the sign-up's mail has no link")?, PASSWORD).await?;
    let session: WithToken = api.mutate(client::SIGN_IN, json!({ "email": EMAIL, "password": PASSWORD })).await?;
    let api = api.with_token(session.access_token);
    let viewer: Viewer = api.call(client::ACCOUNTS, json!({})).await?;
    let account = viewer.accounts.nodes.into_iter().next().context("the agency has no account")?.account.id;
    Ok((api, account))
}

/// Makes a client's tenant and enters it.
pub async fn take_on(agency: &Api, account: &str, client: Client) -> Result<Api> {
    let input = json!({
        "accountId": account, "name": client.name, "defaultZone": "Europe/Berlin", "defaultLocale": "de",
        "defaultCountry": "DE", "idempotencyKey": client.from,
    });
    let tenant: WithId = agency.mutate(client::CREATE_TENANT, input).await?;
    let session: WithToken = agency.mutate(client::ENTER_TENANT, json!({ "tenantId": tenant.id })).await?;
    Ok(agency.with_token(session.access_token))
}
