//! The slots handlers run in: at most so many at once, independent of the worker that took the ticket.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{QueueName, Ticket, TicketHandler};

/// Runs handlers as tasks of their own. A worker that dies with its Redis connection must not take a delivery with it
/// that stands between a relay's answer and the row that remembers it.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) queue: QueueName,
    pub(super) count: usize,
    free: Arc<Semaphore>,
    running: TaskTracker,
    handler: Arc<dyn TicketHandler>,
    stop: CancellationToken,
}

impl Slots {
    pub(super) fn new(
        queue: QueueName,
        count: usize,
        handler: Arc<dyn TicketHandler>,
        stop: CancellationToken,
    ) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(count));
        Self { queue, count, free, running: TaskTracker::new(), handler, stop }
    }

    /// Handles a ticket; returns when it is done, and at once when the process stops before it began.
    pub(super) async fn run(&self, ticket: Ticket) {
        // Handlers of a worker that died may still hold slots.
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            permit = Arc::clone(&self.free).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { return };
        let handler = Arc::clone(&self.handler);
        let task = self.running.spawn(async move {
            handler.handle(ticket).await;
            drop(permit);
        });
        if task.await.is_err() {
            tracing::error!(queue = %self.queue, ticket = %ticket.id, "a ticket's handler panicked; its lease will run out");
        }
    }

    /// Waits until every handler has ended; none may begin any more.
    pub(super) async fn drained(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
