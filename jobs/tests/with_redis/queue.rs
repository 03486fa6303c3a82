use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use carillon_domain::time::Timestamp;
use carillon_jobs::queue::{Backend, QueueDown, QueueName, RedisQueue, Slots, Task, Ticket, TicketHandler, supervise};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::server::Server;
use super::{eventually, prefix, redis_url};

const QUEUE: QueueName = QueueName::Bulk;

/// Each of another tenant.
fn ticket(number: u128) -> Ticket {
    let id = Uuid::from_u128(number);
    let task = Task::DeliverMessagesV1 { lane: Lane::Bulk, n: 100 };
    Ticket { id, tenant: TenantId(id), pushed_at: Timestamp::UNIX_EPOCH, trace: None, task }
}

/// Tells what it begins and ends; goes on when it is let.
struct Gated {
    gate: Semaphore,
    began: mpsc::UnboundedSender<u128>,
    ended: mpsc::UnboundedSender<u128>,
}

#[async_trait::async_trait]
impl TicketHandler for Gated {
    async fn handle(&self, ticket: Ticket) -> bool {
        let _ = self.began.send(ticket.id.as_u128());
        self.gate.acquire().await.unwrap().forget();
        let _ = self.ended.send(ticket.id.as_u128());
        true
    }

    fn done(&self, _: Ticket, _: bool) {}
}

type Told = mpsc::UnboundedReceiver<u128>;

fn gated(free: usize) -> (Arc<Gated>, Told, Told) {
    let (began, starts) = mpsc::unbounded_channel();
    let (ended, done) = mpsc::unbounded_channel();
    (Arc::new(Gated { gate: Semaphore::new(free), began, ended }), starts, done)
}

fn backend(url: &str, prefix: Option<&str>) -> Backend {
    Backend::Redis(RedisQueue::new(url, prefix).unwrap())
}

async fn push(backend: &Backend, number: u128) {
    eventually("the queue takes a ticket", async || backend.push(QUEUE, ticket(number)).await.ok()).await;
}

async fn next(told: &mut Told) -> u128 {
    tokio::time::timeout(Duration::from_mins(1), told.recv()).await.expect("a ticket is handled").unwrap()
}

async fn wait_for(told: &mut Told, number: u128) {
    while next(told).await != number {}
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_pass_between_processes_and_stop_drains() {
    let Some(url) = redis_url() else { return };
    let prefix = prefix();
    let dispatcher = backend(&url, Some(&prefix));
    let (handler, mut begun, mut done) = gated(0);
    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let process = backend(&url, Some(&prefix));
            supervise(&process, Slots::new(QUEUE, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()))
        })
        .collect();
    for number in 1..=8 {
        push(&dispatcher, number).await;
    }
    for _ in 0..4 {
        next(&mut begun).await;
    }
    stop.cancel();
    handler.gate.add_permits(8);
    for worker in workers {
        tokio::time::timeout(Duration::from_secs(20), worker).await.expect("workers drain").unwrap();
    }
    let mut ended = 0;
    while done.try_recv().is_ok() {
        ended += 1;
    }
    assert_eq!(ended, 4, "four slots ran, and nothing was begun after the stop");
}

/// Tickets of a span. Each that left anything behind, be it its id in a set of Redis (72 octets), would be seen in it.
const SPAN: u128 = 4_000;
/// Buffers of connections, and tables that have yet to shrink: 32 octets a ticket.
const NOISE: u64 = 128 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_over_thousands_of_tickets() {
    let Some(server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    let (handler, _begun, mut done) = gated(10_000);
    let stop = CancellationToken::new();
    let worker = supervise(&backend, Slots::new(QUEUE, 8, handler, Arc::new(SystemEntropy), stop.clone()));
    let mut connection = server.connection().await;
    // What grows once grows in the first span: scripts are loaded, buffers and tables become as large as a span needs.
    span(&backend, 1..=SPAN, &mut done, &mut connection).await;
    let before = lowest_memory(&mut connection).await;
    span(&backend, SPAN + 1..=2 * SPAN, &mut done, &mut connection).await;
    // Redis frees what is unlinked a little later, and shrinks its tables a little at a time; what leaks stays.
    let flat = async || memory(&mut connection).await.filter(|used| *used < before + NOISE);
    eventually("the memory of finished tickets is given back", flat).await;
    stop.cancel();
    worker.await.unwrap();
}

/// Pushes tickets and waits until they are done and nothing but the queue itself is left of them.
async fn span(
    backend: &Backend,
    numbers: RangeInclusive<u128>,
    done: &mut Told,
    connection: &mut MultiplexedConnection,
) {
    for number in numbers.clone() {
        push(backend, number).await;
    }
    for _ in numbers {
        next(done).await;
    }
    let keys = eventually("finished tickets are cleared", async || left_keys(connection).await).await;
    assert!(keys.len() <= 6, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("{carillon:bulk}:") || key.starts_with("core:apalis:")), "{keys:?}");
}

/// The keys there are, once none of them is of a finished ticket.
async fn left_keys(connection: &mut MultiplexedConnection) -> Option<Vec<String>> {
    let keys: Vec<String> = connection.keys("*").await.unwrap();
    let is_of_ticket = |key: &String| [":meta:", ":data", ":done"].iter().any(|part| key.contains(part));
    (!keys.iter().any(is_of_ticket)).then_some(keys)
}

/// The memory in use, once nothing waits to be freed.
async fn memory(connection: &mut MultiplexedConnection) -> Option<u64> {
    let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query_async(connection).await.unwrap();
    let waiting: u64 = info.get("lazyfree_pending_objects").unwrap();
    (waiting == 0).then(|| info.get("used_memory").unwrap())
}

/// The least of what is in use in the next two seconds: a floor that is too high would hide growth.
async fn lowest_memory(connection: &mut MultiplexedConnection) -> u64 {
    let mut lowest = u64::MAX;
    for _ in 0..20 {
        lowest = lowest.min(eventually("freed", async || memory(connection).await).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lowest
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_redis_was_killed_and_after_it_was_flushed() {
    let Some(mut server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    let (handler, mut begun, mut done) = gated(0);
    let stop = CancellationToken::new();
    let worker =
        supervise(&backend, Slots::new(QUEUE, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()));
    push(&backend, 1).await;
    wait_for(&mut begun, 1).await;

    server.kill();
    let refused = tokio::time::timeout(Duration::from_secs(4), backend.push(QUEUE, ticket(2))).await;
    assert_eq!(refused.expect("a push without Redis fails soon"), Err(QueueDown::Unreachable));
    server.restart().await;
    push(&backend, 3).await;
    wait_for(&mut begun, 3).await;
    // Another worker took that one; the handler the first had begun ran on all the while.
    handler.gate.add_permits(100);
    let mut ended = [next(&mut done).await, next(&mut done).await];
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);

    let mut connection = server.connection().await;
    let () = connection.flushall().await.unwrap();
    push(&backend, 4).await;
    // A ticket pushed while the worker finds out that it was forgotten may be taken by nobody until it is back.
    wait_for(&mut done, 4).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), worker).await.expect("the worker drains").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_redis_ends_soon() {
    let Some(mut server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    let (handler, mut begun, mut done) = gated(0);
    let stop = CancellationToken::new();
    let worker =
        supervise(&backend, Slots::new(QUEUE, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()));
    push(&backend, 1).await;
    wait_for(&mut begun, 1).await;
    server.kill();
    stop.cancel();
    handler.gate.add_permits(1);
    wait_for(&mut done, 1).await;
    tokio::time::timeout(Duration::from_secs(20), worker).await.expect("the worker ends").unwrap();
}

/// More due at once than apalis-redis can promote stops its workers for good; so does an id without data.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_read_heals() {
    let Some(server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    let mut connection = server.connection().await;
    let flood: Vec<(i64, String)> = (0..9_000).map(|number| (1, format!("flood-{number}"))).collect();
    let () = connection.zadd_multiple("{carillon:bulk}:scheduled", &flood).await.unwrap();
    assert_eq!(backend.push(QUEUE, ticket(1)).await, Err(QueueDown::Full));
    let (handler, _begun, mut done) = gated(10);
    let stop = CancellationToken::new();
    let worker = supervise(&backend, Slots::new(QUEUE, 2, handler, Arc::new(SystemEntropy), stop.clone()));
    push(&backend, 2).await;
    wait_for(&mut done, 2).await;
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_a_newer_version_is_left_alone() {
    let Some(server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    push(&backend, 1).await;
    let mut connection = server.connection().await;
    let ids: Vec<String> = connection.hkeys("{carillon:bulk}:data").await.unwrap();
    let () = connection.hset("{carillon:bulk}:data", &ids[0], r#"{"v":"DeliverMessagesV9"}"#).await.unwrap();
    let (handler, _begun, mut done) = gated(10);
    let stop = CancellationToken::new();
    let worker = supervise(&backend, Slots::new(QUEUE, 1, handler, Arc::new(SystemEntropy), stop.clone()));
    push(&backend, 2).await;
    assert_eq!(next(&mut done).await, 2);
    stop.cancel();
    worker.await.unwrap();
}
