//! Uploads and imports: announced and started here, put over HTTP, worked on by the engine.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::contacts::import::{self as domain, Head, StartImport, list_imports};
use carillon_domain::error::Refusal;
use carillon_domain::files::{self, CreateUpload};
use carillon_domain::ids::{ImportId, UploadId};
use carillon_domain::ports::TenantTx;
use carillon_domain::tenancy::{Grant, ImportContacts, RecordConsent};

use super::import_inputs::{CreateUploadInput, StartImportInput};
use super::import_types::{Import, Upload};
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::error::{UserError, payload, user_errors};
use crate::graphql::mutate::Once;
use crate::graphql::node::{by_id, named, parse_id};
use crate::graphql::scope::RequestScope;

/// Payload of `createUpload`.
#[derive(Debug, SimpleObject)]
pub struct CreateUploadPayload {
    /// The upload and its address.
    upload: Option<Upload>,
    /// What was refused.
    user_errors: Vec<UserError>,
}

/// Payload of `startImport`.
#[derive(Debug, SimpleObject)]
pub struct StartImportPayload {
    /// The import, waiting for a worker.
    import: Option<Import>,
    /// What was refused; nothing was imported then.
    user_errors: Vec<UserError>,
}

/// Queries about imports.
#[derive(Debug, Default)]
pub struct ImportQuery;

#[Object]
impl ImportQuery {
    /// An import; null when there is none with this id.
    async fn import(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Import>> {
        by_id(&id, |id| Import::find(ctx, id)).await
    }

    /// Imports, by when they were started.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn imports(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
    ) -> Result<List<Import>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let (grant, mut tx) = RequestScope::of(ctx).read::<ImportContacts>().await?;
        let imports = list_imports(&grant, &mut tx, page).await?;
        Ok(list(order.told(imports), |import| import.id, Import::from))
    }
}

/// Mutations of uploads and imports.
#[derive(Debug, Default)]
pub struct ImportMutation;

#[Object]
impl ImportMutation {
    /// Announces a file: answers with the address to put it to.
    async fn create_upload(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateUploadInput,
    ) -> Result<CreateUploadPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<ImportContacts>()?;
        let once = Once::new("createUpload", input.idempotency_key.as_deref(), &input);
        let command = match CreateUpload::parse(&input.file_name, input.size, scope.ports().settings.upload_max) {
            Ok(command) => command,
            Err(refusals) => return Ok(CreateUploadPayload { upload: None, user_errors: user_errors(refusals) }),
        };
        let created = scope.mutate(&grant, &once, |tx, _| Box::pin(create(&grant, tx, scope, command.clone()))).await;
        let (id, user_errors) = payload(created)?;
        let upload = named(id, |id| Upload::find(ctx, id)).await?;
        Ok(CreateUploadPayload { upload, user_errors })
    }

    /// Starts the import of a file that was put whole. Its header is read at once: columns that mean nothing are
    /// refused, attributes must be declared. An API key needs the scope `consent.record` too where a topic, a consent or
    /// a column about either is given.
    async fn start_import(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: StartImportInput,
    ) -> Result<StartImportPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<ImportContacts>()?;
        let records = scope.grant::<RecordConsent>().ok();
        let grants = (&grant, records.as_ref());
        let once = Once::new("startImport", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let refused = |refusals: Vec<Refusal>| StartImportPayload { import: None, user_errors: user_errors(refusals) };
        let options = input.options.clone().unwrap_or_default().parse();
        let command = match (parse_id(&input.upload_id, "uploadId"), options) {
            (Ok(upload), Ok(options)) => StartImport { upload, options },
            (Err(refusal), _) => return Ok(refused(vec![refusal])),
            (_, Err(refusals)) => return Ok(refused(refusals)),
        };
        let (files, delimiter) = ((scope.ports(), scope.files()), command.options.delimiter);
        let head = domain::read_head(&grant, files, command.upload, delimiter).await?;
        let work = || (command.clone(), head.clone());
        let started = scope.mutate(&grant, &once, |tx, _| Box::pin(start(grants, tx, scope, work()))).await;
        let (id, user_errors) = payload(started)?;
        let import = match id {
            Some(id) => {
                scope.doorbell(&once).ring_imports();
                Import::find(ctx, id).await?
            }
            None => None,
        };
        Ok(StartImportPayload { import, user_errors })
    }
}

async fn create(
    grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    command: CreateUpload,
) -> carillon_domain::error::Result<UploadId> {
    Ok(files::create_upload(grant, tx, scope.ports(), command).await?.id)
}

async fn start(
    grants: (&Grant<ImportContacts>, Option<&Grant<RecordConsent>>),
    tx: &mut TenantTx,
    scope: &RequestScope,
    (command, head): (StartImport, Head),
) -> carillon_domain::error::Result<ImportId> {
    Ok(domain::start_import(grants, tx, scope.ports(), command, head).await?.id)
}
