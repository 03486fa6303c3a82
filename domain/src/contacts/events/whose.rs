//! Whose events they are: contacts by id, external id or address, made where that is permitted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::track::{EventContact, Stage, Verdict, all_fresh};
use crate::contacts::contact::Identity;
use crate::contacts::definitions::Definitions;
use crate::contacts::history::Author;
use crate::contacts::plan::{Fate, Find, Reach, Wish};
use crate::contacts::store::identities::identity_owners;
use crate::contacts::store::subject_keys::living_with_history_keys;
use crate::contacts::write::write;
use crate::contacts::{ContactPatch, IdentityKind, Patch};
use crate::error::{Refusal, Result};
use crate::keys::SubjectKey;
use crate::ports::Ports;

/// Whom events name.
#[derive(Default)]
pub(super) struct Named {
    ids: BTreeSet<ContactId>,
    identities: BTreeSet<Identity>,
}

/// Who these are.
pub(super) struct Found {
    living: HashMap<ContactId, Option<SubjectKey>>,
    owners: HashMap<Identity, ContactId>,
}

impl Named {
    /// Whom the events name that are good so far.
    pub fn by(verdicts: &[Verdict<'_>]) -> Self {
        let mut named = Self::default();
        for fresh in all_fresh(verdicts) {
            match &fresh.item.contact {
                EventContact::Id(id) => drop(named.ids.insert(*id)),
                other => named.identities.extend(identity_of(other)),
            }
        }
        named
    }

    /// Finds them.
    pub async fn find(self, tx: &mut TenantTx, ports: &Ports) -> Result<Found> {
        let living = living_with_history_keys(tx, ports, self.ids).await?;
        let owners = identity_owners(tx, self.identities.iter().collect()).await?;
        Ok(Found { living, owners })
    }
}

impl Found {
    /// Gives events the contacts that were found.
    pub fn place(&self, verdicts: &mut [Verdict<'_>]) {
        for verdict in verdicts {
            let Ok(Stage::Fresh(fresh)) = verdict else { continue };
            fresh.contact = match &fresh.item.contact {
                EventContact::Id(id) => self.living.contains_key(id).then_some(*id),
                other => identity_of(other).and_then(|identity| self.owners.get(&identity)).copied(),
            };
        }
    }

    /// Keys of contacts' histories, as far as they came with them.
    pub fn into_keys(self) -> HashMap<ContactId, SubjectKey> {
        self.living.into_iter().filter_map(|(id, key)| Some((id, key?))).collect()
    }
}

/// Makes contacts of identities nobody has where that is permitted, as an upsert would, and refuses the events whose
/// contact there is not.
pub(super) async fn make(tx: &mut TenantTx, ports: &Ports, verdicts: &mut [Verdict<'_>]) -> Result<()> {
    let mut wishes = BTreeMap::new();
    let mut author = None;
    for fresh in all_fresh(verdicts).filter(|fresh| fresh.contact.is_none()) {
        let Some((grant, identity)) = fresh.item.create.as_ref().zip(identity_of(&fresh.item.contact)) else {
            continue;
        };
        author = Some(Author::caller(grant.actor()));
        wishes.insert(identity.clone(), wish(&fresh.item.contact, identity.0));
    }
    let (identities, wishes): (Vec<Identity>, Vec<Wish>) = wishes.into_iter().unzip();
    let fates = match author {
        Some(author) => write(tx, ports, author, (&Definitions::default(), &wishes)).await?.fates,
        None => Vec::new(),
    };
    let fates: HashMap<Identity, Fate> = identities.into_iter().zip(fates).collect();
    for verdict in verdicts {
        let Ok(Stage::Fresh(fresh)) = verdict else { continue };
        if fresh.contact.is_some() {
            continue;
        }
        let field = match &fresh.item.contact {
            EventContact::Id(_) => "contact.id",
            EventContact::ExternalId(_) => "contact.externalId",
            EventContact::Email(_) => "contact.email",
        };
        let refuse = |why: Option<&Refusal>| Err(why.cloned().unwrap_or_else(|| Refusal::not_found(field)).at(field));
        match identity_of(&fresh.item.contact).and_then(|identity| fates.get(&identity)) {
            Some(Fate::Created(id) | Fate::Found(id)) => fresh.contact = Some(*id),
            Some(Fate::Refused(refusals)) => *verdict = refuse(refusals.first()),
            None => *verdict = refuse(None),
        }
    }
    Ok(())
}

fn wish(contact: &EventContact, kind: IdentityKind) -> Wish {
    let mut patch = ContactPatch::default();
    match contact {
        EventContact::Id(_) => {}
        EventContact::Email(email) => patch.email = Patch::Set(email.clone()),
        EventContact::ExternalId(id) => patch.external_id = Patch::Set(id.clone()),
    }
    Wish { find: Find::By(kind), patch, tags: Vec::new(), reach: Reach::Make }
}

fn identity_of(contact: &EventContact) -> Option<Identity> {
    match contact {
        EventContact::Id(_) => None,
        EventContact::ExternalId(id) => Some((IdentityKind::ExternalId, id.clone())),
        EventContact::Email(email) => Some((IdentityKind::Email, email.norm().to_owned())),
    }
}
