//! When a deferred message is tried again (C-61): first after 5 to 15 minutes, then in growing steps of at least half an
//! hour with jitter, and never at or after the earlier of five days and the message's own expiry. Why it was deferred and
//! what it is for make the steps longer or shorter.

use chrono::TimeDelta;

use super::MessageClass;
use super::reply_class::FailureClass;
use crate::time::Timestamp;

/// The times of a retry schedule; whole milliseconds count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Shortest wait after the first attempt.
    pub first_min: TimeDelta,
    /// Longest wait after the first attempt.
    pub first_max: TimeDelta,
    /// Shortest wait after the second attempt; grows from there.
    pub later_min: TimeDelta,
    /// By how much later waits grow each time, in percent: 200 doubles.
    pub growth_percent: u32,
    /// How much longer than the wait itself jitter may make it, in percent.
    pub jitter_percent: u32,
    /// Longest wait before jitter.
    pub cap: TimeDelta,
    /// No attempt this long after the message was queued.
    pub give_up_after: TimeDelta,
}

/// What limits the attempts of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryWindow {
    /// When the message was accepted from its sender.
    pub queued_at: Timestamp,
    /// When its content is stale.
    pub expires_at: Timestamp,
}

/// The answer of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// Try again then.
    At(Timestamp),
    /// It would be stale by then.
    Expired,
    /// It has been tried for as long as the schedule allows.
    GivenUp,
}

impl RetrySchedule {
    /// The schedule of C-61.
    pub const STANDARD: Self = Self {
        first_min: TimeDelta::minutes(5),
        first_max: TimeDelta::minutes(15),
        later_min: TimeDelta::minutes(30),
        growth_percent: 200,
        jitter_percent: 25,
        cap: TimeDelta::hours(4),
        give_up_after: MessageClass::LIFETIME_MAX,
    };
    /// For demonstrations and tests with a real clock: seconds instead of minutes, otherwise the same shape.
    pub const SHORT: Self = Self {
        first_min: TimeDelta::seconds(1),
        first_max: TimeDelta::seconds(2),
        later_min: TimeDelta::seconds(2),
        growth_percent: 200,
        jitter_percent: 25,
        cap: TimeDelta::seconds(15),
        give_up_after: TimeDelta::minutes(5),
    };

    /// The schedule of a message of this class that was deferred for such a reason.
    ///
    /// A full mailbox is not emptied in minutes, and who says that we are too quick is not asked as often; greylisting, which
    /// says so too, keeps its short first step. What somebody waits for is asked for twice as often in the end.
    #[must_use]
    pub fn for_cause(mut self, cause: Option<FailureClass>, class: MessageClass) -> Self {
        match cause {
            Some(FailureClass::RecipientTransient) => {
                (self.first_min, self.first_max) = (self.later_min, self.later_min * 2);
                self.later_min = self.later_min * 2;
            }
            Some(FailureClass::PolicyOrReputation) => self.later_min = self.later_min * 2,
            _ => {}
        }
        if class == MessageClass::Transactional {
            self.cap = (self.cap / 2).max(self.first_min);
        }
        self
    }

    /// When to try again after attempt number `attempt` (from 1) failed at `now`.
    ///
    /// `jitter` is any number (`Entropy::below(u64::MAX)`); equal numbers give equal times.
    pub fn next(&self, attempt: u32, window: RetryWindow, jitter: u64, now: Timestamp) -> NextAttempt {
        let at = now + self.wait(attempt, jitter);
        if at >= window.expires_at {
            NextAttempt::Expired
        } else if at >= window.queued_at + self.give_up_after {
            NextAttempt::GivenUp
        } else {
            NextAttempt::At(at)
        }
    }

    /// The wait after attempt number `attempt`.
    pub fn wait(&self, attempt: u32, jitter: u64) -> TimeDelta {
        let (shortest, longest) = if attempt <= 1 {
            (millis(self.first_min), millis(self.first_max))
        } else {
            let base = self.base(attempt - 2);
            (base, base.saturating_add(percent(base, self.jitter_percent)))
        };
        let spread = longest.saturating_sub(shortest);
        let wait = shortest.saturating_add(jitter % spread.saturating_add(1));
        TimeDelta::milliseconds(i64::try_from(wait).unwrap_or(i64::MAX / 1_000_000))
    }

    /// `later_min` grown `steps` times, up to the cap.
    fn base(&self, steps: u32) -> u64 {
        let cap = millis(self.cap).max(millis(self.later_min));
        let mut base = millis(self.later_min);
        // Reaches the cap after a few steps unless it does not grow at all.
        for _ in 0..steps.min(64) {
            base = percent(base, self.growth_percent.max(100)).min(cap);
        }
        base
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self::STANDARD
    }
}

fn millis(delta: TimeDelta) -> u64 {
    u64::try_from(delta.num_milliseconds()).unwrap_or(0)
}

fn percent(of: u64, percent: u32) -> u64 {
    of.saturating_mul(u64::from(percent)) / 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn window(lifetime: TimeDelta) -> RetryWindow {
        RetryWindow { queued_at: T0, expires_at: T0 + lifetime }
    }

    #[test]
    fn c061_attempts_of_a_five_day_message() {
        let mut now = T0;
        let mut waits = Vec::new();
        for attempt in 1.. {
            match RetrySchedule::STANDARD.next(attempt, window(TimeDelta::days(6)), 0, now) {
                NextAttempt::At(at) => {
                    waits.push((at - now).num_minutes());
                    now = at;
                }
                end => {
                    assert_eq!(end, NextAttempt::GivenUp);
                    break;
                }
            }
        }
        assert_eq!(&waits[..6], &[5, 30, 60, 120, 240, 240]);
        assert!(now - T0 < TimeDelta::days(5) && now - T0 > TimeDelta::hours(115));
    }

    #[test]
    fn c061_the_cause_and_the_message_make_the_steps() {
        let waits = |cause, class| {
            let schedule = RetrySchedule::STANDARD.for_cause(cause, class);
            [1, 2, 3, 9].map(|attempt| schedule.wait(attempt, 0).num_minutes())
        };
        let (marketing, transactional) = (MessageClass::Marketing, MessageClass::Transactional);
        assert_eq!(waits(Some(FailureClass::Network), marketing), [5, 30, 60, 240]);
        assert_eq!(waits(Some(FailureClass::Network), transactional), [5, 30, 60, 120]);
        assert_eq!(waits(Some(FailureClass::PolicyOrReputation), marketing), [5, 60, 120, 240]);
        assert_eq!(waits(Some(FailureClass::RecipientTransient), marketing), [30, 60, 120, 240]);
    }

    #[test]
    fn c061_a_one_time_password_is_not_sent_at_minute_eleven() {
        let otp = window(TimeDelta::minutes(10));
        let late = RetrySchedule::STANDARD.next(1, otp, 0, T0 + TimeDelta::minutes(6));
        assert_eq!(late, NextAttempt::Expired);
        let early = RetrySchedule::STANDARD.next(1, otp, 0, T0);
        assert_eq!(early, NextAttempt::At(T0 + TimeDelta::minutes(5)));
    }

    proptest! {
        #[test]
        fn c061_every_wait_is_inside_its_bounds(attempt in 0u32..2000, jitter: u64) {
            let wait = RetrySchedule::STANDARD.wait(attempt, jitter);
            if attempt <= 1 {
                prop_assert!((TimeDelta::minutes(5)..=TimeDelta::minutes(15)).contains(&wait));
            } else {
                prop_assert!((TimeDelta::minutes(30)..=TimeDelta::hours(5)).contains(&wait));
            }
        }

        #[test]
        fn c061_whatever_the_cause_later_waits_are_at_least_half_an_hour(
            attempt in 2u32..2000, jitter: u64, cause in 0..FailureClass::ALL.len(), marketing: bool,
        ) {
            let class = if marketing { MessageClass::Marketing } else { MessageClass::Transactional };
            let schedule = RetrySchedule::STANDARD.for_cause(Some(FailureClass::ALL[cause]), class);
            prop_assert!(schedule.wait(attempt, jitter) >= TimeDelta::minutes(30));
            prop_assert!(schedule.wait(1, jitter) >= TimeDelta::minutes(5));
        }

        #[test]
        fn c061_never_at_or_after_the_end(
            attempt in 0u32..50, jitter: u64, now_s in 0i64..600_000, lifetime_s in 0i64..600_000,
        ) {
            let now = T0 + TimeDelta::seconds(now_s);
            let window = window(TimeDelta::seconds(lifetime_s));
            if let NextAttempt::At(at) = RetrySchedule::STANDARD.next(attempt, window, jitter, now) {
                prop_assert!(at > now && at < window.expires_at && at < T0 + TimeDelta::days(5));
            }
        }
    }
}
