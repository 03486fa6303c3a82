//! `consent_events`: the ledger, only ever inserted into and read.

use carillon_entities::ids::ConsentEventId;
use carillon_entities::rows::consent::consent_events;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx, WallError};
use sea_orm::ActiveValue::{NotSet, Set};
use uuid::Uuid;

use super::{code, hash};
use crate::consent::ledger::ConsentEvent;
use crate::keys::AddressHash;
use crate::paging::Ahead;

statements! {
    /// Entries about addresses, so many of each, behind one.
    LEDGER_OF(Uuid, BigInt) [address_hmac: Bytes] =
        "SELECT * FROM (SELECT e.tenant_id, e.id, e.subject_ref, e.address_hmac, e.hmac_key_id, e.channel, \
         e.brand_id, e.topic_id, e.action, e.basis, e.jurisdictions, e.effective_at, e.recorded_at, \
         e.actor_kind, e.actor_id, e.source_kind, e.source_id, e.source_line, e.form_version, e.notice_version, \
         e.wording_hash, e.locale, e.evidence_ref, e.supersedes, \
         ROW_NUMBER() OVER (PARTITION BY e.address_hmac ORDER BY e.id) AS nth \
         FROM ({batch}) AS b JOIN consent_events e ON e.tenant_id = $1 AND e.address_hmac = b.address_hmac \
         WHERE e.id > $2) AS numbered WHERE nth <= $3 ORDER BY id";
}

/// Inserts entries.
pub async fn consent_append(tx: &mut TenantTx, events: &[ConsentEvent]) -> Result<(), WallError> {
    let rows = events.iter().map(row).collect();
    tx.insert_many(rows, OnConflict::Fail).await?;
    Ok(())
}

/// All entries about addresses, oldest arrival first.
pub async fn consent_events_of(
    tx: &mut TenantTx,
    hashes: impl IntoIterator<Item = AddressHash>,
) -> Result<Vec<ConsentEvent>, WallError> {
    let select = tx.select::<consent_events::Entity>();
    let hashes = hashes.into_iter().map(|hash| hash.as_bytes().to_vec());
    let rows = select
        .is_in(consent_events::Column::AddressHmac, hashes)
        .order_by(consent_events::Column::AddressHmac)
        .order_by(consent_events::Column::Channel)
        .order_by(consent_events::Column::Id)
        .all()
        .await?;
    rows.into_iter().map(event).collect()
}

/// One entry.
pub async fn consent_event_find(tx: &mut TenantTx, id: ConsentEventId) -> Result<Option<ConsentEvent>, WallError> {
    let row = tx.select::<consent_events::Entity>().eq(consent_events::Column::Id, id).one().await?;
    row.map(event).transpose()
}

/// Entries; unknown ids are left out.
pub async fn consent_events_find(tx: &mut TenantTx, ids: &[ConsentEventId]) -> Result<Vec<ConsentEvent>, WallError> {
    let select = tx.select::<consent_events::Entity>();
    let rows = select.is_in(consent_events::Column::Id, ids.iter().copied()).all().await?;
    rows.into_iter().map(event).collect()
}

/// Entries about addresses in the order of their arrival, so many of each, behind one.
pub async fn consent_events_behind(
    tx: &mut TenantTx,
    hashes: impl IntoIterator<Item = AddressHash>,
    page: Ahead<ConsentEventId>,
) -> Result<Vec<ConsentEvent>, WallError> {
    let after = page.after.map_or(Uuid::nil(), |id| id.0);
    let batch = hashes.into_iter().map(|hash| vec![hash.as_bytes().to_vec().into()]);
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<consent_events::Model> = tx.sql(&LEDGER_OF, args)?.all().await?;
    rows.into_iter().map(event).collect()
}

fn row(event: &ConsentEvent) -> consent_events::ActiveModel {
    consent_events::ActiveModel {
        tenant_id: NotSet,
        id: Set(event.id),
        subject_ref: Set(event.subject),
        address_hmac: Set(event.address.hash.as_bytes().to_vec()),
        hmac_key_id: Set(event.address.key.to_string()),
        channel: Set(event.channel.as_str().to_owned()),
        brand_id: Set(event.brand),
        topic_id: Set(event.topic),
        action: Set(event.action.as_str().to_owned()),
        basis: Set(event.basis.as_str().to_owned()),
        jurisdictions: Set(serde_json::Value::from(event.jurisdictions.clone())),
        effective_at: Set(event.effective_at),
        recorded_at: Set(event.recorded_at),
        actor_kind: Set(event.actor_kind.as_str().to_owned()),
        actor_id: Set(event.actor_id),
        source_kind: Set(event.source.kind.as_str().to_owned()),
        source_id: Set(event.source.id),
        source_line: Set(event.source.line),
        form_version: Set(event.wording.form_version.clone()),
        notice_version: Set(event.wording.notice_version.clone()),
        wording_hash: Set(event.wording.hash.clone()),
        locale: Set(event.wording.locale.clone()),
        evidence_ref: Set(event.evidence),
        supersedes: Set(event.supersedes.map(|id| id.0)),
    }
}

fn event(row: consent_events::Model) -> Result<ConsentEvent, WallError> {
    use crate::consent::ledger::{Source, Wording};
    Ok(ConsentEvent {
        id: row.id,
        subject: row.subject_ref,
        address: crate::keys::AddressHmac { key: code(&row.hmac_key_id)?, hash: hash(&row.address_hmac)? },
        channel: code(&row.channel)?,
        brand: row.brand_id,
        topic: row.topic_id,
        action: code(&row.action)?,
        basis: code(&row.basis)?,
        jurisdictions: serde_json::from_value(row.jurisdictions).map_err(|error| WallError::Row(error.to_string()))?,
        effective_at: row.effective_at,
        recorded_at: row.recorded_at,
        actor_kind: code(&row.actor_kind)?,
        actor_id: row.actor_id,
        source: Source { kind: code(&row.source_kind)?, id: row.source_id, line: row.source_line },
        wording: Wording {
            form_version: row.form_version,
            notice_version: row.notice_version,
            hash: row.wording_hash,
            locale: row.locale,
        },
        evidence: row.evidence_ref,
        supersedes: row.supersedes.map(ConsentEventId),
    })
}
