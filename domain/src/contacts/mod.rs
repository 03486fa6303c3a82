//! Contacts: the people a tenant writes to.

mod email_address;

pub use email_address::{EmailAddress, InvalidEmail};
