//! Conditions on a real database: facts of a batch, and who passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};

use carillon_domain::consent::ConsentAction;
use carillon_domain::contacts::{
    AttributeKind, AttributeName, ContactFields, DeclareAttribute, Tag, UpsertBy, UpsertContact, Upserted,
    declare_attributes, upsert_contacts,
};
use carillon_domain::segments::{Condition, Facts, Truth, load_facts};
use carillon_domain::time::Timestamp;
use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId};
use carillon_entities::rows::contacts::{contact_events, event_definitions};
use carillon_entities::wall::OnConflict;
use carillon_tests::people::{People, email};
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use serde_json::{Value as Json, json};

fn condition(json: Json) -> Condition {
    let condition: Condition = serde_json::from_value(json).unwrap();
    assert_eq!(condition.check(), []);
    condition
}

async fn declare(people: &People) {
    let wanted = AttributeKind::ALL
        .iter()
        .map(|kind| DeclareAttribute { name: AttributeName::parse(&format!("a_{kind}")).unwrap(), kind: *kind });
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    declare_attributes(&grant, &mut tx, people.world.ports(), wanted.collect()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Contacts with addresses `0@example.org`, `1@example.org` and so on.
async fn crowd(people: &People, each: Vec<ContactFields>) -> Vec<ContactId> {
    let contacts: Vec<UpsertContact> = each
        .into_iter()
        .enumerate()
        .map(|(n, mut fields)| {
            fields.patch.email = email(&format!("{n}@example.org")).patch.email;
            UpsertContact { by: UpsertBy::Email, fields }
        })
        .collect();
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    let done = upsert_contacts(&grant, &mut tx, people.world.ports(), contacts).await.unwrap();
    tx.commit().await.unwrap();
    let id = |one| match one {
        Upserted::Done(contact, _) => contact.id,
        Upserted::Refused(refusals) => panic!("{refusals:?}"),
    };
    done.into_iter().map(id).collect()
}

/// Makes events of these names and what happened; the tables are written as they are, past the use case.
async fn happened(people: &People, names: &[&str], events: &[(ContactId, usize, Timestamp)]) {
    let ports = people.world.ports();
    let mut tx = people.writes().begin().await.unwrap();
    let ids: Vec<EventDefinitionId> = names.iter().map(|_| ports.new_id()).collect();
    let definitions = names.iter().zip(&ids).map(|(name, id)| event_definitions::ActiveModel {
        id: Set(*id),
        name: Set((*name).to_owned()),
        is_declared: Set(false),
        created_at: Set(ports.now()),
        ..Default::default()
    });
    tx.insert_many(definitions.collect(), OnConflict::Fail).await.unwrap();
    let rows = events.iter().map(|(contact, event, at)| contact_events::ActiveModel {
        id: Set(ports.new_id::<ContactEventId>()),
        contact_id: Set(*contact),
        event_id: Set(ids[*event]),
        occurred_at: Set(*at),
        sealed: Set(None),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await.unwrap();
    tx.commit().await.unwrap();
}

async fn facts(people: &People, contacts: &[ContactId], condition: &Condition) -> HashMap<ContactId, Facts> {
    let ports = people.world.ports();
    let mut tx = people.reads().begin_read().await.unwrap();
    let facts = load_facts(&mut tx, ports, contacts, &condition.needs(), ports.now()).await.unwrap();
    tx.commit().await.unwrap();
    facts
}

/// Asks about everything there is.
fn everything(people: &People) -> Condition {
    condition(json!({"kind": "and", "of": [
        {"kind": "attribute", "name": "a_string", "test": {"op": "starts_with", "value": "go"}},
        {"kind": "attribute", "name": "a_number", "test": {"op": "greater", "value": 5}},
        {"kind": "attribute", "name": "a_date", "test": {"op": "less", "value": "2026-01-01"}},
        {"kind": "attribute", "name": "a_boolean", "test": {"op": "equals", "value": true}},
        {"kind": "attribute", "name": "contact.email", "test": {"op": "equals", "value": "0@example.org"}},
        {"kind": "tag", "tag": "vip"},
        {"kind": "topic", "topic": people.all_marketing, "test": "subscribed"},
        {"kind": "event", "name": "order", "at_least": 2, "at_most": 2, "within": {"seconds": 3600}},
        {"kind": "event", "name": "visit", "at_least": 1},
    ]}))
}

fn golden() -> ContactFields {
    let values =
        [("string", json!("gold")), ("number", json!(6)), ("date", json!("2025-12-31")), ("boolean", json!(true))];
    ContactFields {
        attributes: values.into_iter().map(|(kind, value)| (format!("a_{kind}"), value)).collect(),
        tags: vec![Tag::parse("vip").unwrap()],
        ..Default::default()
    }
}

#[tokio::test]
async fn facts_are_what_the_database_has_of_each() {
    let people = People::new().await;
    declare(&people).await;
    let ids = crowd(&people, vec![golden(), ContactFields::default()]).await;
    people.says("0@example.org", ConsentAction::Grant).await;
    let now = people.world.ports().now();
    let hour = TimeDelta::hours(1);
    let micro = TimeDelta::microseconds(1);
    let events =
        [(ids[0], 0, now - hour), (ids[0], 0, now), (ids[0], 0, now - hour - micro), (ids[0], 1, now - hour * 9999)];
    happened(&people, &["order", "visit"], &events).await;
    let asked = everything(&people);
    let facts = facts(&people, &ids, &asked).await;
    let seen = facts[&ids[0]].used_by(&asked, now);
    let answers: Vec<&str> = seen.as_array().unwrap().iter().map(|leaf| leaf["is"].as_str().unwrap()).collect();
    assert_eq!(answers, ["yes"; 9], "{seen}");
    assert_eq!(facts[&ids[0]].events["order"], [now - hour, now], "the one before the window is not loaded");
    assert_eq!(asked.evaluate(&facts[&ids[0]], now), Truth::Yes);
    assert_eq!(asked.next_change(&facts[&ids[0]], now), Some(now + micro));
    let names: Vec<&String> = facts[&ids[1]].attributes.keys().collect();
    assert_eq!(names, ["contact.email"], "of the other nothing else is known");
    assert!(facts[&ids[1]].events.is_empty() && facts[&ids[1]].tags.is_empty());
    people.says("0@example.org", ConsentAction::Withdraw).await;
    assert!(self::facts(&people, &ids, &asked).await[&ids[0]].subscribed.is_empty());
}

#[tokio::test]
async fn no_more_of_an_events_past_is_loaded_than_an_answer_needs() {
    let people = People::new().await;
    let ids = crowd(&people, vec![ContactFields::default()]).await;
    let now = people.world.ports().now();
    let events: Vec<_> = (0..50).map(|minute| (ids[0], 0, now - TimeDelta::minutes(minute))).collect();
    happened(&people, &["visit"], &events).await;
    let thrice = condition(json!({"kind": "event", "name": "visit", "at_least": 1, "at_most": 2}));
    let loaded = facts(&people, &ids, &thrice).await;
    let latest = [2, 1, 0].map(|minute| now - TimeDelta::minutes(minute));
    assert_eq!(loaded[&ids[0]].events, BTreeMap::from([("visit".to_owned(), latest.to_vec())]));
    assert_eq!(thrice.evaluate(&loaded[&ids[0]], now), Truth::No);
}

#[tokio::test]
async fn c205_facts_of_three_hundred_cost_the_statements_of_three() {
    let people = People::new().await;
    declare(&people).await;
    let ids = crowd(&people, (0..300).map(|_| golden()).collect()).await;
    let now = people.world.ports().now();
    let events: Vec<_> = ids.iter().map(|id| (*id, 0, now)).collect();
    happened(&people, &["order", "visit"], &events).await;
    let asked = everything(&people);
    let (few, three) = people.world.statements_of(facts(&people, &ids[..3], &asked)).await;
    let (many, all) = people.world.statements_of(facts(&people, &ids, &asked)).await;
    assert_eq!((few.len(), many.len(), three), (3, 300, all));
    assert!(many.values().all(|facts| facts.events["order"] == [now] && facts.tags.contains("vip")));
}
