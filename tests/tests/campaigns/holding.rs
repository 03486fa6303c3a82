//! Pausing and cancelling: nothing leaves once either is answered.

use std::cell::Cell;

use carillon_domain::campaigns::{self, CampaignDraft};
use carillon_domain::ids::CampaignId;
use carillon_domain::messaging::{self, ContentCache, Lane};
use carillon_domain::tenancy::{PublishCampaigns, SendMessages};
use carillon_entities::wall::TenantTx;
use carillon_tests::access::code;
use chrono::TimeDelta;

use super::setup::Stand;

const MAILS: &str = "SELECT state || ' ' || COALESCE(reason, '') AS line FROM messages";

/// Puts what is queued through the gate; tells how many it lets through.
async fn let_through(stand: &Stand, meanwhile: Option<TenantTx>) -> usize {
    let grant = stand.grant::<SendMessages>(stand.tenant);
    let passes = async {
        let cache = ContentCache::default();
        let claimed = messaging::claim(&grant, stand.ports(), &cache, Lane::Bulk, (10, "w")).await.unwrap();
        assert_eq!(claimed.messages.len(), 1);
        let drafts = claimed.messages.into_iter().map(|one| messaging::prepare(stand.tenant, stand.ports(), one));
        messaging::clear(&grant, stand.ports(), "w", drafts.collect()).await.unwrap().len()
    };
    let Some(first) = meanwhile else { return Box::pin(passes).await };
    let is_over = Cell::new(false);
    let passes = async {
        let through = passes.await;
        is_over.set(true);
        through
    };
    let ends = async {
        stand.until_waiting(|| is_over.get()).await;
        first.commit().await.unwrap();
    };
    Box::pin(async { futures::future::join(passes, ends).await.0 }).await
}

/// Pauses or cancels, and leaves the transaction open.
async fn stopping(stand: &Stand, id: CampaignId, cancels: bool) -> TenantTx {
    let grant = stand.marketer.grant::<PublishCampaigns>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    if cancels {
        campaigns::cancel_campaign(&grant, &mut tx, stand.ports(), id).await.unwrap();
    } else {
        campaigns::pause_campaign(&grant, &mut tx, stand.ports(), id).await.unwrap();
    }
    tx
}

/// Queued before, judged after, and by a gate that was already waiting.
#[tokio::test]
async fn nothing_leaves_once_a_campaign_is_paused_or_cancelled() {
    for (cancels, waits) in [(false, false), (true, false), (false, true), (true, true)] {
        let stand = Stand::new().await;
        stand.people(1).await;
        let id = stand.started(stand.to_all("All")).await;
        stand.until_state(id, "running").await;
        stand.visit().await;
        let tx = stopping(&stand, id, cancels).await;
        let through = if waits {
            let_through(&stand, Some(tx)).await
        } else {
            tx.commit().await.unwrap();
            let_through(&stand, None).await
        };
        assert_eq!(through, 0, "cancels {cancels} waits {waits}");
        let expected = if cancels { "refused campaign_over" } else { "queued campaign_held" };
        assert_eq!(stand.lines(MAILS).await, [expected], "cancels {cancels} waits {waits}");
        stand.advance(TimeDelta::hours(1));
        stand.drain().await;
        assert_eq!(stand.catcher.totals().stored, 0, "cancels {cancels} waits {waits}");
        if !cancels {
            assert_eq!(stand.told(id).await, "queued 1");
            stand.resume(id).await.unwrap();
            stand.finish().await;
            assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 1", "completed"));
        }
    }
}

#[tokio::test]
async fn what_is_held_goes_on_where_it_was() {
    let stand = Stand::in_batches_of(2).await;
    stand.people(5).await;
    let id = stand.started(stand.to_all("All")).await;
    stand.pause(id).await.unwrap();
    stand.drain().await;
    assert_eq!(stand.number("SELECT COUNT(*) AS amount FROM campaign_recipients").await, 0);
    assert_eq!(stand.resume(id).await.unwrap().state.as_str(), "scheduled");
    stand.visit().await;
    stand.visit().await;
    stand.pause(id).await.unwrap();
    stand.drain().await;
    assert_eq!(stand.number("SELECT COUNT(*) AS amount FROM campaign_recipients").await, 2);
    assert_eq!(stand.resume(id).await.unwrap().state.as_str(), "freezing");
    stand.until_state(id, "running").await;
    stand.pause(id).await.unwrap();
    stand.drain().await;
    assert_eq!(stand.told(id).await, "waiting 5");
    assert_eq!(stand.resume(id).await.unwrap().state.as_str(), "running");
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 5", "completed"));
    assert_eq!(code(stand.pause(id).await), "CAMPAIGN_STATE");
    assert_eq!(code(stand.cancel(id).await), "CAMPAIGN_STATE");
}

#[tokio::test]
async fn cancelling_takes_back_what_is_queued_and_what_was_not_released() {
    let stand = Stand::new().await;
    let people = stand.people(4).await;
    let id = stand.started(CampaignDraft { per_hour: Some(120), ..stand.to_all("Slow") }).await;
    stand.until_state(id, "running").await;
    stand.visit().await;
    assert_eq!(stand.told(id).await, "waiting 2, queued 2");
    stand.cancel(id).await.unwrap();
    assert_eq!(stand.cancel(id).await.unwrap().state.as_str(), "cancelled", "once more changes nothing");
    stand.finish().await;
    assert_eq!(stand.told(id).await, "cancelled 4");
    assert_eq!(stand.answer(id, people[0]).await.unwrap().outcome.as_str(), "cancelled");
    assert_eq!(stand.catcher.totals().stored, 0);
    assert_eq!(code(stand.resume(id).await), "CAMPAIGN_STATE");
    assert_eq!(stand.number("SELECT COUNT(*) AS amount FROM campaign_runs WHERE due_at IS NOT NULL").await, 0);
}

/// Neither grows with the audience.
#[tokio::test]
async fn l5_holding_and_ending_cost_the_same_whatever_the_audience() {
    let mut costs = Vec::new();
    for people in [1, 60] {
        let stand = Stand::new().await;
        stand.people(people).await;
        let id = stand.started(stand.to_all("All")).await;
        stand.until_state(id, "running").await;
        stand.visit().await;
        let work = async {
            stand.pause(id).await.unwrap();
            stand.resume(id).await.unwrap();
            stand.cancel(id).await.unwrap();
        };
        costs.push(stand.statements_of(work).await.1);
        stand.finish().await;
    }
    assert_eq!(costs[0], costs[1]);
}
