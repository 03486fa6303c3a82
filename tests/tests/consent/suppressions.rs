//! Suppressions: by keyed hash, without an end, lifted only by rule.

use carillon_domain::consent::{
    self, Basis, Channel, ConsentAction, Evidence, HardBounce, Heard, LiftSuppression, Reason, Recipient, RecordOptIn,
    RecordOptOut, SourceKind, SuppressAddress, Suppression, SuppressionReason, SuppressionScope, Verdict, Wording,
};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::Error;
use carillon_domain::messaging::MessageClass;
use carillon_domain::messaging::reply_class::Operator;
use carillon_domain::tenancy::{AdministerConsent, ReadConsent, RecordConsent};
use chrono::TimeDelta;

use crate::setup::Setup;

const ADA: &str = "ada@example.org";

async fn suppress(setup: &Setup, reason: SuppressionReason, scope: SuppressionScope) -> Result<Suppression, Error> {
    let grant = setup.admin.grant::<RecordConsent>()?;
    let mut tx = grant.begin().await?;
    let command = SuppressAddress { email: EmailAddress::parse(ADA).unwrap(), scope, reason };
    let done = consent::suppress_address(&grant, &mut tx, setup.ports(), command).await?;
    tx.commit().await?;
    Ok(done)
}

async fn lift(setup: &Setup, suppression: &Suppression, reason: &str, text: &str) -> Result<(), Error> {
    let grant = setup.admin.grant::<AdministerConsent>()?;
    let mut tx = grant.begin().await?;
    let evidence = Evidence { text: Some(text.to_owned()).filter(|text| !text.is_empty()), ..Evidence::default() };
    let command = LiftSuppression { id: suppression.id, reason: reason.to_owned(), evidence };
    consent::lift_suppression(&grant, &mut tx, setup.ports(), command).await?;
    Ok(tx.commit().await?)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Refused(refusals)) => refusals[0].code,
        other => panic!("not a refusal: {other:?}"),
    }
}

async fn of_ada(setup: &Setup) -> Vec<Suppression> {
    let grant = setup.world.grant::<ReadConsent>(setup.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    let found = consent::suppressions_of(&grant, &mut tx, &[setup.recipient(setup.ports(), ADA)]).await.unwrap();
    found.into_iter().next().unwrap()
}

async fn reason(setup: &Setup) -> Reason {
    setup.decide(ADA, MessageClass::Marketing, setup.news).await.reason
}

#[tokio::test]
async fn c124_c156_a_suppression_outlives_the_contact_and_meets_whoever_comes_back() {
    let setup = Setup::new().await;
    setup.contact(ADA).await;
    setup.append(vec![setup.event(ADA, setup.news, ConsentAction::Withdraw, SourceKind::Subject)]).await;
    setup.wipe("contacts").await;
    setup.world.advance(TimeDelta::days(3_650));
    assert_eq!(of_ada(&setup).await.len(), 1);

    // Born suppressed: the same address, come back in other letters through an import.
    setup.contact("Ada@EXAMPLE.org").await;
    setup.append(vec![setup.grant("Ada@EXAMPLE.org", setup.news, SourceKind::Import)]).await;
    let decision = setup.decide("Ada@EXAMPLE.org", MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.verdict, Verdict::Deny);
    // Keyed: no column tells who it is, and no foreign key leads to a contact.
    let links = if setup.world.wall().is_postgres() {
        "SELECT COUNT(*) AS amount FROM pg_constraint WHERE conrelid = 'suppressions'::regclass AND contype = 'f'"
    } else {
        "SELECT COUNT(*) AS amount FROM pragma_foreign_key_list('suppressions')"
    };
    assert_eq!(setup.world.number(links).await, 0);
}

#[tokio::test]
async fn c157_after_a_rotation_every_old_suppression_and_state_still_matches() {
    let setup = Setup::new().await;
    let people: Vec<String> = (0..20).map(|n| format!("p{n}@example.org")).collect();
    let withdrawals =
        people.iter().map(|email| setup.event(email, setup.news, ConsentAction::Withdraw, SourceKind::Subject));
    setup.append(withdrawals.collect()).await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;

    let rotated = setup.rotated();
    for email in &people {
        let facts = setup.facts(&rotated, email, Some(setup.news)).await;
        assert_eq!(facts.suppressions.len(), 1);
        let decision = setup.decide_with(&rotated, email, MessageClass::Marketing, setup.news).await;
        assert_eq!(decision.verdict, Verdict::Deny);
    }
    let decision = setup.decide_with(&rotated, ADA, MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.verdict, Verdict::Allow);

    // What is written under the new key joins the history under the old one: no second endpoint.
    let endpoints = setup.count("endpoints").await;
    let mut new = setup.event(ADA, setup.news, ConsentAction::Withdraw, SourceKind::Subject);
    new.recipient = setup.recipient(&rotated, ADA);
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::append(&mut tx, &rotated, vec![new]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(setup.count("endpoints").await, endpoints);
    assert_eq!(reason(&setup).await, Reason::SuppressedUnsubscribe);
}

#[tokio::test]
async fn c067_a_hard_bounce_suppresses_and_leaves_the_ledger_alone() {
    let setup = Setup::new().await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;
    let events = setup.count("consent_events").await;
    let address = setup.recipient(setup.ports(), ADA).active();
    let channel = carillon_domain::consent::Channel::Email;
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    let bounce = HardBounce { channel, address, operator: Operator::OTHER, at: setup.ports().now() };
    consent::suppress_hard_bounces(&mut tx, setup.ports(), Heard::AtOnce, &[bounce, bounce]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(setup.count("consent_events").await, events);
    let found = of_ada(&setup).await;
    assert_eq!(
        (found.len(), found[0].reason, found[0].scope),
        (1, SuppressionReason::HardBounce, SuppressionScope::All)
    );
    assert_eq!(reason(&setup).await, Reason::HardBounced);
}

#[tokio::test]
async fn c235_lifting_needs_a_reason_and_evidence_and_some_are_never_lifted() {
    let setup = Setup::new().await;
    for beyond in [SuppressionReason::Complaint, SuppressionReason::Legal] {
        let suppression = suppress(&setup, beyond, SuppressionScope::Marketing).await.unwrap();
        assert_eq!(code(lift(&setup, &suppression, "they called", "a letter").await), "NOT_LIFTABLE");
    }
    assert_eq!(of_ada(&setup).await.len(), 2);

    let manual = suppress(&setup, SuppressionReason::Manual, SuppressionScope::All).await.unwrap();
    let again = suppress(&setup, SuppressionReason::Manual, SuppressionScope::All).await.unwrap();
    assert_eq!(manual.id, again.id);
    assert_eq!(code(lift(&setup, &manual, "  ", "a letter").await), "REQUIRED");
    assert_eq!(code(lift(&setup, &manual, "they called", "").await), "REQUIRED");
    let events = setup.count("consent_events").await;
    lift(&setup, &manual, "they called", "a letter").await.unwrap();
    assert_eq!(code(lift(&setup, &manual, "they called", "a letter").await), "NOT_FOUND");
    assert_eq!(setup.count("consent_events").await, events, "a manual suppression was no consent");
    assert_eq!(setup.count("consent_evidence").await, 1);
    assert_eq!(setup.count("audit_events WHERE action = 'suppression.lift'").await, 1);
}

#[tokio::test]
async fn c235_what_the_person_ended_begins_again_with_a_new_grant() {
    let setup = Setup::new().await;
    setup.append(vec![setup.event(ADA, setup.news, ConsentAction::Withdraw, SourceKind::Subject)]).await;
    let found = of_ada(&setup).await;
    assert_eq!(found.len(), 1);
    lift(&setup, &found[0], "asked for it in our shop", "signed slip").await.unwrap();
    assert_eq!(of_ada(&setup).await.len(), 0);
    assert_eq!(setup.count("consent_events WHERE action = 'grant' AND evidence_ref IS NOT NULL").await, 1);
    assert_eq!(reason(&setup).await, Reason::Clear);
}

#[tokio::test]
async fn c235_all_marketing_of_another_brand_begins_again_for_that_brand() {
    let setup = Setup::new().await;
    let grant = setup.admin.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let name = consent::DisplayName::parse("name", "Torten").unwrap();
    let brand = consent::create_brand(&grant, &mut tx, setup.ports(), name).await.unwrap();
    let all = consent::all_marketing(&mut tx, Some(brand.id)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_ne!(all.topic, setup.all.topic);
    setup.append(vec![setup.event(ADA, all, ConsentAction::Object, SourceKind::Subject)]).await;
    let found = of_ada(&setup).await;
    assert_eq!(found[0].scope, SuppressionScope::Marketing);
    lift(&setup, &found[0], "asked for it in our shop", "signed slip").await.unwrap();
    let facts = setup.facts(setup.ports(), ADA, Some(all)).await;
    assert_eq!(facts.topic_consent.standing().status, consent::ConsentStatus::Granted);
}

#[tokio::test]
async fn c013_a_complaint_about_one_topic_ends_all_marketing_and_no_service_mail() {
    let setup = Setup::new().await;
    setup.append(vec![setup.grant(ADA, setup.offers, SourceKind::Subject)]).await;
    let scope = SuppressionScope::Topic(setup.news.topic);
    setup.world.advance(TimeDelta::seconds(1));
    let suppression = suppress(&setup, SuppressionReason::Complaint, scope).await.unwrap();
    assert_eq!(suppression.scope, SuppressionScope::Marketing);
    let decision = setup.decide(ADA, MessageClass::Marketing, setup.offers).await;
    assert_eq!(decision.reason, Reason::SuppressedComplaint);
    let decision = setup.decide(ADA, MessageClass::Transactional, setup.news).await;
    assert_eq!(decision.verdict, Verdict::Allow);
    let foreign = SuppressionScope::Topic(setup.ports().new_id());
    assert_eq!(code(suppress(&setup, SuppressionReason::Manual, foreign).await), "NOT_FOUND");
    assert_eq!(code(suppress(&setup, SuppressionReason::HardBounce, SuppressionScope::All).await), "INVALID_REASON");
}

/// An unsubscribe after a complaint is no way around it: neither by lifting it, nor by what lifting it records.
#[tokio::test]
async fn c060_a_complaint_outlives_whatever_the_tenant_lifts_beside_it() {
    let setup = Setup::new().await;
    let ada = setup.contact(ADA).await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;
    let second = || setup.world.advance(TimeDelta::seconds(1));
    second();
    suppress(&setup, SuppressionReason::Complaint, SuppressionScope::Marketing).await.unwrap();
    second();
    let grant = setup.admin.grant::<RecordConsent>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let command = RecordOptOut { contact: ada, topic: None };
    consent::record_opt_out(&grant, &mut tx, setup.ports(), command).await.unwrap();
    tx.commit().await.unwrap();
    second();
    let found = of_ada(&setup).await;
    let ended = found.iter().find(|one| one.reason == SuppressionReason::Unsubscribe).unwrap();
    assert_eq!(code(lift(&setup, ended, "asked", "signed slip").await), "NOT_LIFTABLE");
    assert_eq!(of_ada(&setup).await.len(), 2, "the refused lift changed nothing");

    // The same under the gate, had the lift gone through.
    setup.append(vec![setup.grant(ADA, setup.all, SourceKind::Subject)]).await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;
    assert_eq!(reason(&setup).await, Reason::SuppressedComplaint);
}

/// An address that was written to under two keys has two endpoints; a no under either is a no.
#[tokio::test]
async fn c157_a_no_under_any_key_keeps_the_word_of_others_out() {
    let setup = Setup::new().await;
    let ada = setup.contact(ADA).await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;
    let rotated = setup.rotated();
    setup.world.advance(TimeDelta::seconds(1));
    let under_new_key = setup.recipient(&rotated, ADA).active();
    let mut no = setup.event(ADA, setup.all, ConsentAction::Withdraw, SourceKind::Subject);
    no.recipient = Recipient::of_hash(Channel::Email, under_new_key);
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::append(&mut tx, &rotated, vec![no]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(setup.count("endpoints").await, 2);

    setup.world.advance(TimeDelta::seconds(1));
    let mut import = setup.grant(ADA, setup.news, SourceKind::Import);
    import.recipient = setup.recipient(&rotated, ADA);
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    let appended = consent::append(&mut tx, &rotated, vec![import]).await.unwrap();
    assert!(appended[0].is_kept_out(), "{:?}", appended[0].standing);
    tx.commit().await.unwrap();
    let grant = setup.admin.grant::<RecordConsent>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let command = RecordOptIn {
        contact: ada,
        topic: setup.news.topic,
        basis: Basis::Consent,
        effective_at: None,
        source: None,
        wording: Wording::default(),
        evidence: None,
    };
    assert_eq!(code(consent::record_opt_in(&grant, &mut tx, &rotated, command).await), "CONSENT_WITHDRAWN");
}
