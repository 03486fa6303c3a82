//! `subject_keys` and `consent_evidence`.

use std::collections::BTreeMap;

use carillon_entities::ids::{EvidenceId, SubjectId};
use carillon_entities::rows::consent::{consent_evidence, subject_keys};
use carillon_entities::wall::{OnConflict, TenantTx, WallError};
use sea_orm::ActiveValue::{NotSet, Set};

use crate::consent::evidence::SealedEvidence;
use crate::time::Timestamp;

/// Stores wrapped keys of subjects that have none; a key that is there stays.
pub async fn subject_keys_add(
    tx: &mut TenantTx,
    keys: Vec<(SubjectId, Vec<u8>)>,
    now: Timestamp,
) -> Result<(), WallError> {
    let row = |(subject, wrapped)| subject_keys::ActiveModel {
        tenant_id: NotSet,
        subject_id: Set(subject),
        wrapped: Set(Some(wrapped)),
        created_at: Set(now),
        destroyed_at: Set(None),
    };
    tx.insert_many(keys.into_iter().map(row).collect(), OnConflict::Keep).await?;
    Ok(())
}

/// The wrapped keys of subjects; destroyed ones are left out.
pub async fn subject_keys_of(
    tx: &mut TenantTx,
    subjects: impl IntoIterator<Item = SubjectId>,
) -> Result<BTreeMap<SubjectId, Vec<u8>>, WallError> {
    let select = tx.select::<subject_keys::Entity>().is_in(subject_keys::Column::SubjectId, subjects);
    let rows = select.all().await?;
    Ok(rows.into_iter().filter_map(|row| row.wrapped.map(|wrapped| (row.subject_id, wrapped))).collect())
}

/// Destroys keys; what lies under them is gone (C-151).
pub async fn subject_keys_destroy(
    tx: &mut TenantTx,
    subjects: impl IntoIterator<Item = SubjectId>,
    now: Timestamp,
) -> Result<u64, WallError> {
    tx.update::<subject_keys::Entity>()
        .is_in(subject_keys::Column::SubjectId, subjects)
        .is_null(subject_keys::Column::DestroyedAt)
        .set(subject_keys::Column::Wrapped, Option::<Vec<u8>>::None)
        .set(subject_keys::Column::DestroyedAt, now)
        .execute()
        .await
}

/// Stores sealed evidence.
pub async fn evidence_insert(
    tx: &mut TenantTx,
    evidence: Vec<SealedEvidence>,
    now: Timestamp,
) -> Result<(), WallError> {
    let row = |evidence: SealedEvidence| consent_evidence::ActiveModel {
        tenant_id: NotSet,
        id: Set(evidence.id),
        subject_id: Set(evidence.subject),
        digest: Set(evidence.digest),
        sealed: Set(evidence.sealed),
        created_at: Set(now),
    };
    tx.insert_many(evidence.into_iter().map(row).collect(), OnConflict::Fail).await?;
    Ok(())
}

/// Sealed evidence by id; what is not there is left out.
pub async fn evidence_find(tx: &mut TenantTx, ids: &[EvidenceId]) -> Result<Vec<SealedEvidence>, WallError> {
    let select = tx.select::<consent_evidence::Entity>().is_in(consent_evidence::Column::Id, ids.iter().copied());
    let sealed = |row: consent_evidence::Model| SealedEvidence {
        id: row.id,
        subject: row.subject_id,
        digest: row.digest,
        sealed: row.sealed,
    };
    Ok(select.all().await?.into_iter().map(sealed).collect())
}
