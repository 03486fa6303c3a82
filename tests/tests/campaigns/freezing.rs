//! Writing an audience down: once each, whatever happens, in the same statements for three as for three hundred.

use std::future::poll_fn;
use std::task::Poll;

use carillon_domain::campaigns::{Audience, CampaignDraft, run_due};
use carillon_domain::contacts::{Tag, TagContacts, tag_contacts};
use carillon_domain::ids::ContactId;
use carillon_domain::segments::{Condition, TopicTest};
use carillon_domain::tenancy::WriteContacts;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::setup::Stand;

const RECIPIENTS: &str = "SELECT COUNT(*) AS amount FROM campaign_recipients";

/// Runs a future for so many polls and drops it then, unless it is over.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

async fn kill_and_resume((batch, people): (u32, usize), kills: Vec<usize>) {
    let stand = Stand::in_batches_of(batch).await;
    stand.people(people).await;
    let id = stand.started(stand.to_all("All")).await;
    stand.visit().await;
    for polls in kills {
        drop_after(polls, run_due(&stand.engine(), stand.ports())).await;
        // The dropped transaction's lock goes when its rollback arrives.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let all = i64::try_from(people).unwrap();
    for _ in 0..500 {
        stand.visit().await;
        if stand.campaign(id).await.frozen_at.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let campaign = stand.campaign(id).await;
    assert_eq!((campaign.recipients, stand.number(RECIPIENTS).await), (Some(all), all));
    stand.finish().await;
    assert_eq!(stand.told(id).await, format!("sent {all}"));
    assert_eq!((stand.catcher.totals().stored, stand.state(id).await), (u64::try_from(people).unwrap(), "completed"));
}

#[tokio::test]
async fn c166_a_freeze_that_is_killed_anywhere_misses_nobody() {
    kill_and_resume((1, 40), (1..=60).collect()).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// Killed again and again, while it is written down and while it is released: nobody twice, nobody missing.
    #[test]
    fn c164_a_campaign_that_is_killed_goes_to_everybody_once(kills in prop::collection::vec(1..80_usize, 0..10)) {
        tokio::runtime::Runtime::new().unwrap().block_on(kill_and_resume((4, 11), kills));
    }
}

#[tokio::test]
async fn l5_three_hundred_cost_as_many_statements_as_three() {
    let mut costs = Vec::new();
    for people in [3, 300] {
        let stand = Stand::new().await;
        stand.people(people).await;
        stand.started(stand.to_all("All")).await;
        let work = async {
            // It begins, is written down, and is released.
            for _ in 0..3 {
                stand.visit().await;
            }
        };
        costs.push(stand.statements_of(work).await.1);
        let queued = "SELECT COUNT(*) AS amount FROM messages WHERE state = 'queued'";
        assert_eq!(stand.number(queued).await, i64::try_from(people).unwrap());
        stand.leave_unsettled();
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[1] < 60, "{} statements", costs[1]);
}

async fn tagged(stand: &Stand, contacts: &[ContactId], tag: &str) {
    let grant = stand.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let command = TagContacts { contacts: contacts.to_vec(), add: vec![Tag::parse(tag).unwrap()], remove: Vec::new() };
    tag_contacts(&grant, &mut tx, stand.ports(), command).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_audience_is_a_condition_on_lists_without_those_excluded() {
    let stand = Stand::in_batches_of(2).await;
    let people = stand.people(6).await;
    tagged(&stand, &people[..4], "vip").await;
    let (of, but) = (stand.list("Of", &people[1..6]).await, stand.list("But", &people[2..3]).await);
    let vip = || Some(Condition::Tag { tag: "vip".to_owned() });
    let table = [
        ("condition", Audience { condition: vip(), ..Audience::default() }, vec![0, 1, 2, 3]),
        ("lists", Audience { lists: vec![of], ..Audience::default() }, vec![1, 2, 3, 4, 5]),
        ("both", Audience { condition: vip(), lists: vec![of], ..Audience::default() }, vec![1, 2, 3]),
        ("but", Audience { condition: vip(), lists: vec![of], excluded: vec![but] }, vec![1, 3]),
    ];
    for (name, audience, wanted) in table {
        let draft = stand.draft(CampaignDraft { audience, ..stand.to_all(name) }).await;
        let started = stand.try_start(&draft.unwrap()).await.unwrap();
        assert_eq!(started.audience, Some(i64::try_from(wanted.len()).unwrap()), "{name}");
        let id = started.campaign.id;
        stand.until_state(id, "running").await;
        let mut got = Vec::new();
        for (place, contact) in people.iter().enumerate() {
            if stand.answer(id, *contact).await.is_some() {
                got.push(place);
            }
        }
        assert_eq!(got, wanted, "{name}");
        stand.finish().await;
    }
}

/// Where hardly anybody is meant, one look still does not read everybody.
#[tokio::test]
async fn l5_a_look_walks_past_so_many_and_no_more() {
    let stand = Stand::in_batches_of(2).await;
    let people = stand.people(45).await;
    tagged(&stand, &people[20..21], "vip").await;
    let condition = Some(Condition::Tag { tag: "vip".to_owned() });
    let audience = Audience { condition, ..Audience::default() };
    let id = stand.started(CampaignDraft { audience, ..stand.to_all("Few") }).await;
    stand.visit().await;
    stand.visit().await;
    assert_eq!(stand.state(id).await, "freezing", "it has walked past forty");
    stand.visit().await;
    assert_eq!((stand.state(id).await, stand.campaign(id).await.recipients), ("running", Some(1)));
    stand.finish().await;
    assert_eq!(stand.told(id).await, "sent 1");
}

/// Who is subscribed hangs on keyed hashes: the evaluator decides, for whole batches.
#[tokio::test]
async fn an_audience_may_ask_about_consent() {
    let stand = Stand::in_batches_of(2).await;
    let people = stand.people(5).await;
    let topic = stand.topic.topic;
    let subscribed = Some(Condition::Topic { topic, test: TopicTest::Subscribed });
    stand.execute("DELETE FROM consent_states").await;
    let late = stand.person("late@example.org").await;
    let audience = Audience { condition: subscribed, ..Audience::default() };
    let draft = CampaignDraft { audience, ..stand.to_all("Subscribed") };
    let draft = stand.draft(draft).await.unwrap();
    let started = stand.try_start(&draft).await.unwrap();
    assert_eq!(started.audience, Some(1));
    stand.until_state(started.campaign.id, "running").await;
    assert!(stand.answer(started.campaign.id, late).await.is_some());
    assert!(stand.answer(started.campaign.id, people[0]).await.is_none());
    stand.finish().await;
}

/// Whoever comes later is not looked at, however long it takes.
#[tokio::test]
async fn an_audience_is_as_of_the_instant_at_which_it_began_to_be_written_down() {
    let stand = Stand::in_batches_of(1).await;
    stand.people(3).await;
    let id = stand.started(stand.to_all("All")).await;
    stand.visit().await;
    stand.visit().await;
    stand.advance(TimeDelta::seconds(1));
    let late = stand.person("late@example.org").await;
    stand.until_state(id, "running").await;
    assert_eq!(stand.campaign(id).await.recipients, Some(3));
    assert!(stand.answer(id, late).await.is_none());
    stand.finish().await;
}

/// Its row cannot be read: it is looked at again later, and the others meanwhile.
#[tokio::test]
async fn c176_a_campaign_that_cannot_go_on_keeps_no_other_waiting() {
    let stand = Stand::new().await;
    stand.people(1).await;
    let broken = stand.started(stand.to_all("Broken")).await;
    stand.advance(TimeDelta::seconds(1));
    let sound = stand.started(stand.to_all("Sound")).await;
    stand.execute("UPDATE campaigns SET schedule = '{\"kind\": \"never\"}' WHERE name = 'Broken'").await;
    assert!(run_due(&stand.engine(), stand.ports()).await.is_err(), "it is told to the operator");
    stand.until_state(sound, "running").await;
    stand.execute("UPDATE campaigns SET schedule = '{\"kind\": \"now\"}' WHERE name = 'Broken'").await;
    stand.finish().await;
    stand.finish().await;
    assert_eq!((stand.told(sound).await.as_str(), stand.told(broken).await.as_str()), ("sent 1", "sent 1"));
    assert_eq!(stand.state(broken).await, "completed");
}
