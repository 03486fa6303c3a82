//! Workers over the in-memory backend: the same supervision, slots and tickets as over Redis.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use carillon_domain::time::Timestamp;
use carillon_domain::trace::TraceParent;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Backend, MemoryQueue, QueueDown, QueueName, Slots, Task, Ticket, TicketHandler, supervise};

/// Each of another tenant.
fn ticket(number: u128) -> Ticket {
    let id = Uuid::from_u128(number);
    let task = Task::DeliverMessagesV1 { lane: Lane::Bulk, n: 100 };
    Ticket { id, tenant: TenantId(id), pushed_at: Timestamp::UNIX_EPOCH, trace: None, task }
}

/// Tells what it begins and ends, and goes on only when it is let.
struct Gated {
    gate: Semaphore,
    running: AtomicUsize,
    most: AtomicUsize,
    unfit: AtomicBool,
    /// Tickets that found nothing to do.
    left: Mutex<Vec<Uuid>>,
    began: mpsc::UnboundedSender<Uuid>,
    ended: mpsc::UnboundedSender<Uuid>,
}

impl Gated {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Uuid>, mpsc::UnboundedReceiver<Uuid>) {
        let (began, starts) = mpsc::unbounded_channel();
        let (ended, done) = mpsc::unbounded_channel();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        (
            Arc::new(Self {
                gate: Semaphore::new(0),
                running,
                most,
                unfit: AtomicBool::new(false),
                left: Mutex::default(),
                began,
                ended,
            }),
            starts,
            done,
        )
    }
}

#[async_trait::async_trait]
impl TicketHandler for Gated {
    fn is_fit(&self) -> bool {
        !self.unfit.load(Ordering::SeqCst)
    }

    async fn handle(&self, ticket: Ticket) -> bool {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.began.send(ticket.id).unwrap();
        self.gate.acquire().await.unwrap().forget();
        assert!(ticket.id != Uuid::nil(), "the handler of the nil ticket panics");
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.ended.send(ticket.id).unwrap();
        true
    }

    fn done(&self, ticket: Ticket, worked: bool) {
        if !worked {
            self.left.lock().unwrap().push(ticket.id);
        }
    }
}

#[tokio::test]
async fn every_ticket_is_handled_in_no_more_than_its_slots() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, _begun, mut done) = Gated::new();
    handler.gate.add_permits(200);
    let stop = CancellationToken::new();
    let worker = supervise(
        &backend,
        Slots::new(QueueName::Bulk, 4, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    for number in 1..=200 {
        backend.push(QueueName::Bulk, ticket(number)).await.unwrap();
    }
    let mut seen = HashSet::new();
    for _ in 0..200 {
        assert!(seen.insert(done.recv().await.unwrap()));
    }
    assert!((1..=4).contains(&handler.most.load(Ordering::SeqCst)));
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn stop_begins_nothing_and_waits_for_what_runs() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, mut begun, mut done) = Gated::new();
    let stop = CancellationToken::new();
    let mut worker = supervise(
        &backend,
        Slots::new(QueueName::Bulk, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    for number in 1..=5 {
        backend.push(QueueName::Bulk, ticket(number)).await.unwrap();
    }
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    stop.cancel();
    assert!(futures::poll!(&mut worker).is_pending(), "two handlers still run");
    handler.gate.add_permits(5);
    worker.await.unwrap();
    drop(handler);
    let mut ended = 0;
    while done.try_recv().is_ok() {
        ended += 1;
    }
    assert_eq!(ended, 2, "what waited is not begun");
    assert!(begun.try_recv().is_err());
}

#[tokio::test]
async fn a_panicking_handler_costs_only_its_ticket() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, _begun, mut done) = Gated::new();
    handler.gate.add_permits(3);
    let stop = CancellationToken::new();
    let worker = supervise(
        &backend,
        Slots::new(QueueName::Imports, 1, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    for number in [1, 0, 2] {
        backend.push(QueueName::Imports, ticket(number)).await.unwrap();
    }
    assert_eq!(done.recv().await, Some(Uuid::from_u128(1)));
    assert_eq!(done.recv().await, Some(Uuid::from_u128(2)));
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn c174_a_tenant_never_holds_the_last_slot() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, mut begun, mut done) = Gated::new();
    let stop = CancellationToken::new();
    let worker = supervise(
        &backend,
        Slots::new(QueueName::Bulk, 3, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    for number in 1..=4 {
        let theirs = Ticket { tenant: ticket(1).tenant, ..ticket(number) };
        backend.push(QueueName::Bulk, theirs).await.unwrap();
    }
    backend.push(QueueName::Bulk, ticket(5)).await.unwrap();
    let mut running = [begun.recv().await, begun.recv().await, begun.recv().await].map(|id| id.unwrap().as_u128());
    running.sort_unstable();
    assert_eq!(running, [1, 2, 5]);
    assert_eq!(*handler.left.lock().unwrap(), [3, 4].map(Uuid::from_u128));
    handler.gate.add_permits(3);
    for _ in 0..3 {
        done.recv().await.unwrap();
    }
    stop.cancel();
    worker.await.unwrap();
}

/// On one slot nothing can be left free: it is given back by whoever waits too long.
#[tokio::test(start_paused = true)]
async fn c174_who_waits_for_a_relay_gives_the_slot_back_but_takes_no_other() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, mut begun, _done) = Gated::new();
    let stop = CancellationToken::new();
    let slots = |queue| Slots::new(queue, 1, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone());
    let mail = supervise(&backend, slots(QueueName::Bulk));
    backend.push(QueueName::Bulk, ticket(1)).await.unwrap();
    backend.push(QueueName::Bulk, Ticket { tenant: ticket(1).tenant, ..ticket(2) }).await.unwrap();
    backend.push(QueueName::Bulk, ticket(3)).await.unwrap();
    assert_eq!(begun.recv().await, Some(Uuid::from_u128(1)));
    assert_eq!(begun.recv().await, Some(Uuid::from_u128(3)));
    assert_eq!(*handler.left.lock().unwrap(), [Uuid::from_u128(2)]);

    // An import is at work all the while.
    let imports = supervise(&backend, slots(QueueName::Imports));
    backend.push(QueueName::Imports, ticket(4)).await.unwrap();
    backend.push(QueueName::Imports, ticket(5)).await.unwrap();
    assert_eq!(begun.recv().await, Some(Uuid::from_u128(4)));
    assert!(tokio::time::timeout(Duration::from_mins(10), begun.recv()).await.is_err());

    handler.gate.add_permits(10);
    stop.cancel();
    mail.await.unwrap();
    imports.await.unwrap();
}

/// What handlers without a slot hold in memory has a bound.
#[tokio::test(start_paused = true)]
async fn handlers_without_a_slot_are_few() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, mut begun, _done) = Gated::new();
    let stop = CancellationToken::new();
    let worker = supervise(
        &backend,
        Slots::new(QueueName::Bulk, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    for number in 1..=50 {
        backend.push(QueueName::Bulk, ticket(number)).await.unwrap();
    }
    let mut running = 0;
    while tokio::time::timeout(Duration::from_mins(10), begun.recv()).await.is_ok() {
        running += 1;
    }
    assert_eq!(running, 10);
    handler.gate.add_permits(50);
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c180_whoever_does_not_know_the_time_takes_no_tickets_until_it_does() {
    let backend = Backend::Memory(MemoryQueue::new());
    let (handler, mut begun, _done) = Gated::new();
    handler.gate.add_permits(10);
    let stop = CancellationToken::new();
    let worker = supervise(
        &backend,
        Slots::new(QueueName::Bulk, 2, Arc::clone(&handler) as _, Arc::new(SystemEntropy), stop.clone()),
    );
    backend.push(QueueName::Bulk, ticket(1)).await.unwrap();
    assert_eq!(begun.recv().await, Some(Uuid::from_u128(1)));
    handler.unfit.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    backend.push(QueueName::Bulk, ticket(2)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_mins(1), begun.recv()).await.is_err());
    handler.unfit.store(false, Ordering::SeqCst);
    assert_eq!(begun.recv().await, Some(Uuid::from_u128(2)));
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn queues_are_apart_and_bounded() {
    let backend = Backend::Memory(MemoryQueue::new());
    let mut taken = 0;
    while backend.push(QueueName::Bulk, ticket(1)).await.is_ok() {
        taken += 1;
        assert!(taken < 10_000, "a queue without workers has a bound");
    }
    assert_eq!(backend.push(QueueName::Bulk, ticket(1)).await, Err(QueueDown::Full));
    assert_eq!(backend.push(QueueName::Transactional, ticket(1)).await, Ok(()));
}

#[test]
fn tickets_keep_their_wire_form() {
    let text = |task| serde_json::to_string(&Ticket { task, ..ticket(1) }).unwrap();
    let of =
        r#""id":"00000000-0000-0000-0000-000000000001","tenant":"tenant_00000000000000000000000001","pushed_at":0"#;
    let deliver = ticket(1).task;
    assert_eq!(text(deliver), format!(r#"{{{of},"v":"DeliverMessagesV1","lane":"bulk","n":100}}"#));
    assert_eq!(text(Task::RunImportV1), format!(r#"{{{of},"v":"RunImportV1"}}"#));
    assert_eq!(text(Task::SweepV1), format!(r#"{{{of},"v":"SweepV1"}}"#));
    for task in [deliver, Task::RunImportV1, Task::SweepV1] {
        assert_eq!(serde_json::from_str::<Ticket>(&text(task)).unwrap(), Ticket { task, ..ticket(1) });
    }
    assert!(serde_json::from_str::<Ticket>(&format!(r#"{{{of},"v":"SweepV2"}}"#)).is_err());
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = Ticket { trace: TraceParent::parse(traceparent), task: Task::SweepV1, ..ticket(1) };
    let text = format!(r#"{{{of},"trace":"{traceparent}","v":"SweepV1"}}"#);
    assert_eq!(serde_json::to_string(&traced).unwrap(), text);
    assert_eq!(serde_json::from_str::<Ticket>(&text).unwrap(), traced);
}
