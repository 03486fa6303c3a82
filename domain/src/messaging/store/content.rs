//! Senders, relays, templates and their immutable versions.

use carillon_entities::ids::{BrandId, EventDefinitionId, RelayId, SenderId, TemplateId, TemplateVersionId};
use carillon_entities::rows::messaging::{relays, sender_identities, template_versions, templates};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};

use crate::error::{Error, Result};
use crate::messaging::content::{Sender, StoredVersion, Template};
use crate::messaging::senders::OwnRelay;
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

statements! {
    /// Versions by id with the class of their template.
    TEMPLATE_VERSIONS() [id: Uuid] =
        "SELECT v.id, v.template_id, v.version, v.locale, v.subject, v.html, v.body_text, v.format, v.source, v.event_id, v.content_hash, \
         v.published_at, t.class FROM ({batch}) AS b \
         JOIN template_versions v ON v.tenant_id = $1 AND v.id = b.id \
         JOIN templates t ON t.tenant_id = $1 AND t.id = v.template_id";
    /// The newest version of each locale of templates.
    TEMPLATE_VERSIONS_OF() [id: Uuid] =
        "SELECT v.id, v.template_id, v.version, v.locale, v.subject, v.html, v.body_text, v.format, v.source, v.event_id, v.content_hash, \
         v.published_at, t.class FROM ({batch}) AS b \
         JOIN template_versions v ON v.tenant_id = $1 AND v.template_id = b.id \
         JOIN templates t ON t.tenant_id = $1 AND t.id = v.template_id \
         WHERE v.version = (SELECT MAX(n.version) FROM template_versions n WHERE n.tenant_id = $1 \
         AND n.template_id = v.template_id AND n.locale = v.locale) ORDER BY v.template_id, v.locale";
    /// The newest version number of a template in a locale.
    TEMPLATE_VERSION_LAST(Uuid, Text) =
        "SELECT COALESCE(MAX(version), 0) AS version FROM template_versions \
         WHERE tenant_id = $1 AND template_id = $2 AND locale = $3";
    /// The brands of senders.
    SENDER_BRANDS() [id: Uuid] =
        "SELECT s.id, s.brand_id FROM ({batch}) AS b JOIN sender_identities s ON s.tenant_id = $1 AND s.id = b.id";
    /// Sets the tenant's one relay.
    RELAY_SET(Uuid, Text, Bytes, Time) =
        "INSERT INTO relays (tenant_id, id, host, sealed_url, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant_id) DO UPDATE SET id = excluded.id, host = excluded.host, \
         sealed_url = excluded.sealed_url, created_at = excluded.created_at";
}

#[derive(FromQueryResult)]
struct VersionRow {
    id: TemplateVersionId,
    template_id: TemplateId,
    version: i32,
    locale: String,
    subject: String,
    html: String,
    body_text: String,
    format: String,
    source: String,
    event_id: Option<EventDefinitionId>,
    content_hash: Vec<u8>,
    published_at: Timestamp,
    class: String,
}

pub(in crate::messaging) async fn template_versions_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = TemplateVersionId>,
) -> Result<Vec<StoredVersion>> {
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<VersionRow> = tx.sql(&TEMPLATE_VERSIONS, Args::batch(batch))?.all().await?;
    rows.into_iter().map(stored_version).collect()
}

fn stored_version(row: VersionRow) -> Result<StoredVersion> {
    Ok(StoredVersion {
        id: row.id,
        template: row.template_id,
        class: row.class.parse().map_err(Error::fault)?,
        version: row.version,
        locale: row.locale,
        subject: row.subject,
        html: row.html,
        text: row.body_text,
        format: row.format.parse().map_err(Error::fault)?,
        source: row.source,
        event: row.event_id,
        content_hash: row.content_hash,
        published_at: row.published_at,
    })
}

pub(in crate::messaging) async fn version_last(tx: &mut TenantTx, template: TemplateId, locale: &str) -> Result<i32> {
    #[derive(FromQueryResult)]
    struct Last {
        version: i32,
    }
    let last: Option<Last> = tx.sql(&TEMPLATE_VERSION_LAST, Args::of([template.into(), locale.into()]))?.one().await?;
    Ok(last.map_or(0, |last| last.version))
}

pub(in crate::messaging) async fn version_insert(tx: &mut TenantTx, version: &StoredVersion) -> Result<()> {
    let row = template_versions::ActiveModel {
        id: Set(version.id),
        template_id: Set(version.template),
        version: Set(version.version),
        locale: Set(version.locale.clone()),
        subject: Set(version.subject.clone()),
        html: Set(version.html.clone()),
        body_text: Set(version.text.clone()),
        format: Set(version.format.as_str().to_owned()),
        source: Set(version.source.clone()),
        event_id: Set(version.event),
        content_hash: Set(version.content_hash.clone()),
        published_at: Set(version.published_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

pub(in crate::messaging) async fn template_insert(tx: &mut TenantTx, template: &Template) -> Result<()> {
    let row = templates::ActiveModel {
        id: Set(template.id),
        name: Set(template.name.clone()),
        class: Set(template.class.as_str().to_owned()),
        created_at: Set(template.created_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

pub(in crate::messaging) async fn template_find(tx: &mut TenantTx, id: TemplateId) -> Result<Option<Template>> {
    let row = tx.select::<templates::Entity>().eq(templates::Column::Id, id).one().await?;
    row.map(template).transpose()
}

/// A page of templates, oldest first.
pub(in crate::messaging) async fn templates_list(
    tx: &mut TenantTx,
    page: &Page<TemplateId>,
) -> Result<Paged<Template>> {
    use templates::Column::Id;
    let rows = page.keyset(tx.select::<templates::Entity>(), Id).all().await?;
    Ok(page.finish(rows.into_iter().map(template).collect::<Result<_>>()?))
}

pub(in crate::messaging) async fn templates_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = TemplateId>,
) -> Result<Vec<Template>> {
    let select = tx.select::<templates::Entity>().is_in(templates::Column::Id, ids);
    select.limit(1_000).all().await?.into_iter().map(template).collect()
}

/// The newest version of each locale of templates.
pub(in crate::messaging) async fn versions_of(
    tx: &mut TenantTx,
    templates: impl IntoIterator<Item = TemplateId>,
) -> Result<Vec<StoredVersion>> {
    let batch = templates.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<VersionRow> = tx.sql(&TEMPLATE_VERSIONS_OF, Args::batch(batch))?.all().await?;
    rows.into_iter().map(stored_version).collect()
}

fn template(row: templates::Model) -> Result<Template> {
    Ok(Template {
        id: row.id,
        name: row.name,
        class: row.class.parse().map_err(Error::fault)?,
        created_at: row.created_at,
    })
}

pub(in crate::messaging) async fn sender_insert(tx: &mut TenantTx, sender: &Sender) -> Result<()> {
    let row = sender_identities::ActiveModel {
        id: Set(sender.id),
        brand_id: Set(sender.brand),
        from_name: Set(sender.from_name.clone()),
        from_email: Set(sender.from_email.clone()),
        reply_to: Set(sender.reply_to.clone()),
        postal_address: Set(sender.postal_address.clone()),
        domain: Set(sender.domain.clone()),
        dkim_selector: Set(sender.dkim_selector.clone()),
        dkim_sealed: Set(sender.dkim_sealed.clone()),
        dkim_public: Set(sender.dkim_public.clone()),
        verified_at: Set(sender.verified_at),
        created_at: Set(sender.created_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

pub(in crate::messaging) async fn sender_find(tx: &mut TenantTx, id: SenderId) -> Result<Option<Sender>> {
    let row = tx.select::<sender_identities::Entity>().eq(sender_identities::Column::Id, id).one().await?;
    Ok(row.map(sender))
}

pub(in crate::messaging) async fn sender_of_address(tx: &mut TenantTx, from_email: &str) -> Result<Option<Sender>> {
    let select = tx.select::<sender_identities::Entity>();
    Ok(select.eq(sender_identities::Column::FromEmail, from_email).one().await?.map(sender))
}

pub(in crate::messaging) async fn senders_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = SenderId>,
) -> Result<Vec<Sender>> {
    let select = tx.select::<sender_identities::Entity>().is_in(sender_identities::Column::Id, ids);
    Ok(select.limit(1_000).all().await?.into_iter().map(sender).collect())
}

/// A page of senders, oldest first.
pub(in crate::messaging) async fn senders_list(tx: &mut TenantTx, page: &Page<SenderId>) -> Result<Paged<Sender>> {
    let rows = page.keyset(tx.select::<sender_identities::Entity>(), sender_identities::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(sender).collect()))
}

pub(in crate::messaging) async fn sender_verify(tx: &mut TenantTx, id: SenderId, now: Timestamp) -> Result<u64> {
    use sender_identities::Column;
    let update = tx.update::<sender_identities::Entity>().eq(Column::Id, id).set(Column::VerifiedAt, now);
    Ok(update.execute().await?)
}

fn sender(row: sender_identities::Model) -> Sender {
    Sender {
        id: row.id,
        brand: row.brand_id,
        from_name: row.from_name,
        from_email: row.from_email,
        reply_to: row.reply_to,
        postal_address: row.postal_address,
        domain: row.domain,
        dkim_selector: row.dkim_selector,
        dkim_sealed: row.dkim_sealed,
        dkim_public: row.dkim_public,
        verified_at: row.verified_at,
        created_at: row.created_at,
    }
}

/// The tenant's relay.
pub(in crate::messaging) struct StoredRelay {
    pub id: RelayId,
    pub shown: OwnRelay,
    pub sealed_url: Vec<u8>,
}

pub(in crate::messaging) async fn relay_find(tx: &mut TenantTx) -> Result<Option<StoredRelay>> {
    let row = tx.select::<relays::Entity>().one().await?;
    Ok(row.map(|row| StoredRelay {
        id: row.id,
        shown: OwnRelay { host: row.host, created_at: row.created_at },
        sealed_url: row.sealed_url,
    }))
}

pub(in crate::messaging) async fn relay_set(
    tx: &mut TenantTx,
    id: RelayId,
    host: &str,
    sealed_url: Vec<u8>,
    now: Timestamp,
) -> Result<()> {
    let args = [Value::from(id), host.into(), sealed_url.into(), now.into()];
    tx.sql(&RELAY_SET, Args::of(args))?.execute().await?;
    Ok(())
}

pub(in crate::messaging) async fn relay_remove(tx: &mut TenantTx) -> Result<u64> {
    Ok(tx.delete::<relays::Entity>().execute().await?)
}

/// The name of a brand; it stands in rendered mail.
pub(in crate::messaging) async fn brand_name(tx: &mut TenantTx, id: BrandId) -> Result<Option<String>> {
    use carillon_entities::rows::consent::brands;
    let row = tx.select::<brands::Entity>().eq(brands::Column::Id, id).one().await?;
    Ok(row.map(|row| row.name))
}

/// The brands of senders, for intents.
pub(in crate::messaging) async fn senders_brands(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = SenderId>,
) -> Result<Vec<(SenderId, BrandId)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: SenderId,
        brand_id: BrandId,
    }
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&SENDER_BRANDS, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| (row.id, row.brand_id)).collect())
}
