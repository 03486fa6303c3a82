//! What people did with the mails of a workflow, for the branches that ask.

use std::collections::HashMap;

use carillon_entities::ids::EnrollmentId;
use carillon_entities::wall::TenantTx;

use crate::error::Result;
use crate::messaging::store;
use crate::time::Timestamp;

/// What is known of one mail of somebody's way. Only what a person did counts; machines do nothing here (C-81).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Engagement {
    /// Opens and clicks of the mail are known: it tells them, and nobody withdrew that. Otherwise nothing can be said.
    pub tracked: bool,
    /// A server took it, or none did and none will; none while it is under way, and when nobody knows (C-168).
    pub sent: Option<bool>,
    /// The first time a person opened it, or clicked in it: who clicks has opened.
    pub opened_at: Option<Timestamp>,
    /// The first time a person clicked in it.
    pub clicked_at: Option<Timestamp>,
    /// Until when something that happened waits to be judged; until then an absence is not certain.
    pub pending_until: Option<Timestamp>,
    /// So much happened, of whomever, that nothing more is kept: an absence is not certain.
    pub is_full: bool,
}

/// What became of the newest mail of each of these steps; steps without a mail are left out. One statement per batch.
pub async fn engagement(
    tx: &mut TenantTx,
    wanted: &[(EnrollmentId, String)],
) -> Result<HashMap<(EnrollmentId, String), Engagement>> {
    store::engagement_of(tx, wanted).await
}
