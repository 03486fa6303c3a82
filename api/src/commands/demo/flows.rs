//! The two workflows as their authors write them: their mails, their definitions, and how they go live.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{self, Api, WithId};
use super::tenant::{self, Tenant};

/// What starts "Welcome".
pub const SIGNED_UP: &str = "signed_up";
/// Its property that tells one entry from another: where they signed up.
pub const FORM: &str = "form";
/// What its variants are compared by.
pub const BORROWED: &str = "borrowed";
/// What starts "Cart".
pub const CART_FILLED: &str = "cart_filled";
/// Its property that tells one entry from another.
const CART: &str = "cart";
/// Its goal.
pub const ORDERED: &str = "ordered";

/// The variants of the split, each with the node of its mail and its subject.
pub const VARIANTS: [(&str, &str, &str); 2] =
    [("a", "hello_a", "Schön, dass Sie da sind"), ("b", "hello_b", "Ihr erstes Buch wartet schon")];
/// The split.
pub const SPLIT: &str = "subject";
/// The branch on the click.
pub const BRANCH: &str = "clicked";
/// The second mail of "Welcome".
pub const MORE: &str = "more";
/// The mail of "Cart".
pub const REMINDER: &str = "reminder";

/// Where the mails' links lead.
pub const TARGETS: [&str; 2] = ["https://shop.example/neu", "https://shop.example/termine"];

/// So long a cart is left alone.
const CART_WAIT: Duration = Duration::from_secs(6);
/// So long after its mail somebody may do what the variants are compared by.
const WINDOW: Duration = Duration::from_mins(10);
/// Carts that are worth less start nobody.
const CART_MIN: u32 = 20;

/// A live workflow.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: &'static str,
    /// Its nodes, in the order in which people come to them.
    pub nodes: &'static [&'static str],
}

#[derive(Debug, Deserialize)]
struct Draft {
    id: String,
    version: u64,
}

/// Node and recipient's number, as a workflow's mail prints them before its entry; none of another mail.
pub fn step_of(reference: &str) -> Option<(&str, &str)> {
    let mails = [VARIANTS[0].1, VARIANTS[1].1, MORE, REMINDER];
    let (node, rest) = reference.split_once(':').filter(|(node, _)| mails.contains(node))?;
    Some((node, rest.split_once(':').map_or(rest, |(number, _)| number)))
}

/// "Welcome": one of two subjects, time to read, and a second mail for those who clicked. Whoever signs up at two forms
/// enters twice.
pub async fn welcome(tenant: &Tenant, reading: Duration) -> Result<Flow> {
    declare(&tenant.api, &[(SIGNED_UP, &[(FORM, "STRING")]), (BORROWED, &[])]).await?;
    let [(_, hello_a, subject_a), (_, hello_b, subject_b)] = VARIANTS;
    let clicked = |node| json!({ "kind": "mail", "node": node, "did": "clicked" });
    let variant = |(label, node, _)| json!({ "label": label, "weight_bp": 5_000, "next": node });
    let definition = json!({
        "trigger": { "event": SIGNED_UP, "entry_key": FORM },
        "start": SPLIT,
        "nodes": {
            SPLIT: {
                "kind": "split", "variants": VARIANTS.map(variant),
                "conversion": { "event": BORROWED, "within_seconds": WINDOW.as_secs() },
            },
            hello_a: mail(tenant, (SIGNED_UP, FORM), hello_a, subject_a, "reading").await?,
            hello_b: mail(tenant, (SIGNED_UP, FORM), hello_b, subject_b, "reading").await?,
            "reading": { "kind": "wait_for", "seconds": reading.as_secs(), "next": BRANCH },
            BRANCH: {
                "kind": "branch", "condition": { "kind": "or", "of": [clicked(hello_a), clicked(hello_b)] },
                "then": MORE, "otherwise": "silent", "unknown": "unseen",
            },
            MORE: mail(tenant, (SIGNED_UP, FORM), MORE, "Noch mehr Lesestoff", "written_twice").await?,
            "written_twice": { "kind": "exit", "reason": "written_twice" },
            "silent": { "kind": "exit", "reason": "did_not_click" },
            "unseen": { "kind": "exit", "reason": "not_tracked" },
        },
    });
    let id = publish(&tenant.api, "Welcome", definition).await?;
    let nodes = &[SPLIT, "hello_a", "hello_b", "reading", BRANCH, MORE, "written_twice", "silent", "unseen"];
    Ok(Flow { id, name: "Welcome", nodes })
}

/// "Cart": a reminder, unless they order first.
pub async fn cart(tenant: &Tenant) -> Result<Flow> {
    declare(&tenant.api, &[(CART_FILLED, &[(CART, "STRING"), ("total", "NUMBER")]), (ORDERED, &[])]).await?;
    let definition = json!({
        "trigger": {
            "event": CART_FILLED, "entry_key": CART,
            "filter": [{ "property": "total", "test": { "op": "greater", "value": CART_MIN } }],
        },
        "goal": { "kind": "event", "event": ORDERED },
        "start": "patience",
        "nodes": {
            "patience": { "kind": "wait_for", "seconds": CART_WAIT.as_secs(), "next": REMINDER },
            REMINDER: mail(tenant, (CART_FILLED, CART), REMINDER, "Ihr Warenkorb wartet", "reminded").await?,
            "reminded": { "kind": "exit", "reason": "reminded" },
        },
    });
    let id = publish(&tenant.api, "Cart", definition).await?;
    Ok(Flow { id, name: "Cart", nodes: &["patience", REMINDER, "reminded"] })
}

/// Declares events with their properties and the kinds of these.
async fn declare(api: &Api, events: &[(&str, &[(&str, &str)])]) -> Result<()> {
    let property = |(name, kind): &(&str, &str)| json!({ "name": name, "kind": kind });
    let event = |(name, properties): &(&str, &[(&str, &str)])| {
        let properties: Vec<Json> = properties.iter().map(property).collect();
        json!({ "name": name, "properties": properties })
    };
    let events: Vec<Json> = events.iter().map(event).collect();
    let _: Json = api.mutate(client::DECLARE_EVENTS, json!({ "events": events })).await?;
    Ok(())
}

/// A node that sends a mail, whose template prints the node's name, the recipient's number and what tells the entry from
/// their others.
async fn mail(tenant: &Tenant, (event, entry): (&str, &str), node: &str, subject: &str, next: &str) -> Result<Json> {
    let reference = format!("{node}:{{{{ contact.external_id | default(\"\") }}}}:{{{{ event.{entry} }}}}");
    let links = TARGETS.map(|target| format!("<a href=\"{target}\">Ansehen</a>")).join(" ");
    let published = tenant::publish(&tenant.api, subject, &reference, &format!("<p>{links}</p>"), Some(event)).await?;
    Ok(json!({
        "kind": "send", "template": published.template, "sender": tenant.sender, "topic": tenant.topic, "next": next,
    }))
}

async fn publish(api: &Api, name: &str, definition: Json) -> Result<String> {
    let draft: Draft = api.mutate(client::CREATE_WORKFLOW, json!({ "name": name, "definition": definition })).await?;
    let which = json!({ "id": draft.id, "version": draft.version });
    let _: WithId = api.mutate(client::PUBLISH_WORKFLOW, which).await?;
    Ok(draft.id)
}
