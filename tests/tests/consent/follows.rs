//! What people ended follows them to a new address, and nothing else does.

use std::sync::Arc;

use carillon_domain::consent::{
    Basis, ConsentAction, Reason, Recipient, RecordOptIn, RecordOptOut, SourceKind, SuppressAddress, SuppressionReason,
    SuppressionScope, Verdict, Wording, list_consents, record_opt_in, record_opt_out, suppress_address,
    suppressions_of,
};
use carillon_domain::contacts::{
    Contact, ContactFields, ContactFilter, EmailAddress, Patch, UpdateContact, UpsertBy, UpsertContact, update_contact,
    upsert_contacts,
};
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::error::Result;
use carillon_domain::ports::{Ports, TenantTx};
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::ReadConsent;
use carillon_entities::ids::ContactId;
use carillon_tests::people::{People, codes, email};
use chrono::TimeDelta;

use crate::race::waits;

const OLD: &str = "ada@old.example";
const NEW: &str = "ada@new.example";

/// A contact that is reached at the old address.
async fn people() -> (People, Contact) {
    let people = People::new().await;
    let contact = people.create(email(OLD)).await.unwrap();
    (people, contact)
}

async fn moves(people: &People, ports: &Ports, to: &str) {
    moving(people, ports, to).await.commit().await.unwrap();
}

/// The contact has another address once this is committed.
async fn moving(people: &People, ports: &Ports, to: &str) -> TenantTx {
    changing(people, ports, email(to)).await
}

/// The contact is different once this is committed.
async fn changing(people: &People, ports: &Ports, fields: ContactFields) -> TenantTx {
    let contact = people.list(ContactFilter::default()).await.remove(0);
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    let command = UpdateContact { id: contact.id, version: contact.version, fields };
    update_contact(&grant, &mut tx, ports, command).await.unwrap();
    tx
}

/// Somebody else says that the contact agreed.
async fn claimed(people: &People, contact: &Contact) -> Result<()> {
    let grant = people.records();
    let mut tx = grant.begin().await?;
    let command = RecordOptIn {
        contact: contact.id,
        topic: people.all_marketing,
        basis: Basis::Consent,
        effective_at: None,
        source: None,
        wording: Wording::default(),
        evidence: None,
    };
    record_opt_in(&grant, &mut tx, people.world.ports(), command).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn c126_a_no_follows_to_a_new_address() {
    let (people, contact) = people().await;
    for action in [ConsentAction::Withdraw, ConsentAction::Object] {
        people.says(OLD, action).await;
        people.world.advance(TimeDelta::days(1));
    }
    moves(&people, people.world.ports(), NEW).await;
    assert_eq!(people.statuses(NEW).await, ["objected"]);
    let (ended, taken) = (people.ledger(OLD).await.remove(1), people.ledger(NEW).await.remove(0));
    assert_eq!((taken.supersedes, taken.effective_at), (Some(ended.id), ended.effective_at));
    assert_eq!((taken.source.kind, taken.action), (SourceKind::System, ConsentAction::Object));

    people.world.advance(TimeDelta::days(1));
    assert_eq!(codes(claimed(&people, &contact).await), ["CONSENT_WITHDRAWN"]);
    assert_eq!(people.decides(NEW).await.reason, Reason::SuppressedUnsubscribe);
    people.says(NEW, ConsentAction::Grant).await;
    assert_eq!(people.decides(NEW).await.verdict, Verdict::Allow, "their own newer yes");
}

/// An address that is taken away in one call, and another that is given in a later one, are the same way as one call.
#[tokio::test]
async fn c126_a_no_follows_though_there_was_no_address_in_between() {
    const FORMER: &str = "SELECT COUNT(*) AS amount FROM contacts WHERE former_email IS NOT NULL";
    let people = People::new().await;
    let mut fields = email(OLD);
    fields.patch.external_id = Patch::Set("x1".to_owned());
    let contact = people.create(fields).await.unwrap();
    let mut none = email(OLD);
    none.patch.email = Patch::Clear;
    changing(&people, people.world.ports(), none).await.commit().await.unwrap();
    assert_eq!(people.world.number(FORMER).await, 1);
    // Said with the link of an old mail, while there is no address.
    people.says(OLD, ConsentAction::Withdraw).await;
    people.world.advance(TimeDelta::days(1));
    moves(&people, people.world.ports(), NEW).await;
    assert_eq!(people.statuses(NEW).await, ["withdrawn"]);
    assert_eq!(codes(claimed(&people, &contact).await), ["CONSENT_WITHDRAWN"]);
    assert_eq!(people.world.number(FORMER).await, 0);
}

#[tokio::test]
async fn c128_a_yes_of_their_own_since_the_no_stands() {
    let (people, _) = people().await;
    people.says(OLD, ConsentAction::Withdraw).await;
    people.world.advance(TimeDelta::days(1));
    people.says(NEW, ConsentAction::Grant).await;
    people.world.advance(TimeDelta::days(1));
    moves(&people, people.world.ports(), NEW).await;
    assert_eq!(people.decides(NEW).await.verdict, Verdict::Allow);
}

#[tokio::test]
async fn c126_what_was_taken_back_or_is_the_address_own_does_not_follow() {
    for (said, expected) in [
        ([ConsentAction::Withdraw, ConsentAction::Grant], None),
        ([ConsentAction::Grant, ConsentAction::Reassign], None),
        ([ConsentAction::Grant, ConsentAction::Expire], None),
        ([ConsentAction::Grant, ConsentAction::Restrict], Some("restricted")),
    ] {
        let (people, contact) = people().await;
        for action in said {
            people.says(OLD, action).await;
            people.world.advance(TimeDelta::days(1));
        }
        moves(&people, people.world.ports(), NEW).await;
        assert_eq!(people.statuses(NEW).await, Vec::from_iter(expected), "{said:?}");
        assert_eq!(claimed(&people, &contact).await.is_ok(), expected.is_none(), "{said:?}");
    }
}

#[tokio::test]
async fn c235_complaints_and_legal_suppressions_follow() {
    use SuppressionReason::{Complaint, Legal, Manual};
    let (people, contact) = people().await;
    let (ports, grant) = (people.world.ports(), people.records());
    let mut tx = grant.begin().await.unwrap();
    for (reason, scope) in
        [(Manual, SuppressionScope::All), (Complaint, SuppressionScope::Marketing), (Legal, SuppressionScope::All)]
    {
        let command = SuppressAddress { email: EmailAddress::parse(OLD).unwrap(), scope, reason };
        suppress_address(&grant, &mut tx, ports, command).await.unwrap();
    }
    tx.commit().await.unwrap();
    for to in [NEW, OLD, NEW] {
        moves(&people, ports, to).await;
    }
    let read = people.world.grant::<ReadConsent>(people.tenant);
    let mut tx = read.begin_read().await.unwrap();
    let found = suppressions_of(&read, &mut tx, &[people.recipient(NEW)]).await.unwrap().remove(0);
    tx.commit().await.unwrap();
    let mut found: Vec<_> = found.iter().map(|one| (one.reason, one.scope)).collect();
    found.sort_unstable();
    assert_eq!(found, [(Complaint, SuppressionScope::Marketing), (Legal, SuppressionScope::All)]);
    claimed(&people, &contact).await.unwrap();
    people.world.advance(TimeDelta::days(1));
    people.says(NEW, ConsentAction::Grant).await;
    assert_eq!(people.decides(NEW).await.reason, Reason::SuppressedLegal, "no yes lifts it");
}

#[tokio::test]
async fn c126_a_no_follows_however_often_and_is_said_once() {
    let (people, _) = people().await;
    people.says(OLD, ConsentAction::Withdraw).await;
    for to in [NEW, OLD, NEW, OLD] {
        people.world.advance(TimeDelta::days(1));
        moves(&people, people.world.ports(), to).await;
    }
    assert_eq!((people.ledger(OLD).await.len(), people.ledger(NEW).await.len()), (1, 1));
}

#[tokio::test]
async fn c157_a_no_follows_though_the_key_was_rotated() {
    let (people, _) = people().await;
    people.says(OLD, ConsentAction::Withdraw).await;
    let keys = people.world.ports().keys.rotated(&SeededEntropy::new(99));
    let rotated = Ports { keys: Arc::new(keys), ..people.world.ports().clone() };
    moves(&people, &rotated, NEW).await;
    let recipient = Recipient::of_email(&rotated.keys, people.tenant, &EmailAddress::parse(NEW).unwrap());
    let grant = people.world.grant::<ReadConsent>(people.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    let views = list_consents(&grant, &mut tx, &[recipient]).await.unwrap().remove(0);
    tx.commit().await.unwrap();
    assert_eq!(views.iter().map(|view| view.status.as_str()).collect::<Vec<_>>(), ["withdrawn"]);
}

#[tokio::test]
async fn c126_a_no_follows_through_a_whole_call_at_the_same_cost() {
    let people = People::new().await;
    let call = |from: usize, n: usize, steps: &[&str]| -> Vec<UpsertContact> {
        let contact = |i: usize, step: &str| {
            let mut fields = email(&format!("p{i}@{step}.example"));
            fields.patch.external_id = Patch::Set(format!("x{i}"));
            UpsertContact { by: UpsertBy::ExternalId, fields }
        };
        (from..from + n).flat_map(|i| steps.iter().map(move |step| contact(i, step))).collect()
    };
    let upsert = async |contacts| {
        let grant = people.writes();
        let mut tx = grant.begin().await.unwrap();
        upsert_contacts(&grant, &mut tx, people.world.ports(), contacts).await.unwrap();
        tx.commit().await.unwrap();
    };
    upsert(call(0, 33, &["old"])).await;
    for i in 0..33 {
        people.says(&format!("p{i}@old.example"), ConsentAction::Withdraw).await;
    }
    people.world.advance(TimeDelta::days(1));
    let ((), few) = people.world.statements_of(upsert(call(0, 3, &["mid", "new"]))).await;
    let ((), many) = people.world.statements_of(upsert(call(3, 30, &["mid", "new"]))).await;
    assert_eq!(few, many);
    for i in 0..33 {
        for step in ["mid", "new"] {
            assert_eq!(people.statuses(&format!("p{i}@{step}.example")).await, ["withdrawn"], "{i} at {step}");
        }
    }
}

/// Somebody says that the contact wants no more, as often as it takes.
async fn says_no(people: Arc<People>, contact: ContactId) -> Result<()> {
    let (grant, mut reruns) = (people.records(), Reruns::default());
    loop {
        let mut tx = grant.begin().await?;
        let command = RecordOptOut { contact, topic: None };
        match record_opt_out(&grant, &mut tx, people.world.ports(), command).await {
            Err(error) if reruns.after(&error) => tx.rollback().await?,
            Err(error) => return Err(error),
            Ok(_) => return Ok(tx.commit().await?),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c126_a_no_said_while_the_address_changes_is_heard() {
    let (people, contact) = people().await;
    let people = Arc::new(people);
    let held = moving(&people, people.world.ports(), NEW).await;
    let saying = tokio::spawn(says_no(Arc::clone(&people), contact.id));
    waits(&people.world, 1, || saying.is_finished()).await;
    held.commit().await.unwrap();
    saying.await.unwrap().unwrap();
    assert_eq!(people.statuses(NEW).await, ["withdrawn"]);
}
