//! The gate's transaction: what it refuses, what it holds, and that only its commit gives permits.

use carillon_domain::consent::{self, ConsentAction, SourceKind};
use carillon_domain::dispatch;
use carillon_domain::error::Error;
use carillon_domain::messaging::reply_class::{Reply, SmtpStage};
use carillon_domain::messaging::{self, HandOver, Lane, MessageStatus, SendTest};
use carillon_domain::tenancy::SendMessages;
use carillon_entities::ids::{ContactId, MembershipId};
use carillon_entities::rows::tenancy::memberships;
use carillon_entities::wall::TxMode;
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;

use crate::setup::{Setup, email, user};

const ADA: &str = "ada@example.org";

/// A 4xx.
fn later() -> HandOver {
    let text = "4.7.1 Try again later".to_owned();
    HandOver::Refused(Reply { stage: SmtpStage::Recipient, code: 451, enhanced: None, text, operator: None })
}

#[tokio::test]
async fn c161_a_permit_is_a_committed_decision() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let claimed = setup.claim(Lane::Bulk).await;
    let cleared = setup.clear(&claimed).await;
    assert_eq!(cleared.len(), 1);
    assert_eq!(setup.count("attempts WHERE state = 'cleared'").await, 1, "seen by another connection");
    assert_eq!(setup.count("gate_decisions WHERE verdict = 'allow'").await, 1);
    assert!(cleared[0].is_fresh(setup.ports().clock.monotonic()));
    setup.world.advance(TimeDelta::seconds(11));
    assert!(!cleared[0].is_fresh(setup.ports().clock.monotonic()), "a permit runs out");

    // The same claim asks again: its transaction cannot commit a second time, so there is no second permit.
    assert!(setup.try_clear(&claimed).await.is_err());
    assert_eq!((setup.count("attempts").await, setup.count("gate_decisions").await), (1, 1));
    let attempt = cleared[0].attempt();
    assert_eq!(setup.start(&[attempt]).await, 1);
    setup.settle(&claimed[0], attempt, HandOver::Accepted).await;
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

#[tokio::test]
async fn c063_every_attempt_passes_the_gate() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    assert_eq!(setup.round(Lane::Bulk, &later()).await, 1);
    let waits = setup.message(id).await;
    assert_eq!(waits.status, MessageStatus::Queued);
    let wait = waits.due_at - setup.ports().now();
    assert!((TimeDelta::minutes(5)..=TimeDelta::minutes(15)).contains(&wait), "C-61: {wait}");
    assert!(setup.claim(Lane::Bulk).await.is_empty(), "not before it is due");

    setup.opt_out(ada).await;
    setup.world.advance(TimeDelta::minutes(16));
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await, (MessageStatus::Refused, "suppressed_unsubscribe".to_owned()));
    let verdicts: Vec<String> = setup.decisions(id).await.into_iter().map(|decision| decision.verdict).collect();
    assert_eq!(verdicts, ["allow", "deny"]);
    assert_eq!(setup.attempts(id).await.len(), 1, "what is refused is no attempt");
}

#[tokio::test]
async fn c158_a_decision_is_made_again_from_its_stored_facts() {
    let setup = Setup::new().await;
    let (ada, eve) = (setup.reader(ADA).await, setup.contact("eve@example.org").await);
    let ids = [setup.send_news("yes", ada).await, setup.send_news("no", eve).await];
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 1);
    for (id, verdict, reason) in [(ids[0], "allow", "clear"), (ids[1], "deny", "no_consent")] {
        let decision = setup.decisions(id).await.remove(0);
        assert_eq!((decision.verdict.as_str(), decision.reason.as_str()), (verdict, reason));
        let again = consent::replay(decision.rules_version, &decision.facts).unwrap();
        assert_eq!((again.verdict.as_str(), again.reason.as_str()), (verdict, reason));
        assert_eq!(serde_json::to_value(&again.trace).unwrap(), decision.trace);
        let facts = decision.facts.to_string();
        assert!(!facts.contains("ada") && !facts.contains('@'), "no personal data: {facts}");
    }
}

#[tokio::test]
async fn c025_every_attempt_has_the_same_message_id() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let stored = setup.message(id).await.internet_message_id;
    assert!(stored.ends_with("@carillon.test"), "{stored}");
    for attempt in 1..=3 {
        let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
        let mail = cleared[0].message();
        assert_eq!((mail.attempt, &mail.internet_message_id), (attempt, &stored));
        setup.start(&[cleared[0].attempt()]).await;
        let outcome = if attempt == 3 { HandOver::Accepted } else { later() };
        setup.settle(&claimed[0], cleared[0].attempt(), outcome).await;
        setup.world.advance(TimeDelta::hours(2));
    }
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

#[tokio::test]
async fn a_stale_message_expires() {
    let setup = Setup::new().await;
    let mut code = setup.receipt("otp", ADA);
    code.expires_at = Some(setup.ports().now() + TimeDelta::minutes(10));
    let id = setup.send(&[code]).await[0];
    setup.world.advance(TimeDelta::minutes(10));
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await, (MessageStatus::Expired, "expired".to_owned()));
}

/// Queues a message, changes something, and tells what the gate says then.
async fn after(change: impl AsyncFn(&Setup, ContactId)) -> (MessageStatus, String) {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    change(&setup, ada).await;
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    setup.state(id).await
}

#[tokio::test]
async fn what_changes_after_the_intent_counts() {
    let sql = |text: &'static str| {
        async move |setup: &Setup, _: ContactId| {
            assert_eq!(setup.world.execute(text).await, 1);
        }
    };
    let refused = |reason: &str| (MessageStatus::Refused, reason.to_owned());
    assert_eq!(after(sql("UPDATE contacts SET state = 'archived'")).await, refused("contact_archived"));
    assert_eq!(after(sql("UPDATE contacts SET state = 'deleted', email = NULL")).await, refused("contact_gone"));
    assert_eq!(after(sql("UPDATE contacts SET email = 'other@example.org'")).await, refused("address_changed"));
}

/// Its mail is not due, and what a worker had taken before is held at the gate; it goes when the tenant does.
#[tokio::test]
async fn the_mail_of_a_suspended_tenant_waits() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let due = async || dispatch::due_messages(setup.ports(), Lane::Bulk).await.unwrap().len();
    assert_eq!(due().await, 1);
    let suspend = async |since: &str| {
        let sql = format!("UPDATE tenants SET suspended_at = {since} WHERE name = 'Confiserie'");
        assert_eq!(setup.world.execute(&sql).await, 1);
    };
    suspend("created_at").await;
    assert_eq!(due().await, 0);
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await, (MessageStatus::Queued, "tenant_suspended".to_owned()));
    setup.world.advance(TimeDelta::hours(1));
    assert_eq!(due().await, 0);
    suspend("NULL").await;
    assert_eq!(due().await, 1);
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 1);
    assert_eq!(setup.attempts(id).await[0].number, 1, "nothing was tried meanwhile");
}

#[tokio::test]
async fn a_contact_that_changes_between_claim_and_gate_is_seen() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let claimed = setup.claim(Lane::Bulk).await;
    setup.world.execute("UPDATE contacts SET email = 'other@example.org'").await;
    assert!(setup.clear(&claimed).await.is_empty());
    assert_eq!(setup.state(id).await, (MessageStatus::Refused, "address_changed".to_owned()));
}

#[tokio::test]
async fn c002_mail_of_an_unverified_sender_waits() {
    let setup = Setup::unverified().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    for _ in 0..3 {
        assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
        let held = setup.message(id).await;
        assert_eq!((held.status, held.reason.as_deref()), (MessageStatus::Queued, Some("sender_unverified")));
        assert_eq!(held.attempts, 0, "nothing was tried on anybody");
        setup.world.advance(TimeDelta::minutes(16));
    }
    messaging::verify_sender_by_operator(&setup.verifies(), setup.ports(), setup.sender).await.unwrap();
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 1);
    assert_eq!(setup.message(id).await.reason, None, "why it waited is over");
    assert_eq!(setup.decisions(id).await.len(), 4);
    assert_eq!(setup.attempts(id).await[0].number, 1);
}

#[tokio::test]
async fn c162_tests_go_to_the_tenants_own_verified_users() {
    let setup = Setup::new().await;
    let grant = setup.world.grant::<SendMessages>(setup.tenant);
    let own = async |address: &str| messaging::own_user(&grant, setup.ports(), email(address)).await;
    let refused = async |address: &str| matches!(own(address).await, Err(Error::Refused(list)) if list[0].code == "NOT_AN_OWN_USER");
    for (address, verified) in [("ann@confiserie.test", true), ("bob@confiserie.test", false)] {
        let user = user(&setup.world, address, verified).await;
        assert!(refused(address).await, "not a member yet");
        join(&setup, user).await;
    }
    assert!(refused("bob@confiserie.test").await, "not verified");
    assert!(refused("stranger@example.org").await);
    assert!(refused("admin@confiserie.test").await, "verified, and no member");

    let to = own("ann@confiserie.test").await.unwrap();
    let variables = serde_json::Map::new();
    let test = SendTest { template_version: setup.marketing, sender: setup.sender, to, locale: None, variables };
    let mut tx = grant.begin().await.unwrap();
    let sent = messaging::send_test(&grant, &mut tx, setup.ports(), test).await.unwrap();
    tx.commit().await.unwrap();
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    assert_eq!(cleared[0].message().to.as_sent(), "ann@confiserie.test");
    assert!(cleared[0].message().list.is_some(), "a test shows the way out as well");
    setup.start(&[cleared[0].attempt()]).await;
    setup.settle(&claimed[0], cleared[0].attempt(), HandOver::Accepted).await;
    let message = setup.message(sent.message).await;
    assert!(message.is_test && message.status == MessageStatus::Sent);
    assert_eq!(setup.decisions(sent.message).await.len(), 1, "with a decision like all mail");
}

pub async fn join(setup: &Setup, user: carillon_entities::ids::UserId) {
    let mut tx = setup.world.wall().begin_identity(TxMode::Write).await.unwrap();
    let row = memberships::ActiveModel {
        id: Set(setup.ports().new_id::<MembershipId>()),
        user_id: Set(user),
        scope_kind: Set("tenant".to_owned()),
        scope_id: Set(setup.tenant.0),
        role: Set("marketer".to_owned()),
        created_at: Set(setup.ports().now()),
    };
    tx.insert(row).await.unwrap();
    tx.commit().await.unwrap();
}

/// Neither is about a topic: whoever has the address now, or forbade its use, gets no service messages either.
#[tokio::test]
async fn c112_a_barred_person_gets_no_service_messages() {
    let setup = Setup::new().await;
    for (bar, reason) in [(ConsentAction::Restrict, "restricted"), (ConsentAction::Reassign, "reassigned")] {
        let address = format!("{reason}@example.org");
        setup.say(&address, bar, SourceKind::Agent).await;
        let refused = setup.send(&[setup.receipt(reason, &address)]).await[0];
        assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 0);
        assert_eq!(setup.state(refused).await, (MessageStatus::Refused, reason.to_owned()));
        // The person's own newer act lifts it.
        setup.world.advance(TimeDelta::seconds(1));
        setup.opt_in(&address).await;
        setup.send(&[setup.receipt(&format!("{reason}-no-more"), &address)]).await;
        assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 1);
    }
}

/// On Postgres alone: there a trigger can fail the COMMIT itself.
#[tokio::test]
async fn c161_a_gate_whose_commit_failed_gives_no_permit() {
    let setup = Setup::new().await;
    if !setup.world.wall().is_postgres() {
        return;
    }
    setup.send(&[setup.receipt("k", ADA)]).await;
    let claimed = setup.claim(Lane::Transactional).await;
    setup.world.refuse_commits_of("attempts").await;
    assert!(setup.try_clear(&claimed).await.is_err());
    assert_eq!((setup.count("attempts").await, setup.count("gate_decisions").await), (0, 0));
    setup.world.allow_commits_of("attempts").await;
    let cleared = setup.clear(&claimed).await;
    setup.start(&[cleared[0].attempt()]).await;
    setup.settle(&claimed[0], cleared[0].attempt(), HandOver::Accepted).await;
}

/// Queues a test to one of the tenant's own users, changes something about them, and tells what the gate says then.
async fn test_after(change: &str) -> (MessageStatus, String) {
    let setup = Setup::new().await;
    let grant = setup.world.grant::<SendMessages>(setup.tenant);
    let user = user(&setup.world, "ann@confiserie.test", true).await;
    join(&setup, user).await;
    let to = messaging::own_user(&grant, setup.ports(), email("ann@confiserie.test")).await.unwrap();
    let variables = serde_json::Map::new();
    let test = SendTest { template_version: setup.marketing, sender: setup.sender, to, locale: None, variables };
    let mut tx = grant.begin().await.unwrap();
    let sent = messaging::send_test(&grant, &mut tx, setup.ports(), test).await.unwrap();
    tx.commit().await.unwrap();
    assert!(setup.world.execute(change).await > 0);
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    setup.state(sent.message).await
}

#[tokio::test]
async fn c162_a_test_is_refused_once_its_recipient_is_no_own_verified_user() {
    for change in [
        "DELETE FROM memberships",
        "UPDATE users SET disabled_at = created_at WHERE email = 'ann@confiserie.test'",
        "UPDATE users SET email_verified_at = NULL WHERE email = 'ann@confiserie.test'",
    ] {
        let refused = (MessageStatus::Refused, "test_recipient_foreign".to_owned());
        assert_eq!(test_after(change).await, refused, "{change}");
    }
}
