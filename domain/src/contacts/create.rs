//! Creating one contact.

use carillon_entities::wall::TenantTx;

use super::history::Author;
use super::plan::{Fate, Find, Reach, Wish};
use super::store::attributes::definitions_load;
use super::store::contacts::contact_find;
use super::write::write;
use super::{Contact, ContactFields};
use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};

/// A new contact.
#[derive(Debug, Clone)]
pub struct CreateContact {
    /// What is known of it; at least one identity.
    pub fields: ContactFields,
}

/// Creates a contact.
///
/// # Errors
/// `IDENTITY_TAKEN` when an identity belongs to somebody, `IDENTITY_REQUIRED` without any.
pub async fn create_contact(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: CreateContact,
) -> Result<Contact> {
    let definitions = definitions_load(tx).await?;
    let (patch, tags) = command.fields.typed(&definitions, "").map_err(Error::Refused)?;
    let wishes = [Wish { find: Find::New, patch, tags, reach: Reach::Write }];
    let author = Author::caller(grant.actor());
    let mut plan = write(tx, ports, author, (&definitions, &wishes)).await?;
    match plan.fates.pop() {
        Some(Fate::Created(id)) => contact_find(tx, id).await?.ok_or_else(|| Error::fault("a new contact is gone")),
        Some(Fate::Refused(refusals)) => Err(Error::Refused(refusals)),
        Some(Fate::Found(_)) | None => Err(Error::fault("a creation created nothing")),
    }
}
