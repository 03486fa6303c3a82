//! Endpoints: where they may be, their secrets, and how they end.

use std::net::IpAddr;
use std::sync::Arc;

use carillon_domain::dispatch;
use carillon_domain::webhooks::{self, EndpointState, OVERLAP, WebhookReach};
use carillon_jobs::channels::webhook::{Names, WebhookChannel, WebhookSettings};
use carillon_jobs::handlers::Handlers;
use carillon_tests::WorldOptions;
use carillon_tests::post::Post;
use carillon_tests::sink::listen;
use carillon_tests::work::impatient;
use chrono::{Months, TimeDelta};
use serde_json::{Value, json};

use crate::setup::Stage;

/// Says of every name that it is this machine.
#[derive(Debug)]
struct Inside;

#[async_trait::async_trait]
impl Names for Inside {
    async fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// The text of the URL is innocent, and what it resolves to is not.
#[tokio::test]
async fn c227_a_name_that_leads_inside_is_never_connected_to() {
    let stage = Stage::new().await;
    let types = [webhooks::WebhookEventType::ContactCreated];
    let url = format!("https://hooks.example.org:{}/", stage.sink.address.port());
    listen(&stage.post, stage.tenant, &url, &types).await;
    stage.person("ada@example.org").await;
    let worker = Arc::into_inner(stage.worker("public").await).unwrap();
    let settings = WebhookSettings { names: Arc::new(Inside), ..impatient() };
    let worker = Handlers { webhooks: WebhookChannel::new(WebhookReach::Public, settings), ..worker };
    Arc::new(worker).run_until_quiet().await.unwrap();
    assert_eq!(stage.stories().await, ["queued address_refused"]);
    assert_eq!(stage.sink.count(), 0);
}

#[tokio::test]
async fn c228_both_secrets_sign_while_one_is_changed_and_then_the_new_one_alone() {
    let stage = Stage::new().await;
    let old = stage.listen_to_contacts().await;
    let grant = stage.administers();
    let mut tx = grant.begin().await.unwrap();
    let new = webhooks::rotate_secret(&grant, &mut tx, stage.ports(), old.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(old.secret, new.secret);
    stage.person("ada@example.org").await;
    stage.drain().await;
    stage.advance(OVERLAP);
    stage.person("bob@example.org").await;
    stage.drain().await;
    let received = stage.sink.received();
    let signed = |n: usize| [&old, &new].map(|made| received[n].is_signed_with(&made.secret));
    assert_eq!((signed(0), signed(1)), ([true, true], [false, true]));
    assert!(!format!("{new:?}").contains(&new.secret));
}

#[tokio::test]
async fn what_waits_for_a_disabled_endpoint_goes_when_it_is_enabled() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    stage.enable(made.id, false).await;
    stage.person("bob@example.org").await;
    stage.after(TimeDelta::hours(1)).await;
    assert_eq!((stage.sink.count(), stage.stories().await), (0, vec!["queued".to_owned()]));
    stage.enable(made.id, true).await;
    stage.drain().await;
    assert_eq!(stage.stories().await, ["delivered delivered"], "what came meanwhile is for a replay");
}

#[tokio::test]
async fn a_deleted_endpoint_is_told_nothing_and_opens_nothing() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    stage.delete(made.id).await;
    stage.person("bob@example.org").await;
    stage.drain().await;
    assert_eq!((stage.sink.count(), stage.stories().await), (0, vec!["cancelled".to_owned()]));
    let left = stage.endpoint(made.id).await;
    assert_eq!((left.state, left.url.as_str(), left.event_types.len()), (EndpointState::Deleted, "", 0));
    assert_eq!(stage.number("SELECT SUM(LENGTH(sealed_secret)) AS amount FROM webhook_endpoints").await, 0);
    let grant = stage.administers();
    let mut tx = grant.begin().await.unwrap();
    let gone = webhooks::rotate_secret(&grant, &mut tx, stage.ports(), made.id).await;
    assert_eq!(carillon_tests::access::code(gone), "NOT_FOUND");
    tx.rollback().await.unwrap();
}

/// Whoever told it something had not seen yet that it was deleted, and committed behind that.
#[tokio::test]
async fn l4_what_was_told_as_an_endpoint_was_deleted_does_not_wait_for_ever() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    stage.delete(made.id).await;
    let other = stage.listen_to_contacts().await;
    stage.execute("UPDATE webhook_deliveries SET state = 'queued', settled_at = NULL").await;
    stage.person("bob@example.org").await;
    stage.drain().await;
    assert_eq!(
        (stage.sink.count(), stage.stories().await),
        (1, vec!["cancelled".into(), "delivered delivered".into()])
    );
    assert!(stage.sink.received()[0].is_signed_with(&other.secret));
    assert!(dispatch::due_webhooks(stage.ports()).await.unwrap().is_empty(), "and nobody looks for it again");
}

/// Of other endpoints, too, and what has waited so long that it has nothing to tell any more.
#[tokio::test]
async fn c134_the_log_is_as_long_as_what_was_told_is_kept() {
    let mut options = WorldOptions::default();
    options.settings.retention = Some(Months::new(1));
    let stage = Stage::on(Post::with(options).await).await;
    stage.listen_to_contacts().await;
    let disabled = stage.listen_to_contacts().await.id;
    stage.person("ada@example.org").await;
    stage.enable(disabled, false).await;
    stage.drain().await;
    stage.advance(TimeDelta::days(30));
    stage.person("bob@example.org").await;
    stage.drain().await;
    assert_eq!(stage.stories().await.len(), 3, "the month began within what is kept");
    stage.advance(TimeDelta::days(35));
    stage.person("cyd@example.org").await;
    stage.drain().await;
    assert_eq!(stage.stories().await, ["delivered delivered", "delivered delivered"], "bob's and cyd's");
}

#[tokio::test]
async fn the_audit_log_says_what_was_changed_and_not_to_what() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.relocate(made.id, "elsewhere").await;
    let found = "SELECT CAST(detail AS TEXT) AS line FROM audit_events WHERE action = 'webhook.update'";
    let detail: Value = serde_json::from_str(&stage.lines(found).await[0]).unwrap();
    assert_eq!(detail, json!({ "state": "enabled", "changed": ["url"] }));
}

#[tokio::test]
async fn a_tenant_has_so_many_endpoints_and_no_more() {
    let stage = Stage::new().await;
    for _ in 0..webhooks::ENDPOINTS_MAX {
        stage.listen_to_contacts().await;
    }
    let grant = stage.administers();
    let mut tx = grant.begin().await.unwrap();
    let (url, description) = (stage.sink.url(""), String::new());
    let event_types = vec![webhooks::WebhookEventType::ContactCreated];
    let command = webhooks::CreateEndpoint { url, description, event_types };
    let refused = webhooks::create_endpoint(&grant, &mut tx, stage.ports(), &command).await;
    assert_eq!(carillon_tests::access::code(refused), "LIMIT_REACHED");
    tx.rollback().await.unwrap();
}
