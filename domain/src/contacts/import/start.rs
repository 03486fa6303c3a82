//! Starting an import: everything that can be refused is refused before a row is read.

use carillon_entities::ids::UploadId;
use carillon_entities::wall::TenantTx;

use super::job::{Import, ImportState};
use super::source::{FileHead, Place, open};
use super::{Header, ImportOptions};
use crate::consent::consent_topic;
use crate::contacts::declare_attributes::declare;
use crate::contacts::store::attributes::definitions_load;
use crate::contacts::store::imports::import_insert;
use crate::contacts::{AttributeName, DeclareAttribute};
use crate::error::{Error, Refusal, Result, WallError};
use crate::files::{Files, Upload, UploadState, store::upload_find};
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts, RecordConsent};

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct StartImport {
    /// The file.
    pub upload: UploadId,
    /// How.
    pub options: ImportOptions,
}

/// What the head of a file is, or why there is none to be had.
pub type Head = std::result::Result<FileHead, Headless>;

/// Why there is no head.
#[derive(Debug, Clone)]
pub enum Headless {
    /// The file is refused.
    Refused(Vec<Refusal>),
    /// The store does not give it; what it says is logged where it said it.
    Away,
}

impl From<Headless> for Error {
    fn from(why: Headless) -> Self {
        match why {
            Headless::Refused(refusals) => Self::Refused(refusals),
            Headless::Away => WallError::Unavailable.into(),
        }
    }
}

/// Reads the head of a file, before the transaction that starts its import. What goes wrong is kept for that: a call that
/// was answered before is answered the same, whatever became of the file and its store (C-186).
pub async fn read_head(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    upload: UploadId,
    delimiter: Option<char>,
) -> Result<Head> {
    let mut tx = grant.begin_read().await?;
    let upload = complete(&mut tx, ports, upload).await;
    tx.commit().await?;
    let read = async {
        let upload = upload?;
        let place = Place { tenant: grant.tenant(), upload: upload.id, size: upload.size };
        open(files, place, delimiter).await
    };
    match read.await {
        Err(Error::Refused(refusals)) => Ok(Err(Headless::Refused(refusals))),
        Err(Error::Fault(fault)) => {
            tracing::error!(%fault, "the head of a file cannot be read");
            Ok(Err(Headless::Away))
        }
        head => head.map(Ok),
    }
}

/// Starts an import; a worker goes on with it.
///
/// # Errors
/// `UPLOAD_INCOMPLETE`, `FILE_*` for what is no CSV, `HEADER_*` for columns that mean nothing: attributes must be
/// declared, by the tenant or by the import. Faults of the options name their field. [`Error::Forbidden`] where the
/// options or a column speak of consent and `records`, who may record it, is missing (L2).
pub async fn start_import(
    (grant, records): (&Grant<ImportContacts>, Option<&Grant<RecordConsent>>),
    tx: &mut TenantTx,
    ports: &Ports,
    command: StartImport,
    head: Head,
) -> Result<Import> {
    let StartImport { upload, options } = command;
    let upload = complete(tx, ports, upload).await?;
    let refusals = options.check();
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    if records.is_none() && (options.topic.is_some() || options.consent.is_some()) {
        return Err(Error::Forbidden);
    }
    if let Some(topic) = options.topic {
        consent_topic(tx, topic).await?.ok_or_else(|| Refusal::not_found("options.topicId"))?;
    }
    declare_columns(tx, ports, &options).await?;
    let FileHead { names, cursor } = head?;
    let rules = options.header_rules(&definitions_load(tx).await?);
    let columns = Header::read(&names, &rules).map_err(Error::Refused)?;
    if records.is_none() && columns.speaks_of_consent() {
        return Err(Error::Forbidden);
    }
    let import = Import {
        id: ports.new_id(),
        upload: upload.id,
        file_name: upload.file_name,
        state: ImportState::Queued,
        options,
        columns,
        cursor,
        total_bytes: i64::try_from(upload.size).map_err(Error::fault)?,
        done_bytes: i64::try_from(cursor.position.offset).map_err(Error::fault)?,
        rows_seen: 0,
        rows_created: 0,
        rows_updated: 0,
        rows_failed: 0,
        file_sha256: None,
        evidence: None,
        error_code: None,
        actor: grant.actor(),
        created_at: ports.now(),
        finished_at: None,
    };
    import_insert(tx, &import).await?;
    Ok(import)
}

async fn complete(tx: &mut TenantTx, ports: &Ports, id: UploadId) -> Result<Upload> {
    let upload = upload_find(tx, id).await?.ok_or_else(|| Refusal::not_found("uploadId"))?;
    let now = ports.now();
    match upload.state {
        UploadState::Complete if now < upload.expires_at => Ok(upload),
        UploadState::Open if now < upload.expires_at => {
            let message = format!("{} of {} bytes are here.", upload.received, upload.size);
            Err(Refusal::new("UPLOAD_INCOMPLETE", "uploadId", message).into())
        }
        UploadState::Complete | UploadState::Open | UploadState::Expired => Err(Refusal::not_found("uploadId").into()),
    }
}

async fn declare_columns(tx: &mut TenantTx, ports: &Ports, options: &ImportOptions) -> Result<()> {
    let declared = options.declare.iter().filter_map(|one| {
        Some(DeclareAttribute { name: AttributeName::parse(&one.name).ok()?, kind: one.kind.parse().ok()? })
    });
    let at = |refusal: Refusal| {
        let field = refusal.field.replacen("attributes", "options.declare", 1);
        refusal.at(field)
    };
    match declare(tx, ports, declared.collect()).await {
        Err(Error::Refused(refusals)) => Err(Error::Refused(refusals.into_iter().map(at).collect())),
        done => done.map(drop),
    }
}
