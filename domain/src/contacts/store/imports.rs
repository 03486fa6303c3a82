//! Rows of `imports` and `import_errors`: the queue of imports, and what was wrong in them.

use std::collections::HashMap;

use carillon_entities::ids::{CredentialId, EvidenceId, ImportId, UserId};
use carillon_entities::rows::contacts::{import_errors, imports};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, Value, WallError};
use sea_orm::ActiveValue::Set;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::run;
use crate::consent::ActorKind;
use crate::contacts::import::{Import, ImportClaim, ImportState, RowError};
use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::tenancy::Actor;
use crate::time::Timestamp;

statements! {
    /// Claims what is due; a claim that was not renewed falls due again by itself. Attempts are counted here, so that
    /// one that ends its process counts, too. (A common table expression for the reason MESSAGES_CLAIM gives.)
    IMPORT_CLAIM(Time, Time, BigInt) =
        "WITH due AS (SELECT i.id FROM imports AS i WHERE i.tenant_id = $1 \
            AND i.state IN ('queued', 'running') AND i.due_at <= $2 ORDER BY i.due_at LIMIT $4 {skip_locked}) \
         UPDATE imports SET state = 'running', fence = fence + 1, attempts = attempts + 1, lease_until = $3, due_at = $3 \
         WHERE tenant_id = $1 AND id IN (SELECT due.id FROM due) \
         RETURNING id, fence, attempts";
    /// Keeps the claim.
    IMPORT_RENEW(Uuid, BigInt, Time) =
        "UPDATE imports SET lease_until = $4, due_at = $4 \
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Writes what the file is, before any of its rows is written.
    IMPORT_PROVE(Uuid, BigInt, Bytes, Uuid) =
        "UPDATE imports SET file_sha256 = $4, evidence_id = $5 \
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Moves the cursor behind what this transaction wrote; nothing if somebody else has claimed the import.
    IMPORT_ADVANCE(Uuid, BigInt, Json, BigInt, BigInt, BigInt, BigInt, BigInt, Time) =
        "UPDATE imports SET cursor = $4, done_bytes = $5, rows_seen = rows_seen + $6, \
            rows_created = rows_created + $7, rows_updated = rows_updated + $8, rows_failed = rows_failed + $9, \
            attempts = 0, lease_until = $10, due_at = $10 \
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Gives the claim back: the import is due again then.
    IMPORT_YIELD(Uuid, BigInt, Time) =
        "UPDATE imports SET lease_until = NULL, due_at = $4 \
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Gives a claim back as if it had not been taken: its attempt does not count.
    IMPORT_RETURN(Uuid, BigInt, Time) =
        "UPDATE imports SET attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END, lease_until = NULL, \
            due_at = $4 WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Ends it.
    IMPORT_FINISH(Uuid, BigInt, Text, Text, Time) =
        "UPDATE imports SET state = $4, error_code = $5, finished_at = $6, lease_until = NULL \
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'running'";
    /// Lists what is wrong with rows.
    IMPORT_ERRORS_INSERT(Uuid) [line: BigInt, place: Int, field: Text, code: Text, message: Text] =
        "INSERT INTO import_errors (tenant_id, import_id, line, place, field, code, message) \
         SELECT $1, $2, b.line, b.place, b.field, b.code, b.message FROM ({batch}) AS b WHERE true";
    /// Errors of imports, so many of each, behind one.
    IMPORT_ERRORS_OF(BigInt, Int, BigInt) [import_id: Uuid] =
        "SELECT * FROM (SELECT e.tenant_id, e.import_id, e.line, e.place, e.field, e.code, e.message, \
         ROW_NUMBER() OVER (PARTITION BY e.import_id ORDER BY e.line, e.place) AS nth \
         FROM ({batch}) AS b JOIN import_errors e ON e.tenant_id = $1 AND e.import_id = b.import_id \
         WHERE (e.line, e.place) > ($2, $3)) AS numbered WHERE nth <= $4 ORDER BY import_id, line, place";
}

#[derive(Debug, FromQueryResult)]
struct Claimed {
    id: Uuid,
    fence: i64,
    attempts: i32,
}

/// What one batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::contacts) struct Counts {
    pub seen: i64,
    pub created: i64,
    pub updated: i64,
    pub failed: i64,
}

pub(in crate::contacts) async fn import_insert(tx: &mut TenantTx, import: &Import) -> Result<()> {
    tx.insert(imports::ActiveModel {
        id: Set(import.id),
        upload_id: Set(import.upload),
        file_name: Set(import.file_name.clone()),
        state: Set(import.state.as_str().to_owned()),
        options: Set(serde_json::to_value(&import.options).map_err(Error::fault)?),
        columns: Set(serde_json::to_value(&import.columns).map_err(Error::fault)?),
        cursor: Set(serde_json::to_value(import.cursor).map_err(Error::fault)?),
        total_bytes: Set(import.total_bytes),
        done_bytes: Set(import.done_bytes),
        rows_seen: Set(0),
        rows_created: Set(0),
        rows_updated: Set(0),
        rows_failed: Set(0),
        actor_kind: Set(import.actor.kind().as_str().to_owned()),
        actor_id: Set(import.actor.id()),
        due_at: Set(import.created_at),
        fence: Set(0),
        attempts: Set(0),
        created_at: Set(import.created_at),
        ..Default::default()
    })
    .await?;
    Ok(())
}

pub(in crate::contacts) async fn import_find(tx: &mut TenantTx, id: ImportId) -> Result<Option<Import>> {
    let row = tx.select::<imports::Entity>().eq(imports::Column::Id, id).one().await?;
    row.map(Import::try_from).transpose()
}

pub(in crate::contacts) async fn imports_find(tx: &mut TenantTx, ids: &[ImportId]) -> Result<Vec<Import>> {
    let rows = tx.select::<imports::Entity>().is_in(imports::Column::Id, ids.iter().copied()).all().await?;
    rows.into_iter().map(Import::try_from).collect()
}

/// The import, if the claim on it still holds.
pub(in crate::contacts) async fn import_claimed(tx: &mut TenantTx, claim: ImportClaim) -> Result<Option<Import>> {
    let select = tx.select::<imports::Entity>().eq(imports::Column::Id, claim.import);
    let row = select.eq(imports::Column::Fence, claim.fence).eq(imports::Column::State, "running").one().await?;
    row.map(Import::try_from).transpose()
}

pub(in crate::contacts) async fn imports_page(tx: &mut TenantTx, page: Page<ImportId>) -> Result<Paged<Import>> {
    let rows = page.keyset(tx.select::<imports::Entity>(), imports::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(Import::try_from).collect::<Result<Vec<_>>>()?))
}

pub(in crate::contacts) async fn imports_claim(
    tx: &mut TenantTx,
    now: Timestamp,
    lease_until: Timestamp,
    limit: i64,
) -> Result<Vec<ImportClaim>, WallError> {
    let args = Args::of([now.into(), lease_until.into(), limit.into()]);
    let rows: Vec<Claimed> = tx.sql(&IMPORT_CLAIM, args)?.all().await?;
    let claim = |row: Claimed| ImportClaim { import: ImportId(row.id), fence: row.fence, attempt: row.attempts };
    Ok(rows.into_iter().map(claim).collect())
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_renew(
    tx: &mut TenantTx,
    claim: ImportClaim,
    lease_until: Timestamp,
) -> Result<bool, WallError> {
    let args = Args::of([claim.import.0.into(), claim.fence.into(), lease_until.into()]);
    Ok(tx.sql(&IMPORT_RENEW, args)?.execute().await? == 1)
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_prove(
    tx: &mut TenantTx,
    claim: ImportClaim,
    file_sha256: [u8; 32],
    evidence: Option<EvidenceId>,
) -> Result<bool, WallError> {
    let evidence = Value::Uuid(evidence.map(|id| id.0));
    let args = Args::of([claim.import.0.into(), claim.fence.into(), file_sha256.to_vec().into(), evidence]);
    Ok(tx.sql(&IMPORT_PROVE, args)?.execute().await? == 1)
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_advance(
    tx: &mut TenantTx,
    claim: ImportClaim,
    (cursor, done_bytes): (&super::super::import::Cursor, i64),
    counts: Counts,
    lease_until: Timestamp,
) -> Result<bool> {
    let args = [
        claim.import.0.into(),
        claim.fence.into(),
        serde_json::to_value(cursor).map_err(Error::fault)?.into(),
        done_bytes.into(),
        counts.seen.into(),
        counts.created.into(),
        counts.updated.into(),
        counts.failed.into(),
        lease_until.into(),
    ];
    Ok(tx.sql(&IMPORT_ADVANCE, Args::of(args))?.execute().await? == 1)
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_yield(
    tx: &mut TenantTx,
    claim: ImportClaim,
    due_at: Timestamp,
) -> Result<bool, WallError> {
    let args = Args::of([claim.import.0.into(), claim.fence.into(), due_at.into()]);
    Ok(tx.sql(&IMPORT_YIELD, args)?.execute().await? == 1)
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_return(
    tx: &mut TenantTx,
    claim: ImportClaim,
    now: Timestamp,
) -> Result<bool, WallError> {
    let args = Args::of([claim.import.0.into(), claim.fence.into(), now.into()]);
    Ok(tx.sql(&IMPORT_RETURN, args)?.execute().await? == 1)
}

/// False when the claim is lost.
pub(in crate::contacts) async fn import_finish(
    tx: &mut TenantTx,
    claim: ImportClaim,
    error_code: Option<&str>,
    now: Timestamp,
) -> Result<bool, WallError> {
    let state = if error_code.is_some() { ImportState::Failed } else { ImportState::Completed };
    let code = Value::String(error_code.map(str::to_owned));
    let args = Args::of([claim.import.0.into(), claim.fence.into(), state.as_str().into(), code, now.into()]);
    Ok(tx.sql(&IMPORT_FINISH, args)?.execute().await? == 1)
}

/// Lists errors of rows; several of one line are numbered in their order.
pub(in crate::contacts) async fn import_errors_insert(
    tx: &mut TenantTx,
    import: ImportId,
    errors: &[RowError],
) -> Result<(), WallError> {
    let mut places = HashMap::<u64, i32>::new();
    let row = |error: &RowError| {
        let place = places.entry(error.line).or_default();
        *place += 1;
        vec![
            i64::try_from(error.line).unwrap_or(i64::MAX).into(),
            (*place).into(),
            error.field.as_str().into(),
            error.code.into(),
            error.message.as_str().into(),
        ]
    };
    let rows = errors.iter().map(row).collect();
    run(tx, &IMPORT_ERRORS_INSERT, &[import.0.into()], rows).await.map(drop)
}

/// How many errors are listed.
pub(in crate::contacts) async fn import_errors_count(tx: &mut TenantTx, import: ImportId) -> Result<i64, WallError> {
    tx.select::<import_errors::Entity>().eq(import_errors::Column::ImportId, import).count().await
}

/// An error as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    /// The physical line the row starts on.
    pub line: i64,
    /// Its number among the errors of the line.
    pub place: i32,
    /// A field's name, or empty for the whole row.
    pub field: String,
    /// Stable upper-case code.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// Errors in the order of their lines, behind one.
pub(in crate::contacts) async fn import_errors_after(
    tx: &mut TenantTx,
    import: ImportId,
    after: Option<(i64, i32)>,
    limit: u64,
) -> Result<Vec<ImportError>, WallError> {
    use import_errors::Column;
    let mut select = tx.select::<import_errors::Entity>().eq(Column::ImportId, import);
    if let Some((line, place)) = after {
        select = select.after((Column::Line, line.into()), (Column::Place, place.into()));
    }
    let rows = select.order_by(Column::Line).order_by(Column::Place).limit(limit).all().await?;
    Ok(rows.into_iter().map(ImportError::from).collect())
}

/// A page of each import's errors, by line and place.
pub(in crate::contacts) async fn import_errors_of(
    tx: &mut TenantTx,
    imports: &[ImportId],
    page: Ahead<(i64, i32)>,
) -> Result<HashMap<ImportId, Paged<ImportError>>, WallError> {
    // Lines are counted from 1.
    let (line, place) = page.after.unwrap_or((0, 0));
    let batch = imports.iter().map(|id| vec![id.0.into()]);
    let args = Args::of([line.into(), place.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<import_errors::Model> = tx.sql(&IMPORT_ERRORS_OF, args)?.all().await?;
    Ok(page.finish(rows.into_iter().map(|row| (row.import_id, ImportError::from(row)))))
}

impl From<import_errors::Model> for ImportError {
    fn from(row: import_errors::Model) -> Self {
        Self { line: row.line, place: row.place, field: row.field, code: row.code, message: row.message }
    }
}

fn unreadable() -> Error {
    Error::fault("a stored hash of the wrong length")
}

impl TryFrom<imports::Model> for Import {
    type Error = Error;

    fn try_from(row: imports::Model) -> Result<Self> {
        let actor = match (row.actor_kind.parse().map_err(Error::fault)?, row.actor_id) {
            (ActorKind::User, Some(id)) => Actor::User(UserId(id)),
            (ActorKind::ApiKey, Some(id)) => Actor::ApiKey(CredentialId(id)),
            _ => Actor::System,
        };
        Ok(Self {
            id: row.id,
            upload: row.upload_id,
            file_name: row.file_name,
            state: row.state.parse().map_err(Error::fault)?,
            options: serde_json::from_value(row.options).map_err(Error::fault)?,
            columns: serde_json::from_value(row.columns).map_err(Error::fault)?,
            cursor: serde_json::from_value(row.cursor).map_err(Error::fault)?,
            total_bytes: row.total_bytes,
            done_bytes: row.done_bytes,
            rows_seen: row.rows_seen,
            rows_created: row.rows_created,
            rows_updated: row.rows_updated,
            rows_failed: row.rows_failed,
            file_sha256: row.file_sha256.map(|hash| hash.try_into().map_err(|_| unreadable())).transpose()?,
            evidence: row.evidence_id,
            error_code: row.error_code,
            actor,
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}
