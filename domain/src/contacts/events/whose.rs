//! Whose events they are: contacts by id, external id or address, made where that is permitted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::track::{EventContact, Stage, TrackEvent, Verdict, all_fresh};
use crate::contacts::contact::Identity;
use crate::contacts::definitions::Definitions;
use crate::contacts::history::Author;
use crate::contacts::plan::{Fate, Find, Reach, Wish};
use crate::contacts::store::contacts::contacts_living;
use crate::contacts::store::identities::identity_owners;
use crate::contacts::write::write;
use crate::contacts::{ContactPatch, IdentityKind, Patch};
use crate::error::{Refusal, Result};
use crate::ports::Ports;

/// Whom events name.
#[derive(Default)]
pub(super) struct Named {
    ids: BTreeSet<ContactId>,
    identities: BTreeSet<Identity>,
    /// Contacts that may be made, should nobody have the identity.
    wishes: BTreeMap<Identity, Wish>,
    author: Option<Author>,
}

/// Who these are.
pub(super) struct Found {
    living: HashSet<ContactId>,
    owners: HashMap<Identity, ContactId>,
    /// Why some could not be made.
    refused: HashMap<Identity, Refusal>,
}

impl Named {
    /// Whom the events name that are good so far.
    pub fn by(verdicts: &[Verdict]) -> Self {
        let mut named = Self::default();
        for fresh in all_fresh(verdicts) {
            named.add(&fresh.item);
        }
        named
    }

    fn add(&mut self, item: &TrackEvent) {
        let mut patch = ContactPatch::default();
        match &item.contact {
            EventContact::Id(id) => drop(self.ids.insert(*id)),
            EventContact::Email(email) => patch.email = Patch::Set(email.clone()),
            EventContact::ExternalId(id) => patch.external_id = Patch::Set(id.clone()),
        }
        let Some(identity) = identity_of(&item.contact) else { return };
        self.identities.insert(identity.clone());
        let Some(grant) = &item.create else { return };
        self.author = Some(Author::caller(grant.actor()));
        let find = Find::By(identity.0);
        self.wishes.insert(identity, Wish { find, patch, tags: Vec::new(), reach: Reach::Make });
    }

    /// Finds them, and makes contacts of identities nobody has where that is permitted, as an upsert would.
    pub async fn find(self, tx: &mut TenantTx, ports: &Ports) -> Result<Found> {
        let living = contacts_living(tx, self.ids).await?;
        let owners = identity_owners(tx, self.identities.iter().collect()).await?;
        let mut found = Found { living, owners, refused: HashMap::new() };
        let missing = self.wishes.into_iter().filter(|(identity, _)| !found.owners.contains_key(identity));
        let (identities, wishes): (Vec<Identity>, Vec<Wish>) = missing.unzip();
        let Some(author) = self.author.filter(|_| !wishes.is_empty()) else { return Ok(found) };
        let plan = write(tx, ports, author, (&Definitions::default(), &wishes)).await?;
        for (identity, fate) in identities.into_iter().zip(plan.fates) {
            match fate {
                Fate::Created(id) | Fate::Found(id) => drop(found.owners.insert(identity, id)),
                Fate::Refused(refusals) => {
                    found.refused.extend(refusals.into_iter().next().map(|refusal| (identity, refusal)));
                }
            }
        }
        Ok(found)
    }
}

impl Found {
    /// Gives each event its contact, or refuses it.
    pub fn place(&self, verdicts: &mut [Verdict]) {
        for verdict in verdicts {
            let Ok(Stage::Fresh(fresh)) = verdict else { continue };
            let identity = identity_of(&fresh.item.contact);
            let owner = || identity.as_ref().and_then(|identity| self.owners.get(identity)).copied();
            let (found, field) = match &fresh.item.contact {
                EventContact::Id(id) => (self.living.get(id).copied(), "contact.id"),
                EventContact::ExternalId(_) => (owner(), "contact.externalId"),
                EventContact::Email(_) => (owner(), "contact.email"),
            };
            let why = identity.as_ref().and_then(|identity| self.refused.get(identity)).cloned();
            match found {
                Some(id) => fresh.contact = Some(id),
                None => *verdict = Err(why.unwrap_or_else(|| Refusal::not_found(field)).at(field)),
            }
        }
    }
}

fn identity_of(contact: &EventContact) -> Option<Identity> {
    match contact {
        EventContact::Id(_) => None,
        EventContact::ExternalId(id) => Some((IdentityKind::ExternalId, id.clone())),
        EventContact::Email(email) => Some((IdentityKind::Email, email.norm().to_owned())),
    }
}
