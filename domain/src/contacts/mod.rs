//! Contacts: the people a tenant writes to.
//!
//! A contact is found by its identities alone, each of which belongs to one contact. What changed is appended to its
//! history: names of fields in the clear, values under the contact's own key, which deletion destroys. A yes hangs on
//! the address and not on the contact, so it does not move when an address changes; a no does (C-126, C-128).

mod attribute;
mod change_many;
mod contact;
mod country;
mod create;
mod declare_attributes;
mod definitions;
mod delete;
mod email_address;
mod endpoints;
pub mod events;
mod history;
pub mod import;
mod list;
mod patch;
mod phone_number;
mod plan;
mod put_away;
mod store;
mod tag;
mod text;
mod update;
mod upsert;
mod write;

pub use attribute::{AttributeKind, AttributeName, AttributeValue, Attributes, InvalidAttribute, InvalidAttributeName};
pub(crate) use change_many::{ContactChange, change_contacts};
pub use contact::{Contact, ContactState, IdentityKind};
pub use country::{Country, InvalidCode, Locale, Zone};
pub use create::{CreateContact, create_contact};
pub use declare_attributes::{DeclareAttribute, declare_attributes};
pub use definitions::{AttributeDefinition, Definitions, MAX_ATTRIBUTES};
pub use delete::delete_contact;
pub use email_address::{EmailAddress, InvalidEmail};
pub(crate) use history::{Author, Entry, history_append};
pub use history::{Change, ChangeKind, contact_histories};
pub use list::{
    AttributeTest, CardMore, ContactCard, ContactFilter, Shown, contact_tags, find_attributes, get_contact,
    get_contacts, list_attributes, list_contacts,
};
pub use patch::{ContactFields, ContactPatch, Patch};
pub use phone_number::{InvalidPhone, PhoneNumber};
pub use put_away::{archive_contact, restore_contact};
pub(crate) use store::attributes::definitions_load;
pub(crate) use store::contacts::{contacts_get, contacts_hold, contacts_hold_free};
pub(crate) use store::tags::tags_of;
pub use store::{STATEMENTS_ALONE, statements};
pub use tag::{TagContacts, tag_contacts};
pub use text::{InvalidTag, InvalidText, Tag, external_id, one_line, person_name};
pub use update::{UpdateContact, update_contact};
pub use upsert::{MAX_UPSERT, UpsertBy, UpsertContact, Upserted, upsert_contacts};
