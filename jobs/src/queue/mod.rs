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

use tokio::task::JoinHandle;

pub use self::memory::MemoryQueue;
pub use self::name::QueueName;
pub use self::redis::RedisQueue;
pub use self::slots::Slots;
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
    /// False while this process must take no tickets: it does not know the time (C-180).
    fn is_fit(&self) -> bool {
        true
    }
    /// Claims and does the work; returns whether there was any.
    async fn handle(&self, ticket: Ticket) -> bool;
    /// A ticket holds no slot any more: it was handled, goes on without one, or came while its tenant had its share.
    /// `worked` if there was anything to do.
    fn done(&self, ticket: Ticket, worked: bool);
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

/// Keeps a worker that fills the slots running on their queue until they are stopped.
///
/// The worker is started again whenever it ends or panics, later and later while that goes on. Handlers are not part
/// of it: they run to their end even when Redis and the worker are lost. After the stop no ticket is begun, and the
/// returned task ends when the last handler has.
pub fn supervise(backend: &Backend, slots: Slots) -> JoinHandle<()> {
    tokio::spawn(supervise::keep_running(backend.clone(), slots))
}
