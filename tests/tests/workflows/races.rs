//! Two things at once, of which neither sees what the other has not committed.

use carillon_domain::contacts::{Tag, TagContacts, tag_contacts};
use carillon_domain::tenancy::WriteContacts;
use carillon_domain::workflows;
use chrono::TimeDelta;
use serde_json::{Map, json};

use super::ends::cart;
use super::setup::{Field, started};

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
        field.meanwhile(first, field.try_did(second)).await.expect("told");
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
    field.meanwhile(enters, field.archive(workflow)).await;
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
    field.meanwhile(tx, all).await;
    assert_eq!(field.stands(ada).await, "active first");
}
