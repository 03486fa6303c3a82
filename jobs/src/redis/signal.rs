//! What processes tell each other.

use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::QueueName;

/// A hint that may be lost or doubled; acting on it is never wrong, only sometimes useless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// Messages of a lane became due.
    Ring(Lane),
    /// An import became due.
    RingImports,
    /// People on workflows became due.
    RingWorkflows,
    /// Webhooks became due.
    RingWebhooks,
    /// A campaign is to go on.
    RingCampaigns,
    /// Something of a tenant's changed: whoever watches it may look.
    Changed(TenantId),
    /// A process has so many slots for a queue; told each second.
    Slots {
        /// The process.
        process: Uuid,
        /// The queue.
        queue: QueueName,
        /// How many.
        count: usize,
    },
    /// A ticket holds no worker's slot any more.
    Done {
        /// The ticket's name.
        ticket: Uuid,
        /// Whether there was anything to do.
        worked: bool,
    },
}

/// A signal on its way to other processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The sending process, which has told its own listeners already.
    pub(super) from: Uuid,
    pub(super) signal: Signal,
}
