//! Tickets are permission to claim, never a claim (L4): lost, late and doubled ones cost time and claim nothing twice; and
//! one process at a time hands them out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carillon_domain::dispatch;
use carillon_entities::ids::ContactId;
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::queue::{Backend, MemoryQueue, Ticket, TicketHandler as _};
use carillon_tests::post::Post;
use chrono::TimeDelta;
use proptest::prelude::*;

const PEOPLE: usize = 12;

/// What becomes of one ticket.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// 0 is lost, 2 is doubled.
    times: usize,
    n: u32,
    late: bool,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(
        (0usize..3, 1u32..8, any::<bool>()).prop_map(|(times, n, late)| Fate { times, n, late }),
        1..8,
    )
}

async fn queue(post: &Post, people: &[ContactId], round: usize) {
    let intents: Vec<_> =
        people.iter().enumerate().map(|(n, contact)| post.intent(&format!("{round}-{n}"), *contact)).collect();
    post.send(&intents).await;
}

/// Claims so far, without those that a worker gave back by itself before it handed anything over.
async fn claims(post: &Post) -> i64 {
    let claimed = "SELECT CAST(COALESCE(SUM(fence), 0) AS BIGINT) AS amount FROM messages";
    let given_back = "SELECT COUNT(*) AS amount FROM attempts WHERE state IN ('lapsed', 'not_handed_over')";
    post.number(claimed).await - post.number(given_back).await
}

/// One world for all cases: what a case left behind is done before the next begins.
#[test]
fn whatever_happens_to_tickets_every_message_is_claimed_once_and_sent_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (post, people) = runtime.block_on(async {
        let post = Arc::new(Post::new().await);
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            people.push(post.person(&format!("p{number}@example.org")).await);
        }
        (post, people)
    });
    let round = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let done = runner.run(&fates(), |fates| {
        round.set(round.get() + 1);
        runtime.block_on(async {
            queue(&post, &people, round.get()).await;
            let (claimed, stored) = (claims(&post).await, post.catcher.totals().stored);
            hand_out(&post, &fates).await;
            let most: u32 = fates.iter().map(|fate| fate.n * u32::try_from(fate.times).unwrap()).sum();
            let went = post.catcher.totals().stored - stored;
            prop_assert!(went <= u64::from(most), "{went} went with permission for {most}");
            post.drain().await;
            prop_assert_eq!(post.catcher.totals().stored - stored, PEOPLE as u64);
            let claimed = claims(&post).await - claimed;
            prop_assert_eq!(claimed, i64::try_from(PEOPLE).unwrap(), "claims that sent nothing");
            prop_assert_eq!(post.catcher.totals().repeated, 0);
            Ok(())
        })
    });
    runtime.block_on(async move { drop(post) });
    done.unwrap();
}

/// All at once over two workers, and the late ones when nothing may be left to claim.
async fn hand_out(post: &Post, fates: &[Fate]) {
    let workers = [post.worker("one").await, post.worker("two").await];
    for late in [false, true] {
        let tickets = fates.iter().filter(|fate| fate.late == late);
        let tickets = tickets.flat_map(|fate| std::iter::repeat_n(post.ticket(fate.n), fate.times));
        let handled = tickets.zip(workers.iter().cycle()).map(|(ticket, worker)| {
            let worker = Arc::clone(worker);
            tokio::spawn(async move { worker.handle(ticket).await })
        });
        for task in handled.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}

/// Its dispatcher has handed out another: with those that waited behind a slow relay, one tenant would get as many turns.
#[tokio::test]
async fn c174_a_ticket_that_counts_as_lost_claims_nothing() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.send(&[post.intent("hello", contact)]).await;
    let (worker, ticket) = (post.worker("one").await, post.ticket(480));
    post.advance(Ticket::LOST_AFTER);
    worker.handle(ticket).await;
    assert_eq!(claims(&post).await, 0);
    let almost = post.ticket(480);
    post.advance(Ticket::LOST_AFTER - TimeDelta::microseconds(1));
    worker.handle(almost).await;
    assert_eq!(claims(&post).await, 1);
}

#[tokio::test]
async fn one_dispatcher_is_elected_and_another_when_it_goes_or_dies() {
    let post = Post::new().await;
    let elect = async |holder| dispatch::elect(post.ports(), "bulk", holder).await.unwrap();
    assert!(elect("one").await);
    assert!(!elect("two").await && elect("one").await, "two at a time");
    assert!(dispatch::elect(post.ports(), "imports", "two").await.unwrap(), "each lane has its own");
    dispatch::step_down(post.ports(), "bulk", "two").await.unwrap();
    assert!(!elect("two").await, "only the holder steps down");
    dispatch::step_down(post.ports(), "bulk", "one").await.unwrap();
    assert!(elect("two").await && !elect("one").await);
    post.advance(dispatch::ELECTION);
    assert!(!elect("one").await, "the last moment is still its own");
    post.advance(TimeDelta::milliseconds(1));
    assert!(elect("one").await, "nobody renewed it");
    assert!(!elect("two").await);
}

/// Each with a queue of its own, as without Redis: who works is who hands out tickets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_processes_hands_out_tickets_and_the_other_goes_on_alone() {
    const WHO: &str = "SELECT DISTINCT worker AS line FROM attempts";
    let post = Post::new().await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(post.person(&format!("p{number}@example.org")).await);
    }
    let mut engines = HashMap::new();
    for name in ["one", "two"] {
        engines.insert(name.to_owned(), engine(&post, name, &Backend::Memory(MemoryQueue::new())).await);
    }
    for round in 0..3 {
        queue(&post, &people, round).await;
        post.catcher.stored_at_least((round + 1) as u64 * PEOPLE as u64).await;
    }
    let elected = post.lines(WHO).await;
    let [elected] = &elected[..] else { panic!("tickets of {elected:?}") };
    engines.remove(elected).unwrap().stop(Duration::from_secs(20)).await;
    queue(&post, &people, 3).await;
    post.catcher.stored_at_least(4 * PEOPLE as u64).await;
    for other in engines.into_values() {
        other.stop(Duration::from_secs(20)).await;
    }
    assert_eq!(post.lines(WHO).await.len(), 2);
    all_sent_once(&post).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_over_one_queue_send_everything_once() {
    let post = Post::new().await;
    let backend = Backend::Memory(MemoryQueue::new());
    let engines = [engine(&post, "one", &backend).await, engine(&post, "two", &backend).await];
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(post.person(&format!("p{number}@example.org")).await);
    }
    for round in 0..3 {
        queue(&post, &people, round).await;
    }
    post.catcher.stored_at_least(3 * PEOPLE as u64).await;
    for engine in engines {
        engine.stop(Duration::from_secs(20)).await;
    }
    all_sent_once(&post).await;
}

async fn engine(post: &Post, name: &str, backend: &Backend) -> Engine {
    Engine::start(
        post.worker(name).await,
        backend,
        Workers { messages: 2, imports: 1, workflows: 1, webhooks: 1, campaigns: 1 },
    )
}

async fn all_sent_once(post: &Post) {
    assert_eq!(post.catcher.totals().repeated, 0);
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM messages WHERE state <> 'sent'").await, 0);
}

const STARTED: &str = "SELECT COUNT(*) AS amount FROM attempts WHERE state = 'started'";
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c174_a_slow_relay_of_ones_own_keeps_nobody_else_waiting() {
    let post = Post::new().await;
    let slow = post.beside("Slow").await.with_own_relay(FOR_EVER).await;
    let patient = slow.person("ada@example.org").await;
    // More than one ticket permits to claim, so that there is work for every slot.
    let many: Vec<_> = (0..500).map(|n| slow.receipt(&format!("{n}"), patient)).collect();
    slow.send(&many).await;
    let contact = post.person("ben@example.org").await;
    let engine = engine(&post, "one", &Backend::Memory(MemoryQueue::new())).await;
    post.until(STARTED, 16).await;

    let ten: Vec<_> = (0..10).map(|n| post.receipt(&format!("{n}"), contact)).collect();
    post.send(&ten).await;
    let arrived = tokio::time::timeout(Duration::from_mins(1), post.catcher.stored_at_least(10)).await;
    arrived.expect("they wait for somebody else's relay");
    post.until(STARTED, 16).await;
    assert_eq!(slow.catcher.totals().stored, 0, "its relay was not slow");
    post.leave_unsettled();
    drop(slow);
    engine.stop(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_handed_out_for_the_slots_of_all_processes() {
    let post = Post::new().await;
    let mut tenants = Vec::new();
    for number in 0..6 {
        let slow = post.beside(&format!("Tenant {number}")).await.with_own_relay(FOR_EVER).await;
        let contact = slow.person("ada@example.org").await;
        slow.send(&[slow.receipt("hello", contact)]).await;
        tenants.push(slow);
    }
    let backend = Backend::Memory(MemoryQueue::new());
    let mut engines = Vec::new();
    for name in ["one", "two", "three"] {
        engines.push(engine(&post, name, &backend).await);
    }
    post.until(STARTED, 6).await;
    post.leave_unsettled();
    drop(tenants);
    for engine in engines {
        engine.stop(Duration::from_secs(20)).await;
    }
}
