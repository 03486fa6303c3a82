//! One worker at a time for an endpoint; what a lost one did is done again under the same id, and it undoes nothing (L4, L8).

use carillon_domain::tenancy::{Grant, RunWebhooks, enter_to_tell};
use carillon_domain::webhooks::{self, Answer, Attempted, Claimed, EndpointState, WebhookEventType, WebhookOutcome};
use carillon_jobs::channels::webhook::Letter;
use carillon_tests::sink::{Reply, Sink, listen};
use chrono::TimeDelta;

use crate::setup::{LAPSED, Stage};

fn tells(stage: &Stage) -> Grant<RunWebhooks> {
    enter_to_tell(stage.wall(), stage.tenant)
}

async fn claim(stage: &Stage) -> Option<Claimed> {
    webhooks::claim_deliveries(&tells(stage), stage.ports()).await.unwrap()
}

/// Says of all that a claim holds that it came to this.
async fn settle(stage: &Stage, claimed: &Claimed, outcome: WebhookOutcome) {
    let attempted = claimed.deliveries.iter().map(|delivery| Attempted {
        delivery: delivery.id,
        number: delivery.attempts + 1,
        answer: Answer::without(outcome, TimeDelta::zero()),
    });
    let attempted: Vec<_> = attempted.collect();
    webhooks::settle(&tells(stage), stage.ports(), claimed, &attempted).await.unwrap();
}

#[tokio::test]
async fn l8_a_worker_that_dies_before_it_settles_repeats_the_same_id() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    let dead = claim(&stage).await.unwrap();
    let id = dead.deliveries[0].event.to_string();
    drop(dead);
    stage.drain().await;
    assert_eq!(stage.sink.count(), 0, "the claim still holds");
    stage.after(LAPSED).await;
    let received = stage.sink.received();
    assert_eq!((received.len(), received[0].id()), (1, id.as_str()));
    assert_eq!(stage.stories().await, ["delivered delivered"]);
}

/// The process dies with the answer in its hands.
#[tokio::test]
async fn l8_an_answer_that_was_not_written_down_is_asked_for_again() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    let (dead, worker) = (claim(&stage).await.unwrap(), stage.worker("dead").await);
    let delivery = &dead.deliveries[0];
    let (id, at, body) = (delivery.event, stage.ports().now(), delivery.body.as_deref().unwrap());
    let signature = dead.secrets.sign(id, at, body);
    let answer = worker.webhooks.post(Letter { url: &dead.url, id, at, signature, body }).await;
    assert_eq!(answer.outcome, WebhookOutcome::Delivered);
    stage.after(LAPSED).await;
    let received = stage.sink.received();
    assert_eq!((received.len(), received[0].id()), (2, received[1].id()), "at least once, and told apart by its id");
    assert_eq!(received[0].body, received[1].body);
}

#[tokio::test]
async fn l8_a_worker_that_lost_its_claim_changes_no_delivery_and_frees_no_endpoint() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    let slow = claim(&stage).await.unwrap();
    stage.advance(LAPSED);
    let other = claim(&stage).await.unwrap();
    assert!(other.fence > slow.fence);
    settle(&stage, &slow, WebhookOutcome::Gone).await;
    assert_eq!(stage.stories().await, ["queued gone"], "what it did is in the log, and moves nothing");
    assert!(claim(&stage).await.is_none(), "the endpoint is still the other's");
    stage.advance(TimeDelta::milliseconds(1));
    settle(&stage, &other, WebhookOutcome::Delivered).await;
    assert_eq!(stage.stories().await, ["delivered gone delivered"]);
    assert!(claim(&stage).await.is_none());
}

/// A worker asks at the old place while its owner names another.
#[tokio::test]
async fn c188_what_is_answered_at_the_old_place_is_not_held_against_the_new_one() {
    for outcome in [WebhookOutcome::Gone, WebhookOutcome::Answered] {
        let stage = Stage::new().await;
        let made = stage.listen_to_contacts().await;
        stage.person("ada@example.org").await;
        let held = claim(&stage).await.unwrap();
        stage.relocate(made.id, "elsewhere").await;
        settle(&stage, &held, outcome).await;
        let endpoint = stage.endpoint(made.id).await;
        assert_eq!((endpoint.state, endpoint.failing_since), (EndpointState::Enabled, None), "{outcome}");
        stage.person("bob@example.org").await;
        let next = claim(&stage).await.expect("the claim is over");
        assert_eq!(next.url, stage.sink.url("elsewhere"));
        settle(&stage, &next, WebhookOutcome::Delivered).await;
        stage.after(TimeDelta::seconds(6)).await;
    }
}

#[tokio::test]
async fn c174_an_endpoint_that_is_slow_holds_up_no_other() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    let quick = Sink::start().await;
    let types = [WebhookEventType::ContactCreated];
    stage.advance(TimeDelta::milliseconds(1));
    listen(&stage.post, stage.tenant, &quick.url(""), &types).await;
    stage.sink.always(Reply::Silence);
    for name in ["ada", "bob"] {
        stage.person(&format!("{name}@example.org")).await;
    }
    let held = claim(&stage).await.unwrap();
    assert_eq!((held.url.as_str(), held.deliveries.len()), (stage.sink.url("hook").as_str(), 2));
    stage.drain().await;
    assert_eq!((stage.sink.count(), quick.count()), (0, 2));
    settle(&stage, &held, WebhookOutcome::TimedOut).await;
}

/// Whoever waited longest for its turn has it.
#[tokio::test]
async fn c174_endpoints_of_a_tenant_take_turns() {
    let stage = Stage::new().await;
    let (one, two) = (stage.listen_to_contacts().await, stage.listen_to_contacts().await);
    let mut turns = Vec::new();
    for round in 0..4 {
        stage.person(&format!("p{round}@example.org")).await;
        let claimed = claim(&stage).await.unwrap();
        turns.push(claimed.endpoint);
        settle(&stage, &claimed, WebhookOutcome::Delivered).await;
    }
    assert_eq!(turns, [one.id, two.id, one.id, two.id]);
    stage.drain().await;
}

#[tokio::test]
async fn a_suspended_tenant_tells_nothing_and_goes_on_when_it_is_resumed() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    stage.execute("UPDATE tenants SET suspended_at = created_at WHERE name = 'Confiserie'").await;
    stage.after(TimeDelta::hours(1)).await;
    assert_eq!(stage.sink.count(), 0);
    stage.execute("UPDATE tenants SET suspended_at = NULL WHERE name = 'Confiserie'").await;
    stage.drain().await;
    assert_eq!(stage.stories().await, ["delivered delivered"]);
}
