//! What goes through the queues: permission to claim, never a claim (L4).

use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use carillon_domain::metrics::labels::Work;
use carillon_domain::time::Timestamp;
use carillon_domain::trace::TraceParent;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Permission to claim, not a claim: a lost, late or doubled ticket claims nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Names this ticket, so that the dispatcher learns it is done.
    pub id: Uuid,
    /// Whose rows.
    pub tenant: TenantId,
    /// When it was pushed, by the database's time.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub pushed_at: Timestamp,
    /// The span that pushed it, where traces are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// What it permits.
    #[serde(flatten)]
    pub task: Task,
}

/// What a ticket permits.
///
/// Versions are part of the name, so that during a rolling deploy an old worker leaves a ticket it does not know
/// alone instead of misreading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum Task {
    /// Claim up to `n` due messages of the tenant in a lane.
    DeliverMessagesV1 {
        /// The lane to claim in.
        lane: Lane,
        /// How many messages at most.
        n: u32,
    },
    /// Go on with the due import of the tenant.
    RunImportV1,
    /// Move up to `n` due people of the tenant along their workflows.
    AdvanceWorkflowsV1 {
        /// How many people at most.
        n: u32,
    },
    /// Claim an endpoint of the tenant to which webhooks are due, and deliver them.
    DeliverWebhooksV1,
    /// Go on with the tenant's campaign that is due: freeze or release a batch of it.
    RunCampaignV1,
    /// Sweep up after the tenant: leases that ran out, messages that expired.
    SweepV1,
}

impl Task {
    /// The lane it belongs to.
    pub fn work(self) -> Work {
        match self {
            Self::DeliverMessagesV1 { lane, .. } => lane.into(),
            Self::RunImportV1 => Work::Imports,
            Self::AdvanceWorkflowsV1 { .. } => Work::Workflows,
            Self::DeliverWebhooksV1 => Work::Webhooks,
            Self::RunCampaignV1 => Work::Campaigns,
            Self::SweepV1 => Work::Maintenance,
        }
    }
}

impl Ticket {
    /// One this old counts as lost: its dispatcher has handed out another, so it must claim nothing any more. Otherwise
    /// those that pile up behind a slow relay would all claim in the end, before another tenant's first (C-174).
    pub const LOST_AFTER: TimeDelta = TimeDelta::seconds(10);

    /// Whether it counts as lost by now.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        now - self.pushed_at >= Self::LOST_AFTER
    }
}
