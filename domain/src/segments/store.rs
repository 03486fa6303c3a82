//! What conditions ask of events.

use std::collections::BTreeMap;

use carillon_entities::ids::ContactId;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, Value, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::Truth;
use super::compile::CompiledCondition;
use super::needs::EventNeed;
use crate::error::Result;
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
    /// Contacts that a condition holds for or may hold for, behind one.
    MATCHING_ROWS(Uuid, BigInt) =
        "SELECT id, truth FROM (SELECT c.id AS id, {condition} AS truth FROM contacts AS c WHERE c.tenant_id = $1 \
            AND c.id > $2 AND c.state <> 'deleted') AS asked WHERE truth IS NOT FALSE ORDER BY id LIMIT $3";
    /// How many contacts a condition holds for, and of how many nobody here can say.
    MATCHING_COUNT() =
        "SELECT COUNT(CASE WHEN truth IS TRUE THEN 1 END) AS sure, COUNT(CASE WHEN truth IS NULL THEN 1 END) AS undecided \
         FROM (SELECT {condition} AS truth FROM contacts AS c WHERE c.tenant_id = $1 AND c.state <> 'deleted') AS asked";
}

#[derive(Debug, FromQueryResult)]
struct Found {
    contact_id: Uuid,
    name: String,
    occurred_at: Timestamp,
}

/// Contacts after one that a condition holds for (yes) or may hold for (unknown), in the order of their ids.
pub(super) async fn matching_rows(
    tx: &mut TenantTx,
    condition: &CompiledCondition,
    after: ContactId,
    limit: i64,
) -> Result<Vec<(ContactId, Truth)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        truth: Option<bool>,
    }
    let args = Args::of([after.0.into(), limit.into()]);
    let rows: Vec<Row> = tx.sql_where(&MATCHING_ROWS, args, condition.fragment())?.all().await?;
    Ok(rows.into_iter().map(|row| (ContactId(row.id), row.truth.map_or(Truth::Unknown, Truth::from))).collect())
}

/// How many contacts a condition holds for, and of how many the database cannot say.
pub(super) async fn matching_count(tx: &mut TenantTx, condition: &CompiledCondition) -> Result<(i64, i64)> {
    #[derive(FromQueryResult)]
    struct Counted {
        sure: i64,
        undecided: i64,
    }
    let counted: Option<Counted> = tx.sql_where(&MATCHING_COUNT, Args::default(), condition.fragment())?.one().await?;
    Ok(counted.map_or((0, 0), |counted| (counted.sure, counted.undecided)))
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
