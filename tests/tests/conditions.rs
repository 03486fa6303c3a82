//! Conditions on a real database: facts of a batch, and who passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};

use carillon_domain::consent::ConsentAction;
use carillon_domain::contacts::{
    AttributeKind, AttributeName, ContactFields, Country, DeclareAttribute, Patch, Tag, UpsertBy, UpsertContact,
    Upserted, declare_attributes, upsert_contacts,
};
use carillon_domain::paging::Page;
use carillon_domain::segments::{
    Condition, Facts, TopicTest, Truth, Window, ask_database, count_matching, load_facts, matching_contacts,
};
use carillon_domain::tenancy::ReadPersonalData;
use carillon_domain::time::Timestamp;
use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId, TopicId};
use carillon_entities::rows::contacts::{contact_events, event_definitions};
use carillon_entities::wall::OnConflict;
use carillon_tests::people::{People, codes, email};
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
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

// --- the evaluator and the database ---------------------------------------------------------------------------------

/// Values of attributes and of tests alike, so that they meet.
const TEXTS: [&str; 7] = ["", "g", "go", "gold", "Gold", "2026-01-01", "grün"];
const NUMBERS: [f64; 4] = [-1.0, 0.0, 5.0, 5.5];
const DAYS: [&str; 3] = ["2025-12-31", "2026-01-01", "2026-01-02"];
const EVENTS: [&str; 3] = ["order", "visit", "never"];
/// Seconds of windows, and by how many microseconds events lie around their edges.
const WINDOWS: [u64; 3] = [1, 60, 3_600];

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        prop::sample::select(TEXTS.to_vec()).prop_map(|text| json!(text)),
        prop::sample::select(NUMBERS.to_vec()).prop_map(|number| json!(number)),
        any::<bool>().prop_map(|yes| json!(yes)),
        prop::sample::select(DAYS.to_vec()).prop_map(|day| json!(day)),
    ]
}

fn attribute_leaf() -> impl Strategy<Value = Json> {
    let kinds = ["a_string", "a_number", "a_boolean", "a_date", "undeclared", "contact.first_name", "contact.country"];
    let ordered = || {
        let number = prop::sample::select(NUMBERS.to_vec()).prop_map(|number| json!(number));
        prop_oneof![number, prop::sample::select(DAYS.to_vec()).prop_map(|day| json!(day))]
    };
    let test = prop_oneof![
        value().prop_map(|value| json!({"op": "equals", "value": value})),
        prop::collection::vec(prop::sample::select(TEXTS.to_vec()), 1..3)
            .prop_map(|values| json!({"op": "in", "values": values})),
        ordered().prop_map(|value| json!({"op": "less", "value": value})),
        ordered().prop_map(|value| json!({"op": "greater", "value": value})),
        prop::sample::select(TEXTS.to_vec()).prop_map(|value| json!({"op": "starts_with", "value": value})),
        Just(json!({"op": "is_missing"})),
    ];
    let leaf = (prop::sample::select(kinds.to_vec()), test);
    leaf.prop_map(|(name, test)| json!({"kind": "attribute", "name": name, "test": test}))
}

fn any_condition(topics: [TopicId; 2]) -> impl Strategy<Value = Condition> {
    let event = (
        prop::sample::select(EVENTS.to_vec()),
        0_u32..4,
        proptest::option::of(0_u32..3),
        proptest::option::of(prop::sample::select(WINDOWS.to_vec())),
    );
    let event = event.prop_map(|(name, at_least, more, seconds)| {
        let at_most = more.map(|more| at_least + more);
        let within = seconds.map(|seconds| Window { seconds });
        Condition::Event { name: name.to_owned(), at_least, at_most, within }
    });
    let topic = (prop::sample::select(topics.to_vec()), any::<bool>()).prop_map(|(topic, yes)| Condition::Topic {
        topic,
        test: if yes { TopicTest::Subscribed } else { TopicTest::NotSubscribed },
    });
    let leaf = prop_oneof![
        4 => attribute_leaf().prop_map(|json| serde_json::from_value::<Condition>(json).unwrap()),
        1 => prop::sample::select(vec!["a", "b"]).prop_map(|tag| Condition::Tag { tag: tag.to_owned() }),
        3 => event,
        1 => topic,
    ];
    let tree = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|of| Condition::And { of }),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|of| Condition::Or { of }),
            inner.prop_map(|of| Condition::Not { of: Box::new(of) }),
        ]
    });
    tree.prop_filter("fields are text", |condition| condition.check().is_empty())
}

fn any_fields() -> impl Strategy<Value = ContactFields> {
    let text = proptest::option::of(prop::sample::select(TEXTS.to_vec()));
    let number = proptest::option::of(prop::sample::select(NUMBERS.to_vec()));
    let day = proptest::option::of(prop::sample::select(DAYS.to_vec()));
    let names = (proptest::option::of(prop::sample::select(vec!["go", "gold"])), proptest::option::of(any::<bool>()));
    (text, number, day, proptest::option::of(any::<bool>()), names, 0_u8..4).prop_map(
        |(text, number, day, yes, (name, at), tags)| {
            let values = [
                ("a_string", text.map(|text| json!(text))),
                ("a_number", number.map(|number| json!(number))),
                ("a_date", day.map(|day| json!(day))),
                ("a_boolean", yes.map(|yes| json!(yes))),
            ];
            let attributes = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            let mut fields = ContactFields { attributes, ..Default::default() };
            fields.patch.first_name = Patch::known(name.map(str::to_owned));
            fields.patch.country = Patch::known(at.map(|at| Country::parse(if at { "AT" } else { "DE" }).unwrap()));
            let tagged = [("a", 1), ("b", 2)].into_iter().filter(|(_, bit)| tags & bit > 0);
            fields.tags = tagged.map(|(tag, _)| Tag::parse(tag).unwrap()).collect();
            fields
        },
    )
}

/// Around the edges of windows, on them, and far from them.
fn any_age() -> impl Strategy<Value = TimeDelta> {
    let edge = (prop::sample::select(WINDOWS.to_vec()), -1_i64..=1)
        .prop_map(|(seconds, off)| TimeDelta::seconds(i64::try_from(seconds).unwrap()) + TimeDelta::microseconds(off));
    prop_oneof![4 => edge, 1 => Just(TimeDelta::zero()), 1 => Just(TimeDelta::days(400))]
}

/// Forty people, in all the ways there are of having something or not; every tenth has no address.
async fn population(people: &People, runner: &mut TestRunner) -> (Vec<ContactId>, [TopicId; 2]) {
    declare(people).await;
    let mut fields = Vec::new();
    for _ in 0..40 {
        fields.push(any_fields().new_tree(runner).unwrap().current());
    }
    let mut ids = crowd(people, fields).await;
    for n in 0..4 {
        let mut fields = any_fields().new_tree(runner).unwrap().current();
        fields.patch.external_id = Patch::Set(format!("without-{n}"));
        ids.push(people.create(fields).await.unwrap().id);
    }
    let now = people.world.ports().now();
    let mut events = Vec::new();
    for id in &ids {
        let done = prop::collection::vec((0_usize..2, any_age()), 0..5).new_tree(runner).unwrap().current();
        events.extend(done.into_iter().map(|(event, age)| (*id, event, now - age)));
    }
    happened(people, &EVENTS, &events).await;
    let news = people.topic("news").await;
    for n in (0..40).step_by(3) {
        people.says(&format!("{n}@example.org"), ConsentAction::Grant).await;
    }
    for n in (0..40).step_by(6) {
        people.says_about(&format!("{n}@example.org"), news, ConsentAction::Withdraw).await;
    }
    for n in (1..40).step_by(6) {
        people.says_about(&format!("{n}@example.org"), news, ConsentAction::Grant).await;
    }
    (ids, [people.all_marketing, news])
}

#[tokio::test]
async fn l5_the_database_answers_every_condition_as_the_evaluator_does() {
    let mut runner = TestRunner::deterministic();
    let people = People::new().await;
    let (ids, topics) = population(&people, &mut runner).await;
    let (ports, grant) = (people.world.ports(), people.world.grant::<ReadPersonalData>(people.tenant));
    let now = ports.now();
    let strategy = any_condition(topics);
    let (mut decided, mut left) = (0, 0);
    for _ in 0..400 {
        let condition = strategy.new_tree(&mut runner).unwrap().current();
        let mut tx = grant.begin_read().await.unwrap();
        let facts = load_facts(&mut tx, ports, &ids, &condition.needs(), now).await.unwrap();
        let asked = ask_database(&grant, &mut tx, &condition, now).await.unwrap();
        let page = matching_contacts(&grant, &mut tx, ports, &condition, Page::first(100)).await.unwrap();
        let total = count_matching(&grant, &mut tx, ports, &condition).await.unwrap();
        tx.commit().await.unwrap();
        let asked: HashMap<ContactId, Truth> = asked.into_iter().collect();
        let about_topics = !condition.needs().topics.is_empty();
        for id in &ids {
            let answer = condition.evaluate(&facts[id], now);
            match asked.get(id).copied().unwrap_or(Truth::No) {
                Truth::Unknown if about_topics => left += 1,
                database => {
                    assert_eq!(database, answer, "{condition:?} of {:?}", facts[id]);
                    decided += 1;
                }
            }
        }
        let mut wanted: Vec<ContactId> =
            ids.iter().copied().filter(|id| condition.evaluate(&facts[id], now).is_yes()).collect();
        wanted.sort_unstable();
        assert_eq!(page.items.iter().map(|card| card.id).collect::<Vec<_>>(), wanted, "{condition:?}");
        assert_eq!(total, i64::try_from(wanted.len()).ok(), "{condition:?}");
    }
    assert!(decided > 9 * left / 2 && left > 100, "{decided} decided, {left} left to the evaluator");
}

#[tokio::test]
async fn those_a_condition_means_come_page_by_page() {
    let people = People::new().await;
    let ids = crowd(&people, (0..7).map(|_| ContactFields::default()).collect()).await;
    for n in [1, 3, 4, 6] {
        people.says(&format!("{n}@example.org"), ConsentAction::Grant).await;
    }
    let subscribed = condition(json!({"kind": "topic", "topic": people.all_marketing, "test": "subscribed"}));
    let (ports, grant) = (people.world.ports(), people.world.grant::<ReadPersonalData>(people.tenant));
    let mut sorted = [ids[1], ids[3], ids[4], ids[6]];
    sorted.sort_unstable();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let mut tx = grant.begin_read().await.unwrap();
        let page = Page { forward: true, cursor, size: 3 };
        let found = matching_contacts(&grant, &mut tx, ports, &subscribed, page).await.unwrap();
        tx.commit().await.unwrap();
        seen.extend(found.items.iter().map(|card| card.id));
        cursor = seen.last().copied();
        if !found.has_next {
            break;
        }
    }
    assert_eq!(seen, sorted);
    let clicked = condition(json!({"kind": "mail", "node": "a", "did": "clicked"}));
    let mut tx = grant.begin_read().await.unwrap();
    assert_eq!(codes(matching_contacts(&grant, &mut tx, ports, &clicked, Page::first(1)).await), ["ONLY_IN_WORKFLOW"]);
}
