//! The queues tickets wait in.

use carillon_domain::messaging::Lane;
use carillon_domain::metrics::labels::Work;
use serde::{Deserialize, Serialize};

/// A queue; each has workers of its own, so that bulk mail or a long import cannot delay a password reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueName {
    /// Messages somebody waits for.
    Transactional,
    /// All other messages.
    Bulk,
    /// Files being imported.
    Imports,
    /// People on workflows.
    Workflows,
    /// What webhooks are told.
    Webhooks,
    /// Campaigns that are frozen or released.
    Campaigns,
    /// Sweeps.
    Maintenance,
}

impl QueueName {
    /// Every queue.
    pub const ALL: [Self; 7] = [
        Self::Transactional,
        Self::Bulk,
        Self::Imports,
        Self::Workflows,
        Self::Webhooks,
        Self::Campaigns,
        Self::Maintenance,
    ];

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Bulk => "bulk",
            Self::Imports => "imports",
            Self::Workflows => "workflows",
            Self::Webhooks => "webhooks",
            Self::Campaigns => "campaigns",
            Self::Maintenance => "maintenance",
        }
    }

    /// How many of a process' slots a tenant may hold: all but one, so that whoever comes next need not wait (C-174); of
    /// the others one, for a slice or a sweep takes what there is.
    pub(crate) fn share(self, slots: usize) -> usize {
        if self.waits_for_others() { slots.saturating_sub(1).max(1) } else { 1 }
    }

    /// Whether its handlers may spend minutes waiting for somebody else's machine.
    pub(crate) const fn waits_for_others(self) -> bool {
        matches!(self, Self::Transactional | Self::Bulk | Self::Webhooks)
    }

    /// The namespace of its Redis keys. The braces are a hash tag: all keys of a queue live in one slot of a cluster.
    pub(super) fn namespace(self, prefix: Option<&str>) -> String {
        match prefix {
            Some(prefix) => format!("{{carillon:{prefix}:{}}}", self.as_str()),
            None => format!("{{carillon:{}}}", self.as_str()),
        }
    }
}

impl From<Lane> for QueueName {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Transactional => Self::Transactional,
            Lane::Bulk => Self::Bulk,
        }
    }
}

impl From<QueueName> for Work {
    fn from(queue: QueueName) -> Self {
        match queue {
            QueueName::Transactional => Self::Transactional,
            QueueName::Bulk => Self::Bulk,
            QueueName::Imports => Self::Imports,
            QueueName::Workflows => Self::Workflows,
            QueueName::Webhooks => Self::Webhooks,
            QueueName::Campaigns => Self::Campaigns,
            QueueName::Maintenance => Self::Maintenance,
        }
    }
}

impl std::fmt::Display for QueueName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
