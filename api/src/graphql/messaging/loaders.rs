//! What many objects of one answer need, by one statement each.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use async_graphql::dataloader::Loader;
use carillon_domain::error::Result as Done;
use carillon_domain::ids::{ContactId, MessageId, PartialId, SenderId, TemplateId, TemplateVersionId, TenantId};
use carillon_domain::messaging::{
    self, Attempt, DecisionRecord, EventRecord, Message, Partial, Sender, StatRow, StoredVersion, Template,
};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{ReadConsent, ReadMessages, TenantContext, reach_tenants};
use chrono::{DateTime, Utc};

use crate::graphql::loader::{LoadError, Rows, by_page};

/// The attempts of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptsOf(pub MessageId);

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventsOf(pub MessageId);

/// The gate's decisions on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionsOf(pub MessageId);

/// The newest version of each locale of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionsOf(pub TemplateId);

/// A page of the messages to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessagesOf(pub ContactId, pub Ahead<MessageId>);

/// What came of the messages of a tenant since an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatsOf(pub TenantId, pub DateTime<Utc>);

impl Loader<StatsOf> for Rows {
    type Value = Result<Vec<StatRow>, LoadError>;
    type Error = LoadError;

    /// Each tenant in a transaction of its own (L1), one after the other: a request holds one connection, and what keeps
    /// one tenant from being read is no matter of the others.
    async fn load(&self, keys: &[StatsOf]) -> Result<HashMap<StatsOf, Self::Value>, LoadError> {
        let tenants: BTreeSet<TenantId> = keys.iter().map(|key| key.0).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().collect();
        let mut found = HashMap::new();
        for (tenant, inside) in reach_tenants(self.0.ports(), self.0.access()?, &tenants).await? {
            let of_tenant: Vec<StatsOf> = keys.iter().filter(|key| key.0 == tenant).copied().collect();
            match stats_inside(inside, &of_tenant).await {
                Ok(stats) => found.extend(stats.into_iter().map(|(key, rows)| (key, Ok(rows)))),
                Err(error) => {
                    let error = LoadError::from(error);
                    found.extend(of_tenant.into_iter().map(|key| (key, Err(error.clone()))));
                }
            }
        }
        Ok(found)
    }
}

async fn stats_inside(inside: Done<TenantContext>, keys: &[StatsOf]) -> Done<Vec<(StatsOf, Vec<StatRow>)>> {
    let grant = inside?.grant::<ReadMessages>()?;
    let mut tx = grant.begin_read().await?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.push((*key, messaging::stats(&grant, &mut tx, key.1).await?));
    }
    tx.commit().await?;
    Ok(found)
}

impl Loader<MessagesOf> for Rows {
    type Value = Paged<Message>;
    type Error = LoadError;

    async fn load(&self, keys: &[MessagesOf]) -> Result<HashMap<MessagesOf, Paged<Message>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let mut found = HashMap::new();
        for (page, contacts) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = messaging::messages_of(&grant, &mut tx, &contacts, page).await?;
            found.extend(pages.into_iter().map(|(contact, messages)| (MessagesOf(contact, page), messages)));
        }
        Ok(found)
    }
}

impl Loader<MessageId> for Rows {
    type Value = Message;
    type Error = LoadError;

    async fn load(&self, keys: &[MessageId]) -> Result<HashMap<MessageId, Message>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let found = messaging::find_messages(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|message| (message.id, message)).collect())
    }
}

impl Loader<SenderId> for Rows {
    type Value = Sender;
    type Error = LoadError;

    async fn load(&self, keys: &[SenderId]) -> Result<HashMap<SenderId, Sender>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let found = messaging::find_senders(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|sender| (sender.id, sender)).collect())
    }
}

impl Loader<TemplateId> for Rows {
    type Value = Template;
    type Error = LoadError;

    async fn load(&self, keys: &[TemplateId]) -> Result<HashMap<TemplateId, Template>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let found = messaging::find_templates(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|template| (template.id, template)).collect())
    }
}

impl Loader<PartialId> for Rows {
    type Value = Partial;
    type Error = LoadError;

    async fn load(&self, keys: &[PartialId]) -> Result<HashMap<PartialId, Partial>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let found = messaging::find_partials(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|partial| (partial.id, partial)).collect())
    }
}

impl Loader<TemplateVersionId> for Rows {
    type Value = StoredVersion;
    type Error = LoadError;

    async fn load(&self, keys: &[TemplateVersionId]) -> Result<HashMap<TemplateVersionId, StoredVersion>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let found = messaging::template_versions(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|version| (version.id, version)).collect())
    }
}

impl Loader<AttemptsOf> for Rows {
    type Value = Vec<Attempt>;
    type Error = LoadError;

    async fn load(&self, keys: &[AttemptsOf]) -> Result<HashMap<AttemptsOf, Vec<Attempt>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let ids: Vec<MessageId> = keys.iter().map(|key| key.0).collect();
        let found = messaging::attempts(&grant, &mut tx, ids).await?;
        Ok(grouped(found.into_iter().map(|(message, attempt)| (AttemptsOf(message), attempt))))
    }
}

impl Loader<EventsOf> for Rows {
    type Value = Vec<EventRecord>;
    type Error = LoadError;

    async fn load(&self, keys: &[EventsOf]) -> Result<HashMap<EventsOf, Vec<EventRecord>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let ids: Vec<MessageId> = keys.iter().map(|key| key.0).collect();
        let found = messaging::events(&grant, &mut tx, ids).await?;
        Ok(grouped(found.into_iter().map(|(message, event)| (EventsOf(message), event))))
    }
}

impl Loader<DecisionsOf> for Rows {
    type Value = Vec<DecisionRecord>;
    type Error = LoadError;

    async fn load(&self, keys: &[DecisionsOf]) -> Result<HashMap<DecisionsOf, Vec<DecisionRecord>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadConsent>().await?;
        let ids: Vec<MessageId> = keys.iter().map(|key| key.0).collect();
        let found = messaging::decisions(&grant, &mut tx, ids).await?;
        Ok(grouped(found.into_iter().map(|(message, decision)| (DecisionsOf(message), decision))))
    }
}

impl Loader<VersionsOf> for Rows {
    type Value = Vec<StoredVersion>;
    type Error = LoadError;

    async fn load(&self, keys: &[VersionsOf]) -> Result<HashMap<VersionsOf, Vec<StoredVersion>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let ids: Vec<TemplateId> = keys.iter().map(|key| key.0).collect();
        let found = messaging::newest_versions(&grant, &mut tx, ids).await?;
        Ok(grouped(found.into_iter().map(|version| (VersionsOf(version.template), version))))
    }
}

/// Rows by key, in their order.
fn grouped<K: Hash + Eq, V>(rows: impl Iterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, row) in rows {
        groups.entry(key).or_default().push(row);
    }
    groups
}
