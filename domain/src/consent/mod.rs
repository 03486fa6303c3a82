//! Consent: the ledger, its projection, suppressions and the one gate.
//!
//! Invariants: the ledger only grows and the state is a join of its entries (C-152); a message leaves only where the
//! gate, the one pure function [`decide`], said yes on facts that are stored beside its answer (C-158, C-161).
//!
//! Every change goes through [`append`] or a function of `suppress.rs`; both lock the recipient's endpoint first, which
//! is the lock the gate holds (L3, C-175).

mod bounce;
mod brands;
mod codes;
mod complaint;
mod evidence;
mod fault;
mod fold;
mod follow;
mod gate;
mod gate_facts;
mod ledger;
mod opt_in;
mod opt_out;
mod project;
mod rebuild;
mod recipient;
pub(crate) mod store;
mod suppress;
mod view;

pub use bounce::{HardBounce, SoftBounce, count_cleared, count_soft_bounces, suppress_hard_bounces, take_back_doubted};
pub(crate) use brands::consent_topics;
pub use brands::{
    Brand, CreateTopic, DisplayName, Topic, TopicKey, all_marketing, consent_topic, create_brand, create_topic,
    find_brands, find_topics, list_brands, list_topics, seed_tenant,
};

pub use codes::{ActorKind, Basis, Channel, ConsentAction, SourceKind, SuppressionReason, SuppressionScope};
pub use complaint::{RecordComplaint, record_complaint};
pub(crate) use evidence::store_shared_evidence;
pub use evidence::{Evidence, erase_evidence, read_evidence};
pub use fault::Heard;
pub(crate) use fault::tell_doubted;
pub use fold::{CLOCK_TOLERANCE, ConsentState, ConsentStatus, LedgerEntry, Mark, Standing, effective_at};
pub(crate) use follow::follow;
pub use gate::{Decision, Outcome, RULES_VERSION, Reason, Remedy, Rule, Step, Verdict, decide, replay};
pub use gate_facts::{ContactFact, GateFacts, QuotaFact, SenderFact, SuppressionFact, TenantFact, TestSend, WayFact};
pub(crate) use ledger::append_locked;
pub use ledger::{Appended, ConsentEvent, ConsentTopic, NewConsentEvent, Source, Wording, append};
pub use opt_in::{RecordOptIn, record_opt_in};
pub use opt_out::{
    OptOutScope, RecordOptOut, UnsubscribePage, Unsubscribed, record_opt_out, unsubscribe, unsubscribe_page,
};
pub use project::StateKey;
pub use rebuild::rebuild_projection;
pub use recipient::Recipient;
pub use store::endpoints::{Endpoint, EndpointKey, Endpoints, endpoints_lock_for_change, endpoints_lock_for_send};
pub(crate) use store::endpoints::{endpoints_ensure, endpoints_keys, endpoints_resolve, locked_address};
pub use suppress::{
    LiftSuppression, SuppressAddress, Suppression, find_suppressions, lift_suppression, list_suppressions,
    suppress_address, suppressions_of,
};
pub use view::{ConsentFacts, ConsentView, FactsRequest, find_consent_events, list_consents, list_ledgers, load_facts};

use crate::error::Refusal;

fn no_address() -> Refusal {
    Refusal::new("NO_ADDRESS", "contactId", "The contact has no e-mail address.")
}
