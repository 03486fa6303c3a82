//! What conditions ask of events.

use std::collections::BTreeMap;

use carillon_entities::ids::ContactId;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::Truth;
use super::compile::CompiledCondition;
use super::needs::EventNeed;
use crate::error::Result;
use crate::time::Timestamp;

statements! {
    /// The latest of each contact and event asked about, up to an instant and in a window: so many of each.
    EVENTS_LATEST(Time) [contact_id: Uuid, name: Text, since: Time, most: BigInt] =
        "SELECT contact_id, name, occurred_at FROM ( \
            SELECT b.contact_id AS contact_id, b.name AS name, e.occurred_at AS occurred_at, b.most AS most, \
                ROW_NUMBER() OVER (PARTITION BY b.contact_id, b.name ORDER BY e.occurred_at DESC) AS nth \
            FROM ({batch}) AS b JOIN event_definitions AS d ON d.tenant_id = $1 AND d.name = b.name \
            JOIN contact_events AS e ON e.tenant_id = $1 AND e.contact_id = b.contact_id AND e.event_id = d.id \
                AND e.occurred_at >= b.since AND e.occurred_at <= $2) AS numbered \
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
    let wanted: Vec<(&str, Timestamp, i64)> = events
        .iter()
        .map(|(name, need)| {
            let since = need.within.map_or(Timestamp::UNIX_EPOCH, |window| window.start(now));
            // Nothing is older, and databases have earliest years of their own.
            (name.as_str(), since.max(Timestamp::UNIX_EPOCH), i64::from(need.latest))
        })
        .collect();
    let mut found = Vec::new();
    let room = (tx.max_batch(&EVENTS_LATEST) / wanted.len().max(1)).max(1);
    for chunk in contacts.chunks(room) {
        let batch = chunk.iter().flat_map(|contact| {
            wanted
                .iter()
                .map(|(name, since, most)| vec![contact.0.into(), (*name).into(), (*since).into(), (*most).into()])
        });
        let args = Args::of([now.into()]).with_batch(batch);
        let rows: Vec<Found> = tx.sql(&EVENTS_LATEST, args)?.all().await?;
        found.extend(rows.into_iter().map(|row| (ContactId(row.contact_id), row.name, row.occurred_at)));
    }
    Ok(found)
}
