//! Evidence: what proves an entry, beside the ledger and under the subject's own key (C-151).
//!
//! The ledger holds no personal data; evidence does, so each subject's lies under a key of its own. Erasure destroys the
//! key: ledger, digests and suppressions stay and verify, the evidence can never be read again.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_entities::ids::{EvidenceId, SubjectId};
use carillon_entities::wall::TenantTx;
use serde::{Deserialize, Serialize};

use super::Recipient;
use super::store::endpoints::{endpoints_lock_for_change, endpoints_set_subject};
use super::store::evidence::{evidence_find, evidence_insert, subject_keys_add, subject_keys_destroy, subject_keys_of};
use crate::error::{Error, Refusal, Result};
use crate::keys::{Place, SubjectKey};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadPersonalData, RecordConsent};

/// What proves an entry. Personal data: it is never logged, and its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// From where the person acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// With which browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// On which page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What they saw, ticked or wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Evidence(..)")
    }
}

impl Evidence {
    /// Parses what a caller gave; every refusal names its field under `field`. None when nothing was given.
    pub fn parse(
        field: &str,
        ip: Option<&str>,
        user_agent: Option<String>,
        url: Option<String>,
        text: Option<String>,
    ) -> Result<Option<Self>, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let ip = ip.map(str::parse).transpose().unwrap_or_else(|_| {
            refusals.push(Refusal::new("INVALID_IP", format!("{field}.ip"), "This is not an IP address."));
            None
        });
        for (name, value, max) in [("userAgent", &user_agent, 512), ("url", &url, 2048), ("text", &text, 8192)] {
            if value.as_ref().is_some_and(|value| value.len() > max || value.contains('\0')) {
                let message = format!("At most {max} bytes, without NUL.");
                refusals.push(Refusal::new("INVALID_EVIDENCE", format!("{field}.{name}"), message));
            }
        }
        let evidence = Self { ip, user_agent, url, text };
        if !refusals.is_empty() {
            return Err(refusals);
        }
        Ok(if evidence == Self::default() { None } else { Some(evidence) })
    }
}

/// Evidence as it is stored.
#[derive(Debug, Clone)]
pub struct SealedEvidence {
    /// Its id, which the ledger entry names.
    pub id: EvidenceId,
    /// Under whose key it lies.
    pub subject: SubjectId,
    /// SHA-256 of the sealed bytes: verifies after erasure, and tells nobody what they were.
    pub digest: Vec<u8>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// Seals and stores evidence, making keys for subjects that have none; their endpoints are locked by the caller.
pub(super) async fn store(
    tx: &mut TenantTx,
    ports: &Ports,
    proofs: Vec<(EvidenceId, SubjectId, Evidence)>,
) -> Result<()> {
    if proofs.is_empty() {
        return Ok(());
    }
    let (tenant, now) = (tx.tenant(), ports.now());
    let subjects: BTreeSet<SubjectId> = proofs.iter().map(|proof| proof.1).collect();
    let known = subject_keys_of(tx, subjects.iter().copied()).await?;
    let mut keys = std::collections::BTreeMap::new();
    let mut fresh = Vec::new();
    for subject in subjects {
        let key = if let Some(wrapped) = known.get(&subject) {
            SubjectKey::unwrap_stored(&ports.keys, tenant, subject, wrapped)?
        } else {
            let key = SubjectKey::generate(&*ports.entropy);
            fresh.push((subject, key.wrap(&ports.keys, tenant, subject, &*ports.entropy)));
            key
        };
        keys.insert(subject, key);
    }
    subject_keys_add(tx, fresh, now).await?;
    let seal = |(id, subject, evidence): (EvidenceId, SubjectId, Evidence)| {
        let plain = serde_json::to_vec(&evidence).map_err(Error::fault)?;
        let sealed = keys[&subject].seal(&place(tenant, id), &plain, &*ports.entropy);
        let digest = digest(&SHA256, &sealed).as_ref().to_vec();
        Ok(SealedEvidence { id, subject, digest, sealed })
    };
    let sealed = proofs.into_iter().map(seal).collect::<Result<Vec<_>>>()?;
    evidence_insert(tx, sealed, now).await?;
    Ok(())
}

/// Stores what proves many entries each, under the key of the thing they came through, such as an import.
pub(crate) async fn store_shared_evidence(
    tx: &mut TenantTx,
    ports: &Ports,
    subject: SubjectId,
    evidence: Vec<Evidence>,
) -> Result<Vec<EvidenceId>> {
    let proofs: Vec<_> = evidence.into_iter().map(|one| (ports.new_id(), subject, one)).collect();
    let ids = proofs.iter().map(|proof| proof.0).collect();
    store(tx, ports, proofs).await?;
    Ok(ids)
}

/// Evidence by id, in two statements; what was erased with its key, or never was, is left out.
pub async fn read_evidence(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    ports: &Ports,
    ids: &[EvidenceId],
) -> Result<HashMap<EvidenceId, Evidence>> {
    let (tenant, stored) = (tx.tenant(), evidence_find(tx, ids).await?);
    let subjects: BTreeSet<SubjectId> = stored.iter().map(|one| one.subject).collect();
    let keys = subject_keys_of(tx, subjects).await?;
    let mut found = HashMap::with_capacity(stored.len());
    for one in stored {
        if digest(&SHA256, &one.sealed).as_ref() != one.digest {
            return Err(Error::fault("stored evidence does not match its digest"));
        }
        let Some(wrapped) = keys.get(&one.subject) else { continue };
        let key = SubjectKey::unwrap_stored(&ports.keys, tenant, one.subject, wrapped)?;
        let plain = key.open(&place(tenant, one.id), &one.sealed)?;
        let evidence = serde_json::from_slice(&plain).map_err(|_| Error::fault("stored evidence cannot be read"))?;
        found.insert(one.id, evidence);
    }
    Ok(found)
}

/// Erases what proves the entries about recipients: their keys are destroyed, and what comes later has new subjects.
/// Ledger and suppressions stay (C-124, C-151).
pub async fn erase_evidence(
    _grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    recipients: &[Recipient],
) -> Result<()> {
    let addresses = super::store::endpoints::endpoints_known(tx, recipients).await?;
    let endpoints = endpoints_lock_for_change(tx, ports, &addresses).await?;
    let subjects: Vec<SubjectId> = endpoints.values().map(|endpoint| endpoint.subject).collect();
    subject_keys_destroy(tx, subjects, ports.now()).await?;
    let renamed: Vec<_> = endpoints.keys().map(|key| (*key, ports.new_id())).collect();
    endpoints_set_subject(tx, ports, &renamed).await?;
    Ok(())
}

fn place(tenant: carillon_entities::ids::TenantId, id: EvidenceId) -> Place {
    Place::new(tenant, "consent_evidence", "sealed", id)
}
