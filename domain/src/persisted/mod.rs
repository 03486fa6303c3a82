//! Persisted documents: GraphQL documents that are run by the SHA-256 of their text, and sets of them that API keys are held
//! to.
//!
//! Invariants: a document is its text, so its id says all of it, and registering it again after it was retired gives the
//! same document back. A version of a set never changes; which of them holds is one number, so a bad one is put back by one
//! write. What a key that is held to a set may run is its set's version that holds, of what is registered: nothing of it
//! widens what the key's scopes allow.

mod document;
mod read;
mod register;
mod retire;
mod sets;
mod store;

pub use document::{DOCUMENT_MAX, DocumentHash, DocumentText, InvalidHash, PersistedDocument};
pub(crate) use read::assert_document_set;
pub use read::{Within, document_sets, document_text, documents, find_document_sets, find_documents, versions_of_sets};
pub use register::{BATCH_MAX, DOCUMENTS_MAX, Registered, register_documents};
pub use retire::retire_documents;
pub use sets::{
    ActivateVersion, DocumentSet, PublishVersion, SET_DOCUMENTS_MAX, SETS_MAX, SetVersion, VERSIONS_KEPT,
    activate_set_version, create_document_set, publish_set_version,
};
