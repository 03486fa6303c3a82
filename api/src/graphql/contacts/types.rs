//! What a contact looks like from outside.
//!
//! Whoever may not see personal data gets null and an error for each field of it, and the rest of the contact (C-225).

#![expect(clippy::unused_async, reason = "resolvers are async, whatever they do")]

use async_graphql::resolver_utils::enum_value;
use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject, Value};
use carillon_domain::contacts as domain;
use carillon_domain::error::Error;
use carillon_domain::ids::{AttributeId, ContactId};
use carillon_domain::tenancy::Permission;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use super::event_types::ContactEvent;
use super::loaders::{ChangesOf, EventsOf, TagsOf};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::consent::{ConsentEvent, ConsentState, consents, ledger};
use crate::graphql::leaves::Leaves;
use crate::graphql::loader;
use crate::graphql::messaging::loaders::MessagesOf;
use crate::graphql::messaging::tracking::{TrackingMode, TrackingOf};
use crate::graphql::messaging::types::Message;
use crate::graphql::scope::RequestScope;
use crate::graphql::workflows::{Enrollment, enrollments, is_held};

/// Whether a contact may be written to at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::ContactState")]
pub enum ContactState {
    /// In use.
    Active,
    /// Put away; can be restored, is never mailed.
    Archived,
    /// Gone; suppressions of its address stay.
    Deleted,
}

/// The kind of an attribute; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::AttributeKind")]
pub enum AttributeKind {
    /// Text.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
}

/// What happened to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::ChangeKind")]
pub enum ContactChangeKind {
    /// It came to be.
    Created,
    /// Fields changed.
    Updated,
    /// Tags were put on or taken off.
    Tagged,
    /// It was put away.
    Archived,
    /// It was taken back.
    Restored,
    /// It was deleted.
    Deleted,
}

/// An attribute that is declared: contacts take nothing under other names.
#[derive(Debug, Clone, SimpleObject)]
pub struct AttributeDefinition {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: AttributeKind,
}

impl AttributeDefinition {
    /// The attribute with this id.
    pub async fn find(ctx: &Context<'_>, id: AttributeId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::AttributeDefinition> for AttributeDefinition {
    fn from(one: domain::AttributeDefinition) -> Self {
        Self { id: one.id.to_string().into(), name: one.name.as_str().to_owned(), kind: one.kind.into() }
    }
}

/// One entry of a contact's history.
#[derive(Debug, Clone, SimpleObject)]
pub struct ContactChange {
    /// Its id.
    pub id: ID,
    /// What happened.
    pub kind: ContactChangeKind,
    /// Who did it: `user`, `api_key`, `subject` or `system`.
    pub actor_kind: String,
    /// Through what it was done: `agent`, `api`, `import`, `subject` or `system`.
    pub source_kind: String,
    /// Names of the fields that changed.
    pub fields: Vec<String>,
    /// Old and new values by field; null where none were kept or the contact was deleted since.
    pub values: Option<Json>,
    /// When.
    pub at: DateTime<Utc>,
}

impl From<domain::Change> for ContactChange {
    fn from(change: domain::Change) -> Self {
        Self {
            id: change.id.to_string().into(),
            kind: change.kind.into(),
            actor_kind: change.actor_kind.to_string(),
            source_kind: change.source_kind.to_string(),
            fields: change.fields,
            values: change.values,
            at: change.at,
        }
    }
}

/// Fields that a list must have read [`domain::Shown::More`] for.
const NEED_MORE: [&str; 7] = ["externalId", "phone", "version", "createdAt", "updatedAt", "consents", "ledger"];

/// A person that the tenant writes to. Of one in a list, what few lists show is read when it is asked for.
#[derive(Debug, Clone)]
pub struct Contact {
    card: domain::ContactCard,
    whole: Option<Box<domain::Contact>>,
}

impl Contact {
    /// The contact with this id.
    pub async fn find(ctx: &Context<'_>, id: ContactId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }

    /// How much a list of contacts must read for what is asked of them.
    pub fn shown(ctx: &Context<'_>) -> domain::Shown {
        let list = ctx.look_ahead();
        let rows = [list.field("nodes"), list.field("edges").field("node")];
        let more = rows.iter().any(|row| NEED_MORE.iter().any(|name| row.field(name).exists()));
        if more { domain::Shown::More } else { domain::Shown::Few }
    }

    fn more(&self) -> Result<&domain::CardMore> {
        Ok(self.card.more.as_ref().ok_or_else(|| Error::fault("a list read too little of its contacts"))?)
    }

    /// What a list did not read.
    async fn detail<T>(&self, ctx: &Context<'_>, of: impl Fn(&domain::Contact) -> Option<T>) -> Option<Result<T>> {
        if let Some(whole) = &self.whole {
            return of(whole).map(Ok);
        }
        match Box::pin(loader::of(ctx).load_one(self.card.id)).await {
            Ok(found) => found.as_ref().and_then(of).map(Ok),
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl From<domain::Contact> for Contact {
    fn from(contact: domain::Contact) -> Self {
        Self { card: domain::ContactCard::from(&contact), whole: Some(Box::new(contact)) }
    }
}

impl From<domain::ContactCard> for Contact {
    fn from(card: domain::ContactCard) -> Self {
        Self { card, whole: None }
    }
}

impl Leaves for Contact {
    fn leaf(&self, scope: &RequestScope, name: &str) -> Option<Value> {
        let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
        match name {
            "id" => Some(Value::String(self.card.id.to_string())),
            "state" => Some(enum_value(ContactState::from(self.card.state))),
            _ if !sees_personal_data(scope) => None,
            "email" => Some(text(&self.card.email)),
            "firstName" => Some(text(&self.card.first_name)),
            "lastName" => Some(text(&self.card.last_name)),
            _ => None,
        }
    }
}

fn sees_personal_data(scope: &RequestScope) -> bool {
    scope.tenant().is_ok_and(|tenant| tenant.may(Permission::ReadPersonalData))
}

/// A value that needs its own permission. The error lies inside the option: only so the field is there, as null, beside
/// the error.
fn personal<T>(ctx: &Context<'_>, value: Option<T>) -> Option<Result<T>> {
    if sees_personal_data(RequestScope::of(ctx)) { value.map(Ok) } else { Some(Err(Error::Forbidden.into())) }
}

/// A person that the tenant writes to.
// Each field's future is as large as the largest: what loads stands behind a pointer, so that the plain ones stay small.
#[Object]
impl Contact {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.card.id.to_string().into()
    }

    /// The tenant's own id.
    async fn external_id(&self) -> Option<Result<&str>> {
        self.more().map(|more| more.external_id.as_deref()).transpose()
    }

    /// Where mail goes.
    async fn email(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.card.email.as_deref())
    }

    /// The telephone number in E.164 form.
    async fn phone(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        match self.more() {
            Ok(more) => personal(ctx, more.phone.as_ref().map(domain::PhoneNumber::as_e164)),
            Err(error) => Some(Err(error)),
        }
    }

    /// First name.
    async fn first_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.card.first_name.as_deref())
    }

    /// Last name.
    async fn last_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.card.last_name.as_deref())
    }

    /// Language tag, such as `de-AT`.
    async fn locale(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.detail(ctx, |contact| Some(contact.locale.as_ref()?.as_str().to_owned())).await
    }

    /// IANA time zone.
    async fn zone(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.detail(ctx, |contact| Some(contact.zone.as_ref()?.as_str().to_owned())).await
    }

    /// ISO 3166 country code.
    async fn country(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.detail(ctx, |contact| Some(contact.country.as_ref()?.as_str().to_owned())).await
    }

    /// Whether it is in use.
    async fn state(&self) -> ContactState {
        self.card.state.into()
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> Result<i64> {
        Ok(self.more()?.version)
    }

    /// Its tags in order.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<String>> {
        Ok(Box::pin(loader::of(ctx).load_one(TagsOf(self.card.id))).await?.unwrap_or_default())
    }

    /// Declared attributes by name.
    async fn attributes(&self, ctx: &Context<'_>) -> Option<Result<Json>> {
        match self.detail(ctx, |contact| Some(Json::Object(contact.attributes.clone()))).await {
            Some(Ok(attributes)) => personal(ctx, Some(attributes)),
            other => other,
        }
    }

    /// When it came to be.
    async fn created_at(&self) -> Result<DateTime<Utc>> {
        Ok(self.more()?.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Result<DateTime<Utc>> {
        Ok(self.more()?.updated_at)
    }

    /// What the person said, added up: one for each topic they said something about. Needs the right to see consent.
    async fn consents(&self, ctx: &Context<'_>) -> Option<Result<Vec<ConsentState>>> {
        Some(match self.more() {
            Ok(more) => Box::pin(consents(ctx, more.address.as_ref())).await,
            Err(error) => Err(error),
        })
    }

    /// All that was recorded about the address the contact has now, oldest first. Needs the right to see consent.
    async fn ledger(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Option<Result<List<ConsentEvent>>> {
        Some(match self.more() {
            Ok(more) => Box::pin(ledger(ctx, more.address.as_ref(), (first, after))).await,
            Err(error) => Err(error),
        })
    }

    /// How marketing mail to it is tracked; null for one that is deleted.
    async fn tracking_mode(&self, ctx: &Context<'_>) -> Result<Option<TrackingMode>> {
        Ok(Box::pin(loader::of(ctx).load_one(TrackingOf(self.card.id))).await?.map(TrackingMode::from))
    }

    /// What was or will be sent to it, oldest first. Needs the right to see messages.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Option<Result<List<Message>>> {
        Some(Box::pin(messages(ctx, self.card.id, (first, after))).await)
    }

    /// Its ways on workflows, in the order in which they began. Needs the right to see workflows.
    async fn enrollments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Option<Result<List<Enrollment>>> {
        Some(Box::pin(enrollments(ctx, self.card.id, (first, after))).await)
    }

    /// Whether it is held on all workflows, as `pauseContact` does. Needs the right to see workflows.
    async fn workflows_paused(&self, ctx: &Context<'_>) -> Option<Result<bool>> {
        Some(Box::pin(is_held(ctx, self.card.id)).await)
    }

    /// Its history, oldest first. Needs the right to see personal data.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Option<Result<List<ContactChange>>> {
        Some(Box::pin(changes(ctx, self.card.id, (first, after))).await)
    }

    /// What it did, what arrived last first. Needs the right to see personal data.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Option<Result<List<ContactEvent>>> {
        Some(Box::pin(events(ctx, self.card.id, (first, after))).await)
    }
}

/// Size and place of a page, as a field's arguments give them.
type Asked = (Option<i32>, Option<String>);

async fn messages(ctx: &Context<'_>, contact: ContactId, (first, after): Asked) -> Result<List<Message>> {
    let page = PageArgs::ahead(first, after)?;
    let found = loader::of(ctx).load_one(MessagesOf(contact, page)).await?;
    Ok(list(found.unwrap_or_else(|| page.empty()), |message| message.id, Message))
}

async fn changes(ctx: &Context<'_>, contact: ContactId, (first, after): Asked) -> Result<List<ContactChange>> {
    let page = PageArgs::ahead(first, after)?;
    let found = loader::of(ctx).load_one(ChangesOf(contact, page)).await?;
    Ok(list(found.unwrap_or_else(|| page.empty()), |change| change.id, ContactChange::from))
}

async fn events(ctx: &Context<'_>, contact: ContactId, (first, after): Asked) -> Result<List<ContactEvent>> {
    let page = PageArgs::ahead(first, after)?;
    let found = loader::of(ctx).load_one(EventsOf(contact, page)).await?;
    Ok(list(found.unwrap_or_else(|| page.empty()), |event| event.id, ContactEvent::from))
}
