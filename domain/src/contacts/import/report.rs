//! Seeing how an import goes, and its errors as a list or as a file.

use std::collections::HashMap;

use bytes::Bytes;
use carillon_entities::ids::{ImportId, TenantId};
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;
use futures::Stream;

use super::csv_line;
use super::job::Import;
use crate::contacts::store::imports::{
    ImportError, import_errors_after, import_errors_of, import_find, imports_find, imports_page,
};
use crate::error::{Refusal, Result};
use crate::files::{FileTarget, SignedFile};
use crate::paging::{Ahead, Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// How long the address of the errors is good for.
const ADDRESS_LIFE: TimeDelta = TimeDelta::hours(1);
/// Errors in one piece of the file.
const PIECE: u64 = 1_000;

/// An import, if there is one with this id.
pub async fn get_import(_grant: &Grant<ImportContacts>, tx: &mut TenantTx, id: ImportId) -> Result<Option<Import>> {
    import_find(tx, id).await
}

/// Imports by id, in no order; what is not there is left out.
pub async fn get_imports(_grant: &Grant<ImportContacts>, tx: &mut TenantTx, ids: &[ImportId]) -> Result<Vec<Import>> {
    imports_find(tx, ids).await
}

/// A page of the imports, in the order they were started.
pub async fn list_imports(
    _grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    page: Page<ImportId>,
) -> Result<Paged<Import>> {
    imports_page(tx, page).await
}

/// A page of each import's errors, by line and place, in one statement for all of them; imports without any are left
/// out.
pub async fn list_import_errors(
    _grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    imports: &[ImportId],
    page: Ahead<(i64, i32)>,
) -> Result<HashMap<ImportId, Paged<ImportError>>> {
    Ok(import_errors_of(tx, imports, page).await?)
}

/// The address at which the errors can be fetched as a file, for an hour.
pub fn errors_url(ports: &Ports, tenant: TenantId, import: ImportId) -> String {
    let expires_at = ports.now() + ADDRESS_LIFE;
    let token = SignedFile::sign(&ports.keys, tenant, FileTarget::ImportErrors(import), expires_at);
    format!("{}/files/{token}/errors.csv", ports.settings.public_url)
}

/// The errors as CSV, piece by piece; every piece is a short transaction of its own.
///
/// # Errors
/// `NOT_FOUND` when there is no such import.
pub async fn errors_csv(
    grant: Grant<ImportContacts>,
    import: ImportId,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let mut tx = grant.begin_read().await?;
    import_find(&mut tx, import).await?.ok_or_else(|| Refusal::not_found("id"))?;
    tx.commit().await?;
    let head = Bytes::from(csv_line(["line", "field", "code", "message"]));
    let pieces = futures::stream::try_unfold(Some(None), move |state: Option<Option<(i64, i32)>>| {
        let grant = grant.clone();
        async move {
            let Some(after) = state else { return Ok(None) };
            let mut tx = grant.begin_read().await?;
            let errors = import_errors_after(&mut tx, import, after, PIECE).await?;
            tx.commit().await?;
            let next = errors.last().map(|last| Some((last.line, last.place)));
            Ok(Some((lines(&errors), next)))
        }
    });
    Ok(futures::StreamExt::chain(futures::stream::iter([Ok(head)]), pieces))
}

fn lines(errors: &[ImportError]) -> Bytes {
    let line =
        |error: &ImportError| csv_line([error.line.to_string().as_str(), &error.field, &error.code, &error.message]);
    Bytes::from(errors.iter().map(line).collect::<String>())
}
