//! The history's rows, and the batches by which they are told in order.

use std::collections::BTreeMap;

use carillon_entities::ids::{MessageEventId, MessageId};
use carillon_entities::rows::messaging::{message_batches, message_events, message_feeds};
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use carillon_entities::{seeded_bugs, statements};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{FromQueryResult, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::time::Timestamp;

/// Events of one batch at most: their ids share all bits above.
const BATCH_MAX: usize = 1 << 16;

statements! {
    /// Gives batches their places.
    FEED_PLACE(Time) [first_id: Uuid, last_place: BigInt] =
        "WITH placed AS ({batch}) UPDATE message_batches SET last_place = placed.last_place, placed_at = $2 FROM placed \
         WHERE message_batches.tenant_id = $1 AND message_batches.first_id = placed.first_id \
         AND message_batches.last_place IS NULL";
    /// The events of batches, or of parts of them.
    FEED_EVENTS() [first_id: Uuid, last_id: Uuid] =
        "SELECT e.id, e.message_id, e.kind, e.detail, e.at FROM ({batch}) AS b JOIN message_events e \
         ON e.tenant_id = $1 AND e.id >= b.first_id AND e.id <= b.last_id ORDER BY e.id";
}

/// What happened to a message, its kind, and what is to be known about it.
pub(in crate::messaging) type MessageEvent = (MessageId, &'static str, Json);

/// The ids of a batch, in the order in which its events are told.
fn ids_from(first: MessageEventId) -> impl Iterator<Item = MessageEventId> {
    (first.0.as_u128()..).map(|id| MessageEventId(Uuid::from_u128(id)))
}

/// The id of a batch's event, by how many stand before it.
fn id_at(first: MessageEventId, before: i64) -> MessageEventId {
    MessageEventId(Uuid::from_u128(first.0.as_u128() + u128::try_from(before).unwrap_or(0)))
}

/// Where a batch begins: the low bits of the id count its events.
fn first_id(ports: &Ports) -> MessageEventId {
    let id: Uuid = ports.new_id();
    MessageEventId(Uuid::from_u128(id.as_u128() & !0xffff))
}

/// Appends to the messages' history, as one batch of the feed. It has no place yet: whoever commits later may have begun
/// earlier, so places are given to what is committed ([`batches_place`]).
pub(in crate::messaging) async fn message_events_append(
    tx: &mut TenantTx,
    ports: &Ports,
    events: impl IntoIterator<Item = MessageEvent>,
    now: Timestamp,
) -> Result<()> {
    let mut left: Vec<MessageEvent> = events.into_iter().collect();
    while !left.is_empty() {
        let rest = left.split_off(left.len().min(BATCH_MAX));
        let first = first_id(ports);
        let event = |((message, kind, detail), id)| event_row(id, message, (kind, detail), now);
        let rows: Vec<_> = left.into_iter().zip(ids_from(first)).map(event).collect();
        let size = i32::try_from(rows.len()).map_err(Error::fault)?;
        tx.insert_many(rows, OnConflict::Fail).await?;
        batch_insert(tx, (first, size), None, now).await?;
        left = rest;
    }
    Ok(())
}

/// Notes an event, which is appended to the history when it gets its place.
pub(in crate::messaging) async fn message_note(
    tx: &mut TenantTx,
    ports: &Ports,
    (message, kind): (MessageId, &'static str),
    now: Timestamp,
) -> Result<()> {
    batch_insert(tx, (first_id(ports), 1), Some((message, kind)), now).await
}

async fn batch_insert(
    tx: &mut TenantTx,
    (first, size): (MessageEventId, i32),
    note: Option<(MessageId, &'static str)>,
    now: Timestamp,
) -> Result<()> {
    let batch = message_batches::ActiveModel {
        tenant_id: NotSet,
        first_id: Set(first),
        size: Set(size),
        message_id: Set(note.map(|(message, _)| message)),
        kind: Set(note.map(|(_, kind)| kind.to_owned())),
        made_at: Set(now),
        last_place: Set(None),
        placed_at: Set(None),
    };
    Ok(tx.insert(batch).await?)
}

fn event_row(
    id: MessageEventId,
    message: MessageId,
    (kind, detail): (&str, Json),
    at: Timestamp,
) -> message_events::ActiveModel {
    message_events::ActiveModel {
        tenant_id: NotSet,
        id: Set(id),
        message_id: Set(message),
        kind: Set(kind.to_owned()),
        detail: Set(detail),
        at: Set(at),
    }
}

/// The end of a feed, and how much of its beginning is gone.
#[derive(Debug, Clone, Copy)]
pub(in crate::messaging) struct FeedEnds {
    pub last_place: i64,
    pub forgotten: i64,
    pub tidied_at: Timestamp,
}

/// The ends of a feed, locked for its writer until the transaction is over; the first to write makes it.
pub(in crate::messaging) async fn feed_lock(tx: &mut TenantTx, now: Timestamp) -> Result<FeedEnds> {
    let row =
        message_feeds::ActiveModel { tenant_id: NotSet, last_place: Set(0), forgotten: Set(0), tidied_at: Set(now) };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    let row = tx.select::<message_feeds::Entity>().for_update().one().await?;
    let row = row.ok_or_else(|| Error::fault("the tenant has no feed"))?;
    Ok(FeedEnds { last_place: row.last_place, forgotten: row.forgotten, tidied_at: row.tidied_at })
}

/// The ends of a feed as they are.
pub(in crate::messaging) async fn feed_find(tx: &mut TenantTx) -> Result<(i64, i64)> {
    let row = tx.select::<message_feeds::Entity>().one().await?;
    Ok(row.map_or((0, 0), |row| (row.last_place, row.forgotten)))
}

pub(in crate::messaging) async fn feed_move(tx: &mut TenantTx, ends: FeedEnds) -> Result<()> {
    use message_feeds::Column;
    let update = tx.update::<message_feeds::Entity>().set(Column::LastPlace, ends.last_place);
    update.set(Column::Forgotten, ends.forgotten).set(Column::TidiedAt, ends.tidied_at).execute().await?;
    Ok(())
}

/// A batch without a place.
#[derive(Debug)]
pub(in crate::messaging) struct WaitingBatch {
    pub first_id: MessageEventId,
    pub size: i32,
    pub note: Option<(MessageId, String)>,
    pub made_at: Timestamp,
}

/// Batches that wait for a place, the oldest first.
pub(in crate::messaging) async fn batches_waiting(tx: &mut TenantTx, limit: u64) -> Result<Vec<WaitingBatch>> {
    use message_batches::Column;
    let select = tx.select::<message_batches::Entity>().is_null(Column::LastPlace).order_by(Column::FirstId);
    let rows = select.limit(limit).all().await?;
    let waiting = |row: message_batches::Model| WaitingBatch {
        first_id: row.first_id,
        size: row.size,
        note: row.message_id.zip(row.kind),
        made_at: row.made_at,
    };
    Ok(rows.into_iter().map(waiting).collect())
}

/// Gives batches their places, and appends what was noted.
pub(in crate::messaging) async fn batches_place(
    tx: &mut TenantTx,
    ports: &Ports,
    batches: Vec<(WaitingBatch, i64)>,
    now: Timestamp,
) -> Result<()> {
    let mut places = Vec::with_capacity(batches.len());
    let mut noted = Vec::new();
    for (batch, last) in batches {
        match batch.note {
            Some(note) => noted.push((batch.first_id, note, batch.made_at, last)),
            None => places.push((batch.first_id, last)),
        }
    }
    notes_append(tx, ports, noted, now).await?;
    for chunk in places.chunks(tx.max_batch(&FEED_PLACE)) {
        let batch = chunk.iter().map(|(first, last)| vec![Value::from(*first), (*last).into()]);
        tx.sql(&FEED_PLACE, Args::of([now.into()]).with_batch(batch))?.execute().await?;
    }
    Ok(())
}

/// A note: its batch, what was noted and when, and the place it gets.
type Noted = (MessageEventId, (MessageId, String), Timestamp, i64);

/// Appends what was noted, under ids of now. There may never be a partition for the time of the note itself, and then
/// nothing that comes after it would ever have its place.
async fn notes_append(tx: &mut TenantTx, ports: &Ports, noted: Vec<Noted>, now: Timestamp) -> Result<()> {
    use message_batches::Column;
    if noted.is_empty() {
        return Ok(());
    }
    let waiting = noted.iter().map(|(first, ..)| *first);
    tx.delete::<message_batches::Entity>().is_in(Column::FirstId, waiting).execute().await?;
    let (mut events, mut batches) = (Vec::with_capacity(noted.len()), Vec::with_capacity(noted.len()));
    for (_, (message, kind), made_at, last) in noted {
        let id = first_id(ports);
        events.push(event_row(id, message, (&kind, json!({})), made_at));
        batches.push(message_batches::ActiveModel {
            tenant_id: NotSet,
            first_id: Set(id),
            size: Set(1),
            message_id: Set(Some(message)),
            kind: Set(Some(kind)),
            made_at: Set(made_at),
            last_place: Set(Some(last)),
            placed_at: Set(Some(now)),
        });
    }
    tx.insert_many(events, OnConflict::Fail).await?;
    tx.insert_many(batches, OnConflict::Fail).await?;
    Ok(())
}

/// A batch that has its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::messaging) struct PlacedBatch {
    first_id: MessageEventId,
    size: i32,
    last_place: i64,
    placed_at: Timestamp,
}

impl PlacedBatch {
    fn of(row: &message_batches::Model) -> Option<Self> {
        let (first_id, size) = (row.first_id, row.size);
        Some(Self { first_id, size, last_place: row.last_place?, placed_at: row.placed_at? })
    }

    /// The place before its first event.
    fn before(&self) -> i64 {
        self.last_place - i64::from(self.size)
    }

    /// The event at a place, if it is one of its own.
    fn event_at(&self, place: i64) -> Option<MessageEventId> {
        let is_within = self.before() < place && place <= self.last_place;
        is_within.then(|| id_at(self.first_id, place - self.before() - 1))
    }
}

/// The event at a place of the feed; none where it was forgotten, or never was.
pub(in crate::messaging) async fn event_at(tx: &mut TenantTx, place: i64) -> Result<Option<MessageEventId>> {
    Ok(batches_from(tx, place, 1).await?.first().and_then(|batch| batch.event_at(place)))
}

/// Batches that reach a place or lie behind it, in order.
async fn batches_from(tx: &mut TenantTx, place: i64, limit: u64) -> Result<Vec<PlacedBatch>> {
    use message_batches::Column;
    let select = tx.select::<message_batches::Entity>().gte(Column::LastPlace, place).order_by(Column::LastPlace);
    Ok(select.limit(limit).all().await?.iter().filter_map(PlacedBatch::of).collect())
}

/// An event with its place.
#[derive(Debug)]
pub(in crate::messaging) struct PlacedEvent {
    pub place: i64,
    pub id: MessageEventId,
    pub message: MessageId,
    pub kind: String,
    pub detail: Json,
    pub at: Timestamp,
}

#[derive(FromQueryResult)]
struct EventRow {
    id: MessageEventId,
    message_id: MessageId,
    kind: String,
    detail: Json,
    at: Timestamp,
}

/// Events in their order, and where they end: there may be less to tell than was read, for the history may have been
/// shortened since.
pub(in crate::messaging) type EventsAfter = (Vec<PlacedEvent>, Option<(i64, MessageEventId)>);

/// The events behind a place, at most so many; none at all where the next of them is forgotten.
pub(in crate::messaging) async fn events_after(
    tx: &mut TenantTx,
    after: i64,
    limit: u32,
) -> Result<Option<EventsAfter>> {
    let mut batches = batches_from(tx, after.saturating_add(1), u64::from(limit)).await?;
    if batches.first().is_some_and(|next| next.before() > after) {
        return Ok(None);
    }
    if seeded_bugs::on("feed_resumes_from_highest_id") {
        let seen = event_at(tx, after).await?;
        batches.retain(|batch| seen.is_none_or(|seen| batch.event_at(after).is_some() || batch.first_id > seen));
    }
    let (mut end, mut left) = (None, i64::from(limit));
    let (mut parts, mut starts) = (Vec::new(), BTreeMap::new());
    for batch in batches {
        if left == 0 {
            break;
        }
        // A part of the first may have been told, and the last may be more than there is room for.
        let start = batch.before() + 1;
        let from = start.max(after + 1);
        let to = batch.last_place.min(from + left - 1);
        let (first, last) = (id_at(batch.first_id, from - start), id_at(batch.first_id, to - start));
        parts.push(vec![Value::from(first), Value::from(last)]);
        starts.insert(batch.first_id, start);
        left -= to - from + 1;
        end = Some((to, last));
    }
    if parts.is_empty() {
        return Ok(Some((Vec::new(), end)));
    }
    let rows: Vec<EventRow> = tx.sql(&FEED_EVENTS, Args::batch(parts))?.all().await?;
    let mut events: Vec<PlacedEvent> = rows.into_iter().filter_map(|row| placed(row, &starts)).collect();
    events.sort_by_key(|event| event.place);
    Ok(Some((events, end)))
}

/// An event's place, by the batch it is of: the one that begins last before it.
fn placed(row: EventRow, starts: &BTreeMap<MessageEventId, i64>) -> Option<PlacedEvent> {
    let (first, start) = starts.range(..=row.id).next_back()?;
    let offset = i64::try_from(row.id.0.as_u128() - first.0.as_u128()).ok()?;
    let (id, message, at) = (row.id, row.message_id, row.at);
    Some(PlacedEvent { place: start + offset, id, message, kind: row.kind, detail: row.detail, at })
}

/// What was forgotten of a feed's beginning.
#[derive(Debug, Clone, Copy)]
pub(in crate::messaging) struct Forgotten {
    /// The last place that is gone.
    pub last: i64,
    /// Nothing else was that old.
    pub is_all: bool,
}

/// Forgets batches that got their place before an instant, at most so many, from the beginning on; none where none is that
/// old.
pub(in crate::messaging) async fn batches_forget(
    tx: &mut TenantTx,
    before: Timestamp,
    limit: u64,
) -> Result<Option<Forgotten>> {
    use message_batches::Column;
    let is_old = |batch: &PlacedBatch| batch.placed_at < before;
    // Most of the time none is, and one batch tells.
    if !batches_from(tx, 0, 1).await?.first().is_some_and(is_old) {
        return Ok(None);
    }
    let oldest = batches_from(tx, 0, limit).await?;
    let old = oldest.iter().copied().take_while(is_old);
    let Some(last) = old.last().map(|batch| batch.last_place) else { return Ok(None) };
    let gone = tx.delete::<message_batches::Entity>().lt(Column::LastPlace, last + 1).execute().await?;
    Ok(Some(Forgotten { last, is_all: gone < limit }))
}
