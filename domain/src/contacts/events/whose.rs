//! Whose events they are: contacts by id, external id or address, made where that is permitted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::track::{EventContact, Fresh, Stage, TrackEvent, Verdict, all_fresh};
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

/// Finds who each event is about, and makes those that may be made.
pub(super) async fn find_contacts(tx: &mut TenantTx, ports: &Ports, verdicts: &mut [Verdict<'_>]) -> Result<()> {
    let named: BTreeSet<ContactId> = all_fresh(verdicts)
        .filter_map(|fresh| match &fresh.item.contact {
            EventContact::Id(id) => Some(*id),
            EventContact::ExternalId(_) | EventContact::Email(_) => None,
        })
        .collect();
    let living = contacts_living(tx, named).await?;
    let wanted: BTreeMap<Identity, &TrackEvent> =
        all_fresh(verdicts).filter_map(|fresh| Some((identity_of(&fresh.item.contact)?, fresh.item))).collect();
    let mut owners = identity_owners(tx, wanted.keys().collect()).await?;
    let refused = make_missing(tx, ports, verdicts, &mut owners).await?;
    for verdict in verdicts {
        let Ok(Stage::Fresh(fresh)) = verdict else { continue };
        let (found, field) = match &fresh.item.contact {
            EventContact::Id(id) => (living.contains(id).then_some(*id), "contact.id"),
            EventContact::ExternalId(_) => (owner(&owners, fresh.item), "contact.externalId"),
            EventContact::Email(_) => (owner(&owners, fresh.item), "contact.email"),
        };
        let why = identity_of(&fresh.item.contact).and_then(|identity| refused.get(&identity)).cloned();
        match found {
            Some(id) => fresh.contact = Some(id),
            None => *verdict = Err(why.unwrap_or_else(|| Refusal::not_found(field)).at(field)),
        }
    }
    Ok(())
}

fn owner(owners: &HashMap<Identity, ContactId>, item: &TrackEvent) -> Option<ContactId> {
    identity_of(&item.contact).and_then(|identity| owners.get(&identity)).copied()
}

fn identity_of(contact: &EventContact) -> Option<Identity> {
    match contact {
        EventContact::Id(_) => None,
        EventContact::ExternalId(id) => Some((IdentityKind::ExternalId, id.clone())),
        EventContact::Email(email) => Some((IdentityKind::Email, email.norm().to_owned())),
    }
}

/// Makes contacts for identities nobody has, as an upsert would; returns why some could not be made.
async fn make_missing(
    tx: &mut TenantTx,
    ports: &Ports,
    verdicts: &[Verdict<'_>],
    owners: &mut HashMap<Identity, ContactId>,
) -> Result<HashMap<Identity, Refusal>> {
    let mut author = None;
    let mut missing: BTreeMap<Identity, Wish> = BTreeMap::new();
    for Fresh { item, .. } in all_fresh(verdicts) {
        let (Some(grant), Some(identity)) = (&item.create, identity_of(&item.contact)) else { continue };
        if owners.contains_key(&identity) {
            continue;
        }
        author = Some(Author::caller(grant.actor()));
        let mut patch = ContactPatch::default();
        match &item.contact {
            EventContact::Email(email) => patch.email = Patch::Set(email.clone()),
            EventContact::ExternalId(id) => patch.external_id = Patch::Set(id.clone()),
            EventContact::Id(_) => continue,
        }
        let find = Find::By(identity.0);
        missing.insert(identity, Wish { find, patch, tags: Vec::new(), reach: Reach::Make });
    }
    let Some(author) = author else { return Ok(HashMap::new()) };
    let (identities, wishes): (Vec<Identity>, Vec<Wish>) = missing.into_iter().unzip();
    let plan = write(tx, ports, author, (&Definitions::default(), &wishes)).await?;
    let mut refused = HashMap::new();
    for (identity, fate) in identities.into_iter().zip(plan.fates) {
        match fate {
            Fate::Created(id) | Fate::Found(id) => drop(owners.insert(identity, id)),
            Fate::Refused(refusals) => refused.extend(refusals.into_iter().next().map(|refusal| (identity, refusal))),
        }
    }
    Ok(refused)
}
