//! Contacts: the people a tenant writes to.

mod attribute;
mod country;
mod email_address;
pub mod import;
mod phone_number;
mod text;

pub use attribute::{AttributeKind, AttributeName, AttributeValue, Attributes, InvalidAttribute, InvalidAttributeName};
pub use country::{Country, InvalidCode, Locale, Zone};
pub use email_address::{EmailAddress, InvalidEmail};
pub use phone_number::{InvalidPhone, PhoneNumber};
pub use text::{InvalidTag, InvalidText, Tag, external_id, one_line, person_name};
