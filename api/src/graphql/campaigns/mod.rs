//! Campaigns and lists: drafts, starting and holding them, whom they go to, and what came of it.

mod answers;
mod inputs;
mod list_mutations;
mod lists;
mod loaders;
mod mutations;
mod payloads;
mod queries;
mod subscriptions;
mod types;

pub use answers::CampaignRecipient;
pub use list_mutations::ListMutation;
pub use lists::{ContactList, ContactListMember};
pub use mutations::CampaignMutation;
pub use queries::CampaignQuery;
pub use subscriptions::CampaignSubscription;
pub use types::Campaign;
