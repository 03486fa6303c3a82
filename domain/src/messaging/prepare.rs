//! Rendering: a claimed message and its content become a mail. Pure; merge data is never parsed as template (C-33).

use carillon_entities::ids::TenantId;

use super::claim::ClaimedMessage;
use super::content::ReadySender;
use super::reports::return_path;
use super::template::{ContactData, RenderData, Variables};
use super::tracking::track;
use super::{EmailMessage, ListHeaders, TrackingMode};
use crate::consent::{Channel, Recipient};
use crate::contacts::EmailAddress;
use crate::keys::{LinkPurpose, LinkToken, Place};
use crate::ports::Ports;

/// A claimed message and what rendering made of it.
pub struct Draft {
    /// The message.
    pub claimed: ClaimedMessage,
    /// The mail; an error code when it cannot be made: the message then fails as content (C-24).
    pub mail: Result<EmailMessage, &'static str>,
    /// How the mail is tracked: as the message says, or not at all where it could not be done.
    pub(super) tracking: TrackingMode,
    /// The recipient under every live key (C-157).
    pub(super) recipient: Recipient,
}

/// Renders a message for its next attempt.
pub fn prepare(tenant: TenantId, ports: &Ports, claimed: ClaimedMessage) -> Draft {
    let address = address_of(tenant, ports, &claimed);
    let recipient = match &address {
        Some(address) => Recipient::of_email(&ports.keys, tenant, address),
        None => Recipient::of_hash(Channel::Email, claimed.address),
    };
    let rendered = match address {
        Some(to) => render(tenant, ports, &claimed, to),
        None => Err("NO_ADDRESS"),
    };
    let (mail, tracking) = match rendered {
        Ok((mail, tracking)) => (Ok(mail), tracking),
        Err(code) => (Err(code), claimed.tracking),
    };
    Draft { claimed, mail, tracking, recipient }
}

/// The address in clear: the contact's present one, or the sealed one of a message without a contact.
fn address_of(tenant: TenantId, ports: &Ports, claimed: &ClaimedMessage) -> Option<EmailAddress> {
    let text = match (&claimed.contact, &claimed.sealed_address) {
        (Some(contact), _) => contact.email.clone()?,
        (None, Some(sealed)) => {
            let place = Place::new(tenant, "messages", "sealed_address", claimed.id);
            String::from_utf8(ports.keys.open(&place, sealed).ok()?).ok()?
        }
        (None, None) => return None,
    };
    EmailAddress::parse(&text).ok()
}

fn render(
    tenant: TenantId,
    ports: &Ports,
    claimed: &ClaimedMessage,
    to: EmailAddress,
) -> Result<(EmailMessage, TrackingMode), &'static str> {
    let sender = claimed.ready_sender.as_deref().ok_or("NO_SENDER")?;
    let version = claimed.content.as_deref().ok_or("TEMPLATE_UNUSABLE")?;
    let links = links(tenant, ports, claimed, sender);
    let given = match &claimed.sealed_variables {
        Some(sealed) => {
            let place = Place::new(tenant, "messages", "sealed_variables", claimed.id);
            let plain = ports.keys.open(&place, sealed).map_err(|_| "SEAL_BROKEN")?;
            let json = serde_json::from_slice(&plain).map_err(|_| "SEAL_BROKEN")?;
            Variables::parse(&json).map_err(|_| "SEAL_BROKEN")?
        }
        None => Variables::default(),
    };
    // What a workflow gives is what the event held that began the way.
    let (vars, event) =
        if claimed.enrollment.is_some() { (Variables::default(), given) } else { (given, Variables::default()) };
    let contact = claimed.contact.as_ref();
    let data = RenderData {
        contact: ContactData {
            first_name: contact.and_then(|contact| contact.first_name.clone()),
            last_name: contact.and_then(|contact| contact.last_name.clone()),
            email: Some(to.as_sent().to_owned()),
            external_id: contact.and_then(|contact| contact.external_id.clone()),
            locale: contact.and_then(|contact| contact.locale.clone()),
            attributes: contact.map(|contact| contact.attributes.clone()).unwrap_or_default(),
        },
        unsubscribe_url: links.as_ref().map(|(page, _)| page.clone()),
        brand_name: sender.brand_name.clone(),
        postal_address: sender.postal_address.clone(),
        vars,
        event,
    };
    let rendered = version.compiled.render(&data).map_err(|error| error.kind.as_str())?;
    let (html, tracking) = track(tenant, ports, claimed, rendered.html);
    let return_path = return_path(ports, tenant, claimed.id, claimed.attempts);
    let mail = EmailMessage {
        message: claimed.id,
        attempt: claimed.attempts,
        envelope_from: return_path.unwrap_or_else(|| sender.from.address.clone()),
        from: sender.from.clone(),
        reply_to: sender.reply_to.clone(),
        to,
        subject: rendered.subject,
        text: rendered.text,
        html,
        date: claimed.first_cleared_at.unwrap_or_else(|| ports.now()),
        internet_message_id: claimed.internet_message_id.clone(),
        list: links.map(|(_, headers)| headers),
        dkim: sender.dkim.clone(),
    };
    Ok((mail, tracking))
}

/// The page link of the body and the headers, for mail about a topic; transactional mail has neither (C-20).
fn links(
    tenant: TenantId,
    ports: &Ports,
    claimed: &ClaimedMessage,
    sender: &ReadySender,
) -> Option<(String, ListHeaders)> {
    let topic = claimed.topic?;
    let link = |purpose| LinkToken {
        purpose,
        tenant,
        message: claimed.id,
        address: claimed.address,
        channel: Channel::Email,
        brand: claimed.brand,
        topic,
    };
    let base = &ports.settings.public_url;
    let page = format!("{base}/unsubscribe/{}", link(LinkPurpose::UnsubscribePage).encode(&ports.keys));
    let one_click_url = format!("{base}/u/{}", link(LinkPurpose::OneClick).encode(&ports.keys));
    // Ids only: names are the tenant's text and might hold anything (C-19).
    let list_id = format!("{topic}.{}", sender.dkim.domain);
    let feedback_id = format!("{topic}:{}:{}:carillon", claimed.brand, tenant);
    Some((page, ListHeaders { one_click_url, list_id, feedback_id }))
}
