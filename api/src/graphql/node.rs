//! `node` and `nodes`: any object by its id, whose text names its kind (Relay).

use std::str::FromStr;

use async_graphql::{Context, ID, Interface, Object, Result};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{
    BrandId, ContactId, EnrollmentId, ImportId, MessageId, PartialId, SenderId, TemplateId, TemplateVersionId,
    TenantId, TopicId, UploadId, WorkflowId, WorkflowVersionId,
};

use super::consent::{Brand, Topic};
use super::contacts::{Contact, Import, Upload};
use super::messaging::content_types::{Partial, Sender, Template, TemplateVersion};
use super::messaging::types::Message;
use super::tenancy::Tenant;
use super::workflows::{Enrollment, Workflow, WorkflowVersion};

/// An object with an id of its own.
#[derive(Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's id, unique over all kinds."))]
pub enum Node {
    /// A brand.
    Brand(Brand),
    /// A contact.
    Contact(Contact),
    /// Somebody on a workflow.
    Enrollment(Enrollment),
    /// An import.
    Import(Import),
    /// A message.
    Message(Message),
    /// A partial.
    Partial(Partial),
    /// A sender.
    Sender(Sender),
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

    /// The objects with these ids, in their order, at most 100; null for each that there is not.
    async fn nodes(&self, ctx: &Context<'_>, #[graphql(desc = "The ids.")] ids: Vec<ID>) -> Result<Vec<Option<Node>>> {
        if ids.len() > NODES_MAX {
            let message = format!("At most {NODES_MAX} ids.");
            return Err(Error::from(Refusal::new("TOO_MANY_IDS", "ids", message)).into());
        }
        futures::future::try_join_all(ids.iter().map(|id| find(ctx, id))).await
    }
}

/// Each kind is known by the prefix of its ids.
async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let kind = id.rsplit_once('_').map_or("", |(kind, _)| kind);
    match kind {
        BrandId::KIND => by_id(id, |id| Brand::find(ctx, id)).await,
        ContactId::KIND => by_id(id, |id| Contact::find(ctx, id)).await,
        EnrollmentId::KIND => by_id(id, |id| Enrollment::find(ctx, id)).await,
        ImportId::KIND => by_id(id, |id| Import::find(ctx, id)).await,
        MessageId::KIND => by_id(id, |id| Message::find(ctx, id)).await,
        PartialId::KIND => by_id(id, |id| Partial::find(ctx, id)).await,
        SenderId::KIND => by_id(id, |id| Sender::find(ctx, id)).await,
        TemplateId::KIND => by_id(id, |id| Template::find(ctx, id)).await,
        TemplateVersionId::KIND => by_id(id, |id| TemplateVersion::find(ctx, id)).await,
        TenantId::KIND => by_id(id, |id| Tenant::find(ctx, id)).await,
        TopicId::KIND => by_id(id, |id| Topic::find(ctx, id)).await,
        UploadId::KIND => by_id(id, |id| Upload::find(ctx, id)).await,
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

/// An id of an input; one that is malformed or of another kind is refused like the id of nothing (C-204).
///
/// # Errors
/// `NOT_FOUND` under the field.
pub fn parse_id<I: FromStr>(id: &ID, field: &str) -> Result<I, Refusal> {
    id.parse().map_err(|_| Refusal::not_found(field))
}
