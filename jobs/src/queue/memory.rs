//! Queues within the process: the same tickets and workers over apalis' in-memory backend.

use std::sync::Arc;

use apalis::layers::WorkerBuilderExt;
use apalis_core::backend::memory::{BoxedReceiver, MemorySink, MemoryStorage, MemoryStorageError};
use apalis_core::error::WorkerError;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::{RandomId, TaskId};
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use futures::{SinkExt, StreamExt};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::slots::Slots;
use super::supervise::until_stopped;
use super::{QueueDown, QueueName, Ticket};

/// More waiting tickets than this are refused; a dispatcher keeps far fewer outstanding.
const CAPACITY: usize = 1_024;

/// The queues of one process.
#[derive(Debug, Clone)]
pub struct MemoryQueue(Arc<[Channel; QueueName::ALL.len()]>);

#[derive(Debug)]
struct Channel {
    sender: mpsc::Sender<Ticket>,
    /// Shared, so that what waits survives a worker that ended.
    receiver: Arc<Mutex<mpsc::Receiver<Ticket>>>,
}

impl MemoryQueue {
    /// Empty queues.
    pub fn new() -> Self {
        Self(Arc::new(QueueName::ALL.map(|_| {
            let (sender, receiver) = mpsc::channel(CAPACITY);
            Channel { sender, receiver: Arc::new(Mutex::new(receiver)) }
        })))
    }

    pub(super) fn push(&self, queue: QueueName, ticket: Ticket) -> Result<(), QueueDown> {
        self.channel(queue).sender.try_send(ticket).map_err(|_| QueueDown::Full)
    }

    /// Runs one worker until it ends.
    pub(super) async fn work(&self, name: &str, slots: &Slots, stop: &CancellationToken) -> Result<(), WorkerError> {
        let context = WorkerContext::new(name);
        let handling = slots.clone();
        let worker = WorkerBuilder::new(context.clone())
            .backend(self.storage(slots.queue))
            .concurrency(slots.count)
            .build(move |ticket: Ticket| {
                let slots = handling.clone();
                async move { slots.run(ticket).await }
            });
        until_stopped(worker.run(), &context, stop).await
    }

    fn channel(&self, queue: QueueName) -> &Channel {
        &self.0[queue as usize]
    }

    /// The backend of one worker. Tickets come in through the channel only, so its own sink leads nowhere.
    fn storage(&self, queue: QueueName) -> MemoryStorage<Ticket> {
        let receiver = Arc::clone(&self.channel(queue).receiver);
        let tickets: BoxedReceiver<Ticket> = futures::stream::unfold(receiver, |receiver| async move {
            let ticket = receiver.lock().await.recv().await?;
            let task = TaskBuilder::new(ticket).task_id(TaskId::from_string(RandomId::default())).build();
            Some((task, receiver))
        })
        .boxed();
        let nowhere = futures::sink::drain().sink_map_err(|never| MemoryStorageError::Other(Box::new(never)));
        let sink = MemorySink::new(Arc::new(futures::lock::Mutex::new(Box::new(nowhere))));
        MemoryStorage::new_with(sink, tickets)
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}
