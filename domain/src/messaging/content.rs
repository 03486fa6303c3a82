//! What a message is made of: senders, templates and their immutable versions, and the cache of what is ready to use.
//!
//! A published version never changes and a sender's key belongs to its id, so a cached entry is never stale; whether a
//! sender is verified is not cached: the gate reads it each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use carillon_entities::ids::{BrandId, EventDefinitionId, SenderId, TemplateId, TemplateVersionId, TenantId};
use carillon_entities::wall::TenantTx;

use super::dkim_key::is_rsa_2048;
use super::template::{CompiledTemplate, TemplateSource};
use super::{DkimKey, Mailbox, MessageClass, store};
use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::keys::Place;
use crate::ports::Ports;
use crate::time::Timestamp;

/// A template: a name, a class, and versions.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Unique in the tenant.
    pub name: String,
    /// What messages made of it are.
    pub class: MessageClass,
    /// When it was made.
    pub created_at: Timestamp,
}

text_code! {
    /// What the author of an html part wrote it in.
    pub enum TemplateFormat {
        /// Html.
        Html = "html",
        /// MJML, made html of when it was published.
        Mjml = "mjml",
    }
}

/// A published version; never changes.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// Its id.
    pub id: TemplateVersionId,
    /// Of which template.
    pub template: TemplateId,
    /// The template's class.
    pub class: MessageClass,
    /// From 1, per locale.
    pub version: i32,
    /// BCP 47 tag.
    pub locale: String,
    /// MiniJinja source of the subject.
    pub subject: String,
    /// MiniJinja source of the html part.
    pub html: String,
    /// MiniJinja source of the text part.
    pub text: String,
    /// What the html part was written in.
    pub format: TemplateFormat,
    /// The html part as it was written.
    pub source: String,
    /// The event whose properties it may use as `event.name`.
    pub event: Option<EventDefinitionId>,
    /// SHA-256 of the sources.
    pub content_hash: Vec<u8>,
    /// When it was published.
    pub published_at: Timestamp,
}

/// Who a mail is from. The private key is sealed (C-233).
#[derive(Clone)]
pub struct Sender {
    /// Its id.
    pub id: SenderId,
    /// Of which brand.
    pub brand: BrandId,
    /// Display name.
    pub from_name: String,
    /// From address.
    pub from_email: String,
    /// Reply-To address, if another.
    pub reply_to: Option<String>,
    /// Postal address shown in marketing mail (C-86).
    pub postal_address: String,
    /// The From domain, which signs.
    pub domain: String,
    /// DKIM selector.
    pub dkim_selector: String,
    /// The sealed private key.
    pub dkim_sealed: Vec<u8>,
    /// Value of the DNS TXT record.
    pub dkim_public: String,
    /// When the DNS record was seen; the gate holds mail of an unverified sender (C-02, C-90).
    pub verified_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({})", self.id)
    }
}

impl Sender {
    /// Where the private key is sealed.
    pub(super) fn key_place(tenant: TenantId, id: SenderId) -> Place {
        Place::new(tenant, "sender_identities", "dkim_sealed", id)
    }
}

/// A sender with its key opened, ready for rendering.
#[derive(Debug)]
pub struct ReadySender {
    /// From.
    pub from: Mailbox,
    /// Reply-To.
    pub reply_to: Option<EmailAddress>,
    /// Postal address.
    pub postal_address: String,
    /// Name of the sender's brand.
    pub brand_name: String,
    /// The signing key.
    pub dkim: DkimKey,
}

/// A version compiled once and rendered many times.
#[derive(Debug)]
pub struct ReadyVersion {
    /// Its class.
    pub class: MessageClass,
    /// The compiled sources.
    pub compiled: CompiledTemplate,
}

/// Ready content of one process, bounded; when full it starts anew.
#[derive(Debug, Default)]
pub struct ContentCache {
    versions: Mutex<HashMap<(TenantId, TemplateVersionId), Arc<ReadyVersion>>>,
    senders: Mutex<HashMap<(TenantId, SenderId), Arc<ReadySender>>>,
}

const CACHED_MAX: usize = 2_000;

/// The content one batch needs, whatever the cache forgets meanwhile. `None` stands for what cannot be used: it concerns
/// the messages that name it, and must not stop the others.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub versions: HashMap<TemplateVersionId, Option<Arc<ReadyVersion>>>,
    pub senders: HashMap<SenderId, Option<Arc<ReadySender>>>,
}

impl ContentCache {
    /// What a batch needs: one statement for versions that the cache lacks, two for each sender.
    pub(super) async fn load(
        &self,
        tx: &mut TenantTx,
        ports: &Ports,
        versions: &[TemplateVersionId],
        senders: &[SenderId],
    ) -> Result<Content> {
        let tenant = tx.tenant();
        let mut content = Content::default();
        for id in versions {
            content.versions.insert(*id, read(&self.versions, &(tenant, *id)));
        }
        let missing: Vec<_> = content.versions.iter().filter(|(_, ready)| ready.is_none()).map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            for version in store::template_versions_find(tx, missing).await? {
                let id = version.id;
                let ready = ready_version(version).map(|ready| write(&self.versions, (tenant, id), ready));
                content.versions.insert(id, ready);
            }
        }
        for id in senders {
            let mut ready = read(&self.senders, &(tenant, *id));
            if ready.is_none()
                && let Some(sender) = store::sender_find(tx, *id).await?
            {
                let brand = store::brand_name(tx, sender.brand).await?.unwrap_or_default();
                ready =
                    ready_sender(tenant, ports, &sender, brand).map(|ready| write(&self.senders, (tenant, *id), ready));
            }
            content.senders.insert(*id, ready);
        }
        Ok(content)
    }
}

fn ready_version(version: StoredVersion) -> Option<ReadyVersion> {
    let source = TemplateSource { subject: version.subject, html: version.html, text: version.text };
    let compiled = CompiledTemplate::compile(&source, version.class);
    if compiled.is_err() {
        tracing::error!(template_version.id = %version.id, "a published template does not compile; its messages fail");
    }
    Some(ReadyVersion { class: version.class, compiled: compiled.ok()? })
}

fn ready_sender(tenant: TenantId, ports: &Ports, sender: &Sender, brand_name: String) -> Option<ReadySender> {
    let place = Sender::key_place(tenant, sender.id);
    let key = ports.keys.open(&place, &sender.dkim_sealed).ok().filter(|der| is_rsa_2048(der));
    if key.is_none() {
        tracing::error!(sender.id = %sender.id, "a sender's DKIM key cannot be used; its mail is held (C-02)");
    }
    let address = |text: &str| EmailAddress::parse(text).ok();
    Some(ReadySender {
        from: Mailbox { name: sender.from_name.clone(), address: address(&sender.from_email)? },
        reply_to: sender.reply_to.as_deref().and_then(address),
        postal_address: sender.postal_address.clone(),
        brand_name,
        dkim: DkimKey {
            domain: sender.domain.clone(),
            selector: sender.dkim_selector.clone(),
            private_key_der: key?.into(),
        },
    })
}

fn read<K: std::hash::Hash + Eq, V>(cache: &Mutex<HashMap<K, Arc<V>>>, key: &K) -> Option<Arc<V>> {
    cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
}

fn write<K: std::hash::Hash + Eq, V>(cache: &Mutex<HashMap<K, Arc<V>>>, key: K, value: V) -> Arc<V> {
    let value = Arc::new(value);
    let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    cache.insert(key, Arc::clone(&value));
    value
}
