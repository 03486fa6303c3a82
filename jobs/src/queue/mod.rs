//! Tickets through apalis; the only place that names it.
//!
//! Rows are the queue (L4): whatever waits here may be lost, late or doubled at any time, and nothing is lost with it.
//! So handlers settle everything in rows and never fail, retry times live in rows, and an emptied Redis is no incident.

mod memory;
mod name;
mod redis;
mod slots;
mod supervise;
mod ticket;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::memory::MemoryQueue;
pub use self::name::QueueName;
pub use self::redis::RedisQueue;
pub use self::ticket::{Task, Ticket};

/// The queue did not take a ticket. Nothing is lost: due work is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueDown {
    /// Redis did not answer, or not in time.
    #[error("the queue cannot be reached")]
    Unreachable,
    /// More tickets wait than workers will take soon.
    #[error("the queue is full")]
    Full,
}

/// Does the work a ticket permits. Settles every outcome in rows and so never fails.
#[async_trait::async_trait]
pub trait TicketHandler: Send + Sync + 'static {
    /// Claims and does the work.
    async fn handle(&self, ticket: Ticket);
}

/// Where tickets wait; cloning is cheap and shares the queues.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In this process, for embedded mode and tests.
    Memory(MemoryQueue),
    /// In Redis, between processes.
    Redis(RedisQueue),
}

impl Backend {
    /// Hands a ticket to some worker, soon. Answers within two seconds whatever Redis does.
    pub async fn push(&self, queue: QueueName, ticket: Ticket) -> Result<(), QueueDown> {
        match self {
            Self::Memory(memory) => memory.push(queue, ticket),
            Self::Redis(redis) => redis.push(queue, ticket).await,
        }
    }
}

/// Keeps a worker with `slots` concurrent tickets running on a queue until `stop` is cancelled.
///
/// The worker is started again whenever it ends or panics, later and later while that goes on. Handlers are not part
/// of it: they run to their end even when Redis and the worker are lost. After `stop` no ticket is begun, and the
/// returned task ends when the last handler has.
pub fn supervise(
    backend: &Backend,
    queue: QueueName,
    slots: usize,
    handler: Arc<dyn TicketHandler>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let slots = slots::Slots::new(queue, slots, handler, stop.clone());
    tokio::spawn(supervise::keep_running(backend.clone(), slots, stop))
}
