//! What the engine knows of a batch of people: loaded once, in a handful of statements (L5).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use carillon_entities::ids::{ContactEventId, ContactId, EnrollmentId, WorkflowId, WorkflowVersionId};
use carillon_entities::seeded_bugs;
use carillon_entities::wall::TenantTx;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::check::mails_asked;
use super::local_time::zone;
use super::store::events::{TenantDefaults, tenant_defaults};
use super::store::pauses::pauses_of;
use super::store::steps::exposures_seen;
use super::versions::Definitions;
use super::{Definition, Enrollment, Node, Ration, WayFacts};
use crate::consent::{Recipient, endpoints_resolve};
use crate::contacts::events::properties_of_events;
use crate::contacts::{Contact, ContactState, Locale, Zone, contacts_get};
use crate::error::{Error, Result};
use crate::keys::AddressHash;
use crate::messaging::{Engagement, engagement};
use crate::ports::Ports;
use crate::segments::{Facts, MailDid, Needs, Truth, facts_of};
use crate::time::Timestamp;

/// The facts of a batch.
pub(super) struct BatchFacts {
    defaults: TenantDefaults,
    default_zone: TimeZone,
    people: HashMap<ContactId, Person>,
    conditions: HashMap<ContactId, Facts>,
    seen: HashMap<(WorkflowId, AddressHash), Vec<(String, String)>>,
    /// What each version's conditions ask about mails.
    asked: HashMap<WorkflowVersionId, BTreeSet<(String, MailDid)>>,
    mails: Mails,
    properties: HashMap<ContactEventId, Map<String, Json>>,
    held: HashSet<Uuid>,
}

static NONE_ASKED: BTreeSet<(String, MailDid)> = BTreeSet::new();

/// What is known of one contact beside what conditions ask.
struct Person {
    is_gone: bool,
    zone: Option<TimeZone>,
    locale: Option<String>,
    address: Option<AddressHash>,
}

impl BatchFacts {
    pub async fn load(
        tx: &mut TenantTx,
        ports: &Ports,
        due: &[Enrollment],
        definitions: &Definitions,
        now: Timestamp,
    ) -> Result<Self> {
        let contacts: Vec<ContactId> = due.iter().map(|one| one.contact).collect::<BTreeSet<_>>().into_iter().collect();
        let defaults = tenant_defaults(tx).await?.ok_or_else(|| Error::fault("the tenant has no row"))?;
        let needs = definitions.values().fold(Needs::default(), |all, one| all.union(one.needs()));
        let known = contacts_get(tx, &contacts).await?;
        let conditions = facts_of(tx, ports, (&contacts, &known), &needs, now).await?;
        // Only splits go by addresses.
        let splits = definitions.values().any(|one| one.splits().next().is_some());
        let people = people(tx, ports, known, splits).await?;
        let mut batch = Self {
            default_zone: zone(&defaults.default_zone).unwrap_or(TimeZone::UTC),
            defaults,
            conditions,
            asked: definitions.iter().map(|(id, definition)| (*id, mails_asked(definition))).collect(),
            seen: HashMap::new(),
            mails: HashMap::new(),
            properties: HashMap::new(),
            held: pauses_of(tx, contacts.iter().map(|contact| contact.0)).await?,
            people,
        };
        batch.load_exposures(tx, due, definitions).await?;
        batch.load_mails(tx, due).await?;
        batch.load_properties(tx, ports, due, definitions).await?;
        Ok(batch)
    }

    async fn load_exposures(&mut self, tx: &mut TenantTx, due: &[Enrollment], definitions: &Definitions) -> Result<()> {
        let wanted = of_each(due, definitions).flat_map(|(enrollment, definition)| {
            let address = self.address_of(enrollment.contact);
            let workflow = enrollment.way.workflow;
            definition.splits().filter_map(move |(node, ..)| Some((workflow, node.clone(), address?)))
        });
        let wanted: BTreeSet<_> = wanted.collect();
        if !wanted.is_empty() {
            self.seen = exposures_seen(tx, wanted).await?;
        }
        Ok(())
    }

    async fn load_mails(&mut self, tx: &mut TenantTx, due: &[Enrollment]) -> Result<()> {
        let asked = due.iter().filter_map(|one| Some((one.id, self.asked.get(&one.version)?)));
        self.mails = mails_of(tx, asked).await?;
        Ok(())
    }

    async fn load_properties(
        &mut self,
        tx: &mut TenantTx,
        ports: &Ports,
        due: &[Enrollment],
        definitions: &Definitions,
    ) -> Result<()> {
        let uses = |node: &Node| matches!(node, Node::Send { uses_event: true, .. });
        let using = of_each(due, definitions).filter(|(_, definition)| definition.nodes.values().any(uses));
        let events: BTreeSet<ContactEventId> = using.filter_map(|(enrollment, _)| enrollment.event).collect();
        if !events.is_empty() {
            let events: Vec<ContactEventId> = events.into_iter().collect();
            self.properties = properties_of_events(tx, ports, &events).await?;
        }
        Ok(())
    }

    /// What is known of one of them.
    pub fn of(&self, enrollment: &Enrollment, ration: Option<Ration>) -> WayFacts {
        let person = self.people.get(&enrollment.contact);
        let mut contact = self.conditions.get(&enrollment.contact).cloned().unwrap_or_default();
        let asked = self.asked.get(&enrollment.version).unwrap_or(&NONE_ASKED);
        contact.mails.extend(answers(&self.mails, enrollment.id, asked));
        let pending = asked.iter().filter_map(|mail| {
            let until = self.mails.get(&(enrollment.id, mail.0.clone()))?.pending_until?;
            Some((mail.clone(), until))
        });
        let pending: BTreeMap<_, _> = pending.collect();
        let address = self.address_of(enrollment.contact).map(|address| splits_by(address, enrollment.id));
        let seen = address.and_then(|address| self.seen.get(&(enrollment.way.workflow, address)));
        WayFacts {
            contact,
            is_gone: person.is_none_or(|person| person.is_gone),
            is_held: self.held.contains(&enrollment.contact.0),
            zone: person.and_then(|person| person.zone.clone()).unwrap_or_else(|| self.default_zone.clone()),
            address,
            seen: seen.into_iter().flatten().cloned().collect(),
            pending,
            ration,
        }
    }

    pub fn address_of(&self, contact: ContactId) -> Option<AddressHash> {
        self.people.get(&contact)?.address
    }

    pub fn locale_of(&self, contact: ContactId) -> Option<&str> {
        self.people.get(&contact)?.locale.as_deref()
    }

    pub fn default_locale(&self) -> &str {
        &self.defaults.default_locale
    }

    /// The properties of the event that began a way.
    pub fn properties_of(&self, enrollment: &Enrollment) -> Option<&Map<String, Json>> {
        self.properties.get(&enrollment.event?)
    }
}

/// What splits go by: the address alone, or whoever enters twice could see two variants (C-183).
fn splits_by(address: AddressHash, way: EnrollmentId) -> AddressHash {
    if !seeded_bugs::on("variant_by_way") {
        return address;
    }
    let mut of_way = [0; 32];
    of_way[..16].copy_from_slice(way.0.as_bytes());
    AddressHash(of_way)
}

fn of_each<'a>(
    due: &'a [Enrollment],
    definitions: &'a Definitions,
) -> impl Iterator<Item = (&'a Enrollment, &'a Definition)> {
    due.iter().filter_map(|one| Some((one, definitions.get(&one.version)?.as_ref())))
}

/// What people did with the mails of their ways, by way and node.
pub(super) type Mails = HashMap<(EnrollmentId, String), Engagement>;

/// What was done with the mails that are asked about, each way's own.
pub(super) async fn mails_of<'a>(
    tx: &mut TenantTx,
    asked: impl Iterator<Item = (EnrollmentId, &'a BTreeSet<(String, MailDid)>)>,
) -> Result<Mails> {
    let nodes = |(way, mails): (EnrollmentId, &'a BTreeSet<(String, MailDid)>)| {
        mails.iter().map(move |(node, _)| (way, node.clone()))
    };
    let wanted: BTreeSet<(EnrollmentId, String)> = asked.flat_map(nodes).collect();
    if wanted.is_empty() {
        return Ok(Mails::new());
    }
    engagement(tx, &wanted.into_iter().collect::<Vec<_>>()).await
}

/// The same as conditions ask it.
pub(super) fn answers<'a>(
    mails: &'a Mails,
    way: EnrollmentId,
    asked: &'a BTreeSet<(String, MailDid)>,
) -> impl Iterator<Item = ((String, MailDid), Truth)> + 'a {
    asked.iter().filter_map(move |(node, did)| {
        let mail = mails.get(&(way, node.clone()))?;
        Some(((node.clone(), *did), answer(mail, *did)))
    })
}

/// What somebody did with a mail. Who is known to have done it did, whatever a server said of the mail. Otherwise it is no
/// for one that did not leave, and for one of which all would be known; unknown for one that is not tracked, that may or
/// may not have come, and while something that happened is not judged and may be the deed itself (C-82).
fn answer(mail: &Engagement, did: MailDid) -> Truth {
    let at = match did {
        // Who clicked has opened it, whatever became of the pixel.
        MailDid::Opened => mail.opened_at.or(mail.clicked_at),
        MailDid::Clicked => mail.clicked_at,
    };
    match mail.sent {
        _ if mail.tracked && at.is_some() => Truth::Yes,
        _ if mail.tracked && (mail.pending_until.is_some() || mail.is_full) => Truth::Unknown,
        Some(sent) if mail.tracked || !sent => Truth::No,
        Some(_) | None => Truth::Unknown,
    }
}

/// What is known of contacts; their addresses by the hashes that their rows have (C-157).
async fn people(
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: Vec<Contact>,
    for_splits: bool,
) -> Result<HashMap<ContactId, Person>> {
    let hasher = ports.keys.address_hasher(tx.tenant());
    let with_address =
        contacts.iter().filter(|_| for_splits).filter_map(|contact| Some((contact.id, contact.email.as_ref()?)));
    let (ids, recipients): (Vec<ContactId>, Vec<Recipient>) =
        with_address.map(|(id, email)| (id, Recipient::hashed(&hasher, email))).unzip();
    let addresses = endpoints_resolve(tx, &recipients).await?;
    let addresses: HashMap<ContactId, AddressHash> =
        ids.into_iter().zip(addresses.into_iter().map(|address| address.hash)).collect();
    let person = |contact: Contact| {
        let person = Person {
            is_gone: contact.state == ContactState::Deleted,
            zone: contact.zone.as_ref().map(Zone::as_str).and_then(zone),
            locale: contact.locale.as_ref().map(|locale| Locale::as_str(locale).to_owned()),
            address: addresses.get(&contact.id).copied(),
        };
        (contact.id, person)
    };
    Ok(contacts.into_iter().map(person).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c081_a_deed_is_yes_and_its_absence_is_no_only_where_it_would_be_known() {
        let at = Some(Timestamp::UNIX_EPOCH);
        let told = |tracked, sent| Engagement { tracked, sent, ..Engagement::default() };
        for (mail, known) in [
            (told(true, Some(true)), Truth::No),
            (told(false, Some(true)), Truth::Unknown),
            (told(true, Some(false)), Truth::No),
            (told(false, Some(false)), Truth::No),
            (told(true, None), Truth::Unknown),
            (told(false, None), Truth::Unknown),
            (Engagement { pending_until: at, ..told(true, Some(true)) }, Truth::Unknown),
            (Engagement { pending_until: at, clicked_at: at, ..told(true, Some(true)) }, Truth::Yes),
            (Engagement { is_full: true, ..told(true, Some(true)) }, Truth::Unknown),
            (Engagement { is_full: true, clicked_at: at, ..told(true, Some(true)) }, Truth::Yes),
            (Engagement { clicked_at: at, ..told(true, None) }, Truth::Yes),
            (Engagement { clicked_at: at, ..told(true, Some(false)) }, Truth::Yes),
            (Engagement { clicked_at: at, ..told(false, Some(true)) }, Truth::Unknown),
        ] {
            assert_eq!(answer(&mail, MailDid::Clicked), known, "{mail:?}");
            assert_eq!(answer(&mail, MailDid::Opened), known, "{mail:?}");
        }
        let opened = Engagement { opened_at: at, ..told(true, None) };
        assert_eq!(answer(&opened, MailDid::Opened), Truth::Yes);
        assert_eq!(answer(&opened, MailDid::Clicked), Truth::Unknown);
    }
}
