//! What becomes of a delivery after an attempt, and of its endpoint: pure (C-188).

use chrono::TimeDelta;

use super::DeliveryState;
use crate::time::Timestamp;

/// How often a delivery is tried.
pub const ATTEMPTS_MAX: i32 = 8;

/// Pauses after an attempt that failed, the first after the first.
const PAUSES: [TimeDelta; 7] = [
    TimeDelta::seconds(5),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(10),
];

/// An endpoint is waited for no longer than this at its own word.
const LONGEST: TimeDelta = TimeDelta::hours(10);

/// The shortest and the longest rest of an endpoint where nobody answers.
const RESTS: (TimeDelta, TimeDelta) = (TimeDelta::seconds(5), TimeDelta::minutes(5));

/// An endpoint that has failed for so long, and done nothing else, is disabled.
pub const DISABLED_AFTER: TimeDelta = TimeDelta::days(5);

text_code! {
    /// What came of an attempt.
    pub enum WebhookOutcome {
        /// The endpoint took it: 2xx, and nothing else.
        Delivered = "delivered",
        /// It answered something else; a redirect is something else, and is not followed.
        Answered = "answered",
        /// It answered 410: it wants no more.
        Gone = "gone",
        /// It took longer than 15 seconds.
        TimedOut = "timed_out",
        /// There was no connection, or it broke.
        Unreachable = "unreachable",
        /// Its name leads to no public address (C-227).
        AddressRefused = "address_refused",
        /// What was to be told is past its retention.
        Forgotten = "forgotten",
    }
}

impl WebhookOutcome {
    /// True where an attempt was made and nobody answered: it may have cost all the time that an attempt may take.
    pub fn is_silence(self) -> bool {
        match self {
            Self::TimedOut | Self::Unreachable | Self::AddressRefused => true,
            Self::Delivered | Self::Answered | Self::Gone | Self::Forgotten => false,
        }
    }
}

/// What an endpoint answered to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub outcome: WebhookOutcome,
    /// The status, if there was one.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: TimeDelta,
    /// The first bytes of the answer's body.
    pub body: Option<String>,
    /// When the endpoint wants to be asked again.
    pub retry_after: Option<TimeDelta>,
}

impl Answer {
    /// That of an attempt without an answer.
    pub fn without(outcome: WebhookOutcome, duration: TimeDelta) -> Self {
        Self { outcome, status: None, duration, body: None, retry_after: None }
    }
}

/// Where a delivery goes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryMove {
    pub state: DeliveryState,
    pub due_at: Timestamp,
}

/// Decides what becomes of a delivery after attempt `number`, from 1.
///
/// `jitter` is any number: pauses grow by up to a tenth, so that what failed together does not come back together.
pub(super) fn after_attempt(number: i32, answer: &Answer, jitter: u64, now: Timestamp) -> DeliveryMove {
    let over = |state| DeliveryMove { state, due_at: now };
    match answer.outcome {
        WebhookOutcome::Delivered => return over(DeliveryState::Delivered),
        WebhookOutcome::Gone | WebhookOutcome::Forgotten => return over(DeliveryState::Failed),
        WebhookOutcome::Answered
        | WebhookOutcome::TimedOut
        | WebhookOutcome::Unreachable
        | WebhookOutcome::AddressRefused => {}
    }
    let pause = usize::try_from(number - 1).ok().and_then(|place| PAUSES.get(place)).copied();
    let Some(pause) = pause.filter(|_| number < ATTEMPTS_MAX) else { return over(DeliveryState::Failed) };
    let most = u64::try_from(pause.num_milliseconds() / 10).unwrap_or(0);
    let more = i64::try_from(jitter.checked_rem(most + 1).unwrap_or(0)).unwrap_or(0);
    let asked = answer.retry_after.unwrap_or_default().clamp(TimeDelta::zero(), LONGEST);
    let due_at = now + (pause + TimeDelta::milliseconds(more)).max(asked);
    DeliveryMove { state: DeliveryState::Queued, due_at }
}

/// Since when an endpoint does nothing but fail, after a batch; none while it takes some.
pub(super) fn failing_since(
    before: Option<Timestamp>,
    outcomes: impl IntoIterator<Item = WebhookOutcome>,
    now: Timestamp,
) -> Option<Timestamp> {
    let told = outcomes.into_iter().filter(|outcome| *outcome != WebhookOutcome::Forgotten);
    let (mut failed, mut took) = (false, false);
    for outcome in told {
        let is_taken = outcome == WebhookOutcome::Delivered;
        took |= is_taken;
        failed |= !is_taken;
    }
    match (took, failed) {
        (true, _) => None,
        (false, true) => Some(before.unwrap_or(now)),
        (false, false) => before,
    }
}

/// Until when an endpoint rests after a batch that nobody answered: for a tenth of the time that it has failed. Else those
/// where nobody is, each with what was queued for days, would hold every worker, and others would wait for them (C-174).
pub(super) fn rest_until(
    failing_since: Option<Timestamp>,
    outcomes: impl IntoIterator<Item = WebhookOutcome>,
    now: Timestamp,
) -> Option<Timestamp> {
    let mut outcomes = outcomes.into_iter().peekable();
    let is_silent = outcomes.peek().is_some() && outcomes.all(WebhookOutcome::is_silence);
    let since = failing_since.filter(|_| is_silent)?;
    let (shortest, longest) = RESTS;
    Some(now + ((now - since) / 10).clamp(shortest, longest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn answered(retry_after: Option<TimeDelta>) -> Answer {
        Answer { retry_after, ..Answer::without(WebhookOutcome::Answered, TimeDelta::zero()) }
    }

    #[test]
    fn c188_the_schedule_is_the_published_one_and_ends() {
        let mut pauses = Vec::new();
        for number in 1..ATTEMPTS_MAX {
            let to = after_attempt(number, &answered(None), 0, T0);
            assert_eq!(to.state, DeliveryState::Queued);
            pauses.push((to.due_at - T0).num_seconds());
        }
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(after_attempt(ATTEMPTS_MAX, &answered(None), 0, T0).state, DeliveryState::Failed);
    }

    #[test]
    fn c188_an_endpoint_that_asks_for_time_gets_it_within_bounds() {
        let due = |asked| (after_attempt(1, &answered(Some(asked)), 0, T0).due_at - T0).num_seconds();
        assert_eq!(due(TimeDelta::minutes(2)), 120);
        assert_eq!(due(TimeDelta::seconds(1)), 5, "no sooner than the schedule has it");
        assert_eq!(due(TimeDelta::days(400)), 36_000);
        assert_eq!(due(TimeDelta::seconds(-9)), 5);
    }

    #[test]
    fn c188_failing_is_nothing_but_failures() {
        use WebhookOutcome::{Answered, Delivered, Forgotten, TimedOut};
        let later = T0 + TimeDelta::hours(1);
        assert_eq!(failing_since(None, [Answered, TimedOut], later), Some(later));
        assert_eq!(failing_since(Some(T0), [Answered], later), Some(T0));
        assert_eq!(failing_since(Some(T0), [Answered, Delivered], later), None);
        assert_eq!(failing_since(Some(T0), [Forgotten], later), Some(T0));
        assert_eq!(failing_since(None, [], later), None);
    }

    #[test]
    fn c174_who_does_not_answer_rests_longer_the_longer_that_lasts() {
        use WebhookOutcome::{AddressRefused, Answered, Delivered, TimedOut, Unreachable};
        let silence = [TimedOut, Unreachable, AddressRefused];
        let rest = |failed: TimeDelta| rest_until(Some(T0), silence, T0 + failed).unwrap() - (T0 + failed);
        assert_eq!(rest(TimeDelta::zero()), TimeDelta::seconds(5));
        assert_eq!(rest(TimeDelta::minutes(20)), TimeDelta::minutes(2));
        assert_eq!(rest(TimeDelta::days(4)), TimeDelta::minutes(5));
        for answered in [Answered, Delivered] {
            assert_eq!(rest_until(Some(T0), [TimedOut, answered], T0), None, "somebody is there");
        }
        assert_eq!(rest_until(Some(T0), [], T0), None);
    }

    proptest! {
        #[test]
        fn c188_jitter_only_ever_makes_a_pause_a_little_longer(number in 1..ATTEMPTS_MAX, jitter: u64) {
            let least = after_attempt(number, &answered(None), 0, T0).due_at - T0;
            let due = after_attempt(number, &answered(None), jitter, T0).due_at - T0;
            prop_assert!(due >= least && due <= least + least / 10);
        }
    }
}
