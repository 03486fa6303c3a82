//! Templates: a name and immutable published versions (L7).

use aws_lc_rs::digest::{Context, SHA256};
use carillon_entities::ids::{TemplateId, TemplateVersionId};
use carillon_entities::wall::{TenantTx, WallError};

use super::content::{StoredVersion, Template, TemplateFormat};
use super::materials::Materials;
use super::template::{Built, TemplateProblem, TemplateSource, Written};
use super::{MessageClass, store};
use crate::contacts::{Locale, one_line};
use crate::error::{Error, Refusal, Result};
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishTemplates, ReadMessages};

/// The longest name.
pub(super) const NAME_MAX: usize = 200;

/// Makes a template without a version.
pub async fn create_template(
    _: &Grant<PublishTemplates>,
    tx: &mut TenantTx,
    ports: &Ports,
    name: &str,
    class: MessageClass,
) -> Result<Template> {
    let name = one_line(name, NAME_MAX).map_err(|why| Refusal::new("BAD_NAME", "name", why.to_string()))?;
    let template = Template { id: ports.new_id(), name, class, created_at: ports.now() };
    match store::template_insert(tx, &template).await {
        Err(Error::Wall(WallError::Conflict { .. })) => {
            Err(Refusal::new("TEMPLATE_EXISTS", "name", "There is a template with this name.").into())
        }
        result => result.map(|()| template),
    }
}

/// A version to publish.
#[derive(Debug, Clone)]
pub struct PublishVersion {
    /// Of which template.
    pub template: TemplateId,
    /// BCP 47 tag.
    pub locale: String,
    /// MiniJinja source of the subject.
    pub subject: String,
    /// MiniJinja source of the html part, in the format named.
    pub html: String,
    /// MiniJinja source of the text part; made of the html where there is none.
    pub text: Option<String>,
    /// What the html part is written in.
    pub format: TemplateFormat,
    /// The event whose properties the template may use.
    pub event_name: Option<String>,
}

/// A version that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version.
    pub version: StoredVersion,
    /// What its author should know (C-31).
    pub warnings: Vec<TemplateProblem>,
}

/// Checks and publishes a version; it never changes after, for its partials are part of it.
pub async fn publish_version(
    _: &Grant<PublishTemplates>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: PublishVersion,
) -> Result<Published> {
    let locale = Locale::parse(&command.locale);
    let locale = locale.map_err(|why| Refusal::new("BAD_LOCALE", "locale", why.to_string()))?.as_str().to_owned();
    let template = store::template_find(tx, command.template).await?.ok_or_else(|| Refusal::not_found("templateId"))?;
    let PublishVersion { subject, html, text, format, event_name, .. } = command;
    let written = Written { subject, html, text, format };
    let materials = Materials::load(tx, &written, event_name.as_deref()).await?;
    let event = materials.event;
    let (written, built) = materials.build(written, template.class).await?;
    let refused = |problems: Vec<TemplateProblem>| Error::Refused(problems.into_iter().map(Refusal::from).collect());
    let Built { source, checked } = built.map_err(refused)?;
    let version = StoredVersion {
        id: ports.new_id::<TemplateVersionId>(),
        template: template.id,
        class: template.class,
        version: store::version_last(tx, template.id, &locale).await? + 1,
        content_hash: content_hash(&source),
        locale,
        format,
        source: written.html,
        event,
        subject: source.subject,
        html: source.html,
        text: source.text,
        published_at: ports.now(),
    };
    match store::version_insert(tx, &version).await {
        // Two published at once: the number is taken, the loser tries again with the next.
        Err(Error::Wall(WallError::Conflict { .. })) => Err(Error::Wall(WallError::Retry)),
        result => result.map(|()| Published { version, warnings: checked.warnings }),
    }
}

fn content_hash(source: &TemplateSource) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in [&source.subject, &source.html, &source.text] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

/// Templates by id, in no order; unknown ids are left out.
pub async fn find_templates(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = TemplateId>,
) -> Result<Vec<Template>> {
    store::templates_find(tx, ids).await
}

/// The newest version of each locale of templates.
pub async fn newest_versions(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    templates: impl IntoIterator<Item = TemplateId>,
) -> Result<Vec<StoredVersion>> {
    store::versions_of(tx, templates).await
}

/// A page of templates, oldest first.
pub async fn templates(_: &Grant<ReadMessages>, tx: &mut TenantTx, page: &Page<TemplateId>) -> Result<Paged<Template>> {
    store::templates_list(tx, page).await
}

/// Versions by id, in no order; unknown ids are left out.
pub async fn template_versions(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = TemplateVersionId>,
) -> Result<Vec<StoredVersion>> {
    store::template_versions_find(tx, ids).await
}
