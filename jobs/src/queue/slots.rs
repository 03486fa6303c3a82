//! The slots handlers run in: at most so many at once, independent of the worker that took the ticket.
//!
//! No tenant takes the last slot, and a handler that waits for its relay gives its slot back: whoever has a slow relay of
//! their own keeps nobody else waiting (C-174).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_domain::entropy::Entropy;
use carillon_domain::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{QueueName, Ticket, TicketHandler};

/// What takes longer than this waits for a relay: a permit of the gate lives no longer.
const HELD_AT_MOST: Duration = Duration::from_secs(10);
/// So many handlers per slot may run on without one; what they hold stays in memory.
const OVERDUE_PER_SLOT: usize = 4;

/// Runs handlers as tasks of their own. A worker that dies with its Redis connection must not take a delivery with it
/// that stands between a relay's answer and the row that remembers it.
#[derive(Clone)]
pub struct Slots {
    pub(crate) queue: QueueName,
    pub(crate) count: usize,
    pub(super) stop: CancellationToken,
    pub(super) entropy: Arc<dyn Entropy>,
    free: Arc<Semaphore>,
    overdue: Arc<Semaphore>,
    seats: Seats,
    running: TaskTracker,
    handler: Arc<dyn TicketHandler>,
}

impl Slots {
    /// Free slots of a queue, at least one; after `stop` nothing begins in them.
    pub fn new(
        queue: QueueName,
        count: usize,
        handler: Arc<dyn TicketHandler>,
        entropy: Arc<dyn Entropy>,
        stop: CancellationToken,
    ) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS / OVERDUE_PER_SLOT);
        let free = Arc::new(Semaphore::new(count));
        let overdue = Arc::new(Semaphore::new(if queue.waits_for_others() { count * OVERDUE_PER_SLOT } else { 0 }));
        let (seats, running) = (Seats::default(), TaskTracker::new());
        Self { queue, count, stop, entropy, free, overdue, seats, running, handler }
    }

    /// False while their worker must not run.
    pub(super) fn is_fit(&self) -> bool {
        self.handler.is_fit()
    }

    /// Handles a ticket; returns when it is done or overdue, and at once when the process stops before it began.
    pub(crate) async fn run(&self, ticket: Ticket) {
        // Handlers of a worker that died may still hold slots.
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            permit = Arc::clone(&self.free).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { return };
        let Some(seat) = self.seats.take(ticket.tenant, self.queue.share(self.count)) else {
            return self.handler.done(ticket, false);
        };
        let (given_back, left) = oneshot::channel();
        let task = self.running.spawn(self.clone().handle(ticket, (permit, seat), given_back));
        tokio::select! {
            biased;
            ended = task => if ended.is_err() {
                tracing::error!(queue = %self.queue, ticket = %ticket.id, "a ticket's handler panicked; its lease will run out");
            },
            Ok(()) = left => {}
        }
    }

    /// Handles a ticket in its slot, and beyond it when that takes long.
    async fn handle(self, ticket: Ticket, held: (OwnedSemaphorePermit, Seat), given_back: oneshot::Sender<()>) {
        let (slot, _seat) = held;
        let mut handling = self.handler.handle(ticket);
        let overdue = async {
            tokio::time::sleep(HELD_AT_MOST).await;
            self.overdue.acquire().await
        };
        let worked = tokio::select! {
            biased;
            worked = &mut handling => worked,
            _overdue = overdue => {
                drop(slot);
                self.handler.done(ticket, true);
                let _ = given_back.send(());
                handling.await
            }
        };
        self.handler.done(ticket, worked);
    }

    /// Waits until every handler has ended; none may begin any more.
    pub(super) async fn drained(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// Who has how many handlers running here, overdue ones included.
#[derive(Debug, Clone, Default)]
struct Seats(Arc<Mutex<HashMap<TenantId, usize>>>);

impl Seats {
    /// A seat of a tenant who has fewer than `share`.
    fn take(&self, tenant: TenantId, share: usize) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seats = taken.entry(tenant).or_default();
        if *seats >= share {
            return None;
        }
        *seats += 1;
        Some(Seat { tenant, of: self.clone() })
    }
}

/// Given back when dropped, also by a handler that panics.
#[derive(Debug)]
struct Seat {
    tenant: TenantId,
    of: Seats,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seats) = taken.get_mut(&self.tenant) {
            *seats -= 1;
            if *seats == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}
