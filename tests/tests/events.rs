//! Events on a real database: what is acknowledged is stored once, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use carillon_domain::contacts::events::{
    ContactEvent, DeclareEvent, EventContact, EventName, PropertyKind, PropertyName, TrackEvent, Tracked,
    contact_events, declare_events, event_properties, list_event_definitions, track_events,
};
use carillon_domain::contacts::{ContactFields, EmailAddress, delete_contact};
use carillon_domain::error::{Refusal, Result};
use carillon_domain::paging::{Ahead, Page};
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{ReadPersonalData, TrackEvents};
use carillon_entities::ids::ContactId;
use carillon_entities::rows::contacts::contact_events as contact_rows;
use carillon_tests::people::{People, codes, email};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

/// An event of a contact, whose message id is its number.
fn event(number: usize, contact: EventContact, properties: &Json) -> TrackEvent {
    TrackEvent {
        message_id: format!("m-{number}"),
        source: "api".to_owned(),
        name: EventName::parse("order").unwrap(),
        contact,
        create: None,
        occurred_at: None,
        properties: properties.as_object().unwrap().clone(),
    }
}

fn of(address: &str) -> EventContact {
    EventContact::Email(EmailAddress::parse(address).unwrap())
}

type Verdicts = Vec<Result<Tracked, Refusal>>;

async fn try_track(people: &People, events: &[TrackEvent]) -> Result<Verdicts> {
    let grant = people.world.grant::<TrackEvents>(people.tenant);
    let mut reruns = Reruns::default();
    loop {
        let mut tx = grant.begin().await?;
        let done = match track_events(&grant, &mut tx, people.world.ports(), events).await {
            Ok(verdicts) => tx.commit().await.map(|()| verdicts).map_err(Into::into),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if reruns.after(&error) => {}
            done => return done,
        }
    }
}

async fn track(people: &People, events: &[TrackEvent]) -> Verdicts {
    try_track(people, events).await.unwrap()
}

fn told(verdicts: &Verdicts) -> Vec<(&str, &str)> {
    let told = |verdict: &'_ Result<Tracked, Refusal>| match verdict {
        Ok(Tracked { duplicate: false, .. }) => ("new", ""),
        Ok(_) => ("duplicate", ""),
        Err(_) => ("", ""),
    };
    let refusal = |verdict: &Result<Tracked, Refusal>| verdict.as_ref().err().map(|refusal| refusal.code);
    let place = |verdict| refusal(verdict).map_or_else(|| told(verdict), |code| (code, ""));
    let fields = verdicts.iter().map(|verdict| verdict.as_ref().err().map_or("", |refusal| refusal.field.as_str()));
    verdicts.iter().map(place).zip(fields).map(|((code, _), field)| (code, field)).collect()
}

async fn declare(people: &People, name: &str, properties: &[(&str, PropertyKind)]) {
    let grant = people.world.grant::<TrackEvents>(people.tenant);
    let properties: BTreeMap<_, _> =
        properties.iter().map(|(name, kind)| (PropertyName::parse(name).unwrap(), *kind)).collect();
    let wanted = vec![DeclareEvent { name: EventName::parse(name).unwrap(), properties }];
    let mut tx = grant.begin().await.unwrap();
    let declared = declare_events(&grant, &mut tx, people.world.ports(), wanted).await.unwrap();
    tx.commit().await.unwrap();
    assert!(declared[0].is_declared && declared[0].name.as_str() == name);
}

/// All that is known, as `event.property kind`, with a star where it is declared.
async fn catalogue(people: &People) -> Vec<String> {
    let grant = people.reads();
    let mut tx = grant.begin_read().await.unwrap();
    let page = list_event_definitions(&grant, &mut tx, Page::first(100)).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|one| one.id).collect();
    let properties = event_properties(&grant, &mut tx, &ids).await.unwrap();
    tx.commit().await.unwrap();
    let star = |declared| if declared { "*" } else { "" };
    let mut lines = Vec::new();
    for one in page.items {
        let name = one.name.as_str().to_owned();
        lines.push(format!("{name}{}", star(one.is_declared)));
        let line = |property: &carillon_domain::contacts::events::EventProperty| {
            format!("{name}.{} {}{}", property.name.as_str(), property.kind, star(property.is_declared))
        };
        lines.extend(properties.get(&one.id).into_iter().flatten().map(line));
    }
    lines
}

async fn history(people: &People, contact: ContactId) -> Vec<ContactEvent> {
    let grant = people.world.grant::<ReadPersonalData>(people.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    let page = Ahead { after: None, size: 100 };
    let found = contact_events(&grant, &mut tx, people.world.ports(), &[contact], page).await.unwrap();
    tx.commit().await.unwrap();
    found.into_values().flat_map(|page| page.items).collect()
}

#[tokio::test]
async fn a3_14_nothing_acknowledged_is_lost_and_every_refusal_is_told() {
    let people = People::new().await;
    let ada = people.create(email("ada@example.org")).await.unwrap();
    let now = people.world.ports().now();
    let good = |number| event(number, of("ada@example.org"), &json!({"total": 12.5}));
    let mut nameless = good(2);
    nameless.message_id = String::new();
    let mut early = good(5);
    early.occurred_at = Some(now + TimeDelta::minutes(6));
    let mut nearly = good(6);
    nearly.occurred_at = Some(now + TimeDelta::minutes(4));
    let mut ancient = good(7);
    ancient.occurred_at = Some(now - TimeDelta::days(4_000));
    let mut foreign = good(9);
    foreign.source = "no source".to_owned();
    let events = [
        good(1),
        nameless,
        event(3, of("nobody@example.org"), &json!({})),
        event(4, EventContact::Id(ada.id), &json!({"body": "x".repeat(33 * 1024)})),
        early,
        nearly,
        ancient,
        event(8, EventContact::ExternalId("nobody".into()), &json!({})),
        foreign,
        event(10, EventContact::Id(ContactId(uuid::Uuid::nil())), &json!({})),
        event(11, EventContact::Id(ada.id), &json!({"a": {"b": {"c": {"d": {"e": {}}}}}})),
        event(12, EventContact::Id(ada.id), &json!({"a/b": 1})),
    ];
    let verdicts = track(&people, &events).await;
    let expected = [
        ("new", ""),
        ("INVALID_MESSAGE_ID", "messageId"),
        ("NOT_FOUND", "contact.email"),
        ("PROPERTIES_TOO_LARGE", "properties"),
        ("TIME_IN_FUTURE", "occurredAt"),
        ("new", ""),
        ("TIME_TOO_OLD", "occurredAt"),
        ("NOT_FOUND", "contact.externalId"),
        ("INVALID_MESSAGE_ID", "source"),
        ("NOT_FOUND", "contact.id"),
        ("INVALID_PROPERTIES", "properties"),
        ("INVALID_PROPERTY_NAME", "properties"),
    ];
    assert_eq!(told(&verdicts), expected);
    let stored = history(&people, ada.id).await;
    let acknowledged: Vec<_> = verdicts.iter().rev().filter_map(|one| one.as_ref().ok()).map(|one| one.event).collect();
    assert_eq!(stored.iter().map(|one| one.id).collect::<Vec<_>>(), acknowledged, "newest first");
    assert!(stored.iter().all(|one| one.occurred_at == now), "the near future is now");
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM event_keys").await, 2);
    let too_many: Vec<_> = (0..501).map(good).collect();
    assert_eq!(codes(try_track(&people, &too_many).await), ["BATCH_SIZE"]);
    assert_eq!(codes(try_track(&people, &[]).await), ["BATCH_SIZE"]);
}

#[tokio::test]
async fn a3_15_a_message_id_of_a_source_is_one_event_for_ever() {
    let people = People::new().await;
    let ada = people.create(email("ada@example.org")).await.unwrap();
    let one = event(1, of("ada@example.org"), &json!({"total": 1}));
    let other = event(1, of("ada@example.org"), &json!({"total": 2}));
    let elsewhere = TrackEvent { source: "shop".to_owned(), ..other.clone() };
    let first = track(&people, &[one.clone(), one.clone(), other.clone(), elsewhere.clone()]).await;
    let expected = [("new", ""), ("duplicate", ""), ("IDEMPOTENCY_MISMATCH", "messageId"), ("new", "")];
    assert_eq!(told(&first), expected);
    people.world.advance(TimeDelta::days(20));
    declare(&people, "order", &[("total", PropertyKind::String)]).await;
    let again = track(&people, &[other, one.clone(), elsewhere]).await;
    let expected = [("IDEMPOTENCY_MISMATCH", "messageId"), ("duplicate", ""), ("duplicate", "")];
    assert_eq!(told(&again), expected, "whatever was declared since");
    let id = |verdict: &Result<Tracked, Refusal>| verdict.as_ref().unwrap().event;
    assert_eq!((id(&first[0]), id(&first[0])), (id(&first[1]), id(&again[1])));
    assert_eq!(history(&people, ada.id).await.len(), 2);
    let others = People::within(people.world.clone()).await;
    others.create(email("ada@example.org")).await.unwrap();
    assert_eq!(told(&track(&others, &[one]).await), [("new", "")], "another tenant's message ids are its own");
}

#[tokio::test]
async fn a3_15_of_two_calls_at_once_with_the_same_events_one_stores_them() {
    let people = People::new().await;
    let ids: Vec<_> = (0..20).map(|n| format!("{n}@example.org")).collect();
    for address in &ids {
        people.create(email(address)).await.unwrap();
    }
    let batch: Vec<_> = ids.iter().enumerate().map(|(n, address)| event(n, of(address), &json!({"n": n}))).collect();
    let reversed: Vec<_> = batch.iter().rev().cloned().collect();
    let (a, mut b) = tokio::join!(track(&people, &batch), track(&people, &reversed));
    b.reverse();
    for (a, b) in a.iter().zip(&b) {
        let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
        assert_eq!((a.event, a.duplicate), (b.event, !b.duplicate));
    }
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contact_events").await, 20);
}

#[tokio::test]
async fn names_and_kinds_are_learned_and_declared_ones_are_kept_to() {
    let people = People::new().await;
    people.create(email("ada@example.org")).await.unwrap();
    let ada = || of("ada@example.org");
    track(&people, &[event(1, ada(), &json!({"total": 1, "day": "2026-11-22", "items": [1], "none": null}))]).await;
    track(&people, &[event(2, ada(), &json!({"total": "one"})), event(3, ada(), &json!({"vip": true}))]).await;
    let learned = ["order", "order.day string", "order.items json", "order.total mixed", "order.vip boolean"];
    assert_eq!(catalogue(&people).await, learned);
    declare(&people, "order", &[("total", PropertyKind::Number), ("day", PropertyKind::Date)]).await;
    declare(&people, "order", &[("total", PropertyKind::Number)]).await;
    let declared = ["order*", "order.day date*", "order.items json", "order.total number*", "order.vip boolean"];
    assert_eq!(catalogue(&people).await, declared, "what is declared holds from now on");
    let verdicts = track(
        &people,
        &[
            event(4, ada(), &json!({"total": "one"})),
            event(5, ada(), &json!({"total": 2, "day": "tomorrow"})),
            event(6, ada(), &json!({"total": 2, "day": "2026-11-22", "vip": "no"})),
            event(1, ada(), &json!({"total": 1, "day": "2026-11-22", "items": [1], "none": null})),
        ],
    )
    .await;
    let expected =
        [("WRONG_TYPE", "properties.total"), ("WRONG_TYPE", "properties.day"), ("new", ""), ("duplicate", "")];
    assert_eq!(told(&verdicts), expected);
    assert_eq!(catalogue(&people).await[4], "order.vip mixed");
}

#[tokio::test]
async fn events_find_contacts_by_what_they_are_known_by_and_make_them_where_that_is_permitted() {
    let people = People::new().await;
    let mut fields = email("ada@example.org");
    fields.patch.external_id = carillon_domain::contacts::Patch::Set("a-1".to_owned());
    let ada = people.create(fields).await.unwrap();
    let make =
        |number, contact| TrackEvent { create: Some(people.writes()), ..event(number, contact, &json!({"n": 1})) };
    let verdicts = track(
        &people,
        &[
            make(1, EventContact::ExternalId("a-1".into())),
            make(2, of("ADA@example.org")),
            make(3, of("new@example.org")),
            event(4, of("new@example.org"), &json!({})),
            make(5, EventContact::ExternalId("b-2".into())),
            event(6, of("other@example.org"), &json!({})),
        ],
    )
    .await;
    let expected = [("new", ""), ("new", ""), ("new", ""), ("new", ""), ("new", ""), ("NOT_FOUND", "contact.email")];
    assert_eq!(told(&verdicts), expected);
    assert_eq!(history(&people, ada.id).await.len(), 2);
    assert_eq!(people.list(carillon_domain::contacts::ContactFilter::default()).await.len(), 3);
}

#[tokio::test]
async fn c124_what_a_deleted_contact_did_can_be_read_by_nobody() {
    let people = People::new().await;
    let ada = people.create(email("ada@example.org")).await.unwrap();
    track(&people, &[event(1, EventContact::Id(ada.id), &json!({"street": "Ringstrasse"}))]).await;
    let mut tx = people.reads().begin_read().await.unwrap();
    let stored = tx.select::<contact_rows::Entity>().one().await.unwrap().unwrap().sealed.unwrap();
    tx.commit().await.unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("Ringstrasse"));
    assert_eq!(history(&people, ada.id).await[0].properties.as_ref().unwrap()["street"], "Ringstrasse");
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    delete_contact(&grant, &mut tx, people.world.ports(), ada.id, 1).await.unwrap();
    tx.commit().await.unwrap();
    let left = history(&people, ada.id).await;
    assert_eq!((left.len(), left[0].properties.is_none()), (1, true), "that it happened stays, what it was does not");
    let later = track(&people, &[event(2, EventContact::Id(ada.id), &json!({}))]).await;
    assert_eq!(told(&later), [("NOT_FOUND", "contact.id")]);
}

/// A key that an event makes in the very moment in which its contact is deleted would outlive it.
#[tokio::test]
async fn c124_a_deleted_contact_gets_no_key_any_more() {
    let people = People::new().await;
    let ada = people.create(email("ada@example.org")).await.unwrap();
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    delete_contact(&grant, &mut tx, people.world.ports(), ada.id, 1).await.unwrap();
    tx.commit().await.unwrap();
    let destroyed = "SELECT COUNT(*) AS amount FROM subject_keys WHERE wrapped IS NULL AND destroyed_at IS NOT NULL";
    assert_eq!(people.world.number(destroyed).await, 1);
}

#[tokio::test]
async fn l5_three_hundred_events_cost_the_statements_of_three() {
    let people = People::new().await;
    for n in 0..300 {
        people.create(numbered(n)).await.unwrap();
    }
    let batch = |from: usize, size: usize| -> Vec<TrackEvent> {
        let one = |n: usize| TrackEvent {
            name: EventName::parse(&format!("event {}", n % 3)).unwrap(),
            create: Some(people.writes()),
            ..event(from + n, of(&format!("{n}@example.org")), &json!({ format!("p{from}"): n }))
        };
        let new = TrackEvent {
            create: Some(people.writes()),
            ..event(from + size, of(&format!("{from}@new.org")), &json!({}))
        };
        (0..size).map(one).chain([new]).collect()
    };
    // New names are counted against the limit, which is a statement of its own.
    for name in ["event 0", "event 1", "event 2", "order"] {
        declare(&people, name, &[]).await;
    }
    let (few, three) = people.world.statements_of(track(&people, &batch(1_000, 3))).await;
    let (many, all) = people.world.statements_of(track(&people, &batch(2_000, 299))).await;
    assert!(few.iter().chain(&many).all(|verdict| matches!(verdict, Ok(Tracked { duplicate: false, .. }))));
    assert_eq!((few.len(), many.len(), three), (4, 300, all));
}

fn numbered(n: usize) -> ContactFields {
    email(&format!("{n}@example.org"))
}
