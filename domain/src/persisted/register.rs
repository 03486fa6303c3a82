//! Registering documents: many at once, each once.

use std::collections::{HashMap, HashSet};

use carillon_entities::ids::PersistedDocumentId;
use carillon_entities::wall::TenantTx;
use serde_json::json;
use uuid::Uuid;

use super::store;
use super::{DocumentHash, DocumentText, PersistedDocument};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Deed, Grant, PublishDocuments, record};

/// Documents of one call.
pub const BATCH_MAX: usize = 100;
/// Documents of one tenant.
pub const DOCUMENTS_MAX: i64 = 10_000;

/// What came of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its row.
    pub id: PersistedDocumentId,
    /// What it is run by.
    pub hash: DocumentHash,
    /// False where it was registered already.
    pub created: bool,
}

/// Registers texts that the schema was found to have; in their order. What is registered stays as it is.
///
/// # Errors
/// `BATCH_SIZE` beyond [`BATCH_MAX`], `LIMIT_REACHED` beyond [`DOCUMENTS_MAX`].
pub async fn register_documents(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    texts: &[DocumentText],
) -> Result<Vec<Registered>> {
    if texts.len() > BATCH_MAX {
        let message = format!("At most {BATCH_MAX} documents in one call.");
        return Err(Refusal::new("BATCH_SIZE", "documents", message).into());
    }
    let hashes: HashSet<DocumentHash> = texts.iter().map(DocumentText::hash).collect();
    let known = store::documents_by_hash(tx, hashes.iter().copied()).await?;
    let mut fresh: HashMap<DocumentHash, &DocumentText> =
        texts.iter().map(|text| (text.hash(), text)).filter(|(hash, _)| !known.contains_key(hash)).collect();
    let known = if fresh.is_empty() { known } else { insert(grant, tx, ports, (&fresh, &hashes)).await? };
    let registered = |text: &DocumentText| {
        let hash = text.hash();
        known.get(&hash).map(|id| Registered { id: *id, hash, created: fresh.remove(&hash).is_some() })
    };
    Ok(texts.iter().filter_map(registered).collect())
}

/// Stores what is not there; the rows of all. What somebody else registered meanwhile stays theirs.
async fn insert(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    (fresh, all): (&HashMap<DocumentHash, &DocumentText>, &HashSet<DocumentHash>),
) -> Result<HashMap<DocumentHash, PersistedDocumentId>> {
    let more = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
    if store::documents_count(tx).await?.saturating_add(more) > DOCUMENTS_MAX {
        let message = format!("A tenant has at most {DOCUMENTS_MAX} documents; retire some.");
        return Err(Refusal::new("LIMIT_REACHED", "documents", message).into());
    }
    let created_at = ports.now();
    let row = |text: &&DocumentText| {
        let (hash, text) = (text.hash(), text.as_str().to_owned());
        PersistedDocument { id: ports.new_id(), hash, text, created_at }
    };
    let rows: Vec<PersistedDocument> = fresh.values().map(row).collect();
    store::documents_insert(tx, rows).await?;
    let mut hashes: Vec<&DocumentHash> = fresh.keys().collect();
    hashes.sort_unstable();
    let deed = Deed::new("document.register", None::<Uuid>).with(json!({ "documents": hashes }));
    record(tx, ports, grant.actor(), deed).await?;
    store::documents_by_hash(tx, all.iter().copied()).await
}
