//! Reading the feed from a place on.

use carillon_entities::wall::{TenantTx, WallError};

use super::FeedEvent;
use crate::error::{Error, Refusal, Result};
use crate::keys::{FeedCursor, NoCursor};
use crate::messaging::store;
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadMessages};

/// Events of a page at most.
pub const FEED_PAGE_MAX: u32 = 100;

/// Events behind a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// In order; what tells nothing is left out.
    pub events: Vec<FeedEvent>,
    /// The place to go on behind.
    pub end: FeedCursor,
}

/// The feed's end: how many events have a place.
pub async fn feed_end(_: &Grant<ReadMessages>, tx: &mut TenantTx) -> Result<i64> {
    Ok(store::feed_find(tx).await?.0)
}

/// The place that a client's cursor names, or the feed's end without one.
pub async fn feed_after(
    grant: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    after: Option<&str>,
) -> Result<FeedCursor> {
    let (last, forgotten) = store::feed_find(tx).await?;
    let Some(text) = after else {
        return Ok(FeedCursor { place: last, event: store::event_at(tx, last).await? });
    };
    let cursor = FeedCursor::decode(&ports.keys, grant.tenant(), text).map_err(|error| match error {
        NoCursor::Unknown => Error::from(Refusal::new("INVALID_CURSOR", "after", "Not a cursor of this feed.")),
        NoCursor::OtherKey(_) => Error::from(WallError::Unavailable),
    })?;
    let expected = store::event_at(tx, cursor.place).await?;
    // At the very place where what is kept begins nothing is left to compare with, and nothing behind it is gone.
    let is_there = cursor.place == forgotten || expected == cursor.event;
    if cursor.place < forgotten || cursor.place > last || !is_there {
        return Err(expired().into());
    }
    Ok(cursor)
}

/// The events behind a place, at most so many.
pub async fn feed_page(_: &Grant<ReadMessages>, tx: &mut TenantTx, after: FeedCursor, limit: u32) -> Result<FeedPage> {
    let (last, forgotten) = store::feed_find(tx).await?;
    if after.place < forgotten {
        // Who was slower than the feed forgets.
        return Err(expired().into());
    }
    if after.place >= last {
        return Ok(FeedPage { events: Vec::new(), end: after });
    }
    let found = store::events_after(tx, after.place, limit.clamp(1, FEED_PAGE_MAX)).await?;
    // It may have been forgotten since the look above.
    let (entries, end) = found.ok_or_else(expired)?;
    let end = end.map_or(after, |(place, event)| FeedCursor { place, event: Some(event) });
    Ok(FeedPage { events: entries.iter().filter_map(FeedEvent::of).collect(), end })
}

fn expired() -> Refusal {
    let message = "What follows this cursor is no longer kept in order; begin without one, and read the messages for \
        what happened in between.";
    Refusal::new("CURSOR_EXPIRED", "after", message)
}
