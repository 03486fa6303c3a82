//! What a contact looks like from outside.
//!
//! Whoever may not see personal data gets null and an error for each field of it, and the rest of the contact (C-225).

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::contacts::{self as domain, contact_history, contact_tags};
use carillon_domain::error::Error;
use carillon_domain::messaging::{MessageFilter, messages};
use carillon_domain::tenancy::{Permission, ReadContacts, ReadMessages, ReadPersonalData};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::consent::{ConsentEvent, ConsentState, consents, ledger};
use crate::graphql::messaging::types::Message;
use crate::graphql::scope::RequestScope;

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
    pub id: ID,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: AttributeKind,
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
    pub values: Option<Value>,
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

/// A person that the tenant writes to.
#[derive(Debug, Clone)]
pub struct Contact {
    contact: domain::Contact,
    /// Loaded with the page, where the query asks for them.
    tags: Option<Vec<String>>,
}

impl Contact {
    /// A contact whose tags are loaded when asked for.
    pub fn new(contact: domain::Contact) -> Self {
        Self { contact, tags: None }
    }

    /// A contact with its tags.
    pub fn with_tags(contact: domain::Contact, tags: Vec<String>) -> Self {
        Self { contact, tags: Some(tags) }
    }

    /// The contact itself.
    pub fn inner(&self) -> &domain::Contact {
        &self.contact
    }
}

/// A value that needs its own permission. The error lies inside the option: only so the field is there, as null, beside
/// the error.
fn personal<T>(ctx: &Context<'_>, value: Option<T>) -> Option<Result<T>> {
    let permitted = RequestScope::of(ctx).tenant().is_ok_and(|tenant| tenant.may(Permission::ReadPersonalData));
    if permitted { value.map(Ok) } else { Some(Err(Error::Forbidden.into())) }
}

/// A person that the tenant writes to.
#[Object]
impl Contact {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.contact.id.to_string().into()
    }

    /// The tenant's own id.
    async fn external_id(&self) -> Option<&str> {
        self.contact.external_id.as_deref()
    }

    /// Where mail goes.
    async fn email(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.contact.email.as_ref().map(domain::EmailAddress::as_sent))
    }

    /// The telephone number in E.164 form.
    async fn phone(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.contact.phone.as_ref().map(domain::PhoneNumber::as_e164))
    }

    /// First name.
    async fn first_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.contact.first_name.as_deref())
    }

    /// Last name.
    async fn last_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        personal(ctx, self.contact.last_name.as_deref())
    }

    /// Language tag, such as `de-AT`.
    async fn locale(&self) -> Option<&str> {
        self.contact.locale.as_ref().map(domain::Locale::as_str)
    }

    /// IANA time zone.
    async fn zone(&self) -> Option<&str> {
        self.contact.zone.as_ref().map(domain::Zone::as_str)
    }

    /// ISO 3166 country code.
    async fn country(&self) -> Option<&str> {
        self.contact.country.as_ref().map(domain::Country::as_str)
    }

    /// Whether it is in use.
    async fn state(&self) -> ContactState {
        self.contact.state.into()
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> i64 {
        self.contact.version
    }

    /// Its tags in order.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<String>> {
        if let Some(tags) = &self.tags {
            return Ok(tags.clone());
        }
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadContacts>().await?;
        let mut tags = contact_tags(&grant, &mut tx, &[self.contact.id]).await?;
        Ok(tags.remove(&self.contact.id).unwrap_or_default())
    }

    /// Declared attributes by name.
    async fn attributes(&self, ctx: &Context<'_>) -> Option<Result<Value>> {
        personal(ctx, Some(Value::Object(self.contact.attributes.clone())))
    }

    /// When it came to be.
    async fn created_at(&self) -> DateTime<Utc> {
        self.contact.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.contact.updated_at
    }

    /// What the person said, added up: one for each topic they said something about.
    async fn consents(&self, ctx: &Context<'_>) -> Result<Vec<ConsentState>> {
        consents(ctx, self.contact.email.as_ref()).await
    }

    /// All that was recorded about the address the contact has now, oldest first.
    #[graphql(complexity = "crate::graphql::limits::page_cost(first, None, child_complexity)")]
    async fn ledger(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<List<ConsentEvent>> {
        ledger(ctx, self.contact.email.as_ref(), PageArgs::forward(first, after)).await
    }

    /// What was or will be sent to it, oldest first.
    #[graphql(complexity = "crate::graphql::limits::page_cost(first, None, child_complexity)")]
    async fn messages(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<List<Message>> {
        let page = PageArgs::forward(first, after).page().map_err(Error::from)?;
        let filter = MessageFilter { contact: Some(self.contact.id), ..MessageFilter::default() };
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        Ok(list(messages(&grant, &mut tx, &filter, &page).await?, |message| message.id, Message))
    }

    /// Its history, oldest first.
    #[graphql(complexity = "crate::graphql::limits::page_cost(first, None, child_complexity)")]
    async fn changes(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<List<ContactChange>> {
        let page = PageArgs::forward(first, after).page().map_err(Error::from)?;
        let scope = RequestScope::of(ctx);
        let (grant, mut tx) = scope.read::<ReadPersonalData>().await?;
        let history = contact_history(&grant, &mut tx, scope.ports(), self.contact.id, page).await?;
        Ok(list(history, |change| change.id, ContactChange::from))
    }
}
