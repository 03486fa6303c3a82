//! What a batch of wishes does to the contacts there are: pure, so that it is the same for one contact and for an import.
//!
//! Wishes are taken in order and see what those before them did; several for one contact make one change. An identity
//! belongs to one contact at any time: a wish that would break this is refused and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::{AttributeId, ContactId};
use serde_json::{Map, Value, json};

use super::contact::Identity;
use super::definitions::Definitions;
use super::{AttributeName, AttributeValue, Contact, ContactPatch, ContactState, EmailAddress, IdentityKind, Tag};
use crate::error::Refusal;
use crate::time::Timestamp;

/// Whom a wish is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Find {
    /// Somebody new; an identity that is taken refuses it.
    New,
    /// The contact with this id, if it still has this version.
    Id(ContactId, i64),
    /// Whoever has this identity, else somebody new.
    By(IdentityKind),
    /// Whoever has the external id or the address (or, without both, the number), else somebody new.
    Any,
}

/// How far a wish goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It makes or changes a contact.
    Write,
    /// It makes one, and leaves one that is there as it is.
    Make,
    /// It was refused already: it only asks whom it is about.
    Look,
}

/// A wish for one contact.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub find: Find,
    pub patch: ContactPatch,
    pub tags: Vec<Tag>,
    pub reach: Reach,
}

impl Wish {
    /// The identities it names.
    pub fn identities(&self) -> impl Iterator<Item = Identity> + use<> {
        let email = self.patch.email.value().map(|email| (IdentityKind::Email, email.norm().to_owned()));
        let phone = self.patch.phone.value().map(|phone| (IdentityKind::Phone, phone.as_e164().to_owned()));
        let external = self.patch.external_id.value().map(|id| (IdentityKind::ExternalId, id.clone()));
        [external, email, phone].into_iter().flatten()
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Created(ContactId),
    /// It was there, whether or not anything about it changed.
    Found(ContactId),
    /// Without a refusal where it only looked.
    Refused(Vec<Refusal>),
}

/// A contact that a plan touches.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    /// As it was; none for a new one.
    pub before: Option<Contact>,
    /// As it will be.
    pub after: Contact,
    /// Names of what changed, in the API's spelling.
    pub changed: BTreeSet<String>,
    /// Attributes to write (`None`: to take away).
    pub attributes: BTreeMap<AttributeName, Option<AttributeValue>>,
    /// Tags it has.
    pub tagged: BTreeSet<String>,
    /// Tags to put on, none of which it has.
    pub tags: BTreeSet<Tag>,
}

impl Touched {
    /// Whether it is another than before.
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty() || !self.tags.is_empty()
    }

    /// Old and new values of what changed, for the sealed part of the history.
    pub fn values(&self) -> Value {
        let old = self.before.as_ref().map(field_values).unwrap_or_default();
        let new = field_values(&self.after);
        let of = |values: &Map<String, Value>, name: &String| values.get(name).cloned().unwrap_or(Value::Null);
        let pairs =
            self.changed.iter().map(|name| (name.clone(), json!({"old": of(&old, name), "new": of(&new, name)})));
        let mut values: Map<String, Value> = pairs.collect();
        if !self.tags.is_empty() {
            let added: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
            values.insert("tags".to_owned(), json!({"added": added, "removed": []}));
        }
        Value::Object(values)
    }
}

/// The field values of a contact by their API names.
fn field_values(contact: &Contact) -> Map<String, Value> {
    let mut values = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), value.into());
        }
    };
    put("externalId", contact.external_id.as_deref());
    put("email", contact.email.as_ref().map(EmailAddress::as_sent));
    put("phone", contact.phone.as_ref().map(super::PhoneNumber::as_e164));
    put("firstName", contact.first_name.as_deref());
    put("lastName", contact.last_name.as_deref());
    put("locale", contact.locale.as_ref().map(super::Locale::as_str));
    put("zone", contact.zone.as_ref().map(super::Zone::as_str));
    put("country", contact.country.as_ref().map(super::Country::as_str));
    for (name, value) in &contact.attributes {
        values.insert(format!("attributes.{name}"), value.clone());
    }
    values
}

/// What is known before planning.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Who has the identities that the wishes name.
    pub owners: HashMap<Identity, ContactId>,
    /// Those contacts, locked.
    pub contacts: HashMap<ContactId, Contact>,
    /// Their tags, where a wish has some.
    pub tags: HashMap<ContactId, Vec<String>>,
}

/// What to write.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// One for each wish, in order.
    pub fates: Vec<Fate>,
    /// In the order in which they were first touched.
    pub touched: Vec<Touched>,
    /// Which addresses the wishes are about.
    pub addresses: Addresses,
}

/// Which addresses a batch of wishes is about, beside those that it names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The address that whoever has the external id has once a wish was taken, by wish; where it names another or none.
    pub had: HashMap<usize, EmailAddress>,
    /// The contacts that got another address, in the order of the wishes.
    pub moves: Vec<Move>,
}

/// A contact gets another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// With which wish.
    pub wish: usize,
    pub from: EmailAddress,
    pub to: EmailAddress,
}

impl Addresses {
    /// Where a no that a wish says is to be heard: at the address it names, at the one that whoever it is about has, and
    /// wherever later wishes move these. Where one batch ends and the next begins changes nothing.
    pub fn of_a_no<'a>(&'a self, wish: usize, named: Option<&'a EmailAddress>) -> Vec<&'a EmailAddress> {
        let mut all: Vec<&EmailAddress> = named.into_iter().chain(self.had.get(&wish)).collect();
        let later = self.moves.partition_point(|one| one.wish <= wish);
        for Move { from, to, .. } in &self.moves[later..] {
            let has = |address: &EmailAddress| all.iter().any(|one| one.norm() == address.norm());
            if has(from) && !has(to) {
                all.push(to);
            }
        }
        all
    }
}

impl Plan {
    /// Identities to take away and to give, each with its contact.
    pub fn identity_moves(&self) -> (Vec<Identity>, Vec<(Identity, ContactId)>) {
        let (mut gone, mut given) = (Vec::new(), Vec::new());
        for touched in &self.touched {
            let before: BTreeSet<Identity> = touched.before.iter().flat_map(Contact::identities).collect();
            let after: BTreeSet<Identity> = touched.after.identities().collect();
            gone.extend(before.difference(&after).cloned());
            given.extend(after.difference(&before).map(|identity| (identity.clone(), touched.after.id)));
        }
        // In one order everywhere, so that two batches wait for each other instead of deadlocking.
        gone.sort_unstable();
        given.sort_unstable();
        (gone, given)
    }

    /// Attribute values to write and to take away.
    pub fn attribute_writes<'a>(
        &'a self,
        definitions: &'a Definitions,
    ) -> impl Iterator<Item = (ContactId, AttributeId, Option<&'a AttributeValue>)> {
        self.touched.iter().flat_map(move |touched| {
            touched.attributes.iter().filter_map(move |(name, value)| {
                let definition = definitions.get(name.as_str())?;
                Some((touched.after.id, definition.id, value.as_ref()))
            })
        })
    }
}

/// Makes the plan; `new_id` gives ids for new contacts.
pub(crate) fn plan(known: Known, wishes: &[Wish], now: Timestamp, new_id: impl FnMut() -> ContactId) -> Plan {
    let mut planner = Planner { known, work: HashMap::new(), order: Vec::new(), moved: None, now, new_id };
    let mut fates = Vec::with_capacity(wishes.len());
    let mut addresses = Addresses::default();
    for (wish, one) in wishes.iter().enumerate() {
        fates.push(planner.take(one));
        addresses.had.extend(planner.address(one).map(|address| (wish, address)));
        addresses.moves.extend(planner.moved.take().map(|(from, to)| Move { wish, from, to }));
    }
    let Planner { mut work, order, .. } = planner;
    let touched = order.into_iter().filter_map(|id| work.remove(&id));
    Plan { fates, touched: touched.filter(Touched::says_something).collect(), addresses }
}

impl Touched {
    fn says_something(&self) -> bool {
        self.before.is_none() || !self.changed.is_empty() || !self.tags.is_empty()
    }
}

struct Planner<F> {
    known: Known,
    work: HashMap<ContactId, Touched>,
    order: Vec<ContactId>,
    /// The addresses that the wish just taken took from a contact and gave it.
    moved: Option<(EmailAddress, EmailAddress)>,
    now: Timestamp,
    new_id: F,
}

impl<F: FnMut() -> ContactId> Planner<F> {
    fn take(&mut self, wish: &Wish) -> Fate {
        let identities: Vec<Identity> = wish.identities().collect();
        let target = match self.target(wish, &identities) {
            Ok(target) => target,
            Err(refusals) => return Fate::Refused(refusals),
        };
        match (wish.reach, target) {
            (Reach::Look, _) => return Fate::Refused(Vec::new()),
            (Reach::Make, Some(id)) => return Fate::Found(id),
            (Reach::Make, None) | (Reach::Write, _) => {}
        }
        let taken = self.taken(wish.find, target, &identities);
        if !taken.is_empty() {
            return Fate::Refused(taken);
        }
        if !self.stays_findable(wish, target) {
            let message = "A contact needs an e-mail address, a telephone number or an external id.";
            return Fate::Refused(vec![Refusal::new("IDENTITY_REQUIRED", "", message)]);
        }
        if self.tags_after(wish, target) > Tag::MAX_PER_CONTACT {
            let message = format!("A contact has at most {} tags.", Tag::MAX_PER_CONTACT);
            return Fate::Refused(vec![Refusal::new("TOO_MANY_TAGS", "tags", message)]);
        }
        let id = target.unwrap_or_else(|| (self.new_id)());
        self.change(id, wish);
        if target.is_some() { Fate::Found(id) } else { Fate::Created(id) }
    }

    /// How many tags the contact would have; 0 where the wish adds none, for more than enough are no reason to refuse it.
    fn tags_after(&self, wish: &Wish, target: Option<ContactId>) -> usize {
        if wish.tags.is_empty() {
            return 0;
        }
        let work = target.and_then(|id| self.work.get(&id));
        let stored = target.and_then(|id| self.known.tags.get(&id));
        let mut tags: BTreeSet<&str> = stored.into_iter().flatten().map(String::as_str).collect();
        tags.extend(work.iter().flat_map(|touched| touched.tagged.iter()).map(String::as_str));
        tags.extend(work.iter().flat_map(|touched| &touched.tags).map(Tag::as_str));
        let before = tags.len();
        tags.extend(wish.tags.iter().map(Tag::as_str));
        if tags.len() > before { tags.len() } else { 0 }
    }

    /// Which contact there is; none when it must be made.
    fn target(&self, wish: &Wish, identities: &[Identity]) -> Result<Option<ContactId>, Vec<Refusal>> {
        let owner = |kind| {
            let identity = identities.iter().find(|(one, _)| *one == kind)?;
            self.known.owners.get(identity).copied()
        };
        match wish.find {
            Find::New => Ok(None),
            Find::Id(id, version) => match self.current(id) {
                None => Err(vec![Refusal::not_found("id")]),
                Some(contact) if contact.version != version => Err(vec![conflict(contact.version)]),
                Some(_) => Ok(Some(id)),
            },
            Find::By(kind) => Ok(owner(kind)),
            Find::Any => match (owner(IdentityKind::ExternalId), owner(IdentityKind::Email)) {
                (Some(one), Some(other)) if one != other => {
                    let message = "The e-mail address and the external id belong to different contacts.";
                    Err(vec![Refusal::new("IDENTITY_CONFLICT", "email", message)])
                }
                (Some(id), _) | (None, Some(id)) => Ok(Some(id)),
                (None, None) if identities.iter().all(|(kind, _)| *kind == IdentityKind::Phone) => {
                    Ok(owner(IdentityKind::Phone))
                }
                (None, None) => Ok(None),
            },
        }
    }

    /// The address of whoever has the external id that a wish names, as of now, where it names another or none.
    fn address(&self, wish: &Wish) -> Option<EmailAddress> {
        let external = (IdentityKind::ExternalId, wish.patch.external_id.value()?.clone());
        let has = self.current(*self.known.owners.get(&external)?)?.email.as_ref()?;
        let named = wish.patch.email.value();
        named.is_none_or(|named| named.norm() != has.norm()).then(|| has.clone())
    }

    fn current(&self, id: ContactId) -> Option<&Contact> {
        let contact = self.work.get(&id).map(|touched| &touched.after).or_else(|| self.known.contacts.get(&id));
        contact.filter(|contact| contact.state != ContactState::Deleted)
    }

    /// Identities that belong to somebody else.
    fn taken(&self, find: Find, target: Option<ContactId>, identities: &[Identity]) -> Vec<Refusal> {
        let code = if find == Find::Any { "IDENTITY_CONFLICT" } else { "IDENTITY_TAKEN" };
        let foreign =
            |identity: &&Identity| self.known.owners.get(*identity).is_some_and(|owner| Some(*owner) != target);
        let refusal = |(kind, _): &Identity| Refusal::new(code, kind.field(), "Another contact has this value.");
        identities.iter().filter(foreign).map(refusal).collect()
    }

    /// False when nobody could ever find the contact again.
    fn stays_findable(&self, wish: &Wish, target: Option<ContactId>) -> bool {
        let current = target.and_then(|id| self.current(id));
        let has = |kind| current.is_some_and(|contact| contact.identities().any(|(one, _)| one == kind));
        wish.patch.email.leaves_value(has(IdentityKind::Email))
            || wish.patch.phone.leaves_value(has(IdentityKind::Phone))
            || wish.patch.external_id.leaves_value(has(IdentityKind::ExternalId))
    }

    fn change(&mut self, id: ContactId, wish: &Wish) {
        let touched = self.work.entry(id).or_insert_with(|| {
            self.order.push(id);
            let before = self.known.contacts.remove(&id);
            let after = before.clone().unwrap_or_else(|| Contact::new(id, self.now));
            let tagged = self.known.tags.remove(&id).unwrap_or_default().into_iter().collect();
            let (changed, attributes, tags) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
            Touched { before, after, changed, attributes, tagged, tags }
        });
        for identity in touched.after.identities() {
            self.known.owners.remove(&identity);
        }
        let before = touched.after.email.clone().or_else(|| touched.after.former_email.clone());
        let changed = wish.patch.apply(&mut touched.after);
        let moved = before.clone().zip(touched.after.email.clone());
        touched.after.former_email = before.filter(|_| touched.after.email.is_none());
        self.moved = moved.filter(|(from, to)| from.norm() != to.norm());
        for identity in touched.after.identities() {
            self.known.owners.insert(identity, id);
        }
        for (name, value) in &wish.patch.attributes {
            if changed.iter().any(|one| one.strip_prefix("attributes.") == Some(name.as_str())) {
                touched.attributes.insert(name.clone(), value.clone());
            }
        }
        touched.changed.extend(changed);
        let new = wish.tags.iter().filter(|tag| !touched.tagged.contains(tag.as_str()));
        touched.tags.extend(new.cloned());
        if let Some(before) = &touched.before
            && !touched.changed.is_empty()
        {
            touched.after.version = before.version + 1;
            touched.after.updated_at = self.now;
        }
    }
}

/// The refusal of a change that saw another version.
pub(crate) fn conflict(current: i64) -> Refusal {
    Refusal::new("CONFLICT", "version", format!("The contact has changed: it is at version {current}."))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
