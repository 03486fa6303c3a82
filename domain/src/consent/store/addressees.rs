//! Reads what consent needs of contacts: the address of one, and whom a message was for.

use carillon_entities::ids::{ContactId, MessageId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::rows::messaging::messages;
use carillon_entities::wall::TenantTx;

use crate::contacts::EmailAddress;
use crate::error::{Error, Refusal, Result};
use crate::keys::AddressHash;
use crate::time::Timestamp;

/// The address of a contact that is not deleted.
///
/// # Errors
/// `NOT_FOUND` on `contactId`.
pub async fn contact_email(tx: &mut TenantTx, id: ContactId) -> Result<Option<EmailAddress>> {
    let row = tx.select::<contacts::Entity>().eq(contacts::Column::Id, id).ne(contacts::Column::State, "deleted");
    let row = row.one().await?.ok_or_else(|| Refusal::not_found("contactId"))?;
    let email = row.email.as_deref().map(EmailAddress::parse).transpose();
    email.map_err(|_| Error::fault("a stored address does not parse"))
}

/// Whether a server took mail to a contact at an address in a span of time, and nobody told of a bounce since.
pub async fn contact_was_reached(
    tx: &mut TenantTx,
    contact: ContactId,
    address: AddressHash,
    (since, until): (Timestamp, Timestamp),
) -> Result<bool> {
    use messages::Column;
    let select = tx.select::<messages::Entity>().eq(Column::ContactId, contact).eq(Column::State, "sent");
    let select = select.eq(Column::AddressHmac, address.as_bytes().to_vec());
    let select = select.gt(Column::SettledAt, since).lt(Column::SettledAt, until);
    Ok(select.one().await?.is_some())
}

/// Where a contact is reached now, or was last while it has no address; none where there is nothing of it (any more).
pub async fn contact_address(tx: &mut TenantTx, id: ContactId) -> Result<Option<EmailAddress>> {
    let row = tx.select::<contacts::Entity>().eq(contacts::Column::Id, id).one().await?;
    let email = row.and_then(|row| row.email.or(row.former_email));
    Ok(email.and_then(|email| EmailAddress::parse(&email).ok()))
}

/// The contact a message was for, if it was for one.
pub async fn message_contact(tx: &mut TenantTx, id: MessageId) -> Result<Option<ContactId>> {
    let row = tx.select::<messages::Entity>().eq(messages::Column::Id, id).one().await?;
    Ok(row.and_then(|row| row.contact_id))
}
