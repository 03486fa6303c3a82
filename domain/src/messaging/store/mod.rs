//! The rows of messaging: intents, claims, attempts and content. Domain types come out, rows stay here.

mod attempts;
mod campaigns;
mod claims;
mod content;
mod feed;
mod intents;
mod members;
mod partials;
mod reads;
mod reports;
mod sweeps;
mod tracking;

pub(super) use attempts::{
    AttemptStep, NewAttempt, NewDecision, attempts_insert, attempts_step, attempts_step_alone, decisions_append,
};
pub(super) use campaigns::{
    messages_cancel_of_campaign, messages_of_campaign_open, messages_of_campaign_queued, messages_of_campaign_wake,
};
pub(super) use claims::{Claim, Move, attributes, gate_facts, lease_renew, messages_claim, messages_move};
pub(super) use content::{
    brand_name, relay_find, relay_remove, relay_set, sender_find, sender_insert, sender_of_address, sender_verify,
    senders_brands, senders_find, senders_list, template_find, template_insert, template_versions_find, templates_find,
    templates_list, version_insert, version_last, versions_of,
};
pub(super) use feed::{
    FeedEnds, MessageEvent, PlacedEvent, batches_forget, batches_place, batches_waiting, event_at, events_after,
    feed_find, feed_lock, feed_move, message_events_append, message_note,
};
pub(super) use intents::{
    IntentContact, KnownIntent, NewMessage, contacts_for_intents, messages_by_intent, messages_cancel,
    messages_cancel_of_ways, messages_insert, reserved_topic, usage_add, usage_room,
};
pub(super) use members::is_verified_member;
pub(super) use partials::{
    attribute_kinds, event_find, event_properties, partial_find, partial_insert, partial_update, partials_count,
    partials_find, partials_list, partials_named,
};
pub(super) use reads::{
    attempts_of, decisions_of, events_of, message_stats, messages_find, messages_of, messages_page,
};
pub(super) use reports::{
    ReportedMessage, message_end_reported, message_reported, message_reported_locked, report_events,
};
pub(super) use sweeps::{UnknownMessage, sweep_leases, unknown_due, unknown_move, unknown_wake};
pub(super) use tracking::{
    ContactTracking, DueHit, HitMessage, engagement_of, hit_facts, hit_insert, hit_messages, hits_clicks, hits_counted,
    hits_due, hits_judge, hits_of_sources, messages_track, tracking_count, tracking_counts_of, tracking_mode_of,
    tracking_mode_set, tracking_of_contacts,
};

use carillon_entities::wall::{Alone, IdentitySql, Sql};

/// Every registered statement of messaging on the tables without a tenant.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[&members::VERIFIED_MEMBER];

/// Every registered statement of messaging that may be a transaction of its own.
pub static STATEMENTS_ALONE: &[&Alone] = &[&attempts::STEP_ALONE];

/// Every registered statement of messaging.
pub static STATEMENTS: &[&[&Sql]] = &[
    attempts::STATEMENTS,
    campaigns::STATEMENTS,
    claims::STATEMENTS,
    content::STATEMENTS,
    feed::STATEMENTS,
    intents::STATEMENTS,
    reads::STATEMENTS,
    sweeps::STATEMENTS,
    tracking::STATEMENTS,
];
