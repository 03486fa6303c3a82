//! Rows of the two tables of answers: a tenant's, and those of users for what they change in the identity space.

mod tenant;
mod user;

use carillon_entities::wall::IdentitySql;

use super::Call;
use crate::error::Result;
use crate::keys::Place;
use crate::time::Timestamp;

pub use tenant::STATEMENTS;
pub(super) use tenant::keys_forget;
pub use user::UserKeys;
pub(super) use user::{KEYS_OF_USERS_FORGET, keys_of_users_expired, keys_of_users_forget};

/// Every registered statement on the answers of users.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[&KEYS_OF_USERS_FORGET];

/// What is stored under a key.
#[derive(Debug)]
pub struct Stored {
    pub(super) input_hash: Vec<u8>,
    pub(super) sealed_answer: Vec<u8>,
}

/// A transaction, and whose keys it sees.
pub trait Keys: Send {
    /// Where an answer lies; its tenant is also whose key the fingerprint of the input is under.
    fn place(&self, call: &Call) -> Place;

    /// True when this transaction now holds the key until the given time.
    fn reserve(
        &mut self,
        call: &Call,
        fingerprint: [u8; 32],
        times: (Timestamp, Timestamp),
    ) -> impl Future<Output = Result<bool>> + Send;

    /// What is stored under the key.
    fn find(&mut self, call: &Call) -> impl Future<Output = Result<Option<Stored>>> + Send;

    /// Stores the answer under a key that this transaction holds.
    fn answer(&mut self, call: &Call, sealed_answer: Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}
