//! `suppressions`: what is never written to, by keyed hash and without a link to contacts (C-124, C-156).

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::{ConsentEventId, SuppressionId};
use carillon_entities::rows::consent::suppressions;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, WallError};
use sea_orm::Value;
use uuid::Uuid;

use super::{code, hash};
use crate::consent::{Suppression, SuppressionReason};
use crate::keys::{AddressHash, AddressHmac};
use crate::messaging::reply_class::Operator;
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

/// Suppressions that are taken back at once.
const DOUBTED_MAX: u64 = 1_000;

statements! {
    /// Inserts a batch; of one that is there already only the date moves on, so that what the person agreed to between
    /// two withdrawals does not lift the second (C-128).
    SUPPRESSIONS_PUT() [id: Uuid, channel: Text, address_hmac: Bytes, hmac_key_id: Text, scope: Text, reason: Text,
        since: Time, source_event: Uuid, operator_id: Text] =
        "INSERT INTO suppressions (tenant_id, id, channel, address_hmac, hmac_key_id, scope, reason, since, source_event, operator_id) \
         SELECT $1, b.id, b.channel, b.address_hmac, b.hmac_key_id, b.scope, b.reason, b.since, b.source_event, b.operator_id \
         FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, address_hmac, channel, scope, reason) DO UPDATE \
            SET since = excluded.since, source_event = excluded.source_event WHERE suppressions.since < excluded.since";
    /// The suppressions of a batch of addresses.
    SUPPRESSIONS_FIND() [address_hmac: Bytes] =
        "SELECT s.tenant_id, s.id, s.channel, s.address_hmac, s.hmac_key_id, s.scope, s.reason, s.since, s.source_event, s.operator_id \
         FROM ({batch}) AS b JOIN suppressions AS s ON s.tenant_id = $1 AND s.address_hmac = b.address_hmac \
         ORDER BY s.id";
}

/// Writes suppressions, each address, scope and reason once.
pub async fn suppressions_put(tx: &mut TenantTx, new: &[Suppression]) -> Result<(), WallError> {
    put(tx, new.iter().map(|new| (new, None))).await
}

/// The same, each with the operator whose word it rests on (C-53).
pub async fn suppressions_put_for(tx: &mut TenantTx, new: &[(Suppression, Operator)]) -> Result<(), WallError> {
    put(tx, new.iter().map(|(new, operator)| (new, Some(*operator)))).await
}

async fn put(tx: &mut TenantTx, new: impl Iterator<Item = (&Suppression, Option<Operator>)>) -> Result<(), WallError> {
    // Postgres refuses to touch a row twice in one statement.
    let unique: BTreeMap<_, _> =
        new.map(|(new, operator)| ((new.address.hash, new.channel, new.scope, new.reason), (new, operator))).collect();
    let rows: Vec<Vec<Value>> = unique.into_values().map(|(new, operator)| cells(new, operator)).collect();
    for chunk in rows.chunks(tx.max_batch(&SUPPRESSIONS_PUT)) {
        tx.sql(&SUPPRESSIONS_PUT, Args::batch(chunk.iter().cloned()))?.execute().await?;
    }
    Ok(())
}

fn cells(suppression: &Suppression, operator: Option<Operator>) -> Vec<Value> {
    vec![
        suppression.id.0.into(),
        suppression.channel.as_str().into(),
        suppression.address.hash.as_bytes().to_vec().into(),
        suppression.address.key.to_string().into(),
        suppression.scope.to_string().into(),
        suppression.reason.as_str().into(),
        suppression.since.into(),
        suppression.source_event.map(|event| event.0).into(),
        operator.map(Operator::as_str).into(),
    ]
}

/// All suppressions of addresses.
pub async fn suppressions_of(
    tx: &mut TenantTx,
    hashes: impl IntoIterator<Item = AddressHash>,
) -> Result<Vec<Suppression>, WallError> {
    let hashes: BTreeSet<AddressHash> = hashes.into_iter().collect();
    let rows: Vec<Vec<Value>> = hashes.iter().map(|hash| vec![hash.as_bytes().to_vec().into()]).collect();
    let mut found = Vec::new();
    for chunk in rows.chunks(tx.max_batch(&SUPPRESSIONS_FIND)) {
        let query = tx.sql(&SUPPRESSIONS_FIND, Args::batch(chunk.iter().cloned()))?;
        for row in query.all::<suppressions::Model>().await? {
            found.push(suppression(&row)?);
        }
    }
    Ok(found)
}

/// One suppression.
pub async fn suppression_find(tx: &mut TenantTx, id: SuppressionId) -> Result<Option<Suppression>, WallError> {
    tx.select::<suppressions::Entity>()
        .eq(suppressions::Column::Id, id)
        .one()
        .await?
        .as_ref()
        .map(suppression)
        .transpose()
}

/// Suppressions; unknown ids are left out.
pub async fn suppressions_find(tx: &mut TenantTx, ids: &[SuppressionId]) -> Result<Vec<Suppression>, WallError> {
    let rows = tx.select::<suppressions::Entity>().is_in(suppressions::Column::Id, ids.iter().copied()).all().await?;
    rows.iter().map(suppression).collect()
}

/// A page of suppressions in the order they were made.
pub async fn suppressions_page(tx: &mut TenantTx, page: &Page<SuppressionId>) -> Result<Paged<Suppression>, WallError> {
    let rows = page.keyset(tx.select::<suppressions::Entity>(), suppressions::Column::Id).all().await?;
    Ok(page.finish(rows.iter().map(suppression).collect::<Result<Vec<_>, _>>()?))
}

/// Those for missing mailboxes that rest on the word of operators and were made since an instant.
pub async fn suppressions_resting_on(
    tx: &mut TenantTx,
    operators: &[Operator],
    since: Timestamp,
) -> Result<Vec<Suppression>, WallError> {
    use suppressions::Column;
    let select = tx.select::<suppressions::Entity>().eq(Column::Reason, SuppressionReason::HardBounce.as_str());
    let select = select.is_in(Column::OperatorId, operators.iter().map(|operator| operator.as_str()));
    // By the time in their ids: of one that was there before only the date was moved on.
    let rows = select.gte(Column::Id, first_id(since)).limit(DOUBTED_MAX).all().await?;
    rows.iter().map(suppression).collect()
}

/// The least id of an instant.
fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// Takes suppressions away.
pub async fn suppressions_remove(tx: &mut TenantTx, ids: &[SuppressionId]) -> Result<(), WallError> {
    tx.delete::<suppressions::Entity>().is_in(suppressions::Column::Id, ids.iter().copied()).execute().await?;
    Ok(())
}

/// Takes a suppression away.
pub async fn suppression_remove(tx: &mut TenantTx, id: SuppressionId) -> Result<(), WallError> {
    tx.delete::<suppressions::Entity>().eq(suppressions::Column::Id, id).execute().await?;
    Ok(())
}

fn suppression(row: &suppressions::Model) -> Result<Suppression, WallError> {
    Ok(Suppression {
        id: row.id,
        channel: code(&row.channel)?,
        address: AddressHmac { key: code(&row.hmac_key_id)?, hash: hash(&row.address_hmac)? },
        scope: code(&row.scope)?,
        reason: code(&row.reason)?,
        since: row.since,
        source_event: row.source_event.map(ConsentEventId),
    })
}
