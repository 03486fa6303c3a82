//! Opens and clicks: how mails are made to tell them, what is recorded of them, and which of them a person made.
//!
//! Tracked links and the pixel carry all that the answer needs ([`crate::keys::ClickToken`], C-84), so a redirect waits
//! for nothing. A hit on a mail tracked individually is kept without address and user agent (C-85), held for a short time
//! and then judged from several signals (C-81, C-82); only what a person did wakes workflows and satisfies branches. A hit
//! on a mail tracked in aggregate adds to a count that names nobody (C-78). What is not allowed any more at the time of the
//! hit is not recorded (C-79).

mod agent;
mod choose;
mod classify;
mod engagement;
mod judge;
mod link;
mod record;
mod report;
mod rewrite;
mod source;

pub use agent::{AGENTS_VERSION, Agent};
pub use choose::{
    contact_tracking, refuse_tracking, set_contact_tracking_mode, set_tracking_mode, tenant_tracking_choice,
};
pub use classify::{Beside, HIT_RULES_VERSION, Hit, HitClass, classify};
pub use engagement::{Engagement, engagement};
pub use judge::judge_hits;
pub(super) use link::track;
pub use record::{HITS_MAX, HOLD, Recorded, Visit, record_hit};
pub use report::{HitCounts, TrackingCount, hit_counts, tracking_counts};
