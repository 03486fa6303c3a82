//! Reads the one thing of a contact that consent needs: the address.

use carillon_entities::ids::ContactId;
use carillon_entities::rows::contacts::contacts;
use carillon_entities::wall::TenantTx;

use crate::contacts::EmailAddress;
use crate::error::{Error, Refusal, Result};

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
