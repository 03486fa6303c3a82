//! Laws of the two state machines.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn time() -> impl Strategy<Value = Timestamp> {
    (0i64..1000).prop_map(|s| T0 + TimeDelta::seconds(s))
}

fn ending() -> impl Strategy<Value = Ending> {
    prop::sample::select(vec![
        Ending::Sent,
        Ending::Failed,
        Ending::Bounced,
        Ending::Refused,
        Ending::Expired,
        Ending::Cancelled,
        Ending::Unknown,
    ])
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop::sample::select(vec![Evidence::Taken, Evidence::Bounced, Evidence::Rejected, Evidence::NeverArrived])
}

fn outcome() -> impl Strategy<Value = AttemptOutcome> {
    prop::sample::select(vec![
        AttemptOutcome::Lapsed,
        AttemptOutcome::Accepted,
        AttemptOutcome::Deferred,
        AttemptOutcome::Rejected,
        AttemptOutcome::NotHandedOver,
        AttemptOutcome::Unknown,
    ])
}

fn message() -> impl Strategy<Value = MessageState> {
    prop_oneof![
        time().prop_map(|due_at| MessageState::Queued { due_at }),
        (time(), 0i64..9).prop_map(|(lease_until, fence)| MessageState::Claimed { lease_until, fence }),
        (ending(), time()).prop_map(|(ending, at)| MessageState::Settled { ending, at }),
    ]
}

fn attempt() -> impl Strategy<Value = AttemptState> {
    prop_oneof![
        time().prop_map(|at| AttemptState::Cleared { at }),
        time().prop_map(|at| AttemptState::Started { at }),
        (outcome(), time()).prop_map(|(outcome, at)| AttemptState::Settled { outcome, at }),
    ]
}

#[test]
fn codes_go_there_and_back() {
    for status in MessageStatus::ALL {
        assert_eq!(status.as_str().parse(), Ok(*status));
    }
    for status in AttemptStatus::ALL {
        assert_eq!(status.as_str().parse(), Ok(*status));
    }
    assert!("Sent".parse::<MessageStatus>().is_err());
}

#[test]
fn a_lease_is_respected_until_it_runs_out() {
    let held = MessageState::Claimed { lease_until: T0 + TimeDelta::seconds(30), fence: 4 };
    let later = T0 + TimeDelta::seconds(30);
    assert!(held.claim(T0, later, 5).is_err());
    assert!(held.claim(later, later, 4).is_err(), "the fence must rise");
    assert!(held.claim(later, later, 5).is_ok());
}

#[test]
fn c167_a_started_attempt_may_end_unknown_a_cleared_one_may_not() {
    let cleared = AttemptState::Cleared { at: T0 };
    assert!(cleared.settle(AttemptOutcome::Unknown, T0).is_err());
    assert!(cleared.settle(AttemptOutcome::Accepted, T0).is_err());
    assert!(cleared.settle(AttemptOutcome::NotHandedOver, T0).is_err());
    assert!(cleared.settle(AttemptOutcome::Lapsed, T0).is_ok());
    assert!(AttemptState::Started { at: T0 }.settle(AttemptOutcome::Lapsed, T0).is_err());
    assert!(cleared.start(T0).and_then(|started| started.settle(AttemptOutcome::Unknown, T0)).is_ok());
}

proptest! {
    #[test]
    fn c168_a_settled_message_changes_only_from_unknown_and_only_by_evidence(
        state in message(), ending in ending(), evidence in evidence(), now in time(), fence in 0i64..9,
    ) {
        if matches!(state, MessageState::Settled { .. }) {
            prop_assert!(state.claim(now, now, fence).is_err());
            prop_assert!(state.requeue(now).is_err());
            prop_assert!(state.settle(ending, now).is_err());
        }
        prop_assert_eq!(state.learn(evidence, now).is_ok(), state.status() == MessageStatus::Unknown);
    }

    #[test]
    fn c168_a_settled_attempt_changes_only_from_unknown_and_only_by_evidence(
        state in attempt(), outcome in outcome(), evidence in evidence(), now in time(),
    ) {
        let settled = matches!(state, AttemptState::Settled { .. });
        if settled {
            prop_assert!(state.start(now).is_err());
            prop_assert!(state.settle(outcome, now).is_err());
        }
        let learned = state.learn(evidence, now);
        prop_assert_eq!(learned.is_ok(), state.status() == AttemptStatus::Unknown);
        if let Ok(learned) = learned {
            prop_assert!(learned.learn(evidence, now).is_err());
        }
    }

    #[test]
    fn only_a_claim_can_be_sent(state in message(), now in time()) {
        let sent = state.settle(Ending::Sent, now);
        prop_assert_eq!(sent.is_ok(), state.status() == MessageStatus::Claimed);
    }
}

fn facts() -> impl Strategy<Value = Vec<ProviderFact>> {
    let fact = prop::sample::select(vec![ProviderFact::Taken, ProviderFact::Failed, ProviderFact::Gone]);
    prop::collection::vec(fact, 0..6)
}

#[test]
fn c058_all_orders_of_what_a_provider_tells_end_alike() {
    let told = [ProviderFact::Taken, ProviderFact::Gone, ProviderFact::Taken];
    for ending in [Ending::Sent, Ending::Unknown] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let begun = MessageState::Settled { ending, at: T0 };
            let ended = order.iter().fold(begun, |state, place| state.report(told[*place], T0));
            assert_eq!(ended.status(), MessageStatus::Bounced);
        }
    }
}

proptest! {
    #[test]
    fn c058_late_and_repeated_facts_are_harmless(state in message(), facts in facts(), at in time(), seed: u64) {
        let ended = facts.iter().fold(state, |state, fact| state.report(*fact, at));
        // Again, and in another order.
        let mut shuffled = facts.clone();
        let turn = if facts.is_empty() { 0 } else { usize::try_from(seed % facts.len() as u64).unwrap() };
        shuffled.rotate_left(turn);
        shuffled.reverse();
        let other = shuffled.iter().fold(state, |state, fact| state.report(*fact, at));
        prop_assert_eq!(ended.status(), other.status());
        prop_assert_eq!(facts.iter().fold(ended, |state, fact| state.report(*fact, at)), ended);
        // What a provider knows nothing of stays as it is, and nothing that is over begins again.
        let over = matches!(ended, MessageState::Settled { .. });
        prop_assert!(over || ended == state);
        if matches!(state, MessageState::Settled { ending: Ending::Refused | Ending::Expired | Ending::Cancelled, .. }) {
            prop_assert_eq!(ended, state);
        }
    }
}
