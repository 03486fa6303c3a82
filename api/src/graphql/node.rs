//! `node` and `nodes`: any object by its id, whose text names its kind (Relay).

use std::str::FromStr;

use async_graphql::{Context, ID, Interface, Object, Result};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{BrandId, ContactId, ImportId, MessageId, SenderId, TemplateId, TopicId};

use super::consent::{Brand, Topic};
use super::contacts::{Contact, Import, load_import};
use super::loader;
use super::messaging::types::{Message, Sender, Template};

/// An object with an id of its own.
#[derive(Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's id, unique over all kinds."))]
pub enum Node {
    /// A brand.
    Brand(Brand),
    /// A contact.
    Contact(Contact),
    /// An import.
    Import(Import),
    /// A message.
    Message(Message),
    /// A sender.
    Sender(Sender),
    /// A template.
    Template(Template),
    /// A topic.
    Topic(Topic),
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
    let rows = loader::of(ctx);
    Ok(match kind {
        BrandId::KIND => rows.load_one::<BrandId>(own_id(id)?).await?.map(|brand| Brand::from(brand).into()),
        ContactId::KIND => rows.load_one::<ContactId>(own_id(id)?).await?.map(|contact| Contact::new(contact).into()),
        TopicId::KIND => rows.load_one::<TopicId>(own_id(id)?).await?.map(|topic| Topic::from(topic).into()),
        ImportId::KIND => load_import(ctx, own_id(id)?).await?.map(Node::from),
        MessageId::KIND => Message::find(ctx, own_id(id)?).await?.map(Node::from),
        SenderId::KIND => Sender::find(ctx, own_id(id)?).await?.map(Node::from),
        TemplateId::KIND => Template::find(ctx, own_id(id)?).await?.map(Node::from),
        _ => None,
    })
}

fn own_id<I: FromStr>(id: &ID) -> Result<I, Error> {
    Ok(parse_id(id, "id")?)
}

/// An id of one kind; a text that is none is answered like the id of nothing (C-204).
///
/// # Errors
/// `NOT_FOUND` under the field.
pub fn parse_id<I: FromStr>(id: &ID, field: &str) -> Result<I, Refusal> {
    id.parse().map_err(|_| Refusal::not_found(field))
}
