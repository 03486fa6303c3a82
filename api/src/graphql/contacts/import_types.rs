//! What uploads and imports look like from outside.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::contacts::import::{self as domain, errors_url};
use carillon_domain::error::Error;
use carillon_domain::files;
use carillon_domain::ids::{ImportId, UploadId};
use carillon_domain::paging::Ahead;
use carillon_domain::tenancy::ImportContacts;
use chrono::{DateTime, Utc};

use super::loaders::ErrorsOf;
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::consent::{ConsentBasis, ConsentEvidence, Topic, actor_id};
use crate::graphql::loader;
use crate::graphql::node::named;
use crate::graphql::scope::RequestScope;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::import::ImportState")]
pub enum ImportState {
    /// Waiting for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Every row was read.
    Completed,
    /// It cannot go on; `errorCode` says why.
    Failed,
}

/// A file on its way to us, or here. `PUT` its bytes to `url`: whole, or in parts with `Content-Range`. `HEAD` answers
/// how much is here in `Upload-Offset`; a part that broke off goes on from there.
#[derive(Debug, Clone, SimpleObject)]
pub struct Upload {
    /// Its id, for `startImport`.
    #[graphql(owned)]
    pub id: ID,
    /// The address to put it to; whoever has it may.
    pub url: String,
    /// When address and file go.
    pub expires_at: DateTime<Utc>,
    /// Bytes that are here.
    pub received: i64,
    /// Bytes it was declared to have.
    pub size: i64,
}

impl Upload {
    /// The upload with this id.
    pub async fn find(ctx: &Context<'_>, id: UploadId) -> Result<Option<Self>> {
        let found = loader::of(ctx).load_one(id).await?;
        found.map(|upload| Self::new(RequestScope::of(ctx), &upload)).transpose()
    }

    fn new(scope: &RequestScope, upload: &files::Upload) -> Result<Self> {
        let bytes = |n: u64| i64::try_from(n).map_err(Error::fault);
        Ok(Self {
            id: upload.id.to_string().into(),
            url: upload.url(scope.ports(), scope.tenant()?.tenant()),
            expires_at: upload.expires_at,
            received: bytes(upload.received)?,
            size: bytes(upload.size)?,
        })
    }
}

/// Something that is wrong with a row, without the row's content.
#[derive(Debug, Clone, SimpleObject)]
pub struct ImportError {
    /// The line of the file that the row starts on.
    pub line: i64,
    /// A field's name as `mapping` takes it, or empty for the whole row.
    pub field: String,
    /// Stable code in upper case.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// What the consent in a file rests on, in the words of whoever imported it.
#[derive(Debug, Clone, SimpleObject)]
pub struct ImportConsent {
    /// The ground.
    pub basis: ConsentBasis,
    /// Where it was collected; a row's own source comes before it.
    pub source: Option<String>,
    /// When it was collected; a row's own date comes before it.
    pub collected_at: Option<DateTime<Utc>>,
    /// That it was.
    pub attestation: String,
}

impl From<domain::ImportConsent> for ImportConsent {
    fn from(consent: domain::ImportConsent) -> Self {
        let domain::ImportConsent { basis, source, collected_at, attestation } = consent;
        Self { basis: basis.into(), source, collected_at, attestation }
    }
}

/// An import of contacts from a file.
#[derive(Debug, Clone)]
pub struct Import(domain::Import);

impl Import {
    /// The import with this id.
    pub async fn find(ctx: &Context<'_>, id: ImportId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

impl From<domain::Import> for Import {
    fn from(import: domain::Import) -> Self {
        Self(import)
    }
}

/// A place in the list of errors: line and number on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ErrorPlace(i64, i32);

impl std::fmt::Display for ErrorPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line_{}_{}", self.0, self.1)
    }
}

impl std::str::FromStr for ErrorPlace {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (line, place) = text.strip_prefix("line_").and_then(|rest| rest.split_once('_')).ok_or(())?;
        Ok(Self(line.parse().map_err(|_| ())?, place.parse().map_err(|_| ())?))
    }
}

/// An import of contacts from a file.
#[Object]
impl Import {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What the file is called.
    async fn file_name(&self) -> &str {
        &self.0.file_name
    }

    /// How far it is.
    async fn state(&self) -> ImportState {
        self.0.state.into()
    }

    /// Bytes of the file.
    async fn total_bytes(&self) -> i64 {
        self.0.total_bytes
    }

    /// Bytes that are imported.
    async fn done_bytes(&self) -> i64 {
        self.0.done_bytes
    }

    /// Rows that were read, blank ones not counted.
    async fn rows_seen(&self) -> i64 {
        self.0.rows_seen
    }

    /// Rows that made a contact.
    async fn rows_created(&self) -> i64 {
        self.0.rows_created
    }

    /// Rows about a contact that was there, from before or from an earlier row. With `SKIP` those change nothing, and are
    /// not counted here.
    async fn rows_updated(&self) -> i64 {
        self.0.rows_updated
    }

    /// Rows that were refused.
    async fn rows_failed(&self) -> i64 {
        self.0.rows_failed
    }

    /// What is wrong with rows, by line: the first 100,000; the rest is only counted, in `rowsFailed`.
    async fn errors(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<ImportError>> {
        let page = PageArgs::ahead::<ErrorPlace>(first, after)?;
        let page = Ahead { after: page.after.map(|ErrorPlace(line, place)| (line, place)), size: page.size };
        let errors = loader::of(ctx).load_one(ErrorsOf(self.0.id, page)).await?.unwrap_or_else(|| page.empty());
        let node = |one: domain::ImportError| ImportError {
            line: one.line,
            field: one.field,
            code: one.code,
            message: one.message,
        };
        Ok(list(errors, |one| ErrorPlace(one.line, one.place), node))
    }

    /// The address of `errors` as a CSV file, good for an hour.
    #[expect(clippy::unused_async, reason = "a field is async")]
    async fn errors_url(&self, ctx: &Context<'_>) -> Result<String> {
        let scope = RequestScope::of(ctx);
        Ok(errors_url(scope.ports(), scope.grant::<ImportContacts>()?.tenant(), self.0.id))
    }

    /// Why it failed; what was imported before stays. `FILE_GONE`: the file is not there any more. `ROW_QUOTE`: a quotation
    /// mark is never closed, `ROW_ENDLESS`: a line of more than 16 MiB; nothing behind it was read. `TOO_MANY_ATTEMPTS`: we
    /// met faults of ours ten times in a row.
    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    /// SHA-256 of the file in hexadecimal; known once a worker has begun.
    async fn file_sha256(&self) -> Option<String> {
        self.0.file_sha256.map(hex::encode)
    }

    /// The file it was started with.
    async fn upload(&self, ctx: &Context<'_>) -> Option<Result<Upload>> {
        Upload::find(ctx, self.0.upload).await.transpose()
    }

    /// What subscribed people are subscribed to.
    async fn topic(&self, ctx: &Context<'_>) -> Option<Result<Topic>> {
        named(self.0.options.topic, |id| Topic::find(ctx, id)).await.transpose()
    }

    /// What their consent rests on, as it was attested.
    async fn consent(&self) -> Option<ImportConsent> {
        self.0.options.consent.clone().map(ImportConsent::from)
    }

    /// What proves the consent in it: file, uploader and attestation. Needs the right to see personal data.
    async fn evidence(&self, ctx: &Context<'_>) -> Option<Result<ConsentEvidence>> {
        ConsentEvidence::find(ctx, self.0.evidence).await.transpose()
    }

    /// Who started it: `user`, `api_key` or `system`.
    async fn actor_kind(&self) -> &str {
        self.0.actor.kind().as_str()
    }

    /// Which one, where there is one.
    async fn actor_id(&self) -> Option<ID> {
        actor_id(self.0.actor.kind(), self.0.actor.id())
    }

    /// When it was started.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was over.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }
}
