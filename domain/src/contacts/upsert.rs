//! Creating or changing many contacts at once, each found by its external id or its address.

use std::collections::HashMap;

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::history::Author;
use super::plan::{Fate, Find, Reach, Wish};
use super::store::attributes::definitions_load;
use super::store::contacts::contacts_get;
use super::write::write;
use super::{Contact, ContactFields, IdentityKind};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};

/// Contacts in one call.
pub const MAX_UPSERT: usize = 500;

/// What a contact is found by; the identity itself is among its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpsertBy {
    /// The tenant's own id.
    ExternalId,
    /// The address.
    Email,
}

/// One contact of a call.
#[derive(Debug, Clone)]
pub struct UpsertContact {
    /// What it is found by.
    pub by: UpsertBy,
    /// What is known of it.
    pub fields: ContactFields,
}

/// What became of one contact of a call.
#[derive(Debug, Clone)]
pub enum Upserted {
    /// It is there now; `true` when it was not before.
    Done(Box<Contact>, bool),
    /// It was refused; fields are relative to the contact.
    Refused(Vec<Refusal>),
}

/// Creates or changes contacts; each is done or refused by itself, and a batch costs a constant number of statements.
/// Consent is not touched: an upsert lifts nothing (C-128).
pub async fn upsert_contacts(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: Vec<UpsertContact>,
) -> Result<Vec<Upserted>> {
    if contacts.is_empty() || contacts.len() > MAX_UPSERT {
        let message = format!("A call takes 1 to {MAX_UPSERT} contacts.");
        return Err(Refusal::new("BATCH_SIZE", "contacts", message).into());
    }
    let definitions = definitions_load(tx).await?;
    let mut wishes = Vec::with_capacity(contacts.len());
    let mut refused: Vec<Option<Vec<Refusal>>> = Vec::with_capacity(contacts.len());
    for UpsertContact { by, fields } in contacts {
        let find = Find::By(match by {
            UpsertBy::ExternalId => IdentityKind::ExternalId,
            UpsertBy::Email => IdentityKind::Email,
        });
        match fields.typed(&definitions, "") {
            Ok((patch, tags)) => {
                wishes.push(Wish { find, patch, tags, reach: Reach::Write });
                refused.push(None);
            }
            Err(refusals) => refused.push(Some(refusals)),
        }
    }
    let plan = write(tx, ports, Author::caller(grant.actor()), (&definitions, &wishes)).await?;
    let now = load(tx, &plan.fates).await?;
    let mut fates = plan.fates.into_iter();
    let answer =
        |refused: Option<Vec<Refusal>>| match refused.map_or_else(|| fates.next(), |all| Some(Fate::Refused(all))) {
            Some(Fate::Refused(refusals)) => Ok(Upserted::Refused(refusals)),
            Some(Fate::Created(id)) => done(&now, id, true),
            Some(Fate::Found(id)) => done(&now, id, false),
            None => Err(Error::fault("a wish has no fate")),
        };
    refused.into_iter().map(answer).collect()
}

async fn load(tx: &mut TenantTx, fates: &[Fate]) -> Result<HashMap<ContactId, Contact>> {
    let mut ids: Vec<ContactId> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Created(id) | Fate::Found(id) => Some(*id),
            Fate::Refused(_) => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(contacts_get(tx, &ids).await?.into_iter().map(|contact| (contact.id, contact)).collect())
}

fn done(now: &HashMap<ContactId, Contact>, id: ContactId, created: bool) -> Result<Upserted> {
    let contact = now.get(&id).ok_or_else(|| Error::fault("an upserted contact is gone"))?;
    Ok(Upserted::Done(Box::new(contact.clone()), created))
}
