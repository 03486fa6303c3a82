//! `endpoints`: one row per address ever seen, and the lock that sends and unsubscribes share (L3, C-175).
//!
//! Whoever changes what may be sent to an address first passes [`endpoints_lock_for_change`]; whoever sends holds
//! [`endpoints_lock_for_send`] from before reading the facts until the decision is committed. Both take the rows in the
//! order of their hashes, so they wait for each other and never deadlock.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::SubjectId;
use carillon_entities::wall::{Args, TenantTx, WallError};
use carillon_entities::{seeded_bugs, statements};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::hash;
use crate::consent::{Channel, Recipient};
use crate::error::Error;
use crate::keys::{AddressHash, AddressHmac, KeyId};
use crate::ports::Ports;
use crate::time::Timestamp;

statements! {
    /// Makes what is missing of the batch; what is there stays as it is, unlocked.
    ENDPOINT_ENSURE(Time) [address_hmac: Bytes, channel: Text, hmac_key_id: Text, subject_ref: Uuid] =
        "INSERT INTO endpoints (tenant_id, address_hmac, channel, hmac_key_id, subject_ref, hard_bounces, soft_bounces, \
            consent_version, created_at, updated_at) \
         SELECT $1, b.address_hmac, b.channel, b.hmac_key_id, b.subject_ref, 0, 0, 0, $2, $2 \
         FROM ({batch}) AS b WHERE true ORDER BY b.address_hmac, b.channel \
         ON CONFLICT (tenant_id, address_hmac, channel) DO NOTHING";
    /// Makes what is missing of the batch and locks all of it, one row after the other in the order of the hashes.
    ENDPOINT_CHANGE(Time) [address_hmac: Bytes, channel: Text, hmac_key_id: Text, subject_ref: Uuid] =
        "INSERT INTO endpoints (tenant_id, address_hmac, channel, hmac_key_id, subject_ref, hard_bounces, soft_bounces, \
            consent_version, created_at, updated_at) \
         SELECT $1, b.address_hmac, b.channel, b.hmac_key_id, b.subject_ref, 0, 0, 1, $2, $2 \
         FROM ({batch}) AS b WHERE true ORDER BY b.address_hmac, b.channel \
         ON CONFLICT (tenant_id, address_hmac, channel) DO UPDATE \
            SET consent_version = endpoints.consent_version + 1, updated_at = excluded.updated_at \
         RETURNING address_hmac, channel, hmac_key_id, subject_ref, consent_version, hard_bounces, soft_bounces";
    /// Locks what there is of the batch against changes, in the order of the hashes.
    ENDPOINT_SHARE() [address_hmac: Bytes, channel: Text] =
        "SELECT address_hmac, channel, hmac_key_id, subject_ref, consent_version, hard_bounces, soft_bounces \
         FROM endpoints WHERE tenant_id = $1 \
         AND (address_hmac, channel) IN (SELECT b.address_hmac, b.channel FROM ({batch}) AS b) \
         ORDER BY address_hmac, channel {for_share}";
    /// Which of the hashes are known, without a lock.
    ENDPOINT_KNOWN() [address_hmac: Bytes, channel: Text] =
        "SELECT address_hmac, channel, hmac_key_id, subject_ref, consent_version, hard_bounces, soft_bounces \
         FROM endpoints WHERE tenant_id = $1 \
         AND (address_hmac, channel) IN (SELECT b.address_hmac, b.channel FROM ({batch}) AS b)";
    /// A page of all endpoints in the order of their hashes, locked against changes.
    ENDPOINT_PAGE(Bytes, BigInt) =
        "SELECT address_hmac, channel, hmac_key_id, subject_ref, consent_version, hard_bounces, soft_bounces \
         FROM endpoints WHERE tenant_id = $1 AND address_hmac > $2 ORDER BY address_hmac, channel LIMIT $3 {for_update}";
    /// The keys that hashes of addresses are kept under.
    ENDPOINT_KEYS() = "SELECT DISTINCT hmac_key_id FROM endpoints WHERE tenant_id = $1";
    /// Counts a hard bounce of each.
    ENDPOINT_BOUNCED() [address_hmac: Bytes, channel: Text] =
        "UPDATE endpoints SET hard_bounces = hard_bounces + 1 WHERE tenant_id = $1 \
         AND (address_hmac, channel) IN (SELECT b.address_hmac, b.channel FROM ({batch}) AS b)";
    /// Counts a failure of mailboxes that are there, of each at most one in a day (C-52); returns what there is of each now.
    ENDPOINT_SOFT(Time, Time) [address_hmac: Bytes, channel: Text] =
        "UPDATE endpoints SET soft_bounces = soft_bounces + 1, soft_since = COALESCE(soft_since, $2), soft_last_at = $2 \
         WHERE tenant_id = $1 AND (soft_last_at IS NULL OR soft_last_at <= $3) \
         AND (address_hmac, channel) IN (SELECT b.address_hmac, b.channel FROM ({batch}) AS b) \
         RETURNING address_hmac, channel, soft_bounces, soft_since";
    /// Begins to count anew, with this failure as the first.
    ENDPOINT_SOFT_AGAIN(Time) [address_hmac: Bytes, channel: Text] =
        "UPDATE endpoints SET soft_bounces = 1, soft_since = $2, soft_last_at = $2 WHERE tenant_id = $1 \
         AND (address_hmac, channel) IN (SELECT b.address_hmac, b.channel FROM ({batch}) AS b)";
    /// Gives endpoints another subject: what comes after an erasure is not tied to what was before.
    ENDPOINT_SUBJECT(Time) [address_hmac: Bytes, channel: Text, subject_ref: Uuid] =
        "WITH b AS ({batch}) UPDATE endpoints SET subject_ref = b.subject_ref, updated_at = $2 FROM b \
         WHERE endpoints.tenant_id = $1 AND endpoints.address_hmac = b.address_hmac AND endpoints.channel = b.channel";
}

/// A row of `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, as a hash and the key that made it.
    pub address: AddressHmac,
    /// The channel.
    pub channel: Channel,
    /// The random name of whoever is reached there; keys of personal data hang on it (C-151).
    pub subject: SubjectId,
    /// Grows with every change of consent or suppression; 1 after the first.
    pub consent_version: i64,
    /// Hard bounces since the last delivery.
    pub hard_bounces: i32,
    /// Soft bounces since the last delivery.
    pub soft_bounces: i32,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    address_hmac: Vec<u8>,
    channel: String,
    hmac_key_id: String,
    subject_ref: Uuid,
    consent_version: i64,
    hard_bounces: i32,
    soft_bounces: i32,
}

impl TryFrom<Row> for Endpoint {
    type Error = WallError;
    fn try_from(row: Row) -> Result<Self, WallError> {
        Ok(Self {
            address: AddressHmac { key: super::code(&row.hmac_key_id)?, hash: hash(&row.address_hmac)? },
            channel: super::code(&row.channel)?,
            subject: SubjectId(row.subject_ref),
            consent_version: row.consent_version,
            hard_bounces: row.hard_bounces,
            soft_bounces: row.soft_bounces,
        })
    }
}

/// The key of an endpoint; its order is the lock order.
pub type EndpointKey = (AddressHash, Channel);

/// Endpoints by their keys.
pub type Endpoints = BTreeMap<EndpointKey, Endpoint>;

/// Makes endpoints for addresses that are seen for the first time; locks nothing that is there.
pub async fn endpoints_ensure(
    tx: &mut TenantTx,
    ports: &Ports,
    addresses: &[(AddressHmac, Channel)],
) -> Result<(), WallError> {
    for chunk in batches(tx.max_batch(&ENDPOINT_ENSURE), ports, addresses) {
        let args = Args::of([ports.now().into()]).with_batch(chunk);
        tx.sql(&ENDPOINT_ENSURE, args)?.execute().await?;
    }
    Ok(())
}

/// Locks the endpoints of addresses for a change of consent or suppression, making those that are missing.
///
/// To be called before the change is written, in the same transaction, with all addresses at once: a send that was
/// decided before commits first, one decided after sees the change (C-175).
pub async fn endpoints_lock_for_change(
    tx: &mut TenantTx,
    ports: &Ports,
    addresses: &[(AddressHmac, Channel)],
) -> Result<Endpoints, WallError> {
    let mut endpoints = Endpoints::new();
    if seeded_bugs::on("unsubscribe_without_lock") {
        return endpoints_without_lock(tx, ports, addresses).await;
    }
    for chunk in batches(tx.max_batch(&ENDPOINT_CHANGE), ports, addresses) {
        let args = Args::of([ports.now().into()]).with_batch(chunk);
        endpoints.extend(keyed(tx.sql(&ENDPOINT_CHANGE, args)?.all().await?)?);
    }
    Ok(endpoints)
}

/// A seeded bug: reads what ought to be locked.
async fn endpoints_without_lock(
    tx: &mut TenantTx,
    ports: &Ports,
    addresses: &[(AddressHmac, Channel)],
) -> Result<Endpoints, WallError> {
    endpoints_ensure(tx, ports, addresses).await?;
    let rows = addresses.iter().map(|(address, channel)| key_cells(&(address.hash, *channel)));
    let found = keyed(tx.sql(&ENDPOINT_KNOWN, Args::batch(rows))?.all().await?)?;
    Ok(found.into_iter().map(|(key, endpoint)| (key, Endpoint { consent_version: i64::MAX, ..endpoint })).collect())
}

/// Locks the endpoints of addresses against changes until the transaction ends, for the gate; addresses never seen
/// are left out.
pub async fn endpoints_lock_for_send(
    tx: &mut TenantTx,
    addresses: impl IntoIterator<Item = EndpointKey>,
) -> Result<Endpoints, WallError> {
    let keys: BTreeSet<EndpointKey> = addresses.into_iter().collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let mut endpoints = Endpoints::new();
    for chunk in keys.chunks(tx.max_batch(&ENDPOINT_SHARE)) {
        let args = Args::batch(chunk.iter().map(key_cells));
        endpoints.extend(keyed(tx.sql(&ENDPOINT_SHARE, args)?.all().await?)?);
    }
    Ok(endpoints)
}

/// The hash each recipient's rows are kept under: the one their endpoint has if they were ever seen, under whatever
/// key, else the active one. So a rotation of keys splits nobody's history (C-157).
pub async fn endpoints_resolve(tx: &mut TenantTx, recipients: &[Recipient]) -> Result<Vec<AddressHmac>, WallError> {
    // With one live key there is nothing to choose from.
    let known = if recipients.iter().any(|recipient| recipient.hashes().len() > 1) {
        endpoints_known(tx, recipients).await?.into_iter().collect()
    } else {
        BTreeSet::new()
    };
    let oldest = |recipient: &Recipient| {
        let mut hashes = recipient.hashes().iter().rev();
        hashes.find(|hmac| known.contains(&(**hmac, recipient.channel()))).copied()
    };
    Ok(recipients.iter().map(|recipient| oldest(recipient).unwrap_or_else(|| recipient.active())).collect())
}

/// The hash that a recipient's rows are kept under, whose endpoint is among those that were locked.
pub(crate) fn locked_address(endpoints: &Endpoints, recipient: &Recipient) -> Result<AddressHmac, Error> {
    let endpoint = recipient.keys().find_map(|key| endpoints.get(&key));
    endpoint.map(|endpoint| endpoint.address).ok_or_else(|| Error::fault("an endpoint was not locked"))
}

/// The endpoints that exist of recipients, under whatever key, without a lock.
pub async fn endpoints_known(
    tx: &mut TenantTx,
    recipients: &[Recipient],
) -> Result<Vec<(AddressHmac, Channel)>, WallError> {
    let keys: BTreeSet<EndpointKey> = recipients.iter().flat_map(Recipient::keys).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let mut known = Vec::new();
    for chunk in keys.chunks(tx.max_batch(&ENDPOINT_KNOWN)) {
        let args = Args::batch(chunk.iter().map(key_cells));
        for row in tx.sql(&ENDPOINT_KNOWN, args)?.all::<Row>().await? {
            let endpoint = Endpoint::try_from(row)?;
            known.push((endpoint.address, endpoint.channel));
        }
    }
    Ok(known)
}

/// The endpoints after a hash, locked against changes.
pub(in crate::consent) async fn endpoints_page(
    tx: &mut TenantTx,
    after: Option<AddressHash>,
    limit: i64,
) -> Result<Vec<Endpoint>, WallError> {
    let after = after.map_or_else(Vec::new, |hash| hash.as_bytes().to_vec());
    let rows: Vec<Row> = tx.sql(&ENDPOINT_PAGE, Args::of([after.into(), limit.into()]))?.all().await?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// The keys that a tenant's addresses are kept under.
pub async fn endpoints_keys(tx: &mut TenantTx) -> Result<Vec<KeyId>, WallError> {
    #[derive(FromQueryResult)]
    struct KeyRow {
        hmac_key_id: String,
    }
    let rows: Vec<KeyRow> = tx.sql(&ENDPOINT_KEYS, Args::of([]))?.all().await?;
    rows.into_iter().map(|row| super::code(&row.hmac_key_id)).collect()
}

/// Counts a hard bounce of each endpoint; the caller has locked them.
pub(in crate::consent) async fn endpoints_count_hard_bounces(
    tx: &mut TenantTx,
    bounced: &[(AddressHmac, Channel)],
) -> Result<(), WallError> {
    let rows = bounced.iter().map(|(address, channel)| key_cells(&(address.hash, *channel)));
    tx.sql(&ENDPOINT_BOUNCED, Args::batch(rows))?.execute().await?;
    Ok(())
}

/// How often a mailbox failed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consent) struct SoftRun {
    pub endpoint: EndpointKey,
    pub failures: i32,
    pub since: Timestamp,
}

/// Counts failures of mailboxes that are there; of one that failed within the day before nothing is returned. The caller has
/// locked them.
pub(in crate::consent) async fn endpoints_count_soft_bounces(
    tx: &mut TenantTx,
    failed: &[EndpointKey],
    now: Timestamp,
) -> Result<Vec<SoftRun>, WallError> {
    #[derive(FromQueryResult)]
    struct SoftRow {
        address_hmac: Vec<u8>,
        channel: String,
        soft_bounces: i32,
        soft_since: Timestamp,
    }
    let args = Args::of([now.into(), (now - chrono::TimeDelta::days(1)).into()]);
    let rows: Vec<SoftRow> = tx.sql(&ENDPOINT_SOFT, args.with_batch(failed.iter().map(key_cells)))?.all().await?;
    let run = |row: SoftRow| {
        let endpoint = (hash(&row.address_hmac)?, super::code(&row.channel)?);
        Ok(SoftRun { endpoint, failures: row.soft_bounces, since: row.soft_since })
    };
    rows.into_iter().map(run).collect()
}

/// Begins to count failures of mailboxes anew; the caller has locked them.
pub(in crate::consent) async fn endpoints_restart_soft_bounces(
    tx: &mut TenantTx,
    endpoints: &[EndpointKey],
    now: Timestamp,
) -> Result<(), WallError> {
    let args = Args::of([now.into()]).with_batch(endpoints.iter().map(key_cells));
    tx.sql(&ENDPOINT_SOFT_AGAIN, args)?.execute().await?;
    Ok(())
}

/// Gives endpoints new subjects.
pub(in crate::consent) async fn endpoints_set_subject(
    tx: &mut TenantTx,
    ports: &Ports,
    subjects: &[(EndpointKey, SubjectId)],
) -> Result<(), WallError> {
    let rows = subjects.iter().map(|(key, subject)| {
        let mut cells = key_cells(key);
        cells.push(subject.0.into());
        cells
    });
    let args = Args::of([ports.now().into()]).with_batch(rows);
    tx.sql(&ENDPOINT_SUBJECT, args)?.execute().await?;
    Ok(())
}

fn keyed(rows: Vec<Row>) -> Result<Vec<(EndpointKey, Endpoint)>, WallError> {
    let endpoints = rows.into_iter().map(Endpoint::try_from);
    endpoints.map(|endpoint| endpoint.map(|endpoint| ((endpoint.address.hash, endpoint.channel), endpoint))).collect()
}

fn key_cells((hash, channel): &EndpointKey) -> Vec<sea_orm::Value> {
    vec![hash.as_bytes().to_vec().into(), channel.as_str().into()]
}

/// Rows of the batch statements: each address once, sorted, each with a subject in case it is new.
fn batches(max: usize, ports: &Ports, addresses: &[(AddressHmac, Channel)]) -> Vec<Vec<Vec<sea_orm::Value>>> {
    let sorted: BTreeMap<EndpointKey, AddressHmac> =
        addresses.iter().map(|(address, channel)| ((address.hash, *channel), *address)).collect();
    let rows: Vec<_> = sorted
        .iter()
        .map(|(key, address)| {
            let mut cells = key_cells(key);
            cells.push(address.key.to_string().into());
            cells.push(ports.new_id::<SubjectId>().0.into());
            cells
        })
        .collect();
    rows.chunks(max.max(1)).map(<[_]>::to_vec).collect()
}
