//! Telling again, by delivery or by time: the events keep their ids.

use carillon_domain::error::Result;
use carillon_domain::time::Timestamp;
use carillon_domain::webhooks::{self, Replay, ReplayOf};
use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId};
use carillon_tests::access::code;
use carillon_tests::sink::Reply;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::setup::Stage;

async fn replay(stage: &Stage, endpoint: WebhookEndpointId, of: ReplayOf) -> Result<usize> {
    let grant = stage.administers();
    let mut tx = grant.begin().await?;
    let count = webhooks::replay(&grant, &mut tx, stage.ports(), &Replay { endpoint, of }).await?;
    tx.commit().await?;
    Ok(count)
}

fn span(from: Timestamp, until: Timestamp, undelivered_only: bool) -> ReplayOf {
    ReplayOf::Span { from, until, undelivered_only }
}

#[tokio::test]
async fn c188_a_delivery_is_told_again_under_the_id_of_its_event() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.person("ada@example.org").await;
    let id = stage.deliveries().await[0].id;
    assert_eq!(replay(&stage, made.id, ReplayOf::Deliveries(vec![id])).await.unwrap(), 0, "it is on its way");
    stage.drain().await;
    stage.advance(TimeDelta::hours(1));
    assert_eq!(replay(&stage, made.id, ReplayOf::Deliveries(vec![id, id])).await.unwrap(), 1);
    assert_eq!(
        replay(&stage, made.id, ReplayOf::Deliveries(vec![id])).await.unwrap(),
        0,
        "on its way by the first replay"
    );
    stage.drain().await;
    let received = stage.sink.received();
    assert_eq!((received.len(), received[0].id(), &received[0].body), (2, received[1].id(), &received[1].body));
    assert_eq!(stage.stories().await, ["delivered delivered", "delivered delivered"]);
}

#[tokio::test]
async fn c188_a_span_is_told_again_and_can_leave_out_what_was_taken() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    let began = stage.ports().now();
    stage.person("ada@example.org").await;
    stage.drain().await;
    stage.enable(made.id, false).await;
    stage.advance(TimeDelta::hours(1));
    let middle = stage.ports().now();
    stage.person("bob@example.org").await;
    stage.person("cyd@example.org").await;
    stage.advance(TimeDelta::hours(1));
    let end = stage.ports().now();
    let refused = replay(&stage, made.id, span(began, end, true)).await;
    assert_eq!(code(refused), "ENDPOINT_DISABLED");
    stage.enable(made.id, true).await;
    assert_eq!(replay(&stage, made.id, span(end, end + TimeDelta::days(1), false)).await.unwrap(), 0);
    assert_eq!(replay(&stage, made.id, span(began, middle, true)).await.unwrap(), 0, "that was taken");
    assert_eq!(replay(&stage, made.id, span(began, end, true)).await.unwrap(), 2);
    assert_eq!(replay(&stage, made.id, span(began, end, true)).await.unwrap(), 0, "they are on their way");
    stage.drain().await;
    assert_eq!(replay(&stage, made.id, span(began, end, false)).await.unwrap(), 3);
    stage.drain().await;
    let mut ids: Vec<String> = stage.sink.received().iter().map(|one| one.id().to_owned()).collect();
    assert_eq!(ids.len(), 1 + 2 + 3);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "three events, however often they were told");
}

#[tokio::test]
async fn c188_what_has_failed_for_good_begins_anew() {
    let stage = Stage::new().await;
    let made = stage.listen_to_contacts().await;
    stage.sink.always(Reply::Status(404));
    stage.person("ada@example.org").await;
    for _ in 0..8 {
        stage.after(TimeDelta::hours(12)).await;
    }
    let failed = stage.deliveries().await.remove(0);
    assert_eq!((failed.state.as_str(), failed.attempts), ("failed", 8));
    stage.sink.always(Reply::Status(200));
    assert_eq!(replay(&stage, made.id, ReplayOf::Deliveries(vec![failed.id])).await.unwrap(), 1);
    stage.drain().await;
    assert_eq!(stage.stories().await[1], "delivered delivered");
}

#[tokio::test]
async fn c204_another_endpoints_delivery_is_the_delivery_of_nothing() {
    let stage = Stage::new().await;
    let (one, two) = (stage.listen_to_contacts().await, stage.listen_to_contacts().await);
    stage.person("ada@example.org").await;
    stage.drain().await;
    let of_one = stage.deliveries().await.into_iter().find(|delivery| delivery.endpoint == one.id).unwrap().id;
    let missing = WebhookDeliveryId(Uuid::from_u128(7));
    for ids in [vec![of_one], vec![missing]] {
        assert_eq!(code(replay(&stage, two.id, ReplayOf::Deliveries(ids)).await), "NOT_FOUND");
    }
    assert_eq!(code(replay(&stage, two.id, ReplayOf::Deliveries(Vec::new())).await), "BAD_COUNT");
}
