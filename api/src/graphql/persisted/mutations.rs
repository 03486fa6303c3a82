//! Registering and retiring documents, and changing which of them a set has.

use std::collections::HashMap;
use std::marker::PhantomData;

use async_graphql::{Context, Object, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal, Result as Done};
use carillon_domain::ids::{DocumentSetId, PersistedDocumentId};
use carillon_domain::persisted::{
    self as domain, DocumentHash, DocumentText, activate_set_version, create_document_set, publish_set_version,
    register_documents, retire_documents,
};
use carillon_domain::ports::TenantTx;
use carillon_domain::tenancy::{Grant, PublishDocuments};
use serde::{Deserialize, Serialize};

use super::inputs::{
    ActivateDocumentSetVersionInput, CreateDocumentSetInput, Judged, PublishDocumentSetVersionInput,
    RegisterDocumentsInput, RetireDocumentsInput,
};
use super::types::{DocumentSet, PersistedDocument};
use crate::graphql::error::{UserError, payload, payload_at, user_errors};
use crate::graphql::loader;
use crate::graphql::mutate::Once;
use crate::graphql::node::named;
use crate::graphql::scope::RequestScope;

/// What became of one document.
#[derive(Debug, SimpleObject)]
pub struct RegisterDocumentResult {
    /// What it is run by; null where it was refused.
    document_id: Option<String>,
    /// The document. Needs the right to see documents.
    document: Option<Result<PersistedDocument>>,
    /// False where it was registered already.
    created: bool,
    /// Why it was refused, with fields relative to the document.
    user_errors: Vec<UserError>,
}

/// The answer of `registerDocuments`.
#[derive(Debug, SimpleObject)]
pub struct RegisterDocumentsPayload {
    /// One for each document of the input, in order.
    results: Vec<RegisterDocumentResult>,
    /// What was refused as a whole; nothing was registered then.
    user_errors: Vec<UserError>,
}

/// What became of one id.
#[derive(Debug, Clone, SimpleObject, Serialize, Deserialize)]
pub struct RetireDocumentResult {
    /// The id as it was given.
    document_id: String,
    /// True where it was registered until now.
    retired: bool,
    /// `NOT_FOUND` where it was not.
    user_errors: Vec<UserError>,
}

/// The answer of `retireDocuments`.
#[derive(Debug, SimpleObject)]
pub struct RetireDocumentsPayload {
    /// One for each id of the input, in order.
    results: Vec<RetireDocumentResult>,
    /// What was refused as a whole; nothing was retired then.
    user_errors: Vec<UserError>,
}

/// What is stored of one registered document.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    document: Option<PersistedDocumentId>,
    hash: Option<DocumentHash>,
    created: bool,
    errors: Vec<UserError>,
}

/// Mutations of persisted documents.
#[derive(Debug, Default)]
pub struct PersistedMutation;

#[Object]
impl PersistedMutation {
    /// Registers documents, each judged by itself: by the schema and by the limits that it would meet. Whoever is in the
    /// tenant may run them by their ids from then on, within their role and scopes; a key that is held to a set only when a
    /// version of it has them.
    async fn register_documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The documents.")] input: RegisterDocumentsInput,
    ) -> Result<RegisterDocumentsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishDocuments>()?;
        let once = Once::new("registerDocuments", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let judged = &match input.judge().await {
            Ok(judged) => judged,
            Err(refusal) => {
                return Ok(RegisterDocumentsPayload { results: Vec::new(), user_errors: user_errors([refusal]) });
            }
        };
        let done = scope.mutate(grant, &once, |tx, _| Box::pin(register(grant, tx, scope, judged))).await;
        let (answers, user_errors) = payload(done)?;
        let answers = answers.unwrap_or_default();
        let ids: Vec<PersistedDocumentId> = answers.iter().filter_map(|answer| answer.document).collect();
        let documents = load(ctx, &ids).await;
        let shown = |id: PersistedDocumentId| {
            documents.as_ref().map(|found| found.get(&id).cloned()).map_err(Clone::clone).transpose()
        };
        let result = |answer: Answer| RegisterDocumentResult {
            document_id: answer.hash.map(|hash| hash.to_string()),
            document: answer.document.and_then(shown),
            created: answer.created,
            user_errors: answer.errors,
        };
        Ok(RegisterDocumentsPayload { results: answers.into_iter().map(result).collect(), user_errors })
    }

    /// Retires documents: within five seconds nobody runs them by their ids any more, whatever sets they are in, and what a
    /// key that is held to a set subscribed to with them ends. Whoever has the text may register it again.
    async fn retire_documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The documents.")] input: RetireDocumentsInput,
    ) -> Result<RetireDocumentsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishDocuments>()?;
        let once = Once::new("retireDocuments", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let done = scope.mutate(grant, &once, |tx, _| Box::pin(retire(grant, tx, scope, &input))).await;
        let (results, user_errors) = payload(done)?;
        Ok(RetireDocumentsPayload { results: results.unwrap_or_default(), user_errors })
    }

    /// Makes a document set, to hold API keys to: `createApiKey`, `limitApiKey`. Until a version of it is published they may
    /// run nothing.
    async fn create_document_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The set.")] input: CreateDocumentSetInput,
    ) -> Result<DocumentSetPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishDocuments>()?;
        let name = input.name.as_str();
        let once = Once::new("createDocumentSet", input.idempotency_key.as_deref(), &input);
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(create_document_set(grant, tx, scope.ports(), name).await?.id) })
        });
        DocumentSetPayload::of(ctx, made.await).await
    }

    /// Publishes the next version of a document set: within five seconds keys that are held to it run what it has, and
    /// nothing else. The version before can be put back with `activateDocumentSetVersion`.
    async fn publish_document_set_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version.")] input: PublishDocumentSetVersionInput,
    ) -> Result<DocumentSetPayload<Publish>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishDocuments>()?;
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return DocumentSetPayload::of(ctx, Err(refusal.into())).await,
        };
        let once = Once::new("publishDocumentSetVersion", input.idempotency_key.as_deref(), &input);
        let published = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                publish_set_version(grant, tx, scope.ports(), command).await?;
                Ok(command.set)
            })
        });
        DocumentSetPayload::of(ctx, published.await).await
    }

    /// Has a version of a document set hold that was published before, as it was then: a release is taken back by it.
    async fn activate_document_set_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version.")] input: ActivateDocumentSetVersionInput,
    ) -> Result<DocumentSetPayload<Activate>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishDocuments>()?;
        let command = match input.parse() {
            Ok(command) => command,
            Err(refusal) => return DocumentSetPayload::of(ctx, Err(refusal.into())).await,
        };
        let once = Once::new("activateDocumentSetVersion", input.idempotency_key.as_deref(), &input);
        let activated = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                activate_set_version(grant, tx, scope.ports(), command).await?;
                Ok(command.set)
            })
        });
        DocumentSetPayload::showing(ctx, payload_at(activated.await, command.set)?).await
    }
}

/// Registers what was not refused; an answer for each.
async fn register(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    judged: &[Judged],
) -> Done<Vec<Answer>> {
    let texts: Vec<DocumentText> = judged.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
    let mut registered = register_documents(grant, tx, scope.ports(), &texts).await?.into_iter();
    let mut answers = Vec::with_capacity(judged.len());
    for one in judged {
        answers.push(match one {
            Ok(_) => {
                let Some(domain::Registered { id, hash, created }) = registered.next() else {
                    return Err(Error::fault("a document was not registered"));
                };
                Answer { document: Some(id), hash: Some(hash), created, errors: Vec::new() }
            }
            Err(refusal) => {
                Answer { document: None, hash: None, created: false, errors: user_errors([refusal.clone()]) }
            }
        });
    }
    Ok(answers)
}

/// Retires what is there; an answer for each.
async fn retire(
    grant: &Grant<PublishDocuments>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    input: &RetireDocumentsInput,
) -> Done<Vec<RetireDocumentResult>> {
    let asked = input.parse();
    let hashes: Vec<DocumentHash> = asked.iter().filter_map(|(_, hash)| *hash).collect();
    let gone = retire_documents(grant, tx, scope.ports(), &hashes).await?;
    let result = |(id, hash): (&str, Option<DocumentHash>)| {
        let retired = hash.is_some_and(|hash| gone.contains(&hash));
        let missing = (!retired).then(|| Refusal::not_found("documentId"));
        RetireDocumentResult { document_id: id.to_owned(), retired, user_errors: user_errors(missing) }
    };
    Ok(asked.into_iter().map(result).collect())
}

async fn load(
    ctx: &Context<'_>,
    ids: &[PersistedDocumentId],
) -> Result<HashMap<PersistedDocumentId, PersistedDocument>> {
    let documents = loader::of(ctx).load_many(ids.iter().copied()).await?;
    Ok(documents.into_iter().map(|(id, document)| (id, PersistedDocument(document))).collect())
}

/// `createDocumentSet`.
#[derive(Debug)]
pub enum Create {}

/// `publishDocumentSetVersion`.
#[derive(Debug)]
pub enum Publish {}

/// `activateDocumentSetVersion`.
#[derive(Debug)]
pub enum Activate {}

/// The answer of a mutation of a document set.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateDocumentSetPayload", params(Create)),
    concrete(name = "PublishDocumentSetVersionPayload", params(Publish)),
    concrete(name = "ActivateDocumentSetVersionPayload", params(Activate))
)]
pub struct DocumentSetPayload<Of: Send + Sync> {
    /// The set as it is now, beside `CONFLICT` too. Needs the right to see documents.
    document_set: Option<Result<DocumentSet>>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> DocumentSetPayload<Of> {
    async fn of(ctx: &Context<'_>, result: Done<DocumentSetId>) -> Result<Self> {
        Self::showing(ctx, payload(result)?).await
    }

    async fn showing(ctx: &Context<'_>, (id, user_errors): (Option<DocumentSetId>, Vec<UserError>)) -> Result<Self> {
        let document_set = named(id, |id| DocumentSet::find(ctx, id)).await.transpose();
        Ok(Self { document_set, user_errors, of: PhantomData })
    }
}
