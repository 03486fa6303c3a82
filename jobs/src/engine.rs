//! The engine of one process: dispatchers, workers, and the end of both.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatcher, Elected, keep_measuring};
use crate::handlers::Handlers;
use crate::queue::{Backend, QueueName, Slots, TicketHandler, supervise};

/// How many workers each queue has in a process.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    /// For each lane of messages.
    pub messages: usize,
    /// For imports.
    pub imports: usize,
    /// For people on workflows.
    pub workflows: usize,
    /// For webhooks.
    pub webhooks: usize,
    /// For campaigns.
    pub campaigns: usize,
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    handlers: Arc<Handlers>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts dispatchers and workers.
    pub fn start(handlers: Arc<Handlers>, backend: &Backend, workers: Workers) -> Self {
        let stop = CancellationToken::new();
        let elected = Elected::default();
        let mut tasks = vec![tokio::spawn(keep_measuring(handlers.ports.clone(), elected.clone(), stop.clone()))];
        for queue in QueueName::ALL {
            let count = match queue {
                QueueName::Transactional | QueueName::Bulk => workers.messages,
                QueueName::Imports => workers.imports,
                QueueName::Workflows => workers.workflows,
                QueueName::Webhooks => workers.webhooks,
                QueueName::Campaigns => workers.campaigns,
                QueueName::Maintenance => 1,
            };
            let handler: Arc<dyn TicketHandler> = Arc::<Handlers>::clone(&handlers);
            let slots = Slots::new(queue, count, handler, Arc::clone(&handlers.ports.entropy), stop.clone());
            let dispatcher = Dispatcher::new(Arc::clone(&handlers), backend.clone(), slots.clone(), elected.clone());
            tasks.push(tokio::spawn(dispatcher.run(stop.clone())));
            tasks.push(supervise(backend, slots));
        }
        Self { handlers, stop, tasks }
    }

    /// What the workers do, for tests that run it by hand.
    pub fn handlers(&self) -> &Arc<Handlers> {
        &self.handlers
    }

    /// Stops claiming, lets what has begun finish and gives the rest back, for at most `drain` (C-185).
    pub async fn stop(self, drain: Duration) {
        self.handlers.draining.cancel();
        self.stop.cancel();
        let all = futures::future::join_all(self.tasks);
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!("the drain time is over; what is still on its way comes back by lease");
        }
    }
}
