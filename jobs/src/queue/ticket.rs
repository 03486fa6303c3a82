//! What goes through the queues: permission to claim, never a claim (L4).

use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Permission to claim, not a claim: a lost, late or doubled ticket claims nothing.
///
/// Versions are part of the name, so that during a rolling deploy an old worker leaves a ticket it does not know
/// alone instead of misreading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum Ticket {
    /// Claim up to `n` due messages of a tenant in a lane.
    DeliverMessagesV1 {
        /// Names this ticket, so that the dispatcher learns it is done.
        id: Uuid,
        /// The lane to claim in.
        lane: Lane,
        /// Whose messages.
        tenant: TenantId,
        /// How many messages at most.
        n: u32,
    },
    /// Go on with the due import of a tenant.
    RunImportV1 {
        /// Names this ticket.
        id: Uuid,
        /// Whose import.
        tenant: TenantId,
    },
    /// Sweep up after a tenant: leases that ran out, messages that expired.
    SweepV1 {
        /// Names this ticket.
        id: Uuid,
        /// Whose rows.
        tenant: TenantId,
    },
}

impl Ticket {
    /// The name of this ticket.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::DeliverMessagesV1 { id, .. } | Self::RunImportV1 { id, .. } | Self::SweepV1 { id, .. } => *id,
        }
    }

    /// The tenant it is about.
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::DeliverMessagesV1 { tenant, .. }
            | Self::RunImportV1 { tenant, .. }
            | Self::SweepV1 { tenant, .. } => *tenant,
        }
    }
}
