use std::sync::Arc;
use std::time::Duration;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use carillon_domain::time::Timestamp;
use carillon_jobs::queue::{Backend, QueueDown, QueueName, RedisQueue, Slots, Task, Ticket, TicketHandler, supervise};
use redis::AsyncCommands;
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

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_over_thousands_of_tickets() {
    let Some(server) = Server::start().await else { return };
    let backend = backend(&server.url(), None);
    let (handler, _begun, mut done) = gated(10_000);
    let stop = CancellationToken::new();
    let worker = supervise(&backend, Slots::new(QUEUE, 8, handler, Arc::new(SystemEntropy), stop.clone()));
    // Buffers of connections grow with the first ones.
    for number in 5_001..=6_000 {
        push(&backend, number).await;
    }
    for _ in 5_001..=6_000 {
        next(&mut done).await;
    }
    let mut connection = server.connection().await;
    let before = used_memory(&mut connection).await;
    for number in 1..=5_000 {
        push(&backend, number).await;
    }
    for _ in 1..=5_000 {
        next(&mut done).await;
    }
    let keys = eventually("finished tickets are cleared", async || {
        let keys: Vec<String> = connection.keys("*").await.unwrap();
        (!keys.iter().any(|key| key.contains(":meta:") || key.contains(":data") || key.contains(":done")))
            .then_some(keys)
    })
    .await;
    assert!(keys.len() <= 6, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("{carillon:bulk}:") || key.starts_with("core:apalis:")), "{keys:?}");
    let grown = used_memory(&mut connection).await.saturating_sub(before);
    assert!(grown < 512 * 1024, "{grown} octets more than before");
    stop.cancel();
    worker.await.unwrap();
}

async fn used_memory(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query_async(connection).await.unwrap();
    info.get("used_memory").unwrap()
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
