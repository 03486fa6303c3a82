//! Starting an import: everything that can be refused is refused before a row is read.

use carillon_entities::ids::UploadId;
use carillon_entities::wall::TenantTx;

use super::ImportOptions;
use super::job::{Import, ImportState};
use super::source::{Place, open};
use crate::consent::consent_topic;
use crate::contacts::declare_attributes::declare;
use crate::contacts::store::attributes::definitions_load;
use crate::contacts::store::imports::import_insert;
use crate::contacts::{AttributeName, DeclareAttribute};
use crate::error::{Error, Refusal, Result};
use crate::files::{Files, Upload, UploadState, store::upload_find};
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct StartImport {
    /// The file.
    pub upload: UploadId,
    /// How.
    pub options: ImportOptions,
}

/// Starts an import; a worker goes on with it.
///
/// # Errors
/// `UPLOAD_INCOMPLETE`, `FILE_*` for what is no CSV, `HEADER_*` for columns that mean nothing: attributes must be
/// declared, by the tenant or by the import. Faults of the options name their field.
pub async fn start_import(
    grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    (ports, files): (&Ports, &Files),
    command: StartImport,
) -> Result<Import> {
    let StartImport { upload, options } = command;
    let upload = complete(tx, ports, upload).await?;
    let refusals = options.check();
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    if let Some(topic) = options.topic {
        consent_topic(tx, topic).await?.ok_or_else(|| Refusal::not_found("options.topicId"))?;
    }
    declare_columns(tx, ports, &options).await?;
    let rules = options.header_rules(&definitions_load(tx).await?);
    let place = Place { tenant: grant.tenant(), upload: upload.id, size: upload.size };
    let (columns, cursor) = open(files, place, &rules, options.delimiter).await?;
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
