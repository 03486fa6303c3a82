//! What conditions ask of events.

use std::collections::BTreeMap;

use carillon_entities::ids::ContactId;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, Value, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::needs::EventNeed;
use crate::time::Timestamp;

statements! {
    /// The latest of each event, up to an instant, of contacts. The batch is two lists in one: rows with a contact, and
    /// rows with an event's name, its window's start and how many are wanted.
    EVENTS_LATEST(Time) [contact_id: Uuid, name: Text, since: Time, most: BigInt] =
        "WITH b AS ({batch}) SELECT contact_id, name, occurred_at FROM ( \
            SELECT e.contact_id AS contact_id, w.name AS name, e.occurred_at AS occurred_at, w.most AS most, \
                ROW_NUMBER() OVER (PARTITION BY e.contact_id, e.event_id ORDER BY e.occurred_at DESC) AS nth \
            FROM b AS w JOIN event_definitions AS d ON d.tenant_id = $1 AND d.name = w.name \
            JOIN b AS p ON p.contact_id IS NOT NULL \
            JOIN contact_events AS e ON e.tenant_id = $1 AND e.contact_id = p.contact_id AND e.event_id = d.id \
                AND e.occurred_at >= w.since AND e.occurred_at <= $2) AS numbered \
         WHERE nth <= most ORDER BY contact_id, name, occurred_at";
}

#[derive(Debug, FromQueryResult)]
struct Found {
    contact_id: Uuid,
    name: String,
    occurred_at: Timestamp,
}

/// The latest events of contacts, each contact's in order of time.
pub(super) async fn latest_events(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    events: &BTreeMap<String, EventNeed>,
    now: Timestamp,
) -> Result<Vec<(ContactId, String, Timestamp)>, WallError> {
    let wanted: Vec<Vec<Value>> = events
        .iter()
        .map(|(name, need)| {
            let since = need.within.map_or(Timestamp::UNIX_EPOCH, |window| window.start(now));
            // Nothing is older, and databases have earliest years of their own.
            let since = since.max(Timestamp::UNIX_EPOCH);
            vec![Value::Uuid(None), name.as_str().into(), since.into(), i64::from(need.latest).into()]
        })
        .collect();
    let contact =
        |id: &ContactId| vec![id.0.into(), Value::String(None), Value::ChronoDateTimeUtc(None), Value::BigInt(None)];
    let mut found = Vec::new();
    let room = tx.max_batch(&EVENTS_LATEST).saturating_sub(wanted.len()).max(1);
    for chunk in contacts.chunks(room) {
        let rows = wanted.iter().cloned().chain(chunk.iter().map(contact));
        let args = Args::of([now.into()]).with_batch(rows);
        let rows: Vec<Found> = tx.sql(&EVENTS_LATEST, args)?.all().await?;
        found.extend(rows.into_iter().map(|row| (ContactId(row.contact_id), row.name, row.occurred_at)));
    }
    Ok(found)
}
