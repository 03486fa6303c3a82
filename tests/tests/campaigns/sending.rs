//! What leaves, when, and what is told of those to whom nothing did.

use std::collections::BTreeMap;

use carillon_domain::campaigns::{Audience, CampaignDraft, RecipientOutcome, Schedule};
use carillon_domain::tenancy::WriteContacts;
use carillon_domain::time::Timestamp;
use carillon_tests::access::code;
use chrono::TimeDelta;

use super::setup::Stand;

#[tokio::test]
async fn everybody_gets_it_once_and_the_numbers_add_up() {
    let stand = Stand::new().await;
    let people = stand.people(5).await;
    let id = stand.started(stand.to_all("All")).await;
    assert_eq!(stand.state(id).await, "scheduled");
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 5", "completed"));
    let answer = stand.answer(id, people[0]).await.unwrap();
    assert_eq!((answer.outcome, answer.reason, answer.variant), (RecipientOutcome::Sent, None, Some("one".to_owned())));
    assert!(answer.message.is_some());
    let counts = stand.counts(id).await;
    assert_eq!(Some(counts.all.recipients()), stand.campaign(id).await.recipients);
    assert_eq!(stand.catcher.totals().stored, 5);
}

/// What somebody said between the freeze and the send counts (C-175).
#[tokio::test]
async fn c175_who_leaves_after_the_freeze_gets_nothing_and_is_told_why() {
    let stand = Stand::new().await;
    let people = stand.people(3).await;
    // Somebody who knows the way out from an earlier mail.
    stand.send(&[stand.intent("before", people[1])]).await;
    stand.drain().await;
    let link = stand.one_click(&stand.mail_to("p1@example.org"));
    let id = stand.started(stand.to_all("All")).await;
    stand.until_state(id, "running").await;
    stand.visit().await;
    stand.unsubscribe(&link).await;
    let grant = stand.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    carillon_domain::contacts::archive_contact(&grant, &mut tx, stand.ports(), people[2], 1).await.unwrap();
    tx.commit().await.unwrap();
    stand.finish().await;
    assert_eq!(stand.told(id).await, "sent 1, refused 2");
    let reasons: BTreeMap<String, i64> =
        [("contact_archived".to_owned(), 1), ("suppressed_unsubscribe".to_owned(), 1)].into_iter().collect();
    assert_eq!(stand.counts(id).await.all.refused, reasons);
    let answer = stand.answer(id, people[1]).await.unwrap();
    assert_eq!((answer.outcome, answer.reason.as_deref()), (RecipientOutcome::Refused, Some("suppressed_unsubscribe")));
}

#[tokio::test]
async fn who_has_no_address_is_refused_before_a_message_is_made() {
    let stand = Stand::new().await;
    let people = stand.people(2).await;
    stand.execute("UPDATE contacts SET email = NULL, email_norm = NULL WHERE email_norm = 'p1@example.org'").await;
    let id = stand.started(stand.to_all("All")).await;
    stand.finish().await;
    assert_eq!(stand.told(id).await, "sent 1, refused 1");
    let answer = stand.answer(id, people[1]).await.unwrap();
    assert_eq!((answer.reason.as_deref(), answer.message), (Some("NO_ADDRESS"), None));
}

/// By the manual clock: 120 in an hour are two in a minute.
#[tokio::test]
async fn no_more_leave_in_an_hour_than_may() {
    let stand = Stand::new().await;
    stand.people(12).await;
    let id = stand.started(CampaignDraft { per_hour: Some(120), ..stand.to_all("Slow") }).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        stand.drain().await;
        sent.push(stand.catcher.totals().stored);
        stand.advance(TimeDelta::seconds(30));
    }
    assert_eq!(sent, [1, 2, 3, 4, 5]);
    // Time in which nothing was released is not made up for.
    stand.advance(TimeDelta::hours(1));
    stand.drain().await;
    assert_eq!(stand.catcher.totals().stored, 7, "one that was due since, and one of now");
    stand.cancel(id).await.unwrap();
    stand.finish().await;
    assert_eq!(stand.told(id).await, "sent 7, cancelled 5");
}

/// Ten thousand more that their provider put off until later.
async fn put_off_many(stand: &Stand) {
    let (count, copied) = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)",
        "fingerprint, lane, class, state, channel, address_hmac, hmac_key_id, brand_id, topic_id, sender_id, \
         template_version_id, internet_message_id, attempts, is_test, tracking, campaign_id, send_at, expires_at, fence, \
         created_at",
    );
    let id = if stand.wall().is_postgres() { "gen_random_uuid()" } else { "randomblob(16)" };
    stand
        .execute(&format!(
            "{count} INSERT INTO messages (tenant_id, id, intent_key, due_at, {copied}) \
             SELECT tenant_id, {id}, 'late-' || i, expires_at, {copied} FROM messages, n"
        ))
        .await;
}

/// Who waits for a slow provider keeps nobody else waiting.
#[tokio::test]
async fn what_was_put_off_keeps_no_others_back() {
    let stand = Stand::new().await;
    stand.people(3).await;
    let id = stand.started(CampaignDraft { per_hour: Some(60), ..stand.to_all("All") }).await;
    stand.until_state(id, "running").await;
    stand.visit().await;
    put_off_many(&stand).await;
    stand.advance(TimeDelta::minutes(1));
    stand.visit().await;
    let released = "SELECT COUNT(*) AS amount FROM campaign_recipients WHERE state = 'released'";
    assert_eq!(stand.number(released).await, 2);
    stand.execute("DELETE FROM messages WHERE intent_key LIKE 'late-%'").await;
    stand.finish().await;
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 3", "completed"));
}

/// Those of a batch who are refused leave nobody else with the time of another.
#[tokio::test]
async fn no_two_leave_at_the_time_of_one() {
    let stand = Stand::new().await;
    let people = stand.people(8).await;
    let mut places: Vec<usize> = (0..people.len()).collect();
    places.sort_by_key(|place| people[*place]);
    for place in &places[..3] {
        let sql = "UPDATE contacts SET email = NULL, email_norm = NULL WHERE email_norm";
        stand.execute(&format!("{sql} = 'p{place}@example.org'")).await;
    }
    let id = stand.started(CampaignDraft { per_hour: Some(240), ..stand.to_all("Slow") }).await;
    for _ in 0..12 {
        stand.drain().await;
        stand.advance(TimeDelta::seconds(15));
    }
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 5, refused 3", "completed"));
    let doubles = stand.number("SELECT COUNT(*) - COUNT(DISTINCT send_at) AS amount FROM messages").await;
    assert_eq!(doubles, 0);
}

/// Vienna's clocks skip half past two on 29 March 2026; New York's are six hours behind, and then some.
#[tokio::test]
async fn c178_everybody_gets_it_at_their_own_time_of_day() {
    let stand = Stand::new().await;
    let people = stand.people(3).await;
    stand.execute("UPDATE contacts SET zone = 'America/New_York' WHERE email_norm = 'p1@example.org'").await;
    stand.execute("UPDATE contacts SET zone = 'nowhere' WHERE email_norm = 'p2@example.org'").await;
    let schedule = Schedule::LocalTime { day: "2026-03-29".parse().unwrap(), time: "02:30".to_owned() };
    let id = stand.started(CampaignDraft { schedule, ..stand.to_all("Local") }).await;
    stand.drain().await;
    assert_eq!(stand.state(id).await, "scheduled", "it is not the day");
    let eve: Timestamp = "2026-03-28T20:00:00Z".parse().unwrap();
    stand.advance(eve - stand.ports().now());
    stand.drain().await;
    let at = async |place: usize| stand.answer(id, people[place]).await.unwrap().release_at.to_rfc3339();
    assert_eq!(at(0).await, "2026-03-29T01:30:00+00:00", "the gap moves it to half past three");
    assert_eq!(at(2).await, at(0).await, "who has no zone has the tenant's");
    assert_eq!(at(1).await, "2026-03-29T06:30:00+00:00");
    assert_eq!(stand.told(id).await, "waiting 3");
    stand.advance(TimeDelta::hours(5) + TimeDelta::minutes(30));
    stand.drain().await;
    assert_eq!(stand.told(id).await, "waiting 1, sent 2");
    stand.advance(TimeDelta::hours(5));
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 3", "completed"));
}

#[tokio::test]
async fn what_the_day_has_no_room_for_goes_the_next_day() {
    let stand = Stand::new().await;
    stand.people(5).await;
    stand.execute("UPDATE tenants SET max_messages_per_day = 3").await;
    let id = stand.started(stand.to_all("All")).await;
    stand.drain().await;
    assert_eq!(stand.told(id).await, "waiting 2, sent 3");
    stand.advance(TimeDelta::days(1));
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 5", "completed"));
}

#[tokio::test]
async fn what_stands_against_sending_it_is_said_when_it_is_started() {
    let stand = Stand::new().await;
    let draft = stand.draft(CampaignDraft { audience: Audience::default(), ..stand.to_all("Nobody") }).await.unwrap();
    assert_eq!(code(stand.try_start(&draft).await), "AUDIENCE_EMPTY");
    let reserved = stand.topic.all_marketing.unwrap();
    let draft = stand.draft(CampaignDraft { topic: reserved, ..stand.to_all("Reserved") }).await.unwrap();
    assert_eq!(code(stand.try_start(&draft).await), "TOPIC_RESERVED");
    let draft = stand.draft(stand.to_all("Twice")).await.unwrap();
    stand.try_start(&draft).await.unwrap();
    assert_eq!(code(stand.try_start(&draft).await), "CONFLICT");
    let again = stand.campaign(draft.id).await;
    assert_eq!(code(stand.try_start(&again).await), "CAMPAIGN_STATE");
    assert_eq!(code(stand.draft(stand.to_all("Twice")).await), "TAKEN");
    let slow = CampaignDraft { per_hour: Some(0), ..stand.to_all("Never") };
    assert_eq!(code(stand.draft(slow).await), "RATE_OUT_OF_RANGE");
    stand.finish().await;
}
