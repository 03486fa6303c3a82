//! Goals and exits end a way at once, wherever somebody waits, whatever comes first (A3.1, A3.2, A3.7, A3.9, C-184).

use carillon_domain::contacts::{Tag, TagContacts, tag_contacts};
use carillon_domain::ids::{ContactId, WorkflowId};
use carillon_domain::tenancy::{SendMessages, WriteContacts};
use carillon_domain::webhooks::WebhookEventType;
use carillon_domain::workflows;
use carillon_tests::sink::{Sink, listen};
use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::setup::{Field, started};

pub fn cart(field: &Field) -> Json {
    let mut cart = started(&json!({
        "first": { "kind": "wait_for", "seconds": 3_600, "next": "remind" },
        "remind": field.mail("bye"),
        "bye": { "kind": "exit" },
    }));
    cart["goal"] = json!({ "kind": "event", "event": "bought" });
    cart
}

#[tokio::test]
async fn a3_01_a_goal_in_a_wait_is_met_at_the_events_time_and_nothing_more_is_sent() {
    let field = Field::new().await;
    let (_, version) = field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    field.advance(TimeDelta::minutes(30));
    let at = field.ports().now() - TimeDelta::minutes(10);
    field.did(&[(ada, "bought", at)]).await;
    let way = field.ways(ada).await.remove(0);
    assert_eq!((field.stands(ada).await.as_str(), way.ended_at), ("goal goal", Some(at)));
    field.advance(TimeDelta::days(2));
    field.drain().await;
    assert_eq!((field.mails("ada@example.org"), field.path(ada).await), (0, "enrolled@first goal@first".to_owned()));
    assert_eq!(field.answer(&version, "first").await.exited.get("goal"), Some(&1));
}

#[tokio::test]
async fn the_end_of_a_way_is_told_to_webhooks() {
    let (field, sink) = (Field::new().await, Sink::start().await);
    listen(&field.post, field.tenant, &sink.url(""), &[WebhookEventType::WorkflowFinished]).await;
    let (workflow, _) = field.live("Cart", &cart(&field)).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    field.did(&[(ada, "started", field.ports().now()), (bob, "started", field.ports().now())]).await;
    field.did(&[(ada, "bought", field.ports().now())]).await;
    field.drain().await;
    field.advance(TimeDelta::hours(1));
    field.drain().await;
    let told: Vec<Json> = sink.received().iter().map(|one| one.json()["data"].clone()).collect();
    let said = |n: usize| (told[n]["contactId"].clone(), told[n]["workflowId"].clone(), told[n]["state"].clone());
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(said(0), (json!(ada), json!(workflow), json!("goal")));
    assert_eq!(said(1), (json!(bob), json!(workflow), json!("completed")));
}

#[tokio::test]
async fn c184_a_goal_takes_back_what_is_queued_and_the_gate_refuses_what_is_claimed() {
    let field = Field::new().await;
    field.live("Cart", &cart(&field)).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    field.did(&[(ada, "started", field.ports().now()), (bob, "started", field.ports().now())]).await;
    field.advance(TimeDelta::hours(1));
    let work = field.work(field.tenant);
    let grants = workflows::EngineGrants { run: work.grant(), send: work.grant() };
    workflows::advance_due(&grants, field.ports(), 10).await.expect("moved");
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM messages WHERE state = 'queued'").await, 2);
    assert_eq!(field.stands(ada).await, "completed completed", "all that is left of her way is its mail");
    field.did(&[(ada, "bought", field.ports().now())]).await;
    assert_eq!(field.stands(ada).await, "goal goal");
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM messages WHERE state = 'cancelled'").await, 1);
    // Claimed before he bought, cleared after.
    let grant = field.grant::<SendMessages>(field.tenant);
    let cache = carillon_domain::messaging::ContentCache::default();
    let lane = carillon_domain::messaging::Lane::Bulk;
    let claimed =
        carillon_domain::messaging::claim(&grant, field.ports(), &cache, lane, (10, "w")).await.expect("claimed");
    assert_eq!(claimed.messages.len(), 1);
    field.did(&[(bob, "bought", field.ports().now())]).await;
    let drafts =
        claimed.messages.into_iter().map(|one| carillon_domain::messaging::prepare(field.tenant, field.ports(), one));
    let cleared =
        carillon_domain::messaging::clear(&grant, field.ports(), "w", drafts.collect()).await.expect("decided");
    assert!(cleared.is_empty());
    let refused = "SELECT COUNT(*) AS amount FROM messages WHERE state = 'refused' AND reason = 'way_over'";
    assert_eq!(field.number(refused).await, 1);
}

#[tokio::test]
async fn whatever_order_events_arrive_in_a_buyer_gets_no_reminder() {
    let field = Field::new().await;
    field.live("Cart", &cart(&field)).await;
    let ada = field.person("ada@example.org").await;
    let now = field.ports().now();
    // The order is told first, although the cart came before it.
    field.did(&[(ada, "bought", now)]).await;
    field.did(&[(ada, "started", now - TimeDelta::minutes(5))]).await;
    assert_eq!(field.stands(ada).await, "goal goal");
    let bob = field.person("bob@example.org").await;
    field.did(&[(bob, "bought", now), (bob, "started", now - TimeDelta::minutes(5))]).await;
    assert_eq!(field.stands(bob).await, "goal goal");
    // An order before the cart is another one's.
    let eve = field.person("eve@example.org").await;
    field.did(&[(eve, "started", now), (eve, "bought", now - TimeDelta::minutes(5))]).await;
    assert_eq!(field.stands(eve).await, "active first");
    field.advance(TimeDelta::hours(1));
    field.drain().await;
    assert_eq!(field.catcher.totals().stored, 1);
}

async fn tag(field: &Field, who: ContactId, name: &str) {
    let grant = field.grant::<WriteContacts>(field.tenant);
    let mut tx = grant.begin().await.expect("a transaction");
    let command = TagContacts { contacts: vec![who], add: vec![Tag::parse(name).expect("a tag")], remove: Vec::new() };
    tag_contacts(&grant, &mut tx, field.ports(), command).await.expect("tagged");
    tx.commit().await.expect("the end");
}

#[tokio::test]
async fn a3_02_a_condition_that_becomes_true_in_a_wait_ends_it_then() {
    let field = Field::new().await;
    let mut watching = cart(&field);
    watching["goal"] = Json::Null;
    watching["exits"] = json!([
        { "kind": "condition", "condition": { "kind": "tag", "tag": "vip" } },
        { "kind": "condition", "condition": { "kind": "event", "name": "left", "at_least": 0, "at_most": 0, "within": { "seconds": 600 } } },
    ]);
    watching["nodes"]["first"]["seconds"] = json!(86_400);
    field.live("Watching", &watching).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    let now = field.ports().now();
    field.did(&[(ada, "left", now), (bob, "left", now)]).await;
    field.did(&[(ada, "started", now), (bob, "started", now)]).await;
    field.drain().await;
    assert_eq!(field.stands(ada).await, "active first");
    tag(&field, ada, "vip").await;
    assert_eq!(field.stands(ada).await, "exited exit_1");
    // Nothing happens to Bob but time: what he did leaves the window, long before his wait is over.
    field.advance(TimeDelta::seconds(601));
    field.drain().await;
    assert_eq!(field.stands(bob).await, "exited exit_2");
    assert_eq!(field.ways(bob).await[0].ended_at, Some(field.ports().now()));
}

/// Whether a write changed anything is all that matters: here the exit's condition holds already, behind our back.
#[tokio::test]
async fn a3_07_a_write_that_changes_nothing_starts_and_ends_nothing() {
    let field = Field::new().await;
    let mut watching = cart(&field);
    watching["goal"] = Json::Null;
    watching["exits"] = json!([{ "kind": "condition", "condition": { "kind": "tag", "tag": "vip" } }]);
    field.live("Watching", &watching).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    field.execute("INSERT INTO contact_tags (tenant_id, tag, contact_id, created_at) SELECT tenant_id, 'vip', id, created_at FROM contacts").await;
    tag(&field, ada, "vip").await;
    assert_eq!(field.stands(ada).await, "active first", "she had it already");
    tag(&field, ada, "new").await;
    assert_eq!(field.stands(ada).await, "exited exit_1", "a real change is looked at");
}

#[tokio::test]
async fn a3_09_two_profiles_with_one_address_see_one_variant() {
    let field = Field::new().await;
    let nodes = json!({
        "first": { "kind": "split", "variants": [
            { "label": "a", "weight_bp": 5_000, "next": "bye" }, { "label": "b", "weight_bp": 5_000, "next": "bye" } ] },
        "bye": { "kind": "exit" },
    });
    field.live("Split", &started(&nodes)).await;
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..12 {
        let one = field.person(&format!("p{n}@example.org")).await;
        let other = field.person(&format!("q{n}@example.org")).await;
        // Two contacts cannot share an address at a time; one after the other they can.
        field.does(one, "started").await;
        field.drain().await;
        let email = format!("'p{n}@example.org'");
        field
            .execute(&format!(
                "UPDATE contacts SET email = {email}, email_norm = {email} WHERE email_norm = 'q{n}@example.org'"
            ))
            .await;
        field.does(other, "started").await;
        field.drain().await;
        let variants = [field.ways(one).await[0].way.variant.clone(), field.ways(other).await[0].way.variant.clone()];
        assert_eq!(variants[0], variants[1]);
        seen.insert(variants[0].clone().expect("a variant"));
    }
    assert_eq!(seen.len(), 2, "all of one variant tell nothing: {seen:?}");
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM exposures").await, 12, "by address, not by profile");
}

/// The order is told first, and only what it says of itself makes it the goal.
#[tokio::test]
async fn an_order_of_the_right_kind_that_was_told_first_is_the_goal() {
    let field = Field::new().await;
    let mut wanting = cart(&field);
    wanting["goal"]["filter"] = json!([{ "property": "shop", "test": { "op": "equals", "value": "north" } }]);
    field.live("Cart", &wanting).await;
    let now = field.ports().now();
    for (shop, stands) in [("north", "goal goal"), ("south", "active first")] {
        let who = field.person(&format!("{shop}@example.org")).await;
        field.tracked(who, "bought", now, json!({ "shop": shop })).await;
        field.tracked(who, "started", now - TimeDelta::minutes(5), json!({})).await;
        assert_eq!(field.stands(who).await, stands, "{shop}");
    }
}

#[tokio::test]
async fn a3_02_what_somebody_does_in_a_wait_sets_the_time_anew() {
    let field = Field::new().await;
    let mut watching = cart(&field);
    watching["goal"] = Json::Null;
    let left = |within: Json, most: u64, least: u64| {
        let mut leaf = json!({ "kind": "event", "name": "left", "at_least": least, "at_most": most });
        leaf["within"] = within;
        leaf
    };
    let away = json!({ "kind": "and", "of": [left(Json::Null, 1_000, 1), left(json!({ "seconds": 600 }), 0, 0)] });
    watching["exits"] = json!([{ "kind": "condition", "condition": away }]);
    watching["nodes"]["first"]["seconds"] = json!(86_400);
    field.live("Watching", &watching).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    field.advance(TimeDelta::hours(1));
    field.does(ada, "left").await;
    assert_eq!(field.stands(ada).await, "active first");
    field.advance(TimeDelta::seconds(601));
    field.drain().await;
    assert_eq!(field.stands(ada).await, "exited exit_1");
}

/// A condition on a mail is answered alike when a tag comes and when the engine looks.
#[tokio::test]
async fn l5_a_change_is_judged_with_what_was_done_with_mails() {
    let field = Field::new().await;
    let mut watching = started(&json!({
        "first": field.mail("pause"),
        "pause": { "kind": "wait_for", "seconds": 86_400, "next": "bye" },
        "bye": { "kind": "exit" },
    }));
    let clicked = json!({ "kind": "mail", "node": "first", "did": "clicked" });
    let cold = json!({ "kind": "and", "of": [
        { "kind": "tag", "tag": "cold" }, { "kind": "not", "of": clicked } ] });
    watching["exits"] = json!([{ "kind": "condition", "condition": cold }]);
    field.live("Watching", &watching).await;
    let (ada, bob) = (field.person("ada@example.org").await, field.person("bob@example.org").await);
    for who in [ada, bob] {
        field.does(who, "started").await;
    }
    field.drain().await;
    // Of Ada nobody knows whether she clicked; Bob is tracked, and did not.
    field.execute("UPDATE contacts SET country = 'US' WHERE email_norm = 'bob@example.org'").await;
    field.execute("UPDATE messages SET tracking = 'individual'").await;
    for (who, stands) in [(ada, "active pause"), (bob, "exited exit_1")] {
        tag(&field, who, "cold").await;
        assert_eq!(field.stands(who).await, stands);
    }
}

#[tokio::test]
async fn a_tag_that_one_workflow_takes_off_ends_the_way_of_another_at_once() {
    let field = Field::new().await;
    let mut valued = cart(&field);
    valued["goal"] = Json::Null;
    let none = json!({ "kind": "not", "of": { "kind": "tag", "tag": "vip" } });
    valued["exits"] = json!([{ "kind": "condition", "condition": none }]);
    valued["trigger"]["event"] = json!("left");
    field.live("Valued", &valued).await;
    let strip = json!({
        "first": { "kind": "update", "remove_tags": ["vip"], "next": "bye" },
        "bye": { "kind": "exit" },
    });
    field.live("Strip", &started(&strip)).await;
    let ada = field.person("ada@example.org").await;
    tag(&field, ada, "vip").await;
    field.does(ada, "left").await;
    field.drain().await;
    assert_eq!(field.stands(ada).await, "active first");
    field.advance(TimeDelta::milliseconds(1));
    field.does(ada, "started").await;
    field.drain().await;
    let ways = field.ways(ada).await;
    assert_eq!(ways[0].end_reason.as_deref(), Some("exit_1"));
    assert_eq!((ways[1].way.node.as_str(), ways[1].end_reason.as_deref()), ("bye", Some("completed")));
}

/// What may happen to somebody, in any order.
#[derive(Debug, Clone, Copy)]
enum Act {
    Start,
    Buy,
    Wait,
    Work,
    Hold,
    LetGo,
    Pause,
    Resume,
    PauseAll,
    ResumeAll,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    use Act::{Buy, Hold, LetGo, Pause, PauseAll, Resume, ResumeAll, Start, Wait, Work};
    let all = [Start, Start, Start, Buy, Wait, Wait, Wait, Work, Work, Work];
    let all = all.into_iter().chain([Hold, LetGo, Pause, Resume, PauseAll, ResumeAll]);
    prop::collection::vec(prop::sample::select(all.collect::<Vec<_>>()), 1..14)
}

async fn act(field: &Field, (workflow, ada): (WorkflowId, ContactId), act: Act) {
    match act {
        Act::Start => field.does(ada, "started").await,
        Act::Buy => field.does(ada, "bought").await,
        Act::Wait => field.advance(TimeDelta::minutes(35)),
        Act::Work => drop(field.drain().await),
        Act::Hold | Act::LetGo => field.hold_contact(ada, matches!(act, Act::Hold)).await,
        Act::Pause | Act::Resume => field.hold(workflow, matches!(act, Act::Pause)).await,
        Act::PauseAll | Act::ResumeAll => field.hold_all(matches!(act, Act::PauseAll)).await,
    }
}

/// No interleaving of event, goal, pause and wake-up enrols or sends twice, or sends to who has met the goal.
#[test]
fn l5_no_interleaving_enrols_or_sends_twice() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let field = runtime.block_on(Field::new());
    let (workflow, _) = runtime.block_on(async { field.live("Cart", &cart(&field)).await });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let mut number = 0;
    let number = std::cell::RefCell::new(&mut number);
    let told = runner.run(&acts(), |acts| {
        **number.borrow_mut() += 1;
        let email = format!("p{}@example.org", **number.borrow());
        runtime.block_on(async {
            let ada = field.person(&email).await;
            let (mut started, mut bought_in_time) = (None, false);
            for one in &acts {
                field.advance(TimeDelta::milliseconds(1));
                let now = field.ports().now();
                match one {
                    Act::Start => drop(started.get_or_insert(now)),
                    Act::Buy => bought_in_time |= started.is_some() && field.mails(&email) == 0,
                    _ => {}
                }
                act(&field, (workflow, ada), *one).await;
            }
            let mails_then = field.mails(&email);
            for one in [Act::LetGo, Act::Resume, Act::ResumeAll] {
                act(&field, (workflow, ada), one).await;
            }
            field.advance(TimeDelta::hours(2));
            field.drain().await;
            let ways = field.ways(ada).await;
            prop_assert_eq!(ways.len(), usize::from(started.is_some()), "one entry for a key");
            let mails = field.mails(&email);
            prop_assert!(mails <= 1, "{} mails", mails);
            prop_assert_eq!(mails, u64::from(started.is_some() && !bought_in_time), "{} before", mails_then);
            Ok(())
        })
    });
    if let Err(error) = told {
        panic!("{error}");
    }
    runtime.block_on(async move { drop(field) });
}
