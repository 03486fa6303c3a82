//! Consent: the ledger, its projection, suppressions and the one gate.
//!
//! Invariants: the ledger only grows and the state is a join of its entries (C-152); a message leaves only where the
//! gate, the one pure function [`decide`], said yes on facts that are stored beside its answer (C-158, C-161).

mod codes;
mod fold;
mod gate;
mod gate_facts;

pub use codes::{
    ActorKind, Basis, Channel, ConsentAction, MessageClass, SourceKind, SuppressionReason, SuppressionScope,
};
pub use fold::{CLOCK_TOLERANCE, ConsentState, ConsentStatus, LedgerEntry, Mark, Standing, effective_at};
pub use gate::{Decision, Outcome, RULES_VERSION, Reason, Remedy, Rule, Step, Verdict, decide, replay};
pub use gate_facts::{ContactFact, GateFacts, QuotaFact, SenderFact, SuppressionFact, TenantFact, TestSend};
