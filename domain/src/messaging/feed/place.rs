//! The feed's one writer: gives places to what is committed, and forgets what is old.

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use crate::error::Result;
use crate::messaging::store::{self, FeedEnds};
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

/// So long the order of events is kept: a cursor is good for at least this.
pub const FEED_KEPT: TimeDelta = TimeDelta::days(7);

/// Batches that get their places in one transaction.
const LIMIT: u64 = 1_000;
/// Transactions of one call: others have their turn.
const ROUNDS: usize = 20;
/// How often old batches are looked for once all of them are forgotten, and how many are forgotten at once.
const TIDY_EVERY: TimeDelta = TimeDelta::minutes(1);
const TIDY_LIMIT: u64 = 5_000;

/// Gives places to events that have none; returns how many batches got theirs.
pub async fn place_events(grant: &Grant<SendMessages>, ports: &Ports) -> Result<usize> {
    let mut placed = 0;
    for _ in 0..ROUNDS {
        let round = place_some(grant, ports).await?;
        placed += round;
        if u64::try_from(round).is_ok_and(|round| round < LIMIT) {
            break;
        }
    }
    Ok(placed)
}

async fn place_some(grant: &Grant<SendMessages>, ports: &Ports) -> Result<usize> {
    let mut tx = grant.begin().await?;
    if store::batches_waiting(&mut tx, 1).await?.is_empty() {
        return Ok(0);
    }
    let now = ports.now();
    // Only what is asked after the lock is what the writer before it left.
    let mut ends = store::feed_lock(&mut tx, now).await?;
    let waiting = store::batches_waiting(&mut tx, LIMIT).await?;
    let count = waiting.len();
    let mut batches = Vec::with_capacity(count);
    for batch in waiting {
        ends.last_place += i64::from(batch.size);
        batches.push((batch, ends.last_place));
    }
    store::batches_place(&mut tx, ports, batches, now).await?;
    tidy(&mut tx, ports, &mut ends, now).await?;
    store::feed_move(&mut tx, ends).await?;
    tx.commit().await?;
    Ok(count)
}

/// Forgets the order of what is old; the events themselves stay. What a wrong clock deletes does not come back (C-180).
async fn tidy(tx: &mut TenantTx, ports: &Ports, ends: &mut FeedEnds, now: Timestamp) -> Result<()> {
    if now - ends.tidied_at < TIDY_EVERY || !ports.clock.is_trustworthy() {
        return Ok(());
    }
    let gone = store::batches_forget(tx, now - FEED_KEPT, TIDY_LIMIT).await?;
    if let Some(gone) = gone {
        ends.forgotten = gone.last;
    }
    // Who sends a week's mail in an hour leaves more than that hour would forget a minute at a time.
    if gone.is_none_or(|gone| gone.is_all) {
        ends.tidied_at = now;
    }
    Ok(())
}

/// Notes that somebody used a message's way out. The history is told of it when it gets its place: to unsubscribe must not
/// depend on partitions (C-08).
pub(crate) async fn note_unsubscribed(tx: &mut TenantTx, ports: &Ports, message: MessageId) -> Result<()> {
    store::message_note(tx, ports, (message, "unsubscribed"), ports.now()).await
}
