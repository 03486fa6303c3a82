//! Campaigns: one mail to an audience, once to each.
//!
//! A draft is started, its audience is written down once its time has come, and its recipients are released into ordinary
//! messages, which pass the gate like all others. Whoever is written down is so under a key of campaign and contact, and the
//! message's intent has the same key, so nobody gets it twice, whatever crashes (C-164).
//!
//! The audience is as of the instant at which writing it down began: windows of time end there, and who became a contact
//! later is not looked at; what else is known of somebody is as it is when their batch is read. Each batch commits with how
//! far it came. Whether somebody may be written to is not asked then but by the gate, when the message would leave.
//!
//! Pausing and cancelling write the campaign and nobody in it: the gate shares that row while it decides, so nothing leaves
//! once either is acknowledged. The engine's own place is in a row of its own, locked before the campaign's.

mod answers;
mod approve;
mod audience;
mod campaign;
mod check;
mod choose;
mod draft;
mod engine;
mod freeze;
mod hold;
mod lists;
mod release;
mod sample;
mod schedule;
mod start;
mod state;
mod store;

pub use answers::{
    CampaignCounts, VariantCounts, campaign_counts, campaign_recipients, campaigns, find_campaigns, find_recipients,
};
pub use approve::{approve_campaign, campaign_rules, set_campaign_rules};
pub use campaign::{
    Audience, Campaign, CampaignRecipient, CampaignRules, CampaignRun, CampaignVariant, ContactList, Contents, LARGE,
    RecipientOutcome, Schedule,
};
pub use choose::choose_variant;
pub use draft::{CampaignDraft, CampaignPatch, create_campaign, update_campaign};
pub use engine::{CampaignGrants, Visit, run_due};
pub use hold::{cancel_campaign, pause_campaign, resume_campaign};
pub use lists::{
    LIST_CHANGE_MAX, add_to_list, create_list, delete_list, find_lists, list_members, list_sizes, lists,
    remove_from_list, rename_list,
};
pub use start::{Started, start_campaign};
pub use state::{Act, CampaignState, Phase};
pub(crate) use store::campaigns::campaigns_at_gate;
pub use store::statements;
