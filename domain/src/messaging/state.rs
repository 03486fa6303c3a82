//! The states of a message and of its attempts (L7, L8).
//!
//! A message is claimed before anything is done to it and is settled exactly once; an attempt goes cleared, started, one
//! outcome. `unknown` is the only settled state that may still change, and only by [`Evidence`].

use crate::time::Timestamp;

/// A change the state does not allow; a fault of ours or a lost race, never the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no transition {transition} from {from}")]
pub struct IllegalTransition {
    /// The state's code.
    pub from: &'static str,
    /// What was tried.
    pub transition: &'static str,
}

text_code! {
    /// The name of a message's state.
    pub enum MessageStatus {
        /// Waits for its time.
        Queued = "queued",
        /// A worker has it.
        Claimed = "claimed",
        /// A server took it.
        Sent = "sent",
        /// Over, and not the recipient's fault.
        Failed = "failed",
        /// Over, the mailbox does not exist.
        Bounced = "bounced",
        /// The gate said no.
        Refused = "refused",
        /// Stale before it could go out.
        Expired = "expired",
        /// Taken back.
        Cancelled = "cancelled",
        /// Handed over, outcome hidden (C-168).
        Unknown = "unknown",
    }
}

text_code! {
    /// The name of an attempt's state.
    pub enum AttemptStatus {
        /// The gate said yes, nothing has happened.
        Cleared = "cleared",
        /// Permission ran out or its worker went away before the start.
        Lapsed = "lapsed",
        /// Committed to be handed over.
        Started = "started",
        /// A server took it.
        Accepted = "accepted",
        /// A server said later.
        Deferred = "deferred",
        /// A server said no.
        Rejected = "rejected",
        /// Nothing reached a server.
        NotHandedOver = "not_handed_over",
        /// Nobody knows (C-167).
        Unknown = "unknown",
    }
}

/// How a message ended; `Unknown` may still become `Sent`, `Failed` or `Bounced`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A server took it.
    Sent,
    /// Over, and not the recipient's fault.
    Failed,
    /// Over, the mailbox does not exist.
    Bounced,
    /// The gate said no.
    Refused,
    /// Stale.
    Expired,
    /// Taken back.
    Cancelled,
    /// Outcome hidden.
    Unknown,
}

impl Ending {
    /// The status a message with this ending has.
    pub fn status(self) -> MessageStatus {
        match self {
            Self::Sent => MessageStatus::Sent,
            Self::Failed => MessageStatus::Failed,
            Self::Bounced => MessageStatus::Bounced,
            Self::Refused => MessageStatus::Refused,
            Self::Expired => MessageStatus::Expired,
            Self::Cancelled => MessageStatus::Cancelled,
            Self::Unknown => MessageStatus::Unknown,
        }
    }
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// Waits until `due_at`.
    Queued {
        /// When it may be claimed.
        due_at: Timestamp,
    },
    /// A worker has it until `lease_until`; writes must show `fence`.
    Claimed {
        /// When others may take it over.
        lease_until: Timestamp,
        /// Rises with every claim.
        fence: i64,
    },
    /// Over.
    Settled {
        /// How.
        ending: Ending,
        /// When.
        at: Timestamp,
    },
}

/// What came to light about an unknown outcome (C-168): the provider's search, its events, a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The server has it.
    Taken,
    /// The server has refused it, the mailbox does not exist.
    Bounced,
    /// The server has refused it for another reason.
    Rejected,
    /// The server never had it.
    NeverArrived,
}

/// What a provider tells about a mail, at any time, any number of times and in any order (C-58).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderFact {
    /// Somebody has it: it is late, it arrived, or somebody complained about it.
    Taken,
    /// It was given up, and not for want of a mailbox.
    Failed,
    /// It was given up, for there is no such mailbox.
    Gone,
}

impl Ending {
    /// How far along the lattice of what providers tell; none for an ending of which they know nothing.
    const fn rank(self) -> Option<u8> {
        match self {
            Self::Unknown => Some(0),
            Self::Sent => Some(1),
            Self::Failed => Some(2),
            Self::Bounced => Some(3),
            Self::Refused | Self::Expired | Self::Cancelled => None,
        }
    }

    /// The ending with this status; none for a message that is not over.
    pub fn of(status: MessageStatus) -> Option<Self> {
        Some(match status {
            MessageStatus::Queued | MessageStatus::Claimed => return None,
            MessageStatus::Sent => Self::Sent,
            MessageStatus::Failed => Self::Failed,
            MessageStatus::Bounced => Self::Bounced,
            MessageStatus::Refused => Self::Refused,
            MessageStatus::Expired => Self::Expired,
            MessageStatus::Cancelled => Self::Cancelled,
            MessageStatus::Unknown => Self::Unknown,
        })
    }
}

impl MessageState {
    /// Takes in what a provider tells. Total: late, repeated and contradicting facts are harmless, for a message only moves up
    /// from unknown to sent to failed to bounced (C-58). One that waits for another try ends where nobody is there to read it;
    /// one in a worker's hands is left to it.
    #[must_use]
    pub fn report(self, fact: ProviderFact, at: Timestamp) -> Self {
        let told = match fact {
            ProviderFact::Taken => Ending::Sent,
            ProviderFact::Failed => Ending::Failed,
            ProviderFact::Gone => Ending::Bounced,
        };
        let moves = match self {
            Self::Queued { .. } => fact == ProviderFact::Gone,
            Self::Claimed { .. } => false,
            Self::Settled { ending, .. } => {
                ending.rank().is_some_and(|rank| told.rank().is_some_and(|next| next > rank))
            }
        };
        if moves { Self::Settled { ending: told, at } } else { self }
    }

    /// Its name.
    pub fn status(self) -> MessageStatus {
        match self {
            Self::Queued { .. } => MessageStatus::Queued,
            Self::Claimed { .. } => MessageStatus::Claimed,
            Self::Settled { ending, .. } => ending.status(),
        }
    }

    /// Takes a due message, or one whose lease has run out.
    pub fn claim(self, now: Timestamp, lease_until: Timestamp, fence: i64) -> Result<Self, IllegalTransition> {
        let free = match self {
            Self::Queued { due_at } => due_at <= now,
            Self::Claimed { lease_until, fence: held } => lease_until <= now && held < fence,
            Self::Settled { .. } => false,
        };
        self.allow(free, "claim", Self::Claimed { lease_until, fence })
    }

    /// Gives a claimed message back, to be due at `due_at`.
    pub fn requeue(self, due_at: Timestamp) -> Result<Self, IllegalTransition> {
        self.allow(matches!(self, Self::Claimed { .. }), "requeue", Self::Queued { due_at })
    }

    /// Ends a claimed message; a queued one can only be cancelled or expire.
    pub fn settle(self, ending: Ending, at: Timestamp) -> Result<Self, IllegalTransition> {
        let allowed = match self {
            Self::Claimed { .. } => true,
            Self::Queued { .. } => matches!(ending, Ending::Cancelled | Ending::Expired),
            Self::Settled { .. } => false,
        };
        self.allow(allowed, "settle", Self::Settled { ending, at })
    }

    /// Settles an unknown outcome for good; a mail that never arrived may be tried again.
    pub fn learn(self, evidence: Evidence, at: Timestamp) -> Result<Self, IllegalTransition> {
        let unknown = matches!(self, Self::Settled { ending: Ending::Unknown, .. });
        let next = match evidence {
            Evidence::Taken => Self::Settled { ending: Ending::Sent, at },
            Evidence::Bounced => Self::Settled { ending: Ending::Bounced, at },
            Evidence::Rejected => Self::Settled { ending: Ending::Failed, at },
            Evidence::NeverArrived => Self::Queued { due_at: at },
        };
        self.allow(unknown, "learn", next)
    }

    fn allow(self, allowed: bool, transition: &'static str, next: Self) -> Result<Self, IllegalTransition> {
        if allowed { Ok(next) } else { Err(IllegalTransition { from: self.status().as_str(), transition }) }
    }
}

/// The outcome of a started attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// Permission ran out or its worker went away before the start.
    Lapsed,
    /// A server took it.
    Accepted,
    /// A server said later.
    Deferred,
    /// A server said no.
    Rejected,
    /// Nothing reached a server.
    NotHandedOver,
    /// Nobody knows.
    Unknown,
}

/// The state of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Passed the gate.
    Cleared {
        /// When.
        at: Timestamp,
    },
    /// Committed to be handed over.
    Started {
        /// When.
        at: Timestamp,
    },
    /// Over.
    Settled {
        /// How.
        outcome: AttemptOutcome,
        /// When it was known.
        at: Timestamp,
    },
}

impl AttemptOutcome {
    /// The status an attempt with this outcome has.
    pub fn status(self) -> AttemptStatus {
        match self {
            Self::Lapsed => AttemptStatus::Lapsed,
            Self::Accepted => AttemptStatus::Accepted,
            Self::Deferred => AttemptStatus::Deferred,
            Self::Rejected => AttemptStatus::Rejected,
            Self::NotHandedOver => AttemptStatus::NotHandedOver,
            Self::Unknown => AttemptStatus::Unknown,
        }
    }
}

impl AttemptState {
    /// Its name.
    pub fn status(self) -> AttemptStatus {
        match self {
            Self::Cleared { .. } => AttemptStatus::Cleared,
            Self::Started { .. } => AttemptStatus::Started,
            Self::Settled { outcome, .. } => outcome.status(),
        }
    }

    /// Commits to handing it over.
    pub fn start(self, at: Timestamp) -> Result<Self, IllegalTransition> {
        self.allow(matches!(self, Self::Cleared { .. }), "start", Self::Started { at })
    }

    /// Notes the outcome. An attempt that was only cleared can only lapse; one that was started cannot.
    pub fn settle(self, outcome: AttemptOutcome, at: Timestamp) -> Result<Self, IllegalTransition> {
        let allowed = match self {
            Self::Cleared { .. } => outcome == AttemptOutcome::Lapsed,
            Self::Started { .. } => outcome != AttemptOutcome::Lapsed,
            Self::Settled { .. } => false,
        };
        self.allow(allowed, "settle", Self::Settled { outcome, at })
    }

    /// Settles an unknown outcome for good.
    pub fn learn(self, evidence: Evidence, at: Timestamp) -> Result<Self, IllegalTransition> {
        let unknown = matches!(self, Self::Settled { outcome: AttemptOutcome::Unknown, .. });
        let outcome = match evidence {
            Evidence::Taken => AttemptOutcome::Accepted,
            Evidence::Bounced | Evidence::Rejected => AttemptOutcome::Rejected,
            Evidence::NeverArrived => AttemptOutcome::NotHandedOver,
        };
        self.allow(unknown, "learn", Self::Settled { outcome, at })
    }

    fn allow(self, allowed: bool, transition: &'static str, next: Self) -> Result<Self, IllegalTransition> {
        if allowed { Ok(next) } else { Err(IllegalTransition { from: self.status().as_str(), transition }) }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
