use carillon_entities::ids::TopicId;
use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{
    Channel, ConsentAction, ConsentState, LedgerEntry, QuotaFact, SenderFact, SourceKind, TenantFact, TestSend,
};
use super::*;

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn topic(n: u128) -> TopicId {
    TopicId(Uuid::from_u128(n))
}

fn consent_of(action: ConsentAction, source: SourceKind, seconds: i64) -> ConsentState {
    let id = ConsentEventId(Uuid::from_u128(7));
    [LedgerEntry { id, action, basis: Basis::Consent, effective_at: at(seconds), source }].iter().collect()
}

/// Marketing to somebody who agreed; nothing in the way.
fn clear() -> GateFacts {
    GateFacts {
        now: at(100),
        expires_at: None,
        class: MessageClass::Marketing,
        channel: Channel::Email,
        topic: Some(topic(1)),
        contact: ContactFact::Active,
        address_is_current: true,
        way: None,
        campaign: None,
        topic_consent: consent_of(ConsentAction::Grant, SourceKind::Subject, 0),
        all_marketing_consent: ConsentState::default(),
        suppressions: vec![],
        hard_bounced: false,
        sender: SenderFact { verified: true, can_sign: true },
        tenant: TenantFact { suspended: false, paused: false, quota_used_up: None },
        test: None,
        sink_allowed: None,
    }
}

fn suppressed(scope: SuppressionScope, reason: SuppressionReason, seconds: i64) -> Vec<SuppressionFact> {
    vec![SuppressionFact { scope, reason, since: at(seconds) }]
}

fn answer(facts: &GateFacts) -> (Verdict, Reason) {
    let decision = decide(facts);
    (decision.verdict, decision.reason)
}

#[test]
fn c112_marketing_needs_a_ground_and_names_the_entry_it_used() {
    let decision = decide(&clear());
    assert_eq!((decision.verdict, decision.reason), (Verdict::Allow, Reason::Clear));
    assert_eq!(decision.consent_event, Some(ConsentEventId(Uuid::from_u128(7))));
    assert_eq!(decision.basis, Some(Basis::Consent));
    let nothing = GateFacts { topic_consent: ConsentState::default(), ..clear() };
    assert_eq!(answer(&nothing), (Verdict::Deny, Reason::NoConsent));
    assert_eq!(answer(&GateFacts { class: MessageClass::Transactional, ..nothing }).0, Verdict::Allow);
    assert_eq!(answer(&GateFacts { topic: None, ..clear() }), (Verdict::Deny, Reason::NoTopic));
}

#[test]
fn c013_a_complaint_ends_marketing_and_leaves_service_messages() {
    let facts = GateFacts {
        suppressions: suppressed(SuppressionScope::Marketing, SuppressionReason::Complaint, 50),
        ..clear()
    };
    assert_eq!(answer(&facts), (Verdict::Deny, Reason::SuppressedComplaint));
    assert_eq!(answer(&GateFacts { class: MessageClass::Transactional, ..facts }).0, Verdict::Allow);
}

#[test]
fn c013_one_click_ends_its_topic_only() {
    let scope = SuppressionScope::Topic(topic(1));
    let facts = GateFacts { suppressions: suppressed(scope, SuppressionReason::Unsubscribe, 50), ..clear() };
    assert_eq!(answer(&facts), (Verdict::Deny, Reason::SuppressedUnsubscribe));
    assert_eq!(answer(&GateFacts { topic: Some(topic(2)), ..facts }).0, Verdict::Allow);
}

#[test]
fn c128_a_suppression_is_lifted_by_the_persons_newer_act_only() {
    let facts = GateFacts {
        suppressions: suppressed(SuppressionScope::Marketing, SuppressionReason::Unsubscribe, 50),
        ..clear()
    };
    for source in SourceKind::ALL {
        let topic_consent = consent_of(ConsentAction::Grant, *source, 60);
        let expected = if source.is_the_person() { Verdict::Allow } else { Verdict::Deny };
        assert_eq!(answer(&GateFacts { topic_consent, ..facts.clone() }).0, expected, "{source}");
    }
    let topic_consent = consent_of(ConsentAction::Grant, SourceKind::Subject, 60);
    for reason in SuppressionReason::ALL.iter().copied().filter(|reason| *reason != SuppressionReason::Unsubscribe) {
        let suppressions = suppressed(SuppressionScope::Marketing, reason, 50);
        assert_eq!(answer(&GateFacts { topic_consent, suppressions, ..clear() }).0, Verdict::Deny);
    }
}

#[test]
fn hard_bounces_legal_blocks_and_bars_stop_service_messages_too() {
    let service = GateFacts { class: MessageClass::Transactional, ..clear() };
    let suppressions = suppressed(SuppressionScope::All, SuppressionReason::Legal, 50);
    assert_eq!(answer(&GateFacts { suppressions, ..service.clone() }), (Verdict::Deny, Reason::SuppressedLegal));
    assert_eq!(answer(&GateFacts { hard_bounced: true, ..service.clone() }), (Verdict::Deny, Reason::HardBounced));
    let all_marketing_consent = consent_of(ConsentAction::Reassign, SourceKind::Provider, 50);
    assert_eq!(answer(&GateFacts { all_marketing_consent, ..service }), (Verdict::Deny, Reason::Reassigned));
}

#[test]
fn c162_test_sends_go_to_verified_users_of_the_tenant_only() {
    let test = |own| Some(TestSend { to_own_verified_user: own });
    let facts = GateFacts {
        contact: ContactFact::NotAContact,
        topic_consent: ConsentState::default(),
        test: test(true),
        ..clear()
    };
    assert_eq!(answer(&facts).0, Verdict::Allow);
    let outside = GateFacts { test: test(false), ..facts.clone() };
    assert_eq!(answer(&outside), (Verdict::Deny, Reason::TestRecipientForeign));
    assert_eq!(answer(&GateFacts { test: None, ..facts }), (Verdict::Deny, Reason::NotAContact));
}

#[test]
fn c002_without_a_key_to_sign_the_send_is_held() {
    let facts = GateFacts { sender: SenderFact { verified: true, can_sign: false }, ..clear() };
    assert_eq!(answer(&facts), (Verdict::Hold, Reason::SenderCannotSign));
    let quota_used_up = Some(QuotaFact { resets_at: at(500) });
    let quota = GateFacts { tenant: TenantFact { suspended: false, paused: false, quota_used_up }, ..clear() };
    assert_eq!(decide(&quota).until, Some(at(500)));
}

#[test]
fn what_a_suspended_tenant_sends_waits_and_what_was_refused_then_is_refused_in_replay() {
    let tenant = TenantFact { suspended: true, paused: false, quota_used_up: None };
    let facts = GateFacts { tenant, ..clear() };
    assert_eq!(answer(&facts), (Verdict::Hold, Reason::TenantSuspended));
    assert_eq!(answer(&GateFacts { hard_bounced: true, ..facts.clone() }), (Verdict::Deny, Reason::HardBounced));
    let stored = serde_json::to_value(&facts).unwrap();
    assert_eq!(
        replay(1, &stored).map(|then| (then.verdict, then.reason)),
        Some((Verdict::Deny, Reason::TenantSuspended))
    );
    assert_eq!(replay(0, &stored), None);
}

#[test]
fn c194_outside_production_only_listed_sinks() {
    assert_eq!(answer(&GateFacts { sink_allowed: Some(false), ..clear() }), (Verdict::Deny, Reason::SinkNotListed));
    assert_eq!(answer(&GateFacts { sink_allowed: Some(true), ..clear() }).0, Verdict::Allow);
}

#[test]
fn the_rest_of_the_refusals() {
    let refused = [
        (GateFacts { expires_at: Some(at(100)), ..clear() }, Reason::Expired),
        (GateFacts { contact: ContactFact::Archived, ..clear() }, Reason::ContactArchived),
        (GateFacts { contact: ContactFact::Gone, ..clear() }, Reason::ContactGone),
        (GateFacts { address_is_current: false, ..clear() }, Reason::AddressChanged),
    ];
    for (facts, reason) in refused {
        assert_eq!(answer(&facts), (Verdict::Deny, reason));
    }
}

prop_compose! {
    fn suppression_facts()(all in 0..4u128, reason in 0..5usize, since in 0..8i64) -> SuppressionFact {
        let scope = match all {
            0 => SuppressionScope::All,
            1 => SuppressionScope::Marketing,
            n => SuppressionScope::Topic(topic(n - 1)),
        };
        SuppressionFact { scope, reason: SuppressionReason::ALL[reason], since: at(since) }
    }
}

prop_compose! {
    fn consents()(raw in prop::collection::vec((0..7usize, 0..7usize, 0..8usize, 0..8i64), 0..5)) -> ConsentState {
        let entries: Vec<LedgerEntry> = raw.into_iter().enumerate().map(|(id, (action, basis, source, seconds))| {
            LedgerEntry {
                id: ConsentEventId(Uuid::from_u128(id as u128)),
                action: ConsentAction::ALL[action],
                basis: Basis::ALL[basis],
                effective_at: at(seconds),
                source: SourceKind::ALL[source],
            }
        }).collect();
        entries.iter().collect()
    }
}

prop_compose! {
    fn facts()(
        class in 0..2usize,
        contact in 0..4usize,
        flags in prop::collection::vec(prop::bool::weighted(0.1), 9),
        topic_of in prop::option::weighted(0.9, 1..3u128),
        topic_consent in consents(),
        all_marketing_consent in consents(),
        suppressions in prop::collection::vec(suppression_facts(), 0..3),
        test in prop::option::weighted(0.2, any::<bool>()),
    ) -> GateFacts {
        GateFacts {
            now: at(100),
            expires_at: flags[0].then(|| at(50)),
            class: MessageClass::ALL[class],
            channel: Channel::Email,
            topic: topic_of.map(topic),
            contact: ContactFact::ALL[contact],
            address_is_current: !flags[1],
            way: None,
            campaign: None,
            topic_consent,
            all_marketing_consent,
            suppressions,
            hard_bounced: flags[2],
            sender: SenderFact { verified: !flags[3], can_sign: !flags[4] },
            tenant: TenantFact {
                suspended: flags[5],
                paused: flags[6],
                quota_used_up: flags[7].then(|| QuotaFact { resets_at: at(500) }),
            },
            test: test.map(|own| TestSend { to_own_verified_user: own }),
            sink_allowed: flags[8].then_some(true),
        }
    }
}

proptest! {
    #[test]
    fn c158_replay_from_stored_facts_gives_the_same_decision(facts in facts()) {
        let stored = serde_json::to_string(&facts).unwrap();
        let read: serde_json::Value = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(replay(RULES_VERSION, &read), Some(decide(&facts)));
        prop_assert_eq!(replay(RULES_VERSION + 1, &read), None);
    }

    #[test]
    fn the_trace_names_every_rule_once_and_explains_the_verdict(facts in facts()) {
        let decision = decide(&facts);
        prop_assert!(decision.trace.iter().map(|step| step.0).eq(Rule::ALL.iter().copied()));
        let refused = |outcome| decision.trace.iter().find(|step| step.1 == outcome);
        let deciding = refused(Outcome::Deny).or(refused(Outcome::Hold));
        prop_assert_eq!(deciding.map_or(Reason::Clear, |step| step.2), decision.reason);
        prop_assert_eq!(deciding.is_none(), decision.verdict == Verdict::Allow);
        prop_assert_eq!(decision.reason.remedy() == Remedy::Nothing, decision.verdict == Verdict::Allow);
    }

    #[test]
    fn c156_adding_a_suppression_never_opens_the_gate(facts in facts(), extra in suppression_facts()) {
        let mut more = facts.clone();
        more.suppressions.push(extra);
        prop_assert!(decide(&facts).verdict == Verdict::Allow || decide(&more).verdict != Verdict::Allow);
    }

    #[test]
    fn c012_after_a_withdrawal_no_marketing(mut facts in facts(), everything in any::<bool>()) {
        facts.test = None;
        facts.class = MessageClass::Marketing;
        let withdrawal = consent_of(ConsentAction::Withdraw, SourceKind::Subject, 8);
        let target = if everything { &mut facts.all_marketing_consent } else { &mut facts.topic_consent };
        *target = target.join(withdrawal);
        prop_assert_ne!(decide(&facts).verdict, Verdict::Allow);
    }

    #[test]
    fn an_end_never_opens_the_gate(facts in facts(), action in 0..7usize, seconds in 0..9i64, everything in any::<bool>()) {
        let action = ConsentAction::ALL[action];
        prop_assume!(!matches!(action, ConsentAction::Grant | ConsentAction::Confirm));
        let mut more = facts.clone();
        let target = if everything { &mut more.all_marketing_consent } else { &mut more.topic_consent };
        *target = target.join(consent_of(action, SourceKind::Subject, seconds));
        prop_assert!(decide(&facts).verdict == Verdict::Allow || decide(&more).verdict != Verdict::Allow);
    }
}
