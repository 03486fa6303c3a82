//! Retiring documents: nobody runs one by its id from then on, whatever sets it is in. Its text is not kept: who has it may
//! register it again, and it is the same document.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::wall::TenantTx;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH_MAX, DocumentHash, store};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Deed, Grant, PublishDocuments, record};

/// Retires documents; those of them that were there.
///
/// # Errors
/// `BATCH_SIZE` beyond [`BATCH_MAX`].
pub async fn retire_documents(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    ports: &Ports,
    hashes: &[DocumentHash],
) -> Result<BTreeSet<DocumentHash>> {
    if hashes.len() > BATCH_MAX {
        let message = format!("At most {BATCH_MAX} documents in one call.");
        return Err(Refusal::new("BATCH_SIZE", "documentIds", message).into());
    }
    let found: HashMap<_, _> = store::documents_by_hash(tx, hashes.iter().copied()).await?;
    let retired: BTreeSet<DocumentHash> = found.into_keys().collect();
    if retired.is_empty() {
        return Ok(retired);
    }
    store::documents_delete(tx, retired.iter().copied()).await?;
    let deed = Deed::new("document.retire", None::<Uuid>).with(json!({ "documents": retired }));
    record(tx, ports, grant.actor(), deed).await?;
    Ok(retired)
}
