//! Messages: intents, attempts, templates and the outcome of every hand-over.
//!
//! An accepted intent is a row before anything is sent (L8); its key counts once (C-164). A worker claims due rows under
//! a lease and a fence ([`claim`]), renders them ([`prepare`]), and puts them through the gate ([`clear`]), whose commit
//! alone gives permits ([`Cleared`]). [`record`] flips attempts to started just before their hand-over and writes what came
//! of them after it; [`sweep`] takes back what a lost worker held. What comes back of mails, bounces and complaints, is
//! taken by [`receive_report`]. What happened is told in one order ([`feed_page`]).

mod cancel;
mod claim;
mod class;
mod clear;
mod cleared;
mod content;
mod dkim_key;
mod email_message;
mod feed;
mod global_address;
mod hand_over;
mod key_check;
mod locale;
mod materials;
mod of_campaign;
mod partials;
mod prepare;
mod preview;
mod queries;
pub mod relay;
pub mod reply_class;
mod reports;
mod retry;
mod send_messages;
mod send_test;
mod senders;
mod settle;
mod state;
mod store;
mod sweep;
mod system_mail;
mod tell;
pub mod template;
mod templates;
mod tracking;
mod tracking_mode;
mod usable;

pub use cancel::cancel_messages;
pub use claim::{Claimed, ClaimedMessage, ContactFacts, claim, hold};
pub use class::{Lane, MessageClass};
pub use clear::clear;
pub use cleared::{AttemptRef, Cleared, FormOf};
pub use content::{ContentCache, ReadySender, ReadyVersion, Sender, StoredVersion, Template, TemplateFormat};
pub use dkim_key::NewDkimKey;
pub use email_message::{DkimKey, EmailMessage, ListHeaders, Mailbox};
pub(crate) use feed::note_unsubscribed;
pub use feed::{
    FEED_KEPT, FEED_PAGE_MAX, FeedEvent, FeedKind, FeedPage, feed_after, feed_end, feed_page, place_events,
};
pub use global_address::is_global;
pub use hand_over::{GROUP, HandOverStep, Settled, record, renew};
pub use key_check::{OtherKeys, key_mismatch};
pub use locale::choose_locale;
pub(crate) use of_campaign::{cancel_of_campaign, has_open_of_campaign, queued_of_campaign, wake_of_campaign};
pub use partials::{
    CreatePartial, PARTIALS_MAX, Partial, UpdatePartial, create_partial, find_partials, partials, update_partial,
};
pub use prepare::{Draft, prepare};
pub use preview::{Person, Preview, PreviewOf, Previewed, person, preview_template};
pub use queries::{
    Attempt, DecisionRecord, EVENTS_MAX, EventRecord, Message, MessageFilter, StatRow, attempts, decisions, events,
    find_messages, messages, messages_of, stats,
};
pub use reports::{READ_MAX, ReportAddress, ReportEnd, receive_report, report_address};
pub use retry::{NextAttempt, RetrySchedule, RetryWindow};
pub use send_messages::{
    AcceptedIntent, CAMPAIGN_KEYS, INTENTS_MAX, Intent, ORIGIN_KEYS, Origin, Recipient, send_messages,
};
pub use send_test::{OwnUser, SendTest, own_user, send_test};
pub use senders::{
    CreateSender, OwnRelay, OwnRelayUrl, create_sender, find_senders, own_relay, remove_relay, senders, set_relay,
    verify_sender, verify_sender_by_operator,
};
pub use settle::{AttemptFacts, HandOver, MessageMove, NotHandedOver, Settlement, decide_after, decide_reconciled};
pub use state::{
    AttemptOutcome, AttemptState, AttemptStatus, Ending, Evidence, IllegalTransition, MessageState, MessageStatus,
    ProviderFact,
};
pub use store::{IDENTITY_STATEMENTS, STATEMENTS, STATEMENTS_ALONE};
pub use sweep::{Swept, sweep};
pub use system_mail::{SYSTEM_TENANT, SystemMail, enqueue_system_mail, seed_system_tenant, system_sender};
pub use templates::{
    PublishVersion, Published, create_template, find_templates, newest_versions, publish_version, template_versions,
    templates,
};
pub use tracking::{
    AGENTS_VERSION, Agent, Beside, Engagement, HIT_RULES_VERSION, HITS_MAX, HOLD as HIT_HOLD, Hit, HitClass, HitCounts,
    Recorded, TrackingCount, Visit, classify, contact_tracking, engagement, hit_counts, judge_hits, record_hit,
    refuse_tracking, set_contact_tracking_mode, set_tracking_mode, tenant_tracking_choice, tracking_counts,
};
pub use tracking_mode::{TrackingFacts, TrackingMode};
pub(crate) use usable::{UsableTemplate, cancel_of_ways, messages_left_today, usable_senders, usable_templates};
