//! Pausing and archiving: the call costs the same for one person as for a thousand, nothing leaves once it is answered, and the
//! engine takes people out in batches.

use carillon_domain::dispatch;
use carillon_domain::ids::{ContactId, WorkflowId};
use carillon_domain::messaging::{self, ContentCache, Lane};
use carillon_domain::metrics::labels::Work;
use carillon_domain::tenancy::{PublishWorkflows, RunWorkflows, SendMessages, WriteWorkflows};
use carillon_domain::workflows::{self, EngineGrants, advance_due};
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;
use serde_json::{Map, Value as Json, json};

use super::ends::cart;
use super::setup::{Field, started};

/// One person with so many carts, each of them a way.
async fn carts(field: &Field, (name, event): (&str, &str), number: u32) -> (WorkflowId, workflows::Version, ContactId) {
    let mut carts = started(&json!({
        "first": { "kind": "wait_for", "seconds": 3_600, "next": "bye" },
        "bye": { "kind": "exit" },
    }));
    carts["trigger"]["event"] = json!(event);
    carts["trigger"]["entry_key"] = json!("cart");
    let (workflow, version) = field.live(name, &carts).await;
    let who = field.person(&format!("{name}@example.org")).await;
    let now = field.ports().now();
    let with = |cart: u32| [("cart".to_owned(), Json::from(cart))].into_iter().collect::<Map<_, _>>();
    let told = (0..number).map(|cart| (who, event, now, with(cart))).collect();
    field.try_did(told).await.expect("told");
    (workflow, version, who)
}

fn engine(field: &Field) -> EngineGrants {
    let work = field.work(field.tenant);
    EngineGrants { run: work.grant::<RunWorkflows>(), send: work.grant::<SendMessages>() }
}

async fn is_due(field: &Field) -> bool {
    !dispatch::due_workflows(field.ports()).await.expect("looked").is_empty()
}

#[tokio::test]
async fn l5_archiving_costs_the_same_whoever_is_on_it_and_people_leave_in_batches() {
    let mut costs = Vec::new();
    for people in [1, 1_200] {
        let field = Field::new().await;
        let (workflow, version, _) = carts(&field, ("carts", "started"), people).await;
        let ((), cost) = field.statements_of(field.archive(workflow)).await;
        costs.push(cost);
        let mut left = i64::from(people);
        assert_eq!(field.answer(&version, "first").await.waiting, left, "nobody was written");
        while left > 0 {
            assert!(is_due(&field).await, "{left} are left");
            let batch = left.min(500);
            let ended = advance_due(&engine(&field), field.ports(), 500).await.expect("ended");
            assert_eq!(i64::try_from(ended), Ok(batch));
            left -= batch;
            let told = field.answer(&version, "first").await;
            let exited = told.exited.get("workflow_archived").copied().unwrap_or_default();
            assert_eq!((told.waiting, exited), (left, i64::from(people) - left));
        }
        assert_eq!(advance_due(&engine(&field), field.ports(), 500).await.expect("looked"), 0);
        assert!(!is_due(&field).await, "nobody is looked for any more");
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test]
async fn l5_pausing_costs_the_same_whoever_is_on_it() {
    let mut costs = Vec::new();
    for people in [1, 600] {
        let field = Field::new().await;
        let (workflow, ..) = carts(&field, ("carts", "started"), people).await;
        field.advance(TimeDelta::hours(2));
        let work = async {
            field.hold(workflow, true).await;
            field.hold(workflow, false).await;
            field.hold_all(true).await;
            field.hold_all(false).await;
        };
        costs.push(field.statements_of(work).await.1);
        field.drain().await;
        assert_eq!(field.number("SELECT COUNT(*) AS amount FROM enrollments WHERE state = 'active'").await, 0);
    }
    assert_eq!(costs[0], costs[1]);
}

/// However many wait on what is paused, and however long: they are not even looked at.
#[tokio::test]
async fn whoever_is_due_on_a_paused_workflow_keeps_nobody_else_waiting() {
    let field = Field::new().await;
    let (paused, version, _) = carts(&field, ("paused", "started"), 30).await;
    field.advance(TimeDelta::minutes(1));
    let (_, _, bob) = carts(&field, ("live", "left"), 1).await;
    field.hold(paused, true).await;
    field.drain().await;
    field.advance(TimeDelta::hours(2));
    assert!(is_due(&field).await);
    assert_eq!(dispatch::due_in(field.ports(), Work::Workflows).await.expect("counted").rows, 1, "as operators see it");
    assert_eq!(advance_due(&engine(&field), field.ports(), 10).await.expect("moved"), 1);
    assert_eq!(field.stands(bob).await, "completed completed");
    assert!(!is_due(&field).await, "who is held is not due");
    assert_eq!(field.answer(&version, "first").await.waiting, 30);
    field.hold(paused, false).await;
    field.hold_all(true).await;
    assert!(!is_due(&field).await, "everybody is held");
    field.hold_all(false).await;
    field.drain().await;
    assert_eq!(field.answer(&version, "bye").await.exited.get("completed"), Some(&30), "they go on where they were");
}

/// Whether the way is over or goes on behind the mail.
fn mailing(field: &Field, next: &str) -> Json {
    let mut nodes = json!({ "first": field.mail(next), "bye": { "kind": "exit" } });
    if next == "pause" {
        nodes["pause"] = json!({ "kind": "wait_for", "seconds": 86_400, "next": "bye" });
    }
    started(&nodes)
}

/// Puts what is queued through the gate, which engine and dispatcher have not touched since; tells how many it lets through.
async fn let_through(field: &Field, meanwhile: Option<TenantTx>) -> usize {
    let grant = field.grant::<SendMessages>(field.tenant);
    // On SQLite one transaction writes at a time: what is claimed meanwhile is claimed after.
    let passes = async {
        let cache = ContentCache::default();
        let claimed = messaging::claim(&grant, field.ports(), &cache, Lane::Bulk, (10, "w")).await.expect("claimed");
        assert_eq!(claimed.messages.len(), 1);
        let drafts = claimed.messages.into_iter().map(|one| messaging::prepare(field.tenant, field.ports(), one));
        messaging::clear(&grant, field.ports(), "w", drafts.collect()).await.expect("decided").len()
    };
    match meanwhile {
        Some(first) => field.meanwhile(first, Box::pin(passes)).await,
        None => Box::pin(passes).await,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Pause,
    PauseAll,
    Archive,
}

impl Stop {
    /// Does it, and leaves the transaction open.
    async fn begin(self, field: &Field, workflow: WorkflowId) -> TenantTx {
        let write = field.marketer.grant::<WriteWorkflows>().expect("a marketer writes");
        let publish = field.marketer.grant::<PublishWorkflows>().expect("a marketer publishes");
        let ports = field.ports();
        let mut tx = write.begin().await.expect("a transaction");
        match self {
            Self::Pause => drop(workflows::pause_workflow(&write, &mut tx, ports, workflow).await.expect("paused")),
            Self::PauseAll => workflows::hold_all_workflows(&write, &mut tx, ports, true).await.expect("paused"),
            Self::Archive => drop(workflows::archive_workflow(&publish, &mut tx, ports, workflow).await.expect("over")),
        }
        tx
    }

    /// What the gate says of a mail.
    fn verdict(self) -> &'static str {
        if self == Self::Archive { "refused way_over" } else { "queued way_held" }
    }
}

const MAILS: &str = "SELECT state || ' ' || reason AS line FROM messages";

/// Queued before, judged after, and by a gate that was already waiting.
#[tokio::test]
async fn c184_nothing_leaves_once_a_workflow_is_paused_or_archived() {
    for stop in [Stop::Pause, Stop::PauseAll, Stop::Archive] {
        for (next, waits) in [("pause", false), ("bye", false), ("pause", true), ("bye", true)] {
            let field = Field::new().await;
            let (workflow, _) = field.live("Mails", &mailing(&field, next)).await;
            let ada = field.person("ada@example.org").await;
            field.does(ada, "started").await;
            assert_eq!(advance_due(&engine(&field), field.ports(), 10).await.expect("moved"), 1);
            let tx = stop.begin(&field, workflow).await;
            let through = if waits {
                let_through(&field, Some(tx)).await
            } else {
                tx.commit().await.expect("the end");
                let_through(&field, None).await
            };
            assert_eq!(through, 0, "{stop:?} {next} {waits}");
            assert_eq!(field.lines(MAILS).await, [stop.verdict()], "{stop:?} {next} {waits}");
            field.advance(TimeDelta::hours(1));
            field.drain().await;
            assert_eq!(field.mails("ada@example.org"), 0, "{stop:?} {next} {waits}");
            match stop {
                Stop::Pause => field.hold(workflow, false).await,
                Stop::PauseAll => field.hold_all(false).await,
                Stop::Archive => continue,
            }
            field.advance(TimeDelta::hours(1));
            field.drain().await;
            assert_eq!(field.mails("ada@example.org"), 1, "{stop:?} {next} {waits}: it waited, and is not lost");
        }
    }
}

/// What is queued of somebody who is taken out is cancelled with their way.
#[tokio::test]
async fn c184_whoever_is_taken_out_has_their_mails_taken_back() {
    let field = Field::new().await;
    let (workflow, _) = field.live("Mails", &mailing(&field, "pause")).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    assert_eq!(advance_due(&engine(&field), field.ports(), 10).await.expect("moved"), 1);
    field.archive(workflow).await;
    assert_eq!(field.stands(ada).await, "active pause");
    assert_eq!(advance_due(&engine(&field), field.ports(), 10).await.expect("ended"), 1);
    assert_eq!(field.stands(ada).await, "exited workflow_archived");
    assert_eq!(field.path(ada).await, "enrolled@first queued@first exited@pause");
    assert_eq!(field.lines(MAILS).await, ["cancelled way_ended"]);
    field.drain().await;
    assert_eq!(field.mails("ada@example.org"), 0);
}

#[tokio::test]
async fn until_somebody_is_taken_out_events_begin_and_end_what_they_would_after() {
    let field = Field::new().await;
    let (archived, version) = field.live("Cart", &cart(&field)).await;
    let mut other = cart(&field);
    other["trigger"]["event"] = json!("left");
    field.live("Other", &other).await;
    let ada = field.person("ada@example.org").await;
    let bob = field.person("bob@example.org").await;
    field.did(&[(ada, "started", field.ports().now()), (bob, "started", field.ports().now())]).await;
    field.hold_contact(bob, true).await;
    field.archive(archived).await;
    field.advance(TimeDelta::milliseconds(1));
    // She enters another, once; and of the archived one nothing begins anew, and the goal is met no more.
    for what in ["left", "left", "started", "bought"] {
        field.does(ada, what).await;
        field.advance(TimeDelta::milliseconds(1));
    }
    let stands = async || {
        let ways = field.ways(ada).await;
        ways.iter().map(|way| way.end_reason.clone().unwrap_or_else(|| way.state.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(stands().await, ["active", "goal"]);
    field.drain().await;
    assert_eq!(stands().await, ["workflow_archived", "goal"]);
    assert_eq!(field.stands(bob).await, "exited workflow_archived", "who is held leaves as well");
    assert_eq!(field.answer(&version, "first").await.exited.get("workflow_archived"), Some(&2));
    assert_eq!(field.catcher.totals().stored, 0);
}
