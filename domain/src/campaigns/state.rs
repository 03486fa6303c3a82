//! Where a campaign stands, and what may be done to it there. Pure and total: what is not allowed is a refusal.

use crate::error::Refusal;

text_code! {
    /// Where a campaign stands.
    pub enum CampaignState {
        /// It is being written.
        Draft = "draft",
        /// Started; its time has not come.
        Scheduled = "scheduled",
        /// Its audience is being written down.
        Freezing = "freezing",
        /// Its audience is known, and somebody has to approve it (C-202).
        AwaitingApproval = "awaiting_approval",
        /// It goes out.
        Running = "running",
        /// Held: nothing of it leaves.
        Paused = "paused",
        /// Over: everybody's message has come to its end.
        Completed = "completed",
        /// Over: nothing of it leaves any more.
        Cancelled = "cancelled",
    }
}

/// Something that is done to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Its draft is changed.
    Write,
    /// It is started.
    Start,
    /// Its time has come.
    Begin,
    /// All of its audience is written down; `true` if somebody has to approve it first.
    Freeze(bool),
    /// It is approved.
    Approve,
    /// The rest's variant is chosen.
    Choose,
    /// It is held.
    Pause,
    /// It goes on.
    Resume(Phase),
    /// It is cancelled.
    Cancel,
    /// Everything of it has come to its end.
    Complete,
}

/// How far it had come when it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its time had not come.
    Scheduled,
    /// Its audience was being written down.
    Freezing,
    /// It was going out.
    Running,
}

impl CampaignState {
    /// True when nothing becomes of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// Where it stands after something was done to it. What was done before and is asked for again changes nothing.
    ///
    /// # Errors
    /// `CAMPAIGN_STATE` where this is not allowed.
    pub fn after(self, act: Act) -> Result<Self, Refusal> {
        let next = match (self, act) {
            (Self::Draft, Act::Write)
            | (Self::Scheduled | Self::Freezing | Self::Paused, Act::Approve)
            | (Self::Scheduled | Self::Freezing | Self::Running, Act::Resume(_)) => self,
            (Self::Draft, Act::Start) | (Self::Paused, Act::Resume(Phase::Scheduled)) => Self::Scheduled,
            (Self::Scheduled, Act::Begin) | (Self::Paused, Act::Resume(Phase::Freezing)) => Self::Freezing,
            (Self::Freezing, Act::Freeze(true)) => Self::AwaitingApproval,
            (Self::Freezing, Act::Freeze(false))
            | (Self::AwaitingApproval, Act::Approve)
            | (Self::Paused, Act::Resume(Phase::Running)) => Self::Running,
            (state, Act::Choose) if state != Self::Draft && !state.is_over() => state,
            (Self::Scheduled | Self::Freezing | Self::Running | Self::Paused, Act::Pause) => Self::Paused,
            (state, Act::Cancel) if state != Self::Completed => Self::Cancelled,
            (Self::Running, Act::Complete) => Self::Completed,
            (state, _) => {
                let message = format!("This cannot be done to a campaign that is {state}.");
                return Err(Refusal::new("CAMPAIGN_STATE", "id", message));
            }
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTS: [Act; 13] = [
        Act::Write,
        Act::Start,
        Act::Begin,
        Act::Freeze(true),
        Act::Freeze(false),
        Act::Approve,
        Act::Choose,
        Act::Pause,
        Act::Resume(Phase::Scheduled),
        Act::Resume(Phase::Freezing),
        Act::Resume(Phase::Running),
        Act::Cancel,
        Act::Complete,
    ];

    #[test]
    fn what_is_over_stays_over() {
        for act in ACTS {
            assert!(CampaignState::Completed.after(act).is_err(), "{act:?}");
            let cancelled = CampaignState::Cancelled.after(act).ok();
            assert!(cancelled.is_none_or(|state| state == CampaignState::Cancelled), "{act:?}");
        }
    }

    #[test]
    fn c202_nothing_that_waits_for_an_approval_runs_without_one() {
        for act in ACTS.into_iter().filter(|act| *act != Act::Approve) {
            let next = CampaignState::AwaitingApproval.after(act);
            assert!(next.is_err() || matches!(next, Ok(CampaignState::AwaitingApproval | CampaignState::Cancelled)));
        }
    }

    #[test]
    fn only_a_draft_is_written_and_only_what_runs_completes() {
        for state in CampaignState::ALL {
            assert_eq!(state.after(Act::Write).is_ok(), *state == CampaignState::Draft);
            assert_eq!(state.after(Act::Start).is_ok(), *state == CampaignState::Draft);
            assert_eq!(state.after(Act::Complete).is_ok(), *state == CampaignState::Running);
        }
    }

    #[test]
    fn each_refusal_names_the_state() {
        let refusal = CampaignState::Completed.after(Act::Cancel).expect_err("it is over");
        assert_eq!((refusal.code, refusal.message.contains("completed")), ("CAMPAIGN_STATE", true));
    }
}
