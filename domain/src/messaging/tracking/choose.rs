//! Choosing how mail is tracked: the tenant for all it sends, a person for what they get (C-77 to C-80).

use std::collections::HashMap;

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;
use serde_json::json;

use crate::contacts::{Author, ChangeKind, Entry, history_append};
use crate::error::{Error, Refusal, Result};
use crate::keys::VerifiedLink;
use crate::messaging::{TrackingFacts, TrackingMode, store};
use crate::ports::Ports;
use crate::tenancy::{self, Actor, AdministerTenant, Deed, Grant, ReadContacts, ReadTenant, RecordConsent};

/// Sets the most that is known of anybody the tenant writes to; nobody is tracked more than they or their country allow.
pub async fn set_tracking_mode(
    grant: &Grant<AdministerTenant>,
    tx: &mut TenantTx,
    ports: &Ports,
    mode: TrackingMode,
) -> Result<TrackingMode> {
    let tenant = grant.tenant().0;
    store::tracking_mode_set(tx, tenant, mode, ports.now()).await?;
    let deed = Deed::new("tracking.set", tenant).with(json!({ "mode": mode }));
    tenancy::record(tx, ports, grant.actor(), deed).await?;
    Ok(mode)
}

/// Records what a contact said about being tracked; returns how their mail is tracked now.
///
/// # Errors
/// `NOT_FOUND` on `contactId`.
pub async fn set_contact_tracking_mode(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    (contact, mode): (ContactId, TrackingMode),
) -> Result<TrackingMode> {
    let known = store::tracking_of_contacts(tx, &[contact]).await?;
    let known = known.first().ok_or_else(|| Refusal::not_found("contactId"))?;
    set(tx, ports, grant.actor(), known, mode).await?;
    Ok(TrackingFacts { own: Some(mode), ..known.facts() }.mode())
}

/// Ends the tracking of whoever a link was sent to, and nothing else: they stay on their lists (C-80). True when there was
/// somebody to end it for: mail to a plain address is tracked by nobody's name.
pub async fn refuse_tracking(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    link: &VerifiedLink,
) -> Result<bool> {
    if grant.tenant() != link.tenant || grant.actor() != Actor::Recipient {
        return Err(Error::Forbidden);
    }
    let message = store::messages_find(tx, [link.message]).await?.pop();
    let Some(contact) = message.and_then(|message| message.contact) else { return Ok(false) };
    let Some(known) = store::tracking_of_contacts(tx, &[contact]).await?.pop() else { return Ok(false) };
    set(tx, ports, grant.actor(), &known, TrackingMode::None).await?;
    Ok(true)
}

/// Stores a choice, and that it was made, by whom and when: it is a proof (C-77).
async fn set(
    tx: &mut TenantTx,
    ports: &Ports,
    actor: Actor,
    known: &store::ContactTracking,
    mode: TrackingMode,
) -> Result<()> {
    if known.own == Some(mode) {
        return Ok(());
    }
    store::tracking_mode_set(tx, known.contact.0, mode, ports.now()).await?;
    let values = Some(json!({ "trackingMode": { "old": known.own, "new": mode } }));
    let fields = vec!["trackingMode".to_owned()];
    let entry = Entry { contact: known.contact, kind: ChangeKind::Updated, fields, values };
    history_append(tx, ports, Author::caller(actor), vec![entry]).await
}

/// How marketing mail to these contacts is tracked now; deleted ones are left out.
pub async fn contact_tracking(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    contacts: &[ContactId],
) -> Result<HashMap<ContactId, TrackingMode>> {
    let known = store::tracking_of_contacts(tx, contacts).await?;
    Ok(known.into_iter().map(|known| (known.contact, known.facts().mode())).collect())
}

/// What the tenant chose; none while it leaves it to the people and their countries.
pub async fn tenant_tracking_choice(grant: &Grant<ReadTenant>, tx: &mut TenantTx) -> Result<Option<TrackingMode>> {
    store::tracking_mode_of(tx, grant.tenant().0).await
}
