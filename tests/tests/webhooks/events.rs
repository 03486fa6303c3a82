//! What is told, in which transaction, and what that costs.

use carillon_domain::contacts::import::ImportOptions;
use carillon_domain::contacts::{self, Tag, TagContacts};
use carillon_domain::messaging;
use carillon_domain::tenancy::{SendMessages, WriteContacts};
use carillon_domain::webhooks::{self, WebhookEventType};
use carillon_entities::ids::ContactId;
use carillon_tests::people::People;
use carillon_tests::sink::listen;
use chrono::TimeDelta;
use serde_json::json;

use crate::setup::Stage;

const OUTBOX: &str = "SELECT COUNT(*) AS amount FROM outbox_events";
const DELIVERIES: &str = "SELECT COUNT(*) AS amount FROM webhook_deliveries";

/// Everything that can be listened to.
fn everything() -> Vec<WebhookEventType> {
    WebhookEventType::ALL.iter().copied().filter(|event_type| *event_type != WebhookEventType::Test).collect()
}

#[tokio::test]
async fn what_happens_is_told_signed_and_thin() {
    let stage = Stage::new().await;
    let made = stage.listen(&everything()).await;
    let contact = stage.person("ada@example.org").await;
    let id = stage.send(&[stage.intent("hello", contact)]).await[0];
    stage.drain().await;
    let told = ["consent.granted", "contact.created", "message.accepted"];
    assert_eq!(stage.sink.types(), told);
    for received in stage.sink.received() {
        assert!(received.is_signed_with(&made.secret), "{received:?}");
        assert_eq!(received.header("content-type"), "application/json");
        assert_eq!(received.header("webhook-timestamp"), stage.ports().now().timestamp().to_string());
        let text = String::from_utf8(received.body.clone()).unwrap().to_lowercase();
        assert!(!text.contains('@') && !text.contains("example"), "{text}");
        assert!(received.id().starts_with("whevent_") && text.len() < 1_000, "{text}");
    }
    let of = |event_type: &str| {
        let found = stage.sink.received().into_iter().map(|one| one.json());
        found.into_iter().filter(|body| body["type"] == event_type).collect::<Vec<_>>()
    };
    assert_eq!(of("message.accepted")[0]["data"], json!({ "messageId": id, "reason": null }));
    let created = of("contact.created").remove(0);
    assert_eq!((&created["data"]["contactId"], &created["data"]["change"]), (&json!(contact), &json!("created")));

    let link = stage.one_click(&stage.mail_to("ada@example.org"));
    stage.unsubscribe(&link).await;
    stage.drain().await;
    let ended = of("consent.withdrawn").remove(0)["data"].clone();
    let said = (&ended["action"], &ended["source"], &ended["messageId"]);
    assert_eq!(said, (&json!("withdraw"), &json!("subject"), &json!(id)));
    stage.unsubscribe(&link).await;
    stage.drain().await;
    assert_eq!(of("consent.withdrawn").len(), 1, "nothing happened the second time");
}

/// Each of these ends a message, once.
#[tokio::test]
async fn every_end_of_a_message_is_told() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.person("ada@example.org").await, stage.person("bob@example.org").await);
    stage.listen(&everything()).await;
    let cancelled = stage.send(&[stage.intent("a", ada)]).await;
    let grant = stage.grant::<SendMessages>(stage.tenant);
    let mut tx = grant.begin().await.unwrap();
    messaging::cancel_messages(&grant, &mut tx, stage.ports(), &cancelled).await.unwrap();
    tx.commit().await.unwrap();
    stage.send(&[stage.intent("b", ada)]).await;
    stage.drain().await;
    let link = stage.one_click(&stage.mail_to("ada@example.org"));
    stage.unsubscribe(&link).await;
    stage.send(&[stage.intent("c", ada), stage.intent("d", bob)]).await;
    stage.drain().await;
    let told = ["consent.withdrawn", "message.accepted", "message.accepted", "message.cancelled", "message.refused"];
    assert_eq!(stage.sink.types(), told);
    tag_and_delete(&stage, ada).await;
    stage.drain().await;
    let told = stage.sink.types();
    let contacts: Vec<_> = told.iter().filter(|one| one.starts_with("contact.")).collect();
    assert_eq!(contacts, ["contact.deleted", "contact.updated"]);
}

async fn tag_and_delete(stage: &Stage, contact: ContactId) {
    let grant = stage.grant::<WriteContacts>(stage.tenant);
    let mut tx = grant.begin().await.unwrap();
    let tag = TagContacts { contacts: vec![contact], add: vec![Tag::parse("vip").unwrap()], remove: Vec::new() };
    let tagged = contacts::tag_contacts(&grant, &mut tx, stage.ports(), tag).await.unwrap();
    contacts::delete_contact(&grant, &mut tx, stage.ports(), contact, tagged[0].version).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_did_not_happen_is_not_told_and_what_nobody_hears_is_not_written() {
    let stage = Stage::new().await;
    stage.person("ada@example.org").await;
    assert_eq!(stage.number(OUTBOX).await, 0, "nobody listens");
    stage.listen_to_contacts().await;
    let grant = stage.marketer.grant::<WriteContacts>().unwrap();
    let patch = contacts::ContactPatch {
        email: contacts::Patch::Set("bob@example.org".parse().unwrap()),
        ..Default::default()
    };
    let fields = contacts::ContactFields { patch, ..Default::default() };
    for (is_kept, expected) in [(false, 0), (true, 1)] {
        let mut tx = grant.begin().await.unwrap();
        let command = contacts::CreateContact { fields: fields.clone() };
        contacts::create_contact(&grant, &mut tx, stage.ports(), command).await.unwrap();
        if is_kept {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        assert_eq!(stage.number(OUTBOX).await, expected);
        assert_eq!(stage.number(DELIVERIES).await, expected);
        stage.advance(TimeDelta::milliseconds(1));
    }
    stage.drain().await;
    assert_eq!(stage.sink.types(), ["contact.created"], "once");
}

#[tokio::test]
async fn a_tenant_hears_nothing_of_another() {
    let stage = Stage::new().await;
    let beside = stage.beside("Torten").await;
    stage.listen(&everything()).await;
    beside.person("eve@example.org").await;
    stage.drain().await;
    assert_eq!((stage.number(OUTBOX).await, stage.sink.count()), (0, 0));
}

#[tokio::test]
async fn an_import_tells_its_end_and_what_it_made() {
    let people = People::new().await;
    let url = "https://hooks.example.org/";
    listen(&people.world, people.tenant, url, &everything()).await;
    people.run("email\nada@example.org\nbob@example.org\n", ImportOptions::default()).await.unwrap();
    let mut told = people.world.lines("SELECT event_type AS line FROM outbox_events").await;
    told.sort();
    assert_eq!(told, ["contact.created", "contact.created", "import.finished"]);
}

#[tokio::test]
async fn l5_three_hundred_ends_are_told_by_the_statements_of_three() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org").await;
    let grant = stage.grant::<SendMessages>(stage.tenant);
    let cancel = async |round: &str, count: usize| {
        let intents: Vec<_> = (0..count).map(|n| stage.receipt(&format!("{round}-{n}"), contact)).collect();
        let ids = stage.send(&intents).await;
        let mut tx = grant.begin().await.unwrap();
        let (done, cost) = stage.statements_of(messaging::cancel_messages(&grant, &mut tx, stage.ports(), &ids)).await;
        assert_eq!(done.unwrap(), count as u64);
        tx.commit().await.unwrap();
        cost
    };
    let unheard = cancel("a", 3).await;
    stage.listen(&[WebhookEventType::MessageCancelled]).await;
    let (three, all) = (cancel("b", 3).await, cancel("c", 300).await);
    assert_eq!((three, all), (unheard + 2, unheard + 2), "an insert of events and one of deliveries");
    assert_eq!(stage.number(OUTBOX).await, 303);

    let worker = stage.worker("one").await;
    let (done, delivering) = Box::pin(stage.statements_of(worker.run_until_quiet())).await;
    assert!(done.unwrap() >= 303);
    stage.drain().await;
    assert_eq!(
        (stage.sink.count(), stage.stories().await.iter().filter(|one| *one == "delivered delivered").count()),
        (303, 100)
    );
    cancel("d", 3).await;
    let (_, few) = Box::pin(stage.statements_of(worker.run_until_quiet())).await;
    assert_eq!(delivering, few, "a batch costs what it costs");
}

#[tokio::test]
async fn who_listens_to_tests_alone_is_refused_and_a_test_comes_all_the_same() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.test(made.id).await;
    stage.drain().await;
    let received = stage.sink.received();
    assert_eq!(received[0].json()["data"], json!({ "endpointId": made.id }));
    assert_eq!((received.len(), received[0].json()["type"].as_str()), (1, Some("webhook.test")));
    let grant = stage.administers();
    let mut tx = grant.begin().await.unwrap();
    let (url, description) = (stage.sink.url("x"), String::new());
    let command = webhooks::CreateEndpoint { url, description, event_types: vec![WebhookEventType::Test] };
    let refused = webhooks::create_endpoint(&grant, &mut tx, stage.ports(), &command).await;
    assert_eq!(carillon_tests::access::code(refused), "BAD_COUNT");
    tx.rollback().await.unwrap();
}
