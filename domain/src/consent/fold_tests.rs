use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn entry(id: u128, action: ConsentAction, basis: Basis, source: SourceKind, seconds: i64) -> LedgerEntry {
    LedgerEntry { id: ConsentEventId(Uuid::from_u128(id)), action, basis, effective_at: at(seconds), source }
}

fn grant(id: u128, source: SourceKind, seconds: i64) -> LedgerEntry {
    entry(id, ConsentAction::Grant, Basis::Consent, source, seconds)
}

fn end(id: u128, action: ConsentAction, seconds: i64) -> LedgerEntry {
    entry(id, action, Basis::Unknown, SourceKind::Subject, seconds)
}

fn status(entries: &[LedgerEntry]) -> ConsentStatus {
    entries.iter().collect::<ConsentState>().standing().status
}

#[test]
fn c153_a_withdrawal_beats_a_grant_at_the_same_time_and_a_backdated_grant() {
    let withdraw = end(1, ConsentAction::Withdraw, 10);
    assert_eq!(status(&[grant(2, SourceKind::Subject, 10), withdraw]), ConsentStatus::Withdrawn);
    assert_eq!(status(&[withdraw, grant(2, SourceKind::Subject, 9)]), ConsentStatus::Withdrawn);
    assert_eq!(status(&[withdraw, grant(2, SourceKind::Subject, 11)]), ConsentStatus::Granted);
}

#[test]
fn c128_only_the_person_lifts_a_withdrawal() {
    let withdraw = end(1, ConsentAction::Withdraw, 10);
    for source in SourceKind::ALL {
        let expected = if source.is_the_person() { ConsentStatus::Granted } else { ConsentStatus::Withdrawn };
        assert_eq!(status(&[withdraw, grant(2, *source, 20)]), expected, "{source}");
    }
}

#[test]
fn c155_a_grant_without_a_ground_proves_nothing_and_takes_nothing_away() {
    let unknown = entry(1, ConsentAction::Grant, Basis::Unknown, SourceKind::Import, 20);
    assert_eq!(status(&[unknown]), ConsentStatus::Unproven);
    assert_eq!(status(&[grant(2, SourceKind::Import, 10), unknown]), ConsentStatus::Granted);
}

#[test]
fn c083_a_pending_grant_waits_for_the_person() {
    let pending = entry(1, ConsentAction::Grant, Basis::Unconfirmed, SourceKind::Api, 10);
    let confirm = entry(2, ConsentAction::Confirm, Basis::Consent, SourceKind::Subject, 20);
    assert_eq!(status(&[pending]), ConsentStatus::Pending);
    assert_eq!(status(&[pending, confirm]), ConsentStatus::Granted);
    assert_eq!(status(&[pending, end(3, ConsentAction::Withdraw, 15)]), ConsentStatus::Withdrawn);
}

#[test]
fn expiry_is_renewed_by_anybody_and_bars_are_lifted_by_the_person_only() {
    let first = grant(1, SourceKind::Subject, 10);
    assert_eq!(status(&[first, end(2, ConsentAction::Expire, 20)]), ConsentStatus::Expired);
    let renewed = [first, end(2, ConsentAction::Expire, 20), grant(3, SourceKind::Import, 30)];
    assert_eq!(status(&renewed), ConsentStatus::Granted);
    let reassigned = [first, end(2, ConsentAction::Reassign, 20), grant(3, SourceKind::Import, 30)];
    assert_eq!(status(&reassigned), ConsentStatus::Reassigned);
    let masked = [end(2, ConsentAction::Restrict, 20), end(3, ConsentAction::Withdraw, 30)];
    assert_eq!(status(&masked), ConsentStatus::Restricted);
}

#[test]
fn c013_ending_all_marketing_ends_each_topic_until_the_person_picks_one_again() {
    let state = |entries: &[LedgerEntry]| entries.iter().collect::<ConsentState>();
    let topic = state(&[grant(1, SourceKind::Subject, 10)]);
    let all_ended = state(&[end(2, ConsentAction::Withdraw, 20)]);
    assert_eq!(topic.standing_under(&all_ended).status, ConsentStatus::Withdrawn);
    let again = state(&[grant(1, SourceKind::Subject, 10), grant(3, SourceKind::Subject, 30)]);
    assert_eq!(again.standing_under(&all_ended).status, ConsentStatus::Granted);
    let all_granted = state(&[grant(4, SourceKind::Subject, 40)]);
    assert_eq!(ConsentState::default().standing_under(&all_granted).status, ConsentStatus::Granted);
    let topic_ended = state(&[end(5, ConsentAction::Withdraw, 5)]);
    assert_eq!(topic_ended.standing_under(&all_granted).status, ConsentStatus::Withdrawn);
}

#[test]
fn c153_future_times_are_refused_beyond_tolerance() {
    let now = at(0);
    assert_eq!(effective_at(at(-5), now, "effectiveAt"), Ok(at(-5)));
    assert_eq!(effective_at(at(60), now, "effectiveAt"), Ok(now));
    assert_eq!(effective_at(at(301), now, "effectiveAt").map_err(|refusal| refusal.code), Err("TIME_IN_FUTURE"));
}

/// The rule as the law says it, over the whole ledger at once: the specification the incremental fold is held against.
fn specification(entries: &[LedgerEntry]) -> bool {
    let is_end = |entry: &&LedgerEntry| !matches!(entry.action, ConsentAction::Grant | ConsentAction::Confirm);
    let by_person = |entry: &LedgerEntry| entry.source.is_the_person();
    entries.iter().filter(|entry| !is_end(entry) && entry.basis.carries_marketing()).any(|grant| {
        entries.iter().filter(is_end).all(|end| match end.action {
            ConsentAction::Expire => end.effective_at < grant.effective_at,
            _ => entries.iter().any(|lift| {
                !is_end(&lift)
                    && by_person(lift)
                    && lift.basis.carries_marketing()
                    && lift.effective_at > end.effective_at
            }),
        })
    })
}

prop_compose! {
    pub fn entries()(raw in prop::collection::vec((0..7usize, 0..7usize, 0..8usize, 0..6i64), 0..8)) -> Vec<LedgerEntry> {
        raw.into_iter().enumerate().map(|(id, (action, basis, source, seconds))| entry(
            id as u128,
            ConsentAction::ALL[action],
            Basis::ALL[basis],
            SourceKind::ALL[source],
            seconds,
        )).collect()
    }
}

proptest! {
    #[test]
    fn c153_any_arrival_order_gives_the_same_state(
        (entries, shuffled) in entries().prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        split in 0..8usize,
    ) {
        let state: ConsentState = entries.iter().collect();
        prop_assert_eq!(shuffled.iter().collect::<ConsentState>(), state);
        let (first, second) = shuffled.split_at(split.min(shuffled.len()));
        let joined = first.iter().collect::<ConsentState>().join(second.iter().chain(first).collect());
        prop_assert_eq!(joined, state);
        prop_assert_eq!(state.standing().status == ConsentStatus::Granted, specification(&entries));
    }

    #[test]
    fn c152_the_stored_fold_reads_back_byte_equal(entries in entries()) {
        let state: ConsentState = entries.iter().collect();
        let json = serde_json::to_string(&state).unwrap();
        let read: ConsentState = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read, state);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn c153_a_withdrawal_after_every_grant_always_wins(mut entries in entries(), all in entries()) {
        entries.push(end(99, ConsentAction::Withdraw, 6));
        let state: ConsentState = entries.iter().collect();
        prop_assert_ne!(state.standing().status, ConsentStatus::Granted);
        prop_assert_ne!(state.standing_under(&all.iter().collect()).status, ConsentStatus::Granted);
    }
}
