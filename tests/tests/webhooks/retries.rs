//! What fails is tried again on the published schedule, under the same id; who fails for ever is told nothing more (C-188).

use carillon_domain::webhooks::{ATTEMPTS_MAX, DISABLED_AFTER, DisabledReason, EndpointState, WebhookEventType};
use carillon_tests::sink::Reply;
use chrono::TimeDelta;

use crate::setup::Stage;

/// The schedule's pauses, each with the most that chance adds.
fn pauses() -> [TimeDelta; 7] {
    [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000].map(|seconds| TimeDelta::seconds(seconds + seconds / 10 + 1))
}

#[tokio::test]
async fn c188_a_failure_is_tried_again_on_time_under_the_same_id() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.sink.then([Reply::Status(500), Reply::Close, Reply::Silence]);
    stage.person("ada@example.org").await;
    stage.drain().await;
    assert_eq!(stage.stories().await, ["queued answered"]);
    stage.after(TimeDelta::seconds(4)).await;
    assert_eq!(stage.sink.count(), 1, "not before its time");
    for pause in &pauses()[..3] {
        stage.after(*pause).await;
    }
    assert_eq!(stage.stories().await, ["delivered answered unreachable timed_out delivered"]);
    let received = stage.sink.received();
    assert_eq!(received.len(), 4);
    for again in &received {
        assert_eq!((again.id(), &again.body), (received[0].id(), &received[0].body));
        assert!(again.is_signed_with(&made.secret));
    }
    let times: Vec<i64> = received.iter().map(|one| one.header("webhook-timestamp").parse().unwrap()).collect();
    assert!(times.is_sorted() && times[0] < times[3], "each attempt is signed for its own time: {times:?}");
    stage.after(TimeDelta::days(3)).await;
    assert_eq!(stage.sink.count(), 4);
}

#[tokio::test]
async fn c188_an_endpoint_that_is_up_after_three_hours_gets_each_event_once() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.sink.always(Reply::Status(503));
    for name in ["ada", "bob", "cyd"] {
        stage.person(&format!("{name}@example.org")).await;
    }
    stage.drain().await;
    for pause in &pauses()[..4] {
        stage.after(*pause).await;
    }
    let before = stage.sink.count();
    stage.sink.always(Reply::Status(200));
    for pause in &pauses()[4..] {
        stage.after(*pause).await;
    }
    let taken = stage.sink.received().split_off(before);
    let mut ids: Vec<&str> = taken.iter().map(carillon_tests::sink::Received::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((taken.len(), ids.len()), (3, 3));
    assert!(stage.stories().await.iter().all(|story| story.ends_with("answered delivered")));
}

#[tokio::test]
async fn c188_after_the_last_attempt_a_delivery_has_failed_and_stays_in_the_log() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.sink.always(Reply::Head("302 Found\r\nLocation: http://127.0.0.1:1/"));
    stage.person("ada@example.org").await;
    stage.drain().await;
    for pause in pauses() {
        stage.after(pause).await;
    }
    stage.after(TimeDelta::days(2)).await;
    assert_eq!(stage.sink.count(), usize::try_from(ATTEMPTS_MAX).unwrap());
    let failed = stage.deliveries().await.remove(0);
    assert_eq!((failed.state.as_str(), failed.attempts, failed.status_code), ("failed", ATTEMPTS_MAX, Some(302)));
    assert!(failed.settled_at.is_some());
}

#[tokio::test]
async fn c188_an_endpoint_that_asks_for_time_gets_it() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.sink.then([Reply::Head("429 Slowly\r\nRetry-After: 120")]);
    stage.person("ada@example.org").await;
    stage.drain().await;
    stage.after(TimeDelta::seconds(119)).await;
    assert_eq!(stage.sink.count(), 1);
    stage.after(TimeDelta::seconds(2)).await;
    assert_eq!(stage.stories().await, ["delivered answered delivered"]);
}

#[tokio::test]
async fn c188_who_is_gone_is_disabled_at_once_and_the_others_are_told() {
    let stage = Stage::new().await;
    let other = stage.listen(&[WebhookEventType::EndpointDisabled]).await;
    let gone = stage.listen_to_contacts().await;
    stage.sink.then([Reply::Status(410)]);
    stage.person("ada@example.org").await;
    stage.drain().await;
    let endpoint = stage.endpoint(gone.id).await;
    assert_eq!((endpoint.state, endpoint.reason.map(DisabledReason::as_str)), (EndpointState::Disabled, Some("gone")));
    assert_eq!(endpoint.disabled_at, Some(stage.ports().now()));
    assert_eq!(stage.endpoint(other.id).await.state, EndpointState::Enabled);
    assert_eq!(stage.sink.types(), ["contact.created", "webhook.endpoint_disabled"]);
    assert_eq!(stage.number("SELECT COUNT(*) AS amount FROM audit_events WHERE action = 'webhook.disable'").await, 1);
    stage.person("bob@example.org").await;
    stage.after(TimeDelta::days(1)).await;
    assert_eq!(stage.sink.count(), 2, "nothing more");
}

#[tokio::test]
async fn c188_five_days_of_nothing_but_failures_disable_and_one_success_begins_anew() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.sink.always(Reply::Status(500));
    let half = TimeDelta::hours(60);
    for round in 0..3 {
        stage.person(&format!("a{round}@example.org")).await;
        stage.drain().await;
        stage.advance(half);
    }
    stage.sink.always(Reply::Status(200));
    stage.person("b@example.org").await;
    let before = stage.endpoint(made.id).await;
    assert_eq!(before.state, EndpointState::Disabled, "it was five days at the third");
    assert_eq!(before.reason.map(DisabledReason::as_str), Some("failing"));
    stage.enable(made.id, true).await;
    stage.drain().await;
    assert_eq!(stage.endpoint(made.id).await.failing_since, None);
    stage.sink.always(Reply::Status(500));
    stage.person("c@example.org").await;
    stage.drain().await;
    let failing = stage.endpoint(made.id).await;
    assert_eq!((failing.state, failing.failing_since), (EndpointState::Enabled, Some(stage.ports().now())));
    stage.person("d@example.org").await;
    stage.after(DISABLED_AFTER).await;
    assert_eq!(stage.endpoint(made.id).await.state, EndpointState::Disabled);
}

#[tokio::test]
async fn c188_the_days_that_an_endpoint_failed_elsewhere_do_not_count() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.sink.always(Reply::Status(500));
    stage.person("ada@example.org").await;
    stage.drain().await;
    stage.advance(DISABLED_AFTER);
    stage.relocate(made.id, "elsewhere").await;
    stage.drain().await;
    let failing = stage.endpoint(made.id).await;
    assert_eq!((failing.state, failing.failing_since), (EndpointState::Enabled, Some(stage.ports().now())));
}

/// Forty deliveries to nobody are forty times the longest wait.
#[tokio::test]
async fn c174_an_endpoint_where_nobody_answers_costs_one_round_and_then_rests() {
    let stage = Stage::new().await;
    stage.listen_to_contacts().await;
    stage.sink.always(Reply::Close);
    for number in 0..40 {
        stage.person(&format!("p{number}@example.org")).await;
    }
    stage.drain().await;
    assert_eq!(stage.sink.count(), 16, "one round");
    stage.after(TimeDelta::milliseconds(4_900)).await;
    assert_eq!(stage.sink.count(), 16, "it rests");
    stage.after(TimeDelta::milliseconds(100)).await;
    assert_eq!(stage.sink.count(), 32);
    stage.sink.always(Reply::Status(204));
    stage.after(TimeDelta::seconds(6)).await;
    assert_eq!(stage.sink.count(), 32 + 40, "all at once, for somebody answers");
    assert!(stage.stories().await.iter().all(|story| story.ends_with("delivered")));
}

#[tokio::test]
async fn c174_whoever_changes_or_tests_an_endpoint_ends_its_rest() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    for round in 0..2 {
        stage.sink.then([Reply::Close]);
        stage.person(&format!("a{round}@example.org")).await;
        stage.drain().await;
        stage.person(&format!("b{round}@example.org")).await;
        stage.drain().await;
        let before = stage.sink.count();
        if round == 0 {
            stage.relocate(made.id, "elsewhere").await;
        } else {
            stage.test(made.id).await;
        }
        stage.drain().await;
        assert_eq!(stage.sink.count() - before, 1 + round, "what waited for the rest to be over, and the test");
        stage.after(TimeDelta::hours(1)).await;
    }
}
