//! `consent_states`: the projection of the ledger (C-152).

use std::collections::BTreeSet;

use carillon_entities::ids::{BrandId, ConsentEventId, TopicId};
use carillon_entities::rows::consent::consent_states;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, WallError};
use chrono::{DateTime, Utc};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{code, hash};
use crate::consent::ConsentState;
use crate::consent::project::{Projected, StateKey};
use crate::keys::AddressHash;

statements! {
    /// The states of a batch of keys.
    STATES_FIND() [address_hmac: Bytes, channel: Text, brand_id: Uuid, topic_id: Uuid] =
        "SELECT s.address_hmac, s.channel, s.brand_id, s.topic_id, s.fold, s.event_id, s.updated_at \
         FROM ({batch}) AS b JOIN consent_states AS s ON s.tenant_id = $1 AND s.address_hmac = b.address_hmac \
            AND s.channel = b.channel AND s.brand_id = b.brand_id AND s.topic_id = b.topic_id";
    /// All states of a batch of addresses.
    STATES_OF() [address_hmac: Bytes] =
        "SELECT s.address_hmac, s.channel, s.brand_id, s.topic_id, s.fold, s.event_id, s.updated_at \
         FROM ({batch}) AS b JOIN consent_states AS s ON s.tenant_id = $1 AND s.address_hmac = b.address_hmac";
    /// Writes the states of a batch over whatever was there.
    STATES_PUT() [address_hmac: Bytes, channel: Text, brand_id: Uuid, topic_id: Uuid, state: Text, fold: Json,
        event_id: Uuid, updated_at: Time] =
        "INSERT INTO consent_states (tenant_id, address_hmac, channel, brand_id, topic_id, state, fold, event_id, updated_at) \
         SELECT $1, b.address_hmac, b.channel, b.brand_id, b.topic_id, b.state, b.fold, b.event_id, b.updated_at \
         FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, address_hmac, channel, brand_id, topic_id) DO UPDATE \
            SET state = excluded.state, fold = excluded.fold, event_id = excluded.event_id, \
                updated_at = excluded.updated_at";
}

#[derive(Debug, FromQueryResult)]
struct Row {
    address_hmac: Vec<u8>,
    channel: String,
    brand_id: Uuid,
    topic_id: Uuid,
    fold: serde_json::Value,
    event_id: Uuid,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn read(self) -> Result<(StateKey, Projected), WallError> {
        let key = StateKey {
            address: hash(&self.address_hmac)?,
            channel: code(&self.channel)?,
            brand: BrandId(self.brand_id),
            topic: TopicId(self.topic_id),
        };
        let state: ConsentState =
            serde_json::from_value(self.fold).map_err(|error| WallError::Row(error.to_string()))?;
        Ok((key, Projected { state, event: ConsentEventId(self.event_id), updated_at: self.updated_at }))
    }
}

/// The states of keys; keys without one are left out.
pub async fn states_find(tx: &mut TenantTx, keys: &[StateKey]) -> Result<Vec<(StateKey, Projected)>, WallError> {
    let mut states = Vec::new();
    for chunk in keys.chunks(tx.max_batch(&STATES_FIND)) {
        let rows: Vec<Row> = tx.sql(&STATES_FIND, Args::batch(chunk.iter().map(cells)))?.all().await?;
        for row in rows {
            states.push(row.read()?);
        }
    }
    Ok(states)
}

/// All states of addresses.
pub async fn states_of(
    tx: &mut TenantTx,
    hashes: impl IntoIterator<Item = AddressHash>,
) -> Result<Vec<(StateKey, Projected)>, WallError> {
    let hashes: BTreeSet<AddressHash> = hashes.into_iter().collect();
    let rows: Vec<Vec<sea_orm::Value>> = hashes.iter().map(|hash| vec![hash.as_bytes().to_vec().into()]).collect();
    let mut states = Vec::new();
    for chunk in rows.chunks(tx.max_batch(&STATES_OF)) {
        let found: Vec<Row> = tx.sql(&STATES_OF, Args::batch(chunk.iter().cloned()))?.all().await?;
        for row in found {
            states.push(row.read()?);
        }
    }
    Ok(states)
}

/// Writes states, each key once.
pub async fn states_put<'a>(
    tx: &mut TenantTx,
    states: impl IntoIterator<Item = (&'a StateKey, &'a Projected)>,
) -> Result<(), WallError> {
    let rows = states.into_iter().map(|(key, projected)| {
        let mut row = cells(key);
        row.push(projected.state.standing().status.as_str().into());
        row.push(serde_json::to_value(projected.state).map_err(|error| WallError::Row(error.to_string()))?.into());
        row.push(projected.event.0.into());
        row.push(projected.updated_at.into());
        Ok(row)
    });
    let rows = rows.collect::<Result<Vec<_>, WallError>>()?;
    for chunk in rows.chunks(tx.max_batch(&STATES_PUT)) {
        tx.sql(&STATES_PUT, Args::batch(chunk.iter().cloned()))?.execute().await?;
    }
    Ok(())
}

/// Drops the states of addresses, to be rebuilt.
pub async fn states_drop(tx: &mut TenantTx, hashes: impl IntoIterator<Item = AddressHash>) -> Result<(), WallError> {
    let hashes = hashes.into_iter().map(|hash| hash.as_bytes().to_vec());
    tx.delete::<consent_states::Entity>().is_in(consent_states::Column::AddressHmac, hashes).execute().await?;
    Ok(())
}

fn cells(key: &StateKey) -> Vec<sea_orm::Value> {
    vec![key.address.as_bytes().to_vec().into(), key.channel.as_str().into(), key.brand.0.into(), key.topic.0.into()]
}
