//! Facts of a batch of contacts, in a number of statements that does not depend on how many there are (L5).

use std::collections::HashMap;

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::store::latest_events;
use super::value::ContactField;
use super::{Facts, Needs};
use crate::consent::{ConsentStatus, FactsRequest, Recipient, consent_topics, load_facts as load_consent};
use crate::contacts::{
    AttributeValue, Contact, Country, EmailAddress, Locale, Zone, contacts_get, definitions_load, tags_of,
};
use crate::error::Result;
use crate::ports::Ports;
use crate::time::Timestamp;

/// What is known of contacts that conditions ask about, at an instant; an answer for each, also for those that are not
/// there. Mails are left to the engine.
pub async fn load_facts(
    tx: &mut TenantTx,
    ports: &Ports,
    ids: &[ContactId],
    needs: &Needs,
    now: Timestamp,
) -> Result<HashMap<ContactId, Facts>> {
    let asks = !needs.attributes.is_empty() || !needs.topics.is_empty();
    let contacts = if asks && !ids.is_empty() { contacts_get(tx, ids).await? } else { Vec::new() };
    facts_of(tx, ports, (ids, &contacts), needs, now).await
}

/// The same of contacts that were read before.
pub(crate) async fn facts_of(
    tx: &mut TenantTx,
    ports: &Ports,
    (ids, contacts): (&[ContactId], &[Contact]),
    needs: &Needs,
    now: Timestamp,
) -> Result<HashMap<ContactId, Facts>> {
    let mut facts: HashMap<ContactId, Facts> = ids.iter().map(|id| (*id, Facts::default())).collect();
    if facts.is_empty() {
        return Ok(facts);
    }
    let mut ids: Vec<ContactId> = facts.keys().copied().collect();
    ids.sort_unstable();
    load_attributes(tx, contacts, needs, &mut facts).await?;
    load_topics(tx, ports, contacts, needs, &mut facts).await?;
    if !needs.tags.is_empty() {
        for (id, tags) in tags_of(tx, &ids).await? {
            let asked = tags.into_iter().filter(|tag| needs.tags.contains(tag));
            facts.entry(id).or_default().tags.extend(asked);
        }
    }
    if !needs.events.is_empty() {
        for (id, name, at) in latest_events(tx, &ids, &needs.events, now).await? {
            facts.entry(id).or_default().events.entry(name).or_default().push(at);
        }
    }
    Ok(facts)
}

async fn load_attributes(
    tx: &mut TenantTx,
    contacts: &[Contact],
    needs: &Needs,
    facts: &mut HashMap<ContactId, Facts>,
) -> Result<()> {
    let (fields, names): (Vec<_>, Vec<_>) =
        needs.attributes.iter().map(|name| name.parse::<ContactField>().map_err(|_| name)).partition(Result::is_ok);
    let fields: Vec<ContactField> = fields.into_iter().filter_map(Result::ok).collect();
    let names: Vec<&String> = names.into_iter().filter_map(Result::err).collect();
    // The kind tells text that looks like a day from a day.
    let definitions = if names.is_empty() { None } else { Some(definitions_load(tx).await?) };
    for contact in contacts {
        let known = facts.entry(contact.id).or_default();
        let of = |field: &ContactField| {
            field.of(contact).map(|text| (field.as_str().to_owned(), AttributeValue::String(text.to_owned())))
        };
        known.attributes.extend(fields.iter().filter_map(of));
        let Some(definitions) = &definitions else { continue };
        for name in &names {
            let Some((definition, value)) = definitions.get(name).zip(contact.attributes.get(*name)) else { continue };
            // What is stored was read by its kind once.
            if let Ok(value) = AttributeValue::from_json(definition.kind, value) {
                known.attributes.insert((*name).clone(), value);
            }
        }
    }
    Ok(())
}

impl ContactField {
    fn of(self, contact: &Contact) -> Option<&str> {
        match self {
            Self::FirstName => contact.first_name.as_deref(),
            Self::LastName => contact.last_name.as_deref(),
            Self::Email => contact.email.as_ref().map(EmailAddress::norm),
            Self::Locale => contact.locale.as_ref().map(Locale::as_str),
            Self::Country => contact.country.as_ref().map(Country::as_str),
            Self::Zone => contact.zone.as_ref().map(Zone::as_str),
        }
    }
}

/// By the address a contact has now, under every live key (C-157), as the gate would ask.
async fn load_topics(
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: &[Contact],
    needs: &Needs,
    facts: &mut HashMap<ContactId, Facts>,
) -> Result<()> {
    if needs.topics.is_empty() {
        return Ok(());
    }
    let topics = consent_topics(tx, &needs.topics).await?;
    let hasher = ports.keys.address_hasher(tx.tenant());
    let (mut asked, mut requests) = (Vec::new(), Vec::new());
    for contact in contacts {
        let Some(email) = &contact.email else { continue };
        let recipient = Recipient::hashed(&hasher, email);
        for topic in &topics {
            asked.push((contact.id, topic.topic));
            requests.push(FactsRequest { recipient: recipient.clone(), topic: Some(*topic) });
        }
    }
    if requests.is_empty() {
        return Ok(());
    }
    for ((contact, topic), consent) in asked.into_iter().zip(load_consent(tx, &requests).await?) {
        let standing = consent.topic_consent.standing_under(&consent.all_marketing_consent);
        if standing.status == ConsentStatus::Granted {
            facts.entry(contact).or_default().subscribed.insert(topic);
        }
    }
    Ok(())
}
