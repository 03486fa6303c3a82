//! Ending consent: by the person through a link, or by a user of the tenant on their behalf.
//!
//! The endpoint is locked first (L3, C-175); repeating it succeeds and writes nothing (C-09); nothing it needs can be
//! deleted from under it (C-08).

use carillon_entities::ids::{ContactId, TopicId};
use carillon_entities::wall::{TenantTx, WallError};

use super::ledger::{ConsentTopic, NewConsentEvent, Source, append_locked};
use super::project::StateKey;
use super::store::addressees::{contact_address, contact_email, message_contact};
use super::store::endpoints::{Endpoints, endpoints_lock_for_change, endpoints_resolve};
use super::store::{states, suppressions, topics};
use super::{
    ConsentAction, ConsentState, ConsentStatus, ConsentView, Recipient, Standing, SuppressionReason, all_marketing,
    brands, consent_topic,
};
use crate::error::{Error, Refusal, Result};
use crate::keys::{AddressHmac, VerifiedLink};
use crate::messaging::note_unsubscribed;
use crate::ports::Ports;
use crate::tenancy::{Actor, Grant, RecordConsent};
use crate::workflows::react_to_contacts;

/// How much is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptOutScope {
    /// The topic.
    Topic,
    /// All marketing (C-13).
    AllMarketing,
}

/// What `record_opt_out` needs.
#[derive(Debug, Clone, Copy)]
pub struct RecordOptOut {
    /// Who wants no more.
    pub contact: ContactId,
    /// Of what; none for all marketing.
    pub topic: Option<TopicId>,
}

/// Records that a contact wants no more of a topic, or of all marketing.
pub async fn record_opt_out(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: RecordOptOut,
) -> Result<ConsentView> {
    let topic = match command.topic {
        Some(id) => consent_topic(tx, id).await?.ok_or_else(|| Refusal::not_found("topicId"))?,
        None => all_marketing(tx, None).await?.ok_or_else(|| Error::fault("the tenant has no default brand"))?,
    };
    let email = contact_email(tx, command.contact).await?.ok_or_else(super::no_address)?;
    let recipient = Recipient::of_email(&ports.keys, tx.tenant(), &email);
    let by = NewConsentEvent::new(recipient.clone(), topic, ConsentAction::Withdraw, ports.now(), grant.actor());
    let (addresses, endpoints) = lock(tx, ports, std::slice::from_ref(&recipient)).await?;
    let address = *addresses.first().ok_or_else(|| Error::fault("a recipient without a hash"))?;
    let ended = end(tx, ports, by, (address, &endpoints)).await?;
    // Whoever gave the contact another address before this one was locked has taken nothing over: then all is done again.
    if contact_email(tx, command.contact).await?.is_none_or(|now| now.norm() != email.norm()) {
        return Err(WallError::Retry.into());
    }
    if ended.is_new {
        react_to_contacts(tx, ports, &[command.contact]).await?;
    }
    Ok(ConsentView::new(&recipient, topic, ended.standing, ports.now()))
}

/// What a link did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribed {
    /// True when it was so already (C-09).
    pub already: bool,
}

/// Ends what a link is about, for the address it was sent to, and for the one that its person has now: a no is the person's
/// (C-126), and whoever used the link of an old mail would else get the next one.
pub async fn unsubscribe(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    link: &VerifiedLink,
    scope: OptOutScope,
) -> Result<Unsubscribed> {
    if grant.tenant() != link.tenant || grant.actor() != Actor::Recipient {
        return Err(Error::Forbidden);
    }
    let topic = link_topic(tx, link, scope).await?;
    let contact = message_contact(tx, link.message).await?;
    let moved_to = moved_to(tx, ports, link, contact).await?;
    let recipients: Vec<Recipient> = std::iter::once(Recipient::of_link(link)).chain(moved_to.clone()).collect();
    let (addresses, endpoints) = lock(tx, ports, &recipients).await?;
    // Whoever got another address before the one they had was locked has taken nothing over: then all is done again.
    if self::moved_to(tx, ports, link, contact).await? != moved_to {
        return Err(WallError::Retry.into());
    }
    let mut is_new = false;
    for (recipient, address) in recipients.into_iter().zip(addresses) {
        let mut new = NewConsentEvent::new(recipient, topic, ConsentAction::Withdraw, ports.now(), grant.actor());
        new.source = Source { id: Some(link.message.0), ..new.source };
        is_new |= end(tx, ports, new, (address, &endpoints)).await?.is_new;
    }
    if is_new {
        note_unsubscribed(tx, ports, link.message).await?;
        if let Some(contact) = contact {
            react_to_contacts(tx, ports, &[contact]).await?;
        }
    }
    Ok(Unsubscribed { already: !is_new })
}

/// Where the person of a link is reached, if no longer at the address it was sent to.
async fn moved_to(
    tx: &mut TenantTx,
    ports: &Ports,
    link: &VerifiedLink,
    contact: Option<ContactId>,
) -> Result<Option<Recipient>> {
    let Some(contact) = contact else { return Ok(None) };
    let address = contact_address(tx, contact).await?;
    let recipient = address.map(|address| Recipient::of_email(&ports.keys, tx.tenant(), &address));
    Ok(recipient.filter(|one| one.bare().all(|hash| hash != link.address.hash)))
}

/// What a link is about, for the page it opens; reads only (C-05).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubscribePage {
    /// The brand's name, unless it is gone.
    pub brand: Option<String>,
    /// The topic's name, unless it is gone or the link is about all marketing.
    pub topic: Option<String>,
    /// True when the link is about all marketing.
    pub is_all_marketing: bool,
}

/// Loads what the page of a link shows.
pub async fn unsubscribe_page(
    _grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    link: &VerifiedLink,
) -> Result<UnsubscribePage> {
    let topic = topics::topics_of(tx, &[link.topic]).await?.into_iter().next();
    let brand = topics::brand_find(tx, link.brand).await?;
    let is_all_marketing = topic.as_ref().is_some_and(brands::Topic::is_all_marketing);
    Ok(UnsubscribePage {
        brand: brand.map(|brand| brand.name),
        topic: topic.filter(|topic| !topic.is_all_marketing()).map(|topic| topic.name),
        is_all_marketing,
    })
}

/// Brand and topic may be gone: the link names both, and that is enough (C-08).
async fn link_topic(tx: &mut TenantTx, link: &VerifiedLink, scope: OptOutScope) -> Result<ConsentTopic> {
    let whole = |topic| ConsentTopic { brand: link.brand, topic, all_marketing: Some(topic) };
    Ok(match scope {
        OptOutScope::AllMarketing => all_marketing(tx, Some(link.brand)).await?.unwrap_or_else(|| whole(link.topic)),
        OptOutScope::Topic => consent_topic(tx, link.topic).await?.unwrap_or(ConsentTopic {
            brand: link.brand,
            topic: link.topic,
            all_marketing: None,
        }),
    })
}

struct Ended {
    standing: Standing,
    is_new: bool,
}

/// Locks the addresses of recipients for change; what their rows are kept under, in their order.
async fn lock(tx: &mut TenantTx, ports: &Ports, recipients: &[Recipient]) -> Result<(Vec<AddressHmac>, Endpoints)> {
    let addresses = endpoints_resolve(tx, recipients).await?;
    let keyed: Vec<_> = addresses.iter().copied().zip(recipients.iter().map(Recipient::channel)).collect();
    let endpoints = endpoints_lock_for_change(tx, ports, &keyed).await?;
    Ok((addresses, endpoints))
}

/// Appends a withdrawal unless the same is in force already; the address is locked.
async fn end(
    tx: &mut TenantTx,
    ports: &Ports,
    mut new: NewConsentEvent,
    (address, endpoints): (AddressHmac, &Endpoints),
) -> Result<Ended> {
    let (topic, channel) = (new.topic, new.recipient.channel());
    let keys: Vec<StateKey> = new.recipient.bare().map(|hash| topic.keys(hash, channel).0).collect();
    let states = states::states_find(tx, &keys).await?;
    let standing = states.iter().fold(ConsentState::default(), |all, (_, row)| all.join(row.state)).standing();
    let is_ended = matches!(standing.status, ConsentStatus::Withdrawn | ConsentStatus::Objected);
    let suppressed = suppressions::suppressions_of(tx, [address.hash]).await?.into_iter().any(|suppression| {
        let same = suppression.channel == channel && suppression.scope == topic.scope();
        same && suppression.reason == SuppressionReason::Unsubscribe
    });
    if is_ended && suppressed {
        return Ok(Ended { standing, is_new: false });
    }
    // Whatever the clocks of those who recorded it say: what was agreed before is over now.
    new.effective_at = standing.proven_at.map_or(new.effective_at, |agreed| agreed.max(new.effective_at));
    let appended = append_locked(tx, ports, vec![(new, address)], endpoints).await?;
    let standing = appended.first().map_or(standing, |appended| appended.standing);
    Ok(Ended { standing, is_new: true })
}
