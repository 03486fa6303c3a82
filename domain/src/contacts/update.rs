//! Changing one contact, by somebody who has seen its present version.

use carillon_entities::ids::ContactId;
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

/// A change.
#[derive(Debug, Clone)]
pub struct UpdateContact {
    /// Of whom.
    pub id: ContactId,
    /// The version the caller saw.
    pub version: i64,
    /// What is to be different.
    pub fields: ContactFields,
}

/// Changes a contact. Consent does not move to a new address (C-126): it hangs on the old one's hash. What the person had
/// ended does (C-128).
///
/// # Errors
/// `CONFLICT` (which names the present version) when somebody changed it meanwhile, `NOT_FOUND`, `IDENTITY_TAKEN`.
pub async fn update_contact(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: UpdateContact,
) -> Result<Contact> {
    let UpdateContact { id, version, fields } = command;
    let definitions = definitions_load(tx).await?;
    let (patch, tags) = fields.typed(&definitions, "").map_err(Error::Refused)?;
    let wishes = [Wish { find: Find::Id(id, version), patch, tags, reach: Reach::Write }];
    let plan = write(tx, ports, Author::caller(grant.actor()), (&definitions, &wishes)).await?;
    if let Some(Fate::Refused(refusals)) = plan.fates.into_iter().next() {
        return Err(Error::Refused(refusals));
    }
    contact_find(tx, id).await?.ok_or_else(|| Error::fault("a changed contact is gone"))
}
