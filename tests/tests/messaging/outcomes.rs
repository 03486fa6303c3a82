//! What outcomes come to.

use carillon_domain::messaging::reply_class::{Operator, Reply, SmtpStage};
use carillon_domain::messaging::{self, AttemptStatus, HandOver, Lane, MessageStatus, NotHandedOver, Settled};
use chrono::TimeDelta;

use crate::setup::{Setup, settled};

const ADA: &str = "ada@example.org";

fn refused(code: u16, text: &str) -> HandOver {
    HandOver::Refused(Reply {
        stage: SmtpStage::Recipient,
        code,
        enhanced: None,
        text: text.to_owned(),
        operator: None,
    })
}

#[tokio::test]
async fn c050_a_mailbox_that_does_not_exist_gets_no_more_mail() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("first", ada).await;
    assert_eq!(setup.round(Lane::Bulk, &refused(550, "5.1.1 No such mailbox <ada@example.org>")).await, 1);
    assert_eq!(setup.state(id).await, (MessageStatus::Bounced, "recipient_permanent".to_owned()));
    let attempt = setup.attempts(id).await.remove(0);
    assert_eq!((attempt.status, attempt.smtp_code), (AttemptStatus::Rejected, Some(550)));
    assert_eq!(attempt.enhanced_code.as_deref(), Some("5.1.1"));
    assert_eq!(setup.count("suppressions WHERE reason = 'hard_bounce'").await, 1);

    let next = setup.send_news("second", ada).await;
    let receipt = setup.send(&[setup.receipt("r", ADA)]).await[0];
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 0);
    for id in [next, receipt] {
        let (status, reason) = setup.state(id).await;
        assert_eq!(status, MessageStatus::Refused);
        assert!(matches!(reason.as_str(), "hard_bounced" | "suppressed_hard_bounce"), "{reason}");
    }
}

#[tokio::test]
async fn c050_other_refusals_suppress_nobody() {
    let setup = Setup::new().await;
    for (n, (code, text, status)) in [
        (550, "5.7.1 Message looks like spam", MessageStatus::Failed),
        (554, "5.6.0 Bad content", MessageStatus::Failed),
        (452, "4.2.2 Mailbox full", MessageStatus::Queued),
        (421, "4.3.2 Closing", MessageStatus::Queued),
    ]
    .into_iter()
    .enumerate()
    {
        let id = setup.send(&[setup.receipt(&format!("r{n}"), ADA)]).await[0];
        assert_eq!(setup.round(Lane::Transactional, &refused(code, text)).await, 1);
        assert_eq!(setup.state(id).await.0, status, "{text}");
        setup.world.execute("UPDATE messages SET state = 'cancelled' WHERE state = 'queued'").await;
    }
    assert_eq!(setup.count("suppressions").await, 0);
}

/// Thirty of a hundred mailboxes of one operator are missing from one hour to the next.
#[tokio::test]
async fn c053_an_operator_that_forgets_its_people_suppresses_nobody_until_it_is_asked_again() {
    let setup = Setup::new().await;
    hundred(&setup, |n| format!("p{n}@gmail.com"), 30).await;
    assert_eq!(setup.count("messages WHERE state = 'bounced'").await, 30);
    assert_eq!(setup.count("suppressions").await, 0);

    // After the fault the next mail to one of them tells.
    setup.world.advance(TimeDelta::hours(3));
    setup.send(&[setup.receipt("again", "p0@gmail.com")]).await;
    assert_eq!(setup.round(Lane::Transactional, &missing()).await, 1);
    assert_eq!(setup.count("suppressions WHERE reason = 'hard_bounce'").await, 1);
}

/// Companies whose mailboxes an operator runs under domains of theirs: the gate cannot know, so they count by their domains when
/// they are missing, too. By who says so they would be all that this operator was ever asked about.
#[tokio::test]
async fn c053_mailboxes_are_counted_alike_when_they_are_written_to_and_when_they_are_missing() {
    let setup = Setup::new().await;
    for round in 0..3 {
        hundred(&setup, |n| format!("p{n}@firm-{round}.example"), 7).await;
    }
    assert_eq!(setup.count("operator_hours WHERE operator_id = 'other' AND handed = 300 AND gone = 21").await, 1);
    assert_eq!(setup.count("operator_hours").await, 1);
    assert_eq!(setup.count("suppressions WHERE reason = 'hard_bounce'").await, 21);
}

/// Mails to a hundred, of whom the first so many are missing.
async fn hundred(setup: &Setup, address: impl Fn(usize) -> String, gone: usize) {
    let address = |n| (address(n), format!("to:{}", address(n)));
    let intents: Vec<_> = (0..100).map(address).map(|(to, key)| setup.receipt(&key, &to)).collect();
    setup.send(&intents).await;
    let (claimed, cleared) = setup.cleared(Lane::Transactional).await;
    let attempts: Vec<_> = cleared.iter().map(messaging::Cleared::attempt).collect();
    assert_eq!(setup.start(&attempts).await, 100);
    let outcomes = cleared.iter().enumerate().map(|(n, mail)| {
        let message = claimed.iter().find(|message| message.id == mail.attempt().message).unwrap();
        let outcome = if n < gone { missing() } else { HandOver::Accepted };
        Settled { mailbox: mail.message().mailbox(), ..settled(message, mail.attempt(), outcome) }
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    while !outcomes.is_empty() {
        let rest = outcomes.split_off(outcomes.len().min(messaging::GROUP));
        setup.end(std::mem::replace(&mut outcomes, rest)).await;
    }
}

/// As a large operator's servers say it, whatever the mailbox's domain.
fn missing() -> HandOver {
    let (stage, text) = (SmtpStage::Recipient, "5.1.1 No such mailbox - gsmtp".to_owned());
    HandOver::Refused(Reply { stage, code: 550, enhanced: None, operator: Operator::of_text(&text), text })
}

#[tokio::test]
async fn what_never_reached_a_server_is_tried_again() {
    let setup = Setup::new().await;
    let id = setup.send(&[setup.receipt("r", ADA)]).await[0];
    let (claimed, cleared) = setup.cleared(Lane::Transactional).await;
    // The permit ran out before the start: nothing was tried, and it goes straight back to the gate.
    let expired = HandOver::NotHandedOver(NotHandedOver::PermitExpired);
    setup.settle(&claimed[0], cleared[0].attempt(), expired).await;
    assert_eq!(setup.state(id).await.0, MessageStatus::Queued);
    let network = HandOver::NotHandedOver(NotHandedOver::Network("relay_timeout"));
    assert_eq!(setup.round(Lane::Transactional, &network).await, 1);
    setup.world.advance(TimeDelta::hours(1));
    let content = HandOver::NotHandedOver(NotHandedOver::Content("text_part_missing"));
    assert_eq!(setup.round(Lane::Transactional, &content).await, 1);
    assert_eq!(setup.state(id).await.0, MessageStatus::Failed);
    let states: Vec<_> = setup.attempts(id).await.into_iter().map(|attempt| attempt.status).collect();
    assert_eq!(states, [AttemptStatus::Lapsed, AttemptStatus::NotHandedOver, AttemptStatus::NotHandedOver]);
    assert_eq!(setup.count("message_events").await, 3);
}

#[tokio::test]
async fn c061_an_unlucky_message_ends() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let mut rounds = 0;
    while setup.state(id).await.0 == MessageStatus::Queued {
        rounds += setup.round(Lane::Bulk, &refused(451, "4.7.1 later")).await;
        setup.world.advance(TimeDelta::hours(1));
    }
    assert_eq!(setup.state(id).await.0, MessageStatus::Expired);
    assert!((10..40).contains(&rounds), "{rounds} attempts in two days");
}
