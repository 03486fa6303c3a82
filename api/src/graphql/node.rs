//! `node` and `nodes`: any object by its id, whose text names its kind (Relay).

use std::str::FromStr;

use async_graphql::{Context, ID, Interface, Object, Result};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{
    AccountId, AttributeId, AuditEventId, BrandId, CampaignId, ConsentEventId, ContactId, CredentialId, DocumentSetId,
    EnrollmentId, EventDefinitionId, EvidenceId, ImportId, ListId, MessageId, PartialId, PersistedDocumentId, SenderId,
    SuppressionId, TemplateId, TemplateVersionId, TenantId, TopicId, UploadId, WebhookDeliveryId, WebhookEndpointId,
    WorkflowId, WorkflowVersionId,
};

use super::campaigns::{Campaign, ContactList};
use super::consent::{Brand, ConsentEvent, ConsentEvidence, Suppression, Topic};
use super::contacts::{AttributeDefinition, Contact, EventDefinition, Import, Upload};
use super::messaging::content_types::{Partial, Sender, Template, TemplateVersion};
use super::messaging::types::Message;
use super::persisted::{DocumentSet, PersistedDocument};
use super::scope::{Caller, RequestScope};
use super::tenancy::{Account, ApiKey, AuditEvent, Tenant};
use super::webhooks::{WebhookDelivery, WebhookEndpoint};
use super::workflows::{Enrollment, Workflow, WorkflowVersion};

/// An object with an id of its own.
#[derive(Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's id, unique over all kinds."))]
pub enum Node {
    /// An account that the caller reaches.
    Account(Account),
    /// An API key.
    ApiKey(ApiKey),
    /// A declared attribute.
    AttributeDefinition(AttributeDefinition),
    /// An entry of the audit log.
    AuditEvent(AuditEvent),
    /// A brand.
    Brand(Brand),
    /// A campaign.
    Campaign(Campaign),
    /// An entry of the ledger of consent.
    ConsentEvent(ConsentEvent),
    /// What proves entries of the ledger.
    ConsentEvidence(ConsentEvidence),
    /// A contact.
    Contact(Contact),
    /// A list of contacts.
    ContactList(ContactList),
    /// A set of persisted documents.
    DocumentSet(DocumentSet),
    /// Somebody on a workflow.
    Enrollment(Enrollment),
    /// An event that is known.
    EventDefinition(EventDefinition),
    /// An import.
    Import(Import),
    /// A message.
    Message(Message),
    /// A partial.
    Partial(Partial),
    /// A persisted document.
    PersistedDocument(PersistedDocument),
    /// A sender.
    Sender(Sender),
    /// An address that is not written to.
    Suppression(Suppression),
    /// A template.
    Template(Template),
    /// A version of a template.
    TemplateVersion(TemplateVersion),
    /// The tenant that the caller is in.
    Tenant(Tenant),
    /// A topic.
    Topic(Topic),
    /// An upload.
    Upload(Upload),
    /// A delivery of a webhook.
    WebhookDelivery(WebhookDelivery),
    /// A webhook endpoint.
    WebhookEndpoint(WebhookEndpoint),
    /// A workflow.
    Workflow(Workflow),
    /// A version of a workflow.
    WorkflowVersion(WorkflowVersion),
}

/// The most ids of one `nodes`.
const NODES_MAX: usize = 100;

/// Queries for any object.
#[derive(Debug, Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null when there is none, or none that the caller may know of.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: ID) -> Result<Option<Node>> {
        find(ctx, &id).await
    }

    /// The objects with these ids, in their order, at most 100; null for each that there is not, and null beside an error
    /// for each that the caller may not see.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Result<Node>>>> {
        if ids.len() > NODES_MAX {
            let message = format!("At most {NODES_MAX} ids.");
            return Err(Error::from(Refusal::new("TOO_MANY_IDS", "ids", message)).into());
        }
        if matches!(RequestScope::of(ctx).caller(), Caller::Anonymous) {
            return Err(Error::Unauthenticated.into());
        }
        let found = futures::future::join_all(ids.iter().map(|id| find(ctx, id))).await;
        Ok(found.into_iter().map(Result::transpose).collect())
    }
}

/// Each kind is known by the prefix of its ids.
async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let kind = id.rsplit_once('_').map_or("", |(kind, _)| kind);
    match kind {
        AccountId::KIND => by_id(id, |id| Account::find(ctx, id)).await,
        AttributeId::KIND => by_id(id, |id| AttributeDefinition::find(ctx, id)).await,
        AuditEventId::KIND => by_id(id, |id| AuditEvent::find(ctx, id)).await,
        BrandId::KIND => by_id(id, |id| Brand::find(ctx, id)).await,
        CampaignId::KIND => by_id(id, |id| Campaign::find(ctx, id)).await,
        ConsentEventId::KIND => by_id(id, |id| ConsentEvent::find(ctx, id)).await,
        ContactId::KIND => by_id(id, |id| Contact::find(ctx, id)).await,
        CredentialId::KIND => by_id(id, |id| ApiKey::find(ctx, id)).await,
        DocumentSetId::KIND => by_id(id, |id| DocumentSet::find(ctx, id)).await,
        EnrollmentId::KIND => by_id(id, |id| Enrollment::find(ctx, id)).await,
        EventDefinitionId::KIND => by_id(id, |id| EventDefinition::find(ctx, id)).await,
        EvidenceId::KIND => by_id(id, |id| ConsentEvidence::find(ctx, Some(id))).await,
        ImportId::KIND => by_id(id, |id| Import::find(ctx, id)).await,
        ListId::KIND => by_id(id, |id| ContactList::find(ctx, id)).await,
        MessageId::KIND => by_id(id, |id| Message::find(ctx, id)).await,
        PartialId::KIND => by_id(id, |id| Partial::find(ctx, id)).await,
        PersistedDocumentId::KIND => by_id(id, |id| PersistedDocument::find(ctx, id)).await,
        SenderId::KIND => by_id(id, |id| Sender::find(ctx, id)).await,
        SuppressionId::KIND => by_id(id, |id| Suppression::find(ctx, id)).await,
        TemplateId::KIND => by_id(id, |id| Template::find(ctx, id)).await,
        TemplateVersionId::KIND => by_id(id, |id| TemplateVersion::find(ctx, id)).await,
        TenantId::KIND => by_id(id, |id| Tenant::find(ctx, id)).await,
        TopicId::KIND => by_id(id, |id| Topic::find(ctx, id)).await,
        UploadId::KIND => by_id(id, |id| Upload::find(ctx, id)).await,
        WebhookDeliveryId::KIND => by_id(id, |id| WebhookDelivery::find(ctx, id)).await,
        WebhookEndpointId::KIND => by_id(id, |id| WebhookEndpoint::find(ctx, id)).await,
        WorkflowId::KIND => by_id(id, |id| Workflow::find(ctx, id)).await,
        WorkflowVersionId::KIND => by_id(id, |id| WorkflowVersion::find(ctx, id)).await,
        _ => Ok(None),
    }
}

/// What a query finds by an id; one that is malformed or of another kind is the id of nothing (C-204).
pub async fn by_id<I, T, O, F>(id: &ID, find: impl FnOnce(I) -> F) -> Result<Option<O>>
where
    I: FromStr,
    T: Into<O>,
    F: Future<Output = Result<Option<T>>>,
{
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(find(id).await?.map(Into::into))
}

/// What a payload shows of what its use case named, if it named anything.
pub async fn named<I, T, F>(id: Option<I>, find: impl FnOnce(I) -> F) -> Result<Option<T>>
where
    F: Future<Output = Result<Option<T>>>,
{
    match id {
        Some(id) => find(id).await,
        None => Ok(None),
    }
}

/// An id of an input; one that is malformed or of another kind is refused like the id of nothing (C-204).
///
/// # Errors
/// `NOT_FOUND` under the field.
pub fn parse_id<I: FromStr>(id: &ID, field: &str) -> Result<I, Refusal> {
    id.parse().map_err(|_| Refusal::not_found(field))
}
