//! Who enters: once per key, again by the rules, not when late, and held where something is held.

use chrono::TimeDelta;
use serde_json::{Map, Value as Json, json};

use super::setup::{Field, started};

fn waiting() -> Json {
    started(&json!({
        "first": { "kind": "wait_for", "seconds": 3_600, "next": "bye" },
        "bye": { "kind": "exit" },
    }))
}

fn properties(json: Json) -> Map<String, Json> {
    serde_json::from_value(json).expect("an object")
}

#[tokio::test]
async fn nobody_enters_twice_unless_the_workflow_says_so() {
    let field = Field::new().await;
    field.live("Once", &waiting()).await;
    let mut again = waiting();
    again["reentry"] = json!({ "kind": "after_exit" });
    field.live("Again", &again).await;
    let mut daily = waiting();
    daily["reentry"] = json!({ "kind": "after_interval", "seconds": 86_400 });
    field.live("Daily", &daily).await;
    let ada = field.person("ada@example.org").await;
    let ways = async || field.ways(ada).await.len();
    field.does(ada, "started").await;
    field.does(ada, "started").await;
    assert_eq!(ways().await, 3, "all three, once each");
    field.advance(TimeDelta::hours(2));
    field.drain().await;
    field.does(ada, "started").await;
    assert_eq!(ways().await, 4, "after exit");
    field.advance(TimeDelta::hours(23));
    field.drain().await;
    field.does(ada, "started").await;
    assert_eq!(ways().await, 6, "after exit, and after a day");
    field.advance(TimeDelta::hours(2));
    field.drain().await;
}

#[tokio::test]
async fn a_cart_is_one_entry_and_another_cart_another() {
    let field = Field::new().await;
    let mut carts = waiting();
    carts["trigger"] = json!({
        "event": "started", "entry_key": "cart",
        "filter": [{ "property": "total", "test": { "op": "greater", "value": 10 } }],
    });
    field.live("Carts", &carts).await;
    let ada = field.person("ada@example.org").await;
    let now = field.ports().now();
    let told = [
        json!({ "cart": "c1", "total": 20 }),
        json!({ "cart": "c1", "total": 30 }),
        json!({ "cart": "c2", "total": 11 }),
        json!({ "cart": "c3", "total": 10 }),
        json!({ "total": 50 }),
        json!({ "cart": ["c4"], "total": 50 }),
    ];
    let told = told.map(|with| (ada, "started", now, properties(with))).into();
    field.try_did(told).await.expect("told");
    assert_eq!(field.ways(ada).await.len(), 2);
    field.advance(TimeDelta::hours(2));
    field.drain().await;
}

#[tokio::test]
async fn what_arrives_three_days_late_starts_nothing_unless_the_trigger_says_so() {
    let field = Field::new().await;
    field.live("Prompt", &waiting()).await;
    let mut patient = waiting();
    patient["trigger"]["accept_late"] = json!(true);
    field.live("Patient", &patient).await;
    let ada = field.person("ada@example.org").await;
    let bob = field.person("bob@example.org").await;
    let now = field.ports().now();
    field.did(&[(ada, "started", now - TimeDelta::hours(73))]).await;
    assert_eq!(field.ways(ada).await.len(), 1);
    field.did(&[(bob, "started", now - TimeDelta::hours(72))]).await;
    assert_eq!(field.ways(bob).await.len(), 2);
    field.advance(TimeDelta::hours(2));
    field.drain().await;
}

#[tokio::test]
async fn calls_at_the_same_time_enrol_one_way() {
    let field = Field::new().await;
    field.live("Once", &waiting()).await;
    let ada = field.person("ada@example.org").await;
    let now = field.ports().now();
    let calls = (0..8).map(|_| async {
        let mut runs = carillon_domain::reruns::Reruns::default();
        loop {
            match field.try_did(vec![(ada, "started", now, Map::new())]).await {
                Err(error) if runs.after(&error) => {}
                result => return result.expect("told"),
            }
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(field.ways(ada).await.len(), 1);
    field.advance(TimeDelta::hours(2));
    field.drain().await;
}

#[tokio::test]
async fn whoever_is_held_stays_and_goes_on_where_they_were() {
    let field = Field::new().await;
    let (workflow, version) = field.live("Welcome", &waiting()).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    field.does(ada, "started").await;
    field.hold(workflow, true).await;
    field.does(bob, "started").await;
    field.advance(TimeDelta::hours(2));
    field.drain().await;
    assert_eq!(field.stands(ada).await, "paused first");
    assert_eq!(field.stands(bob).await, "paused first", "they enter, held");
    assert_eq!(field.answer(&version, "first").await.waiting, 2);
    // The tenant's own hold is apart: lifting one is not lifting the other.
    field.hold_all(true).await;
    field.hold_contact(bob, true).await;
    field.hold(workflow, false).await;
    field.drain().await;
    assert_eq!(field.stands(ada).await, "paused first");
    field.hold_all(false).await;
    field.drain().await;
    assert_eq!(
        (field.stands(ada).await.as_str(), field.stands(bob).await.as_str()),
        ("completed completed", "paused first")
    );
    field.hold_contact(bob, false).await;
    field.drain().await;
    assert_eq!(field.stands(bob).await, "completed completed");
}

#[tokio::test]
async fn c182_whoever_is_on_a_version_stays_on_it() {
    let field = Field::new().await;
    let (workflow, first) = field.live("Welcome", &waiting()).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    let mut longer = waiting();
    longer["nodes"]["first"]["seconds"] = json!(7_200);
    let second = field.republish(workflow, &longer).await;
    assert_ne!(first.content_hash, second.content_hash);
    let bob = field.person("bob@example.org").await;
    field.does(bob, "started").await;
    field.advance(TimeDelta::hours(1));
    field.drain().await;
    assert_eq!(
        (field.stands(ada).await.as_str(), field.stands(bob).await.as_str()),
        ("completed completed", "active first")
    );
    // What says the same is the same version.
    assert_eq!(field.republish(workflow, &longer).await.id, second.id);
    field.advance(TimeDelta::hours(1));
    field.drain().await;
}

/// Somebody entered while the hold was being set: it did not see them, and the engine does.
#[tokio::test]
async fn who_slips_in_while_a_hold_is_set_is_held_all_the_same() {
    let field = Field::new().await;
    field.live("Welcome", &waiting()).await;
    let ada = field.person("ada@example.org").await;
    field.hold_contact(ada, true).await;
    field.does(ada, "started").await;
    field.execute("UPDATE enrollments SET state = 'active'").await;
    field.drain().await;
    assert_eq!((field.stands(ada).await.as_str(), field.path(ada).await.as_str()), ("paused first", "enrolled@first"));
    field.hold_contact(ada, false).await;
    field.advance(TimeDelta::hours(2));
    field.drain().await;
    assert_eq!(field.stands(ada).await, "completed completed");
}
