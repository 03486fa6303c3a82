//! What an outcome of a started attempt means for the message: one pure, total decision (C-50, C-61, C-168).
//!
//! An attempt that was cleared and never started has no outcome; it lapses ([`super::AttemptState::settle`]).

use super::reply_class::{self, Disposition, FailureClass, Reply};
use super::{
    AttemptOutcome, AttemptStatus, Ending, MessageClass, MessageStatus, NextAttempt, RetrySchedule, RetryWindow,
};
use crate::time::Timestamp;
use chrono::TimeDelta;

/// Connections that were all in use for as long as one is waited for are not free at once: asking again and again would
/// cost a decision and an attempt each time.
const BUSY_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// What became of handing a mail over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOver {
    /// The server took responsibility (250 after the final dot).
    Accepted,
    /// The server answered with a refusal.
    Refused(Reply),
    /// Nothing was handed over, and that is certain: no final dot was sent.
    NotHandedOver(NotHandedOver),
    /// The final dot may have arrived, its answer did not.
    Unknown,
}

/// Why nothing was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotHandedOver {
    /// No connection, or it broke before the final dot; with what was in the way.
    Network(&'static str),
    /// The server cannot take this mail: no SMTPUTF8, too small a limit; with what it lacks.
    Capability(&'static str),
    /// The mail could not be built: a control character in a header (C-24); with what is wrong.
    Content(&'static str),
    /// All our own connections to the relay were in use; the message goes back to the gate after a short wait.
    Busy,
    /// The gate's permission had run out just before the first octet; the message goes straight back to the gate.
    PermitExpired,
    /// The worker stops and gives back what it has not sent an octet of.
    Draining,
}

/// What is known about the message when an outcome arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Its class.
    pub class: MessageClass,
    /// Number of this attempt among those that were more than a permit, from 1: what drives the schedule.
    pub attempt: u32,
    /// Between when and when it may be tried.
    pub window: RetryWindow,
}

/// What happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageMove {
    /// Back into the queue.
    Requeue {
        /// When it is due.
        due_at: Timestamp,
    },
    /// It ends.
    End(Ending),
}

impl MessageMove {
    /// The status a message has after it.
    pub fn status(self) -> MessageStatus {
        match self {
            Self::Requeue { .. } => MessageStatus::Queued,
            Self::End(ending) => ending.status(),
        }
    }
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// For the attempt.
    pub attempt: AttemptOutcome,
    /// For the message.
    pub message: MessageMove,
    /// Whether the address is suppressed for a permanent failure of its mailbox.
    pub suppress: bool,
    /// Why it failed, if it did.
    pub class: Option<FailureClass>,
    /// Id of the rule that decided; stored with the attempt.
    pub rule: &'static str,
}

/// Decides what an outcome means.
///
/// `jitter` is any number, see [`RetrySchedule::next`].
pub fn decide_after(
    outcome: &HandOver,
    facts: AttemptFacts,
    schedule: &RetrySchedule,
    jitter: u64,
    now: Timestamp,
) -> Settlement {
    let next = |cause| {
        let schedule = schedule.for_cause(cause, facts.class);
        schedule.next(facts.attempt, facts.window, jitter, now)
    };
    match outcome {
        HandOver::Accepted => Settlement {
            attempt: AttemptOutcome::Accepted,
            message: MessageMove::End(Ending::Sent),
            suppress: false,
            class: None,
            rule: "accepted",
        },
        HandOver::Refused(reply) => after_reply(reply, next),
        HandOver::NotHandedOver(why) => after_nothing(*why, facts.window, next(Some(FailureClass::Network)), now),
        // Late evidence is waited for, whoever saw the silence; then it is decided by class (L8).
        HandOver::Unknown => Settlement {
            attempt: AttemptOutcome::Unknown,
            message: MessageMove::End(Ending::Unknown),
            suppress: false,
            class: None,
            rule: "unknown",
        },
    }
}

fn after_reply(reply: &Reply, next: impl Fn(Option<FailureClass>) -> NextAttempt) -> Settlement {
    let judged = reply_class::classify(reply);
    let (attempt, message) = match judged.disposition {
        Disposition::Retry => (AttemptOutcome::Deferred, retry(next(Some(judged.class)))),
        Disposition::Fail => (AttemptOutcome::Rejected, MessageMove::End(Ending::Failed)),
        Disposition::FailAndSuppress => (AttemptOutcome::Rejected, MessageMove::End(Ending::Bounced)),
    };
    let suppress = judged.disposition == Disposition::FailAndSuppress;
    Settlement { attempt, message, suppress, class: Some(judged.class), rule: judged.rule }
}

fn after_nothing(why: NotHandedOver, window: RetryWindow, next: NextAttempt, now: Timestamp) -> Settlement {
    let at_once =
        if now < window.expires_at { MessageMove::Requeue { due_at: now } } else { MessageMove::End(Ending::Expired) };
    let soon = now + BUSY_PAUSE;
    let soon = if soon < window.expires_at { MessageMove::Requeue { due_at: soon } } else { at_once };
    let (message, class, rule) = match why {
        NotHandedOver::Network(code) => (retry(next), Some(FailureClass::Network), code),
        NotHandedOver::Capability(code) => (MessageMove::End(Ending::Failed), Some(FailureClass::Capability), code),
        NotHandedOver::Content(code) => (MessageMove::End(Ending::Failed), Some(FailureClass::Content), code),
        NotHandedOver::Busy => (soon, None, "busy"),
        NotHandedOver::PermitExpired => (at_once, None, "permit_expired"),
        NotHandedOver::Draining => (at_once, None, "draining"),
    };
    let attempt = AttemptOutcome::NotHandedOver;
    Settlement { attempt, message, suppress: false, class, rule }
}

/// C-168: a second copy of an order confirmation is a nuisance, a second copy of an advertisement is a harm; so
/// transactional mail is tried again with the same Message-ID and marketing stays as it is until there is evidence.
fn after_unknown(class: MessageClass, next: NextAttempt) -> MessageMove {
    match (class, next) {
        (MessageClass::Transactional, NextAttempt::At(due_at)) => MessageMove::Requeue { due_at },
        // Out of time it may still have arrived: unknown is the truth, expired would be a guess.
        _ => MessageMove::End(Ending::Unknown),
    }
}

/// Decides a message whose outcome stayed unknown for the time of reconciling, by what its attempt has come to since
/// (C-168): late evidence first, and without any its class, on the schedule of every other retry (C-61).
pub fn decide_reconciled(
    attempt: Option<(AttemptStatus, Option<FailureClass>)>,
    facts: AttemptFacts,
    schedule: &RetrySchedule,
    jitter: u64,
    now: Timestamp,
) -> MessageMove {
    let cause = attempt.and_then(|(_, cause)| cause);
    let next = schedule.for_cause(cause, facts.class).next(facts.attempt, facts.window, jitter, now);
    match attempt {
        Some((AttemptStatus::Accepted, _)) => MessageMove::End(Ending::Sent),
        Some((AttemptStatus::Rejected, Some(FailureClass::RecipientPermanent))) => MessageMove::End(Ending::Bounced),
        Some((AttemptStatus::Rejected, _)) => MessageMove::End(Ending::Failed),
        Some((AttemptStatus::Deferred | AttemptStatus::NotHandedOver | AttemptStatus::Lapsed, _)) => retry(next),
        _ => after_unknown(facts.class, next),
    }
}

fn retry(next: NextAttempt) -> MessageMove {
    match next {
        NextAttempt::At(due_at) => MessageMove::Requeue { due_at },
        NextAttempt::Expired => MessageMove::End(Ending::Expired),
        NextAttempt::GivenUp => MessageMove::End(Ending::Failed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::reply_class::SmtpStage;
    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn decide(outcome: &HandOver, class: MessageClass) -> Settlement {
        let window = RetryWindow { queued_at: T0, expires_at: class.default_expiry(T0) };
        decide_after(outcome, AttemptFacts { class, attempt: 1, window }, &RetrySchedule::STANDARD, 0, T0)
    }

    fn refused(code: u16, text: &str) -> HandOver {
        HandOver::Refused(Reply {
            stage: SmtpStage::Recipient,
            code,
            enhanced: None,
            text: text.to_owned(),
            operator: None,
        })
    }

    #[test]
    fn c168_unknown_is_decided_by_class() {
        let again = MessageMove::Requeue { due_at: T0 + TimeDelta::minutes(5) };
        let silence = MessageMove::End(Ending::Unknown);
        for (class, then) in [(MessageClass::Marketing, silence), (MessageClass::Transactional, again)] {
            let seen = decide(&HandOver::Unknown, class);
            assert_eq!((seen.attempt, seen.message), (AttemptOutcome::Unknown, silence), "evidence is waited for");
            let window = RetryWindow { queued_at: T0, expires_at: class.default_expiry(T0) };
            let facts = AttemptFacts { class, attempt: 1, window };
            let attempt = Some((AttemptStatus::Unknown, None));
            assert_eq!(decide_reconciled(attempt, facts, &RetrySchedule::STANDARD, 0, T0), then);
        }
    }

    #[test]
    fn c050_a_missing_mailbox_bounces_and_suppresses_and_nothing_else_does() {
        let gone = decide(&refused(550, "5.1.1 unknown"), MessageClass::Marketing);
        assert!(gone.suppress);
        assert_eq!(gone.message, MessageMove::End(Ending::Bounced));
        let spam = decide(&refused(550, "5.7.1 spam"), MessageClass::Marketing);
        assert!(!spam.suppress);
        assert_eq!((spam.message, spam.attempt), (MessageMove::End(Ending::Failed), AttemptOutcome::Rejected));
        let later = decide(&refused(451, "4.7.1 later"), MessageClass::Marketing);
        assert_eq!(later.attempt, AttemptOutcome::Deferred);
        assert_eq!(later.message, MessageMove::Requeue { due_at: T0 + TimeDelta::minutes(5) });
    }

    #[test]
    fn c024_content_errors_are_final_and_permits_are_not() {
        let content = HandOver::NotHandedOver(NotHandedOver::Content("text_part_missing"));
        let content = decide(&content, MessageClass::Marketing);
        assert_eq!(content.message, MessageMove::End(Ending::Failed));
        let permit = decide(&HandOver::NotHandedOver(NotHandedOver::PermitExpired), MessageClass::Marketing);
        assert_eq!(
            (permit.message, permit.attempt),
            (MessageMove::Requeue { due_at: T0 }, AttemptOutcome::NotHandedOver)
        );
    }

    #[test]
    fn c174_a_busy_relay_is_asked_again_later_and_within_the_time_there_is() {
        let busy = HandOver::NotHandedOver(NotHandedOver::Busy);
        let due = decide(&busy, MessageClass::Marketing).message;
        assert_eq!(due, MessageMove::Requeue { due_at: T0 + BUSY_PAUSE });
        let window = RetryWindow { queued_at: T0, expires_at: T0 + BUSY_PAUSE };
        let facts = AttemptFacts { class: MessageClass::Transactional, attempt: 1, window };
        let due = |now| decide_after(&busy, facts, &RetrySchedule::STANDARD, 0, now).message;
        assert_eq!(due(T0), MessageMove::Requeue { due_at: T0 });
        assert_eq!(due(window.expires_at), MessageMove::End(Ending::Expired));
    }

    fn outcomes() -> impl Strategy<Value = HandOver> {
        use NotHandedOver::{Busy, Capability, Content, Draining, Network, PermitExpired};
        prop_oneof![
            Just(HandOver::Accepted),
            Just(HandOver::Unknown),
            prop::sample::select(vec![Network("a"), Capability("b"), Content("c"), Busy, PermitExpired, Draining])
                .prop_map(HandOver::NotHandedOver),
            (400u16..600, "[45]\\.[0-7]\\.[0-9]{1,2} \\PC{0,20}").prop_map(|(code, text)| refused(code, &text)),
        ]
    }

    proptest! {
        #[test]
        fn c061_no_decision_queues_a_message_past_its_end(
            outcome in outcomes(), marketing: bool, attempt in 1u32..40, jitter: u64, now_s in 0i64..500_000,
        ) {
            let class = if marketing { MessageClass::Marketing } else { MessageClass::Transactional };
            let window = RetryWindow { queued_at: T0, expires_at: class.default_expiry(T0) };
            let now = T0 + TimeDelta::seconds(now_s);
            let facts = AttemptFacts { class, attempt, window };
            let settled = decide_after(&outcome, facts, &RetrySchedule::STANDARD, jitter, now);
            if let MessageMove::Requeue { due_at } = settled.message {
                prop_assert!(due_at >= now && due_at < window.expires_at);
            }
            let sent = settled.message == MessageMove::End(Ending::Sent);
            prop_assert_eq!(sent, outcome == HandOver::Accepted);
            prop_assert!(!settled.suppress || settled.message == MessageMove::End(Ending::Bounced));
            let unknown = settled.attempt == AttemptOutcome::Unknown;
            prop_assert_eq!(unknown, outcome == HandOver::Unknown);
            prop_assert!(!unknown || settled.message == MessageMove::End(Ending::Unknown));
        }
    }
}
