//! Sets of documents, and their versions: publishing one makes it hold, and any that is kept can be put back.

use std::collections::BTreeSet;

use carillon_entities::ids::DocumentSetId;
use carillon_entities::wall::{TenantTx, WallError};
use serde_json::json;

use super::{DocumentHash, store};
use crate::contacts::one_line;
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Deed, Grant, PublishDocuments, record};
use crate::time::Timestamp;

/// Sets of one tenant.
pub const SETS_MAX: i64 = 100;
/// Documents of one version.
pub const SET_DOCUMENTS_MAX: usize = 1_000;
/// Versions of a set that are kept: the newest ones.
pub const VERSIONS_KEPT: i32 = 50;
/// Octets of a set's name.
const NAME_MAX: usize = 200;

/// Which documents a key may run, if it is held to them.
#[derive(Debug, Clone)]
pub struct DocumentSet {
    /// Its id.
    pub id: DocumentSetId,
    /// Unique in the tenant.
    pub name: String,
    /// The version that holds; before the first nothing may be run.
    pub active: Option<i32>,
    /// Counts changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When another version began to hold.
    pub updated_at: Timestamp,
}

/// One version of a set; it never changes.
#[derive(Debug, Clone, Copy)]
pub struct SetVersion {
    /// Of which set.
    pub set: DocumentSetId,
    /// Counts from one.
    pub number: i32,
    /// How many documents it has.
    pub documents: i32,
    /// When it was published.
    pub created_at: Timestamp,
}

/// A version to publish.
#[derive(Debug, Clone)]
pub struct PublishVersion {
    /// Of which set.
    pub set: DocumentSetId,
    /// What it has; none where an id was none.
    pub documents: Vec<Option<DocumentHash>>,
}

/// A version to put back.
#[derive(Debug, Clone, Copy)]
pub struct ActivateVersion {
    /// Of which set.
    pub set: DocumentSetId,
    /// Which.
    pub number: i32,
    /// The version of the set that was seen.
    pub seen: i64,
}

/// Makes a set, which has no documents until a version is published.
///
/// # Errors
/// `BAD_NAME`, `DOCUMENT_SET_EXISTS`, `LIMIT_REACHED` beyond [`SETS_MAX`].
pub async fn create_document_set(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    name: &str,
) -> Result<DocumentSet> {
    let name = one_line(name, NAME_MAX).map_err(|why| Refusal::new("BAD_NAME", "name", why.to_string()))?;
    if store::sets_count(tx).await? >= SETS_MAX {
        return Err(Refusal::new("LIMIT_REACHED", "", format!("A tenant has at most {SETS_MAX} sets.")).into());
    }
    let now = ports.now();
    let set = DocumentSet { id: ports.new_id(), name, active: None, version: 1, created_at: now, updated_at: now };
    match store::set_insert(tx, &set).await {
        Err(Error::Wall(WallError::Conflict { .. })) => {
            return Err(Refusal::new("DOCUMENT_SET_EXISTS", "name", "There is a document set with this name.").into());
        }
        result => result?,
    }
    record(tx, ports, grant.actor(), Deed::new("document_set.create", set.id.0)).await?;
    Ok(set)
}

/// Publishes the next version of a set, which holds from then on; its number.
///
/// # Errors
/// `NOT_FOUND` for the set and for each document that is not registered; `BATCH_SIZE` beyond [`SET_DOCUMENTS_MAX`].
pub async fn publish_set_version(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: &PublishVersion,
) -> Result<i32> {
    if command.documents.len() > SET_DOCUMENTS_MAX {
        let message = format!("A version has at most {SET_DOCUMENTS_MAX} documents.");
        return Err(Refusal::new("BATCH_SIZE", "documentIds", message).into());
    }
    // Whoever publishes at the same time waits, so that numbers follow each other.
    let set = store::set_lock(tx, command.set).await?.ok_or_else(|| Refusal::not_found("documentSetId"))?;
    let members = registered(tx, &command.documents).await?;
    let number = store::version_newest(tx, set.id).await?.unwrap_or(0).saturating_add(1);
    let documents = i32::try_from(members.len()).unwrap_or(i32::MAX);
    let version = SetVersion { set: set.id, number, documents, created_at: ports.now() };
    store::version_insert(tx, version, &members).await?;
    store::set_activate(tx, (set.id, number), set.version, ports.now()).await?;
    store::versions_forget(tx, set.id, number.saturating_sub(VERSIONS_KEPT)).await?;
    let detail = json!({ "number": number, "documents": documents });
    record(tx, ports, grant.actor(), Deed::new("document_set.publish", set.id.0).with(detail)).await?;
    Ok(number)
}

/// The documents, if all of them are registered.
async fn registered(tx: &mut TenantTx, documents: &[Option<DocumentHash>]) -> Result<BTreeSet<DocumentHash>> {
    let asked: BTreeSet<DocumentHash> = documents.iter().copied().flatten().collect();
    let known = store::documents_by_hash(tx, asked.iter().copied()).await?;
    let is_missing = |hash: &Option<DocumentHash>| hash.is_none_or(|hash| !known.contains_key(&hash));
    let missing = documents.iter().enumerate().filter(|(_, hash)| is_missing(hash));
    let refusals: Vec<Refusal> = missing.map(|(place, _)| Refusal::not_found(format!("documentIds.{place}"))).collect();
    if refusals.is_empty() { Ok(asked) } else { Err(Error::Refused(refusals)) }
}

/// Puts a version back, older or newer than the one that holds.
///
/// # Errors
/// `NOT_FOUND`, `CONFLICT` when somebody changed the set meanwhile.
pub async fn activate_set_version(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: ActivateVersion,
) -> Result<()> {
    let ActivateVersion { set, number, seen } = command;
    let found = store::set_lock(tx, set).await?.ok_or_else(|| Refusal::not_found("documentSetId"))?;
    if found.version != seen {
        let message = format!("The set has changed: it is at version {}.", found.version);
        return Err(Refusal::new("CONFLICT", "version", message).into());
    }
    if !store::version_exists(tx, set, number).await? {
        return Err(Refusal::not_found("number").into());
    }
    store::set_activate(tx, (set, number), found.version, ports.now()).await?;
    let deed = Deed::new("document_set.activate", set.0).with(json!({ "number": number }));
    record(tx, ports, grant.actor(), deed).await
}
