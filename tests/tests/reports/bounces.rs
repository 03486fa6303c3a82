//! Delivery reports: whom they suppress, what they move, and that they do so once.

use carillon_domain::keys::NoLink;
use carillon_domain::messaging::{self, ReportEnd};
use carillon_domain::tenancy::ReadMessages;
use carillon_jobs::catcher::{Action, Behaviour, Rule, Whom};
use carillon_tests::post::Post;
use chrono::TimeDelta;

use crate::setup::{DOMAIN, address, count, gone, post, receive, report, sent};

const ADA: &str = "ada@reader.example";

#[tokio::test]
async fn c055_a_bounce_days_later_ends_its_message_and_suppresses_its_address() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    assert_eq!(path.len(), 64 + 1 + DOMAIN.len());
    assert!(path.ends_with(&format!("@{DOMAIN}")));
    post.advance(TimeDelta::days(3));
    assert_eq!(receive(&post, &path.to_uppercase(), gone(ADA)).await, ReportEnd::Bounced);
    assert_eq!(post.story(id).await, "bounced recipient_permanent [accepted]");
    assert_eq!(count(&post, "suppressions WHERE reason = 'hard_bounce'").await, 1);
    assert_eq!(count(&post, "consent_events WHERE action <> 'grant'").await, 0, "a bounce is no consent (C-67)");

    let contact = post.message(id).await.contact.unwrap();
    let next = post.send(&[post.receipt("next", contact)]).await[0];
    post.drain().await;
    assert!(post.story(next).await.starts_with("refused"), "{}", post.story(next).await);

    let grant = post.marketer.grant::<ReadMessages>().unwrap();
    let mut tx = grant.begin_read().await.unwrap();
    let events = messaging::events(&grant, &mut tx, [id]).await.unwrap();
    let (_, bounce) = events.iter().find(|(_, event)| event.kind == "bounced").unwrap();
    assert_eq!(bounce.detail["class"], "recipient_permanent");
    assert_eq!(bounce.detail["rule"], "e-1-1");
    assert_eq!(bounce.detail["text"], "5.1.1 <address> User unknown");
    assert!(bounce.detail["rules"].as_i64().unwrap() >= 2);
}

#[tokio::test]
async fn c055_an_address_that_was_not_signed_here_is_none_and_is_counted() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    let (local, domain) = path.split_once('@').unwrap();
    let last = if local.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}@{domain}", &local[..63]);
    for address_text in
        [forged.as_str(), "ada@bounces.carillon.test", &format!("{local}@elsewhere.example"), "nonsense"]
    {
        assert_eq!(address(&post, address_text), Err(NoLink::Unknown), "{address_text}");
    }
    assert_eq!(post.story(id).await, "sent [accepted]");
    assert_eq!(count(&post, "suppressions").await, 0);
    assert!(post.ports().metrics.reports.get((ReportEnd::Forged,)) >= 3);
}

#[tokio::test]
async fn c050_a_bounce_for_another_reason_or_of_somebody_else_suppresses_nobody() {
    let post = post().await;
    let (spam, path) = sent(&post, ADA).await;
    let raw = report("failed", ADA, "5.7.1", "550 5.7.1 It looks like spam");
    assert_eq!(receive(&post, &path, raw).await, ReportEnd::Bounced);
    assert_eq!(post.story(spam).await, "failed policy_or_reputation [accepted]");
    let (forwarded, path) = sent(&post, "bob@reader.example").await;
    assert_eq!(receive(&post, &path, gone("victim@reader.example")).await, ReportEnd::Bounced);
    assert_eq!(post.story(forwarded).await, "failed unknown [accepted]");
    assert_eq!(count(&post, "suppressions").await, 0);
}

#[tokio::test]
async fn c058_late_repeated_and_reordered_reports_end_alike() {
    let post = post().await;
    let reports = || {
        [
            report("delayed", ADA, "4.4.1", "451 4.4.1 later"),
            report("delivered", ADA, "2.0.0", "250 2.0.0 there"),
            gone(ADA),
        ]
    };
    let mut stories = Vec::new();
    for (n, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        let beside = post.beside(&format!("Tenant {n}")).await;
        let (id, path) = sent(&beside, ADA).await;
        for place in order.into_iter().chain(order) {
            receive(&beside, &path, reports()[place].clone()).await;
        }
        stories.push(beside.story(id).await);
        let known = format!(
            "message_events WHERE kind IN ('delayed', 'delivered', 'bounced') AND message_id IN \
             (SELECT m.id FROM messages m WHERE m.tenant_id = message_events.tenant_id AND m.intent_key = 'to:{ADA}')"
        );
        assert_eq!(count(&beside, &known).await, 3 * (i64::try_from(n).unwrap() + 1), "each once");
    }
    assert_eq!(stories, ["bounced recipient_permanent [accepted]"; 3]);
    let counted = |end| post.ports().metrics.reports.get((end,));
    let new = [ReportEnd::Delayed, ReportEnd::Delivered, ReportEnd::Bounced].map(counted);
    assert_eq!((new, counted(ReportEnd::Repeated)), ([3, 3, 3], 9));
}

/// What came of mails that were sent this morning is told while hardly any are sent: it is held against those.
#[tokio::test]
async fn c053_reports_that_come_late_are_held_against_the_mails_of_the_day() {
    // Of a hundred thousand, twenty-one are missing as on any day; of a hundred, the operator is in fault.
    for (handed, suppressed) in [(100_000, 21), (100, 0)] {
        let post = post().await;
        let mut paths = Vec::new();
        for n in 0..21 {
            let email = format!("p{n}@reader.example");
            let (_, path) = sent(&post, &email).await;
            paths.push((email, path));
        }
        post.execute(&format!("UPDATE operator_hours SET handed = {handed}")).await;
        post.advance(TimeDelta::hours(5));
        for (email, path) in &paths {
            assert_eq!(receive(&post, path, gone(email)).await, ReportEnd::Bounced);
        }
        assert_eq!(count(&post, "suppressions WHERE reason = 'hard_bounce'").await, suppressed, "of {handed}");
    }
}

/// A return path is in every mail, so its reader could say the same in other words, again and again.
#[tokio::test]
async fn c053_one_mail_is_one_missing_mailbox_in_whatever_words() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    assert_eq!(receive(&post, &path, gone(ADA)).await, ReportEnd::Bounced);
    for (status, text) in
        [("5.1.3", "Bad syntax"), ("5.1.6", "Moved"), ("5.2.1", "Disabled"), ("5.7.17", "Not the owner")]
    {
        let raw = report("failed", ADA, status, &format!("550 {status} {text}"));
        assert_eq!(receive(&post, &path, raw).await, ReportEnd::Repeated, "{status}");
    }
    assert_eq!(count(&post, "operator_hours WHERE gone = 1").await, 1);
    assert_eq!(count(&post, "endpoints WHERE hard_bounces = 1").await, 1);
    assert_eq!(post.story(id).await, "bounced recipient_permanent [accepted]");
}

#[tokio::test]
async fn c168_a_report_settles_an_outcome_that_the_relay_hid() {
    let post = post().await;
    let contact = post.person(ADA).await;
    let action = Action::Drop { stored: true };
    post.catcher.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: Some(1), action }] });
    let id = post.send(&[post.intent("hidden", contact)]).await[0];
    post.drain().await;
    assert_eq!(post.story(id).await, "unknown OUTCOME_UNKNOWN [unknown]");
    let path = post.mail_to(ADA).envelope_from.clone();
    assert_eq!(receive(&post, &path, report("delayed", ADA, "4.4.1", "451 4.4.1 later")).await, ReportEnd::Delayed);
    assert_eq!(post.story(id).await, "sent [accepted]");
    assert_eq!(receive(&post, &path, gone(ADA)).await, ReportEnd::Bounced);
    assert_eq!(post.story(id).await, "bounced recipient_permanent [accepted]");
}

#[tokio::test]
async fn c057_an_answer_that_nobody_wrote_changes_nothing() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    let away = "From: Ada <ada@reader.example>\r\nSubject: Abwesenheitsnotiz\r\nAuto-Submitted: auto-replied\r\n\r\n\
                Ich bin nicht da. 550 5.1.1 User unknown.\r\n";
    for end in [ReportEnd::AutoReply, ReportEnd::Repeated] {
        assert_eq!(receive(&post, &path, away.into()).await, end);
    }
    assert_eq!(receive(&post, &path, b"Subject: Lovely\r\n\r\nThank you!\r\n".to_vec()).await, ReportEnd::Unrecognised);
    assert_eq!(post.story(id).await, "sent [accepted]");
    assert_eq!(count(&post, "suppressions").await, 0);
    assert_eq!(post.catcher.totals().stored, 1, "nobody is answered");
}

/// A mailbox that is full: its mail is over, and the next is tried all the same.
async fn full(post: &Post, key: &str, contact: carillon_entities::ids::ContactId, email: &str) {
    let id = post.send(&[post.intent(key, contact)]).await[0];
    post.drain().await;
    assert_eq!(post.story(id).await, "sent [accepted]", "{key}");
    let path = post.mail_to(email).envelope_from.clone();
    let raw = report("failed", email, "5.2.2", "552 5.2.2 Over quota");
    assert_eq!(receive(post, &path, raw).await, ReportEnd::Bounced);
}

#[tokio::test]
async fn c052_a_mailbox_is_given_up_after_four_failures_ten_days_apart() {
    let post = post().await;
    let (never, once, often) = ("never@reader.example", "once@reader.example", "often@reader.example");
    let [never_id, once_id, often_id] = [post.person(never).await, post.person(once).await, post.person(often).await];
    for n in 0..10 {
        full(&post, &format!("often-{n}"), often_id, often).await;
    }
    assert_eq!(
        post.number("SELECT CAST(MAX(soft_bounces) AS BIGINT) AS amount FROM endpoints").await,
        1,
        "one in a day counts"
    );
    for day in [0, 4, 8, 12] {
        full(&post, &format!("never-{day}"), never_id, never).await;
        full(&post, &format!("once-{day}"), once_id, once).await;
        if day == 4 {
            post.send(&[post.intent("it-arrives", once_id)]).await;
            post.drain().await;
        }
        post.advance(TimeDelta::days(4));
    }
    assert_eq!(count(&post, "suppressions WHERE reason = 'soft_bounce'").await, 1);
    let [refused, taken] = post.send(&[post.intent("more", never_id), post.intent("more-too", once_id)]).await[..]
    else {
        panic!("two messages");
    };
    post.drain().await;
    assert_eq!(post.story(refused).await, "refused suppressed_soft_bounce []");
    assert_eq!(post.story(taken).await, "sent [accepted]");
}

/// A report may come while the tenant is suspended, and before the keys of a rotation are everywhere.
#[tokio::test]
async fn c055_a_report_is_taken_whatever_has_changed_since() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    post.execute("UPDATE tenants SET suspended_at = created_at").await;
    assert_eq!(receive(&post, &path, gone(ADA)).await, ReportEnd::Bounced);
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM messages WHERE state = 'bounced'").await, 1);
    let mut before = post.ports().clone();
    let entropy = carillon_domain::entropy::SeededEntropy::new(77);
    before.keys =
        std::sync::Arc::new(carillon_domain::keys::Keyring::generate(&entropy).rotated(&entropy).rotated(&entropy));
    let elsewhere = carillon_domain::keys::BounceToken::new(post.tenant, id, 1).encode(&before.keys).unwrap();
    let met = address(&post, &format!("{elsewhere}@{DOMAIN}"));
    assert!(matches!(met, Err(NoLink::OtherKey(_))), "{met:?}: to be sent again");
}
