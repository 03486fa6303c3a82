//! Consent: the ledger, its projection, suppressions and the one gate.

mod codes;

pub use codes::{
    ActorKind, Basis, Channel, ConsentAction, MessageClass, SourceKind, SuppressionReason, SuppressionScope,
};
