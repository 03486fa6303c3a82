//! Whose fault it is that mailboxes are missing (C-53): operators have answered 5.1.1 for people who were there.
//!
//! Where an operator suddenly says so of far more mails than in the month before, nobody is suppressed for it, and who was of
//! late is let go. The next mail to each of them tells: after the fault it arrives, or suppresses. All operators that the
//! rules do not name count as one.

use chrono::TimeDelta;

use crate::messaging::reply_class::Operator;
use crate::time::Timestamp;

/// How it was heard that mailboxes are missing, which says of when the mails were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// As the answer to a hand-over.
    AtOnce,
    /// By a report: a relay's queue may have held the mail for hours, in which few others were handed over.
    Later,
}

impl Heard {
    /// Since when mails, and mailboxes that are missing, are recent: those of this hour and the one before, or of a day.
    pub fn since(self, now: Timestamp) -> Timestamp {
        let recent = match self {
            Self::AtOnce => TimeDelta::hours(1),
            Self::Later => TimeDelta::days(1),
        };
        hour(now - recent)
    }
}

/// What is compared with.
pub const BEFORE: TimeDelta = TimeDelta::days(30);
/// So few missing mailboxes say nothing.
const LEAST: i64 = 20;
/// Above the usual by so much.
const TIMES: i128 = 10;
/// What is taken for usual of an operator that little was written to, and at least of any: one in a hundred, one in a thousand.
const UNKNOWN: Mails = Mails { handed: 100, gone: 1 };
const FEWEST: Mails = Mails { handed: 1_000, gone: 1 };
/// From so many mails on it is known what is usual.
const KNOWN: i64 = 1_000;

/// Mails to the mailboxes of an operator, and how many of these it said not to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mails {
    /// Mails that were cleared to be handed over.
    pub handed: i64,
    /// Mailboxes that were missing.
    pub gone: i64,
}

impl Mails {
    /// Whether the share that is gone is larger than another's times so many.
    fn exceeds(self, other: Self, times: i128) -> bool {
        // Mails are counted when they are cleared, and reports may be about those of days ago.
        let handed = self.handed.max(self.gone);
        i128::from(self.gone) * i128::from(other.handed) > times * i128::from(other.gone) * i128::from(handed)
    }
}

/// Whether an operator is in fault.
pub fn is_in_fault(recent: Mails, before: Mails) -> bool {
    let usual = match before {
        before if before.handed < KNOWN => UNKNOWN,
        before if before.exceeds(FEWEST, 1) => before,
        _ => FEWEST,
    };
    recent.gone >= LEAST && recent.exceeds(usual, TIMES)
}

/// The hour that an instant lies in, as it is counted by.
pub fn hour(at: Timestamp) -> Timestamp {
    let seconds = at.timestamp();
    Timestamp::from_timestamp(seconds - seconds.rem_euclid(3_600), 0).unwrap_or(at)
}

/// Says what was taken back, or that it could not be.
pub(crate) fn tell_doubted(
    tenant: carillon_entities::ids::TenantId,
    operators: &[Operator],
    taken: crate::error::Result<usize>,
) {
    let operators: Vec<&str> = operators.iter().map(|operator| operator.as_str()).collect();
    match taken {
        Ok(taken) => {
            tracing::warn!(tenant.id = %tenant, ?operators, taken, "far more mailboxes are missing than usual: nobody is suppressed for it");
        }
        Err(error) => {
            tracing::error!(tenant.id = %tenant, ?operators, %error, "suppressions of an operator in fault are not taken back yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mails(handed: i64, gone: i64) -> Mails {
        Mails { handed, gone }
    }

    #[test]
    fn c053_an_outage_is_told_from_an_old_list() {
        let usual = mails(100_000, 500);
        assert!(is_in_fault(mails(1_000, 300), usual), "30 % where 0.5 % is usual");
        assert!(!is_in_fault(mails(1_000, 40), usual), "4 % is less than ten times as much");
        assert!(!is_in_fault(mails(30, 10), usual), "ten mailboxes say nothing");
        assert!(is_in_fault(mails(100, 30), Mails::default()), "30 % of the first hundred");
        assert!(!is_in_fault(mails(1_000, 60), Mails::default()), "6 % of a list that was never written to");
        assert!(!is_in_fault(mails(100_000, 900), mails(1_000_000, 0)), "0.9 % where nobody was ever missing");
        assert!(is_in_fault(mails(0, 20), Mails::default()), "reports of mails of yesterday");
    }

    #[test]
    fn c053_what_reports_tell_is_held_against_the_mails_of_a_day() {
        let now = Timestamp::from_timestamp(1_800_001_234, 0).unwrap();
        assert_eq!(Heard::AtOnce.since(now), hour(now) - TimeDelta::hours(1));
        assert_eq!(Heard::Later.since(now), hour(now) - TimeDelta::days(1));
    }

    #[test]
    fn c053_hours_begin_with_the_hour() {
        let at = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap();
        assert_eq!(hour(at(7_199)), at(3_600));
        assert_eq!(hour(at(7_200)), at(7_200));
    }

    proptest! {
        #[test]
        fn c053_more_that_are_missing_never_clear_an_operator(handed in 0i64..1_000_000, gone in 0i64..10_000, more in 0i64..1_000) {
            let before = mails(50_000, 100);
            let fault = |gone| is_in_fault(mails(handed, gone), before);
            prop_assert!(!fault(gone) || fault(gone + more) || handed < gone + more);
        }
    }
}
