//! Contacts and imports over GraphQL.

mod import_inputs;
mod import_types;
mod imports;
mod inputs;
mod mutations;
mod queries;
mod types;

pub use import_types::{Import, Upload};
pub use imports::{ImportMutation, ImportQuery, load_import};
pub use mutations::ContactMutation;
pub use queries::{ContactQuery, load_contact};
pub use types::Contact;

use carillon_domain::error::Refusal;

/// An id of a mutation's input. One that is malformed or of another kind is answered like one that is not there.
fn id<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::not_found(field))
}
