//! What proves an import: the hash of its file, computed before any row is written, and the evidence that names it.
//!
//! The ledger's entries name the line they come from and point at the evidence, so it is there first: the import's own, or
//! one for the place that their rows name. It names the very bytes that were imported (C-148, C-155), which stay provable
//! when the file itself is long deleted.

use aws_lc_rs::digest::{Context, SHA256};
use carillon_entities::ids::{EvidenceId, SubjectId};
use carillon_entities::wall::TenantTx;
use futures::TryStreamExt;
use serde_json::json;

use super::job::{Import, ImportClaim};
use super::source::Place;
use crate::consent::{Evidence, store_shared_evidence};
use crate::contacts::store::imports::{import_prove, import_renew};
use crate::error::Result;
use crate::files::Files;
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// Hashes the file and stores hash and evidence, once; false when the claim is lost.
pub(super) async fn prove(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    (claim, place): (ImportClaim, Place),
    import: &mut Import,
) -> Result<bool> {
    if import.file_sha256.is_some() {
        return Ok(true);
    }
    let Some(hash) = hash(grant, (ports, files), claim, place).await? else { return Ok(false) };
    let mut tx = grant.begin().await?;
    import.file_sha256 = Some(hash);
    if let Some(consent) = &import.options.consent {
        import.evidence = evidence(&mut tx, ports, import, &[consent.source.as_deref()]).await?.pop();
    }
    if !import_prove(&mut tx, claim, hash, import.evidence).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// The file's hash; none when the claim is lost. A large file takes its time, so the claim is renewed on the way.
async fn hash(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    claim: ImportClaim,
    place: Place,
) -> Result<Option<[u8; 32]>> {
    let lease = ports.settings.lease;
    let mut renewed = ports.now();
    let mut context = Context::new(&SHA256);
    let mut bytes = files.read((place.tenant, place.upload), 0, place.size).await?;
    while let Some(chunk) = bytes.try_next().await? {
        context.update(&chunk);
        let now = ports.now();
        if now - renewed > lease / 3 {
            let mut tx = grant.begin().await?;
            let held = import_renew(&mut tx, claim, now + lease).await?;
            tx.commit().await?;
            if !held {
                return Ok(None);
            }
            renewed = now;
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(Some(hash))
}

/// Proofs of the import's entries, one for each place their consent was given: the file, the uploader and their words
/// (C-155). None where nothing is known of it.
pub(super) async fn evidence(
    tx: &mut TenantTx,
    ports: &Ports,
    import: &Import,
    sources: &[Option<&str>],
) -> Result<Vec<EvidenceId>> {
    let consent = import.options.consent.as_ref();
    let proof = |source: Option<&str>| {
        let text = json!({
            "import": import.id,
            "upload": import.upload,
            "file": import.file_name,
            "bytes": import.total_bytes,
            "sha256": import.file_sha256.map(hex::encode),
            "uploader": {"kind": import.actor.kind(), "id": import.actor.id()},
            "attestation": consent.map(|consent| &consent.attestation),
            "source": source,
            "collectedAt": consent.and_then(|consent| consent.collected_at),
        });
        Evidence { text: Some(text.to_string()), ..Evidence::default() }
    };
    store_shared_evidence(tx, ports, SubjectId(import.id.0), sources.iter().copied().map(proof).collect()).await
}
