//! What a message is made of: senders, templates and their immutable versions, and the cache of what is ready to use.
//!
//! A published version never changes and a sender's key belongs to its id, so a cached entry is never stale; whether a
//! sender is verified is not cached: the gate reads it each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use carillon_entities::ids::{BrandId, SenderId, TemplateId, TemplateVersionId, TenantId};
use carillon_entities::wall::TenantTx;

use super::template::{CompiledTemplate, TemplateSource};
use super::{DkimKey, Mailbox, MessageClass, store};
use crate::contacts::EmailAddress;
use crate::error::{Error, Result};
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

impl ContentCache {
    /// Loads what a batch needs and the cache lacks: one statement for versions, two per new sender.
    pub(super) async fn load(
        &self,
        tx: &mut TenantTx,
        ports: &Ports,
        versions: &[TemplateVersionId],
        senders: &[SenderId],
    ) -> Result<()> {
        let tenant = tx.tenant();
        let missing: Vec<_> =
            versions.iter().copied().filter(|id| read(&self.versions, &(tenant, *id)).is_none()).collect();
        if !missing.is_empty() {
            for version in store::template_versions_find(tx, missing).await? {
                let source = TemplateSource { subject: version.subject, html: version.html, text: version.text };
                let compiled = CompiledTemplate::compile(&source, version.class);
                let compiled = compiled.map_err(|_| Error::fault("a published template does not compile"))?;
                write(&self.versions, (tenant, version.id), ReadyVersion { class: version.class, compiled });
            }
        }
        for id in senders {
            if read(&self.senders, &(tenant, *id)).is_none()
                && let Some(sender) = store::sender_find(tx, *id).await?
            {
                let brand = store::brand_name(tx, sender.brand).await?.unwrap_or_default();
                write(&self.senders, (tenant, *id), ready_sender(tenant, ports, &sender, brand)?);
            }
        }
        Ok(())
    }

    /// A version that [`Self::load`] put in.
    pub(super) fn version(&self, tenant: TenantId, id: TemplateVersionId) -> Option<Arc<ReadyVersion>> {
        read(&self.versions, &(tenant, id))
    }

    /// A sender that [`Self::load`] put in.
    pub(super) fn sender(&self, tenant: TenantId, id: SenderId) -> Option<Arc<ReadySender>> {
        read(&self.senders, &(tenant, id))
    }
}

fn ready_sender(tenant: TenantId, ports: &Ports, sender: &Sender, brand_name: String) -> Result<ReadySender> {
    let place = Sender::key_place(tenant, sender.id);
    let key = ports.keys.open(&place, &sender.dkim_sealed).map_err(|_| Error::fault("a DKIM key does not open"))?;
    let address = |text: &str| EmailAddress::parse(text).map_err(|_| Error::fault("a stored sender does not parse"));
    Ok(ReadySender {
        from: Mailbox { name: sender.from_name.clone(), address: address(&sender.from_email)? },
        reply_to: sender.reply_to.as_deref().map(address).transpose()?,
        postal_address: sender.postal_address.clone(),
        brand_name,
        dkim: DkimKey {
            domain: sender.domain.clone(),
            selector: sender.dkim_selector.clone(),
            private_key_der: key.into(),
        },
    })
}

fn read<K: std::hash::Hash + Eq, V>(cache: &Mutex<HashMap<K, Arc<V>>>, key: &K) -> Option<Arc<V>> {
    cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
}

fn write<K: std::hash::Hash + Eq, V>(cache: &Mutex<HashMap<K, Arc<V>>>, key: K, value: V) {
    let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    cache.insert(key, Arc::new(value));
}
