//! Two things at once, of which neither sees what the other has not committed.

use carillon_domain::contacts::events::track_events;
use carillon_domain::contacts::{Tag, TagContacts, tag_contacts};
use carillon_domain::messaging;
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{SendMessages, TrackEvents, WriteContacts};
use carillon_domain::workflows;
use chrono::TimeDelta;
use serde_json::{Map, json};

use super::ends::cart;
use super::setup::{Field, event, started};

/// Told at the same time by two callers, neither of whom sees what the other has not committed yet.
#[tokio::test]
async fn c184_a_cart_and_an_order_told_side_by_side_send_no_reminder() {
    for order in [["started", "bought"], ["bought", "started"]] {
        let field = Field::new().await;
        field.live("Cart", &cart(&field)).await;
        let ada = field.person("ada@example.org").await;
        let [now, before] = [field.ports().now(), field.ports().now() - TimeDelta::minutes(1)];
        let at = |name: &str| if name == "bought" { now } else { before };
        let [first, second] = order.map(|name| vec![(ada, name, at(name), Map::new())]);
        let first = field.doing(first).await.expect("told");
        Box::pin(field.meanwhile(first, field.try_did(second))).await.expect("told");
        assert_eq!(field.stands(ada).await, "goal goal", "{order:?}");
        field.advance(TimeDelta::hours(2));
        field.drain().await;
        assert_eq!(field.mails("ada@example.org"), 0);
    }
}

#[tokio::test]
async fn who_enters_while_a_workflow_is_archived_gets_nothing() {
    let field = Field::new().await;
    let (workflow, _) = field.live("Cart", &cart(&field)).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    field.does(bob, "started").await;
    let enters = field.doing(vec![(ada, "started", field.ports().now(), Map::new())]).await.expect("told");
    // Taking people out begins when the archiving is over: nobody may come in after that.
    let archived = async {
        field.archive(workflow).await;
        field.drain().await;
    };
    Box::pin(field.meanwhile(enters, archived)).await;
    field.drain().await;
    for who in [ada, bob] {
        assert_eq!(field.stands(who).await, "exited workflow_archived");
    }
    field.does(field.person("eve@example.org").await, "started").await;
    field.advance(TimeDelta::hours(2));
    field.drain().await;
    assert_eq!(field.catcher.totals().stored, 0);
}

/// Of the person who is on an older version while another is published, the goal is heard as well.
#[tokio::test]
async fn c184_who_enters_while_another_version_is_published_still_meets_their_goal() {
    let field = Field::new().await;
    let (workflow, _) = field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    let enters = field.doing(vec![(ada, "started", field.ports().now(), Map::new())]).await.expect("told");
    let mut other = cart(&field);
    other["nodes"]["first"]["seconds"] = json!(60);
    field.meanwhile(enters, Box::pin(field.republish(workflow, &other))).await;
    field.does(ada, "bought").await;
    assert_eq!(field.stands(ada).await, "goal goal");
}

/// What is live changes hands without a gap.
#[tokio::test]
async fn an_event_told_while_another_version_is_published_starts_somebody() {
    let field = Field::new().await;
    let (workflow, _) = field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    let mut other = cart(&field);
    other["nodes"]["first"]["seconds"] = json!(60);
    let (publishing, version) = field.republishing(workflow, &other).await;
    let told = field.try_did(vec![(ada, "started", field.ports().now(), Map::new())]);
    Box::pin(field.meanwhile(publishing, told)).await.expect("told");
    let ways = field.ways(ada).await;
    assert_eq!(ways.iter().map(|way| way.version).collect::<Vec<_>>(), [version.id]);
}

/// Nobody listens before the first version does, so there is no listener to wait for: it is the event that is waited for.
#[tokio::test]
async fn an_event_told_while_the_first_version_is_published_starts_somebody() {
    let field = Field::new().await;
    let (workflow, seen) = field.draft("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    let (publishing, version) = field.publishing(workflow, seen).await;
    let told = field.try_did(vec![(ada, "started", field.ports().now(), Map::new())]);
    Box::pin(field.meanwhile(publishing, told)).await.expect("told");
    let ways = field.ways(ada).await;
    assert_eq!(ways.iter().map(|way| way.version).collect::<Vec<_>>(), [version.id]);
}

/// What another version listens to is heard by whoever waited for it: of a person who was the first on it, too.
#[tokio::test]
async fn c184_a_goal_told_while_another_version_is_published_ends_a_way_on_that_one() {
    let field = Field::new().await;
    let (workflow, _) = field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    let mut other = cart(&field);
    other["nodes"]["first"]["seconds"] = json!(60);
    let [now, before] = [field.ports().now(), field.ports().now() - TimeDelta::minutes(1)];
    let (mut publishing, version) = field.republishing(workflow, &other).await;
    field.tell(&mut publishing, &[(ada, "started", before, Map::new())]).await.expect("told");
    let told = field.try_did(vec![(ada, "bought", now, Map::new())]);
    Box::pin(field.meanwhile(publishing, told)).await.expect("told");
    assert_eq!((field.stands(ada).await.as_str(), field.ways(ada).await[0].version), ("goal goal", version.id));
}

/// Two tell of the same message at once, in calls that hold others: it is one event.
#[tokio::test]
async fn a_message_told_twice_at_once_is_one_event() {
    let field = Field::new().await;
    let ada = field.person("ada@example.org").await;
    let grant = field.grant::<TrackEvents>(field.tenant);
    let told = async |names: [&str; 2]| {
        let events = names.map(|name| event(ada, name));
        let mut reruns = Reruns::default();
        loop {
            let mut tx = grant.begin().await.unwrap();
            let told = track_events(&grant, &mut tx, field.ports(), &events).await;
            match told {
                Err(error) if reruns.after(&error) => {}
                told => break (tx, told.unwrap()),
            }
        }
    };
    let (first, one) = told(["m1", "m2"]).await;
    let second = Box::pin(async {
        let (tx, told) = told(["m3", "m1"]).await;
        tx.commit().await.unwrap();
        told
    });
    let other = field.meanwhile(first, second).await;
    let [one, other] = [one, other].map(|told| told.into_iter().map(|one| one.expect("good")).collect::<Vec<_>>());
    assert_eq!(one.iter().chain(&other).map(|one| one.duplicate).collect::<Vec<_>>(), [false, false, false, true]);
    assert_eq!(other[1].event, one[0].event);
}

/// Somebody writes the contact while the engine has them: the change is made a moment later, and not lost.
#[tokio::test]
async fn an_update_of_somebody_who_is_being_written_is_made_later() {
    let field = Field::new().await;
    let mark = json!({
        "first": { "kind": "update", "add_tags": ["seen"], "next": "bye" },
        "bye": { "kind": "exit" },
    });
    field.live("Mark", &started(&mark)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    if field.wall().is_postgres() {
        let writer = field.grant::<WriteContacts>(field.tenant);
        let mut tx = writer.begin().await.expect("a transaction");
        let command =
            TagContacts { contacts: vec![ada], add: vec![Tag::parse("other").expect("a tag")], remove: Vec::new() };
        tag_contacts(&writer, &mut tx, field.ports(), command).await.expect("tagged");
        let work = field.work(field.tenant);
        let grants = workflows::EngineGrants { run: work.grant(), send: work.grant() };
        workflows::advance_due(&grants, field.ports(), 10).await.expect("nobody waits");
        assert_eq!(field.stands(ada).await, "active first");
        tx.commit().await.expect("the end");
    }
    field.advance(TimeDelta::seconds(1));
    field.drain().await;
    assert_eq!(field.stands(ada).await, "completed completed");
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM contact_tags WHERE tag = 'seen'").await, 1);
}

const USED: &str = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) AS amount FROM usage";

/// Somebody else takes of the day's mails while the engine has counted on them: together they take all and no more.
#[tokio::test]
async fn a_call_and_the_engine_share_what_the_day_has_left() {
    let field = Field::new().await;
    field.execute("UPDATE tenants SET max_messages_per_day = 5").await;
    field.live("Welcome", &field.one_mail()).await;
    let mut people = Vec::new();
    for n in 0..9 {
        people.push(field.person(&format!("p{n}@example.org")).await);
    }
    for who in &people[3..] {
        field.does(*who, "started").await;
    }
    let call = field.marketer.grant::<SendMessages>().expect("a marketer sends");
    let intents: Vec<_> = (0..3).map(|n| field.intent(&format!("call-{n}"), people[n])).collect();
    let mut tx = call.begin().await.expect("a transaction");
    let accepted = messaging::send_messages(&call, &mut tx, field.ports(), &intents).await.expect("room");
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    let work = field.work(field.tenant);
    let grants = workflows::EngineGrants { run: work.grant(), send: work.grant() };
    let moved = field.meanwhile(tx, Box::pin(workflows::advance_due(&grants, field.ports(), 10))).await;
    assert_eq!(moved.expect("moved"), 6);
    assert_eq!(field.number(USED).await, 5);
    field.settle().await;
    field.drain().await;
    assert_eq!((field.catcher.totals().stored, field.number(USED).await), (5, 5));
    field.advance(TimeDelta::days(1));
    field.drain().await;
    assert_eq!(field.catcher.totals().stored, 9);
}

/// Workers side by side, each with a part of those who are due, use the day up and not more.
#[tokio::test]
async fn workers_side_by_side_use_up_the_day_and_not_more() {
    let field = Field::new().await;
    field.execute("UPDATE tenants SET max_messages_per_day = 7").await;
    field.live("Welcome", &field.one_mail()).await;
    let mut told = Vec::new();
    for n in 0..20 {
        let who = field.person(&format!("p{n}@example.org")).await;
        told.push((who, "started", field.ports().now()));
    }
    field.did(&told).await;
    let work = field.work(field.tenant);
    let grants = workflows::EngineGrants { run: work.grant(), send: work.grant() };
    let workers =
        (0..4).map(|_| async { while workflows::advance_due(&grants, field.ports(), 4).await.expect("moved") > 0 {} });
    futures::future::join_all(workers).await;
    let waiting = "SELECT COUNT(*) AS amount FROM enrollments WHERE state = 'active' AND node = 'first'";
    assert_eq!([field.number(USED).await, field.number(waiting).await], [7, 13]);
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM messages").await, 7);
    field.settle().await;
    field.drain().await;
    assert_eq!((field.catcher.totals().stored, field.number(USED).await), (7, 7));
    field.leave_unsettled();
}

/// Two that let go at once leave nobody held by neither.
#[tokio::test]
async fn of_two_that_let_go_at_once_the_second_lets_people_go() {
    let field = Field::new().await;
    field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    let writer = field.writer().await;
    let mut tx = writer.begin().await.expect("a transaction");
    workflows::hold_contact(&writer, &mut tx, field.ports(), ada, true).await.expect("held");
    workflows::hold_all_workflows(&writer, &mut tx, field.ports(), true).await.expect("held");
    tx.commit().await.expect("the end");
    let mut tx = writer.begin().await.expect("a transaction");
    workflows::hold_contact(&writer, &mut tx, field.ports(), ada, false).await.expect("let go");
    let all = async {
        let mut tx = writer.begin().await.expect("a transaction");
        workflows::hold_all_workflows(&writer, &mut tx, field.ports(), false).await.expect("let go");
        tx.commit().await.expect("the end");
    };
    Box::pin(field.meanwhile(tx, all)).await;
    assert_eq!(field.stands(ada).await, "active first");
}
