//! What mail is made of and leaves through: senders, relays, templates and their versions.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::ids::{PartialId, SenderId, TemplateId, TemplateVersionId};
use carillon_domain::messaging;
use chrono::{DateTime, Utc};

use super::loaders::VersionsOf;
use super::types::MessageClass;
use crate::graphql::loader;

/// Whom mail is from, and what signs it.
#[derive(Debug)]
pub struct Sender(pub messaging::Sender);

impl Sender {
    /// The sender with this id.
    pub async fn find(ctx: &Context<'_>, id: SenderId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// Who mail is from: an address, a name, and the key that signs its mail.
#[Object]
impl Sender {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its brand.
    async fn brand_id(&self) -> ID {
        self.0.brand.into()
    }

    /// Display name.
    #[graphql(name = "fromName")]
    async fn display_name(&self) -> &str {
        &self.0.from_name
    }

    /// From address.
    async fn from_email(&self) -> &str {
        &self.0.from_email
    }

    /// Where replies go, if elsewhere.
    async fn reply_to(&self) -> Option<&str> {
        self.0.reply_to.as_deref()
    }

    /// Postal address shown in marketing mail.
    async fn postal_address(&self) -> &str {
        &self.0.postal_address
    }

    /// The DNS record to publish, so that recipients can verify the signature.
    async fn dns_record(&self) -> DnsRecord {
        DnsRecord { name: self.0.dkim_record_name(), value: self.0.dkim_public.clone() }
    }

    /// When the operator verified it, or the embedded mode took its word; until then its mail is held.
    async fn verified_at(&self) -> Option<DateTime<Utc>> {
        self.0.verified_at
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// A TXT record.
#[derive(Debug, SimpleObject)]
pub struct DnsRecord {
    /// Its name.
    name: String,
    /// Its text.
    value: String,
}

/// The tenant's own relay, through which its mail leaves.
#[derive(Debug, SimpleObject)]
pub struct Relay {
    /// Host and port; credentials are never shown.
    host: String,
    /// When it was set.
    created_at: DateTime<Utc>,
}

impl From<messaging::OwnRelay> for Relay {
    fn from(relay: messaging::OwnRelay) -> Self {
        Self { host: relay.host, created_at: relay.created_at }
    }
}

/// A template: a name, a class, and immutable versions.
#[derive(Debug)]
pub struct Template(pub messaging::Template);

impl Template {
    /// The template with this id.
    pub async fn find(ctx: &Context<'_>, id: TemplateId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// A template of messages; its content is in its versions.
#[Object]
impl Template {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What messages made of it are.
    async fn class(&self) -> MessageClass {
        self.0.class.into()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// The newest version of each locale.
    async fn versions(&self, ctx: &Context<'_>) -> Result<Vec<TemplateVersion>> {
        let versions = loader::of(ctx).load_one(VersionsOf(self.0.id)).await?;
        Ok(versions.unwrap_or_default().into_iter().map(TemplateVersion).collect())
    }
}

/// A piece that templates include by its name.
#[derive(Debug)]
pub struct Partial(pub messaging::Partial);

impl Partial {
    /// The partial with this id.
    pub async fn find(ctx: &Context<'_>, id: PartialId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// A piece that templates include by its name when a version of them is published.
#[Object]
impl Partial {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name, for `{% include "name" %}`.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is in an html part.
    async fn html(&self) -> &str {
        &self.0.html
    }

    /// What it is in a text part.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// What the html part of a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::TemplateFormat")]
pub enum TemplateFormat {
    /// Html.
    Html,
    /// MJML, made html of when a version is published.
    Mjml,
}

/// A published version; it never changes.
#[derive(Debug)]
pub struct TemplateVersion(pub messaging::StoredVersion);

impl TemplateVersion {
    /// The version with this id.
    pub async fn find(ctx: &Context<'_>, id: TemplateVersionId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// Published content of a template in one language; it never changes.
#[Object]
impl TemplateVersion {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Of which template.
    async fn template_id(&self) -> ID {
        self.0.template.into()
    }

    /// From 1, for each locale.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// BCP 47 tag.
    async fn locale(&self) -> &str {
        &self.0.locale
    }

    /// Source of the subject.
    async fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What its html part was written in.
    async fn format(&self) -> TemplateFormat {
        self.0.format.into()
    }

    /// The html part as it was written.
    async fn source(&self) -> &str {
        &self.0.source
    }

    /// Source of the html part as it is rendered: with its partials, made of MJML, its styles inlined.
    async fn html(&self) -> &str {
        &self.0.html
    }

    /// Source of the text part as it is rendered.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// When it was published.
    async fn published_at(&self) -> DateTime<Utc> {
        self.0.published_at
    }
}
