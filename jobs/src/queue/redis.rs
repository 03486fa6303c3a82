//! Queues in Redis through apalis-redis, within its limits.
//!
//! - Whatever is due is promoted by one Lua `unpack`, which fails for good beyond about 8,000: so few tickets wait,
//!   and a queue that nevertheless cannot be read any more is emptied ([`RedisQueue::mend`]).
//! - A batch fetched ahead stops the heartbeat while all slots are busy: so batches are of one ticket.
//! - Finished tickets stay until vacuumed, and the sets of their ids for ever: so both are cleared every few seconds.

use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{AsyncCommands, RedisResult};
use apalis::layers::WorkerBuilderExt;
use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::{TaskSink, Vacuum};
use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::{Config, RedisStorage};
use serde::Deserialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::slots::Slots;
use super::supervise::until_stopped;
use super::{QueueDown, QueueName, Ticket};
use crate::redis::{InvalidRedisUrl, connect};

/// A push answers within this time.
const PUSH_WITHIN: Duration = Duration::from_secs(2);
/// Half of what apalis-redis can promote at once.
const WAITING_MAX: usize = 4_000;
/// How long an idle worker's ticket may wait in Redis.
const POLL_EVERY: Duration = Duration::from_millis(100);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// A worker without a heartbeat for six of them is dead, and its tickets go to others.
const HEARTBEATS_MISSED: usize = 6;
const VACUUM_EVERY: Duration = Duration::from_secs(5);
/// What apalis keeps about a worker outlives it by this; names are never used twice.
const WORKER_FORGOTTEN_AFTER: i64 = 600;
/// So many failures in a row while Redis answers mean that the queue itself cannot be read.
const UNREADABLE_AFTER: u32 = 4;
const FORGET_WITHIN: Duration = Duration::from_secs(10);

/// The payload is read by us: to apalis, a ticket of a newer version would be an error that ends the worker.
type Storage = RedisStorage<serde_json::Value>;

/// The queues in one Redis; cloning shares the connection.
#[derive(Clone)]
pub struct RedisQueue {
    connection: ConnectionManager,
    prefix: Option<String>,
}

impl RedisQueue {
    /// Queues in a Redis that may be down just now. A prefix keeps deployments and tests that share one apart.
    ///
    /// Must be called within the async runtime.
    pub fn new(url: &str, prefix: Option<&str>) -> Result<Self, InvalidRedisUrl> {
        let connection = connect::manager(&connect::client(url)?)?;
        Ok(Self { connection, prefix: prefix.map(str::to_owned) })
    }

    pub(super) async fn push(&self, queue: QueueName, ticket: Ticket) -> Result<(), QueueDown> {
        let ticket = serde_json::to_value(ticket).map_err(|_| QueueDown::Unreachable)?;
        let pushed = tokio::time::timeout(PUSH_WITHIN, async {
            if self.waiting(queue).await.map_err(|_| QueueDown::Unreachable)? >= WAITING_MAX {
                return Err(QueueDown::Full);
            }
            self.storage(queue).push(ticket).await.map_err(|_| QueueDown::Unreachable)
        });
        pushed.await.unwrap_or(Err(QueueDown::Unreachable))
    }

    /// How many tickets wait for a worker.
    async fn waiting(&self, queue: QueueName) -> RedisResult<usize> {
        let config = self.config(queue);
        let (scheduled, active): (usize, usize) = ::redis::pipe()
            .zcard(config.scheduled_jobs_set())
            .llen(config.active_jobs_list())
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(scheduled + active)
    }

    /// Runs one worker until it ends, and cleans up after all workers meanwhile.
    pub(super) async fn work(&self, name: &str, slots: &Slots, stop: &CancellationToken) -> Result<(), WorkerError> {
        let context = WorkerContext::new(name);
        let handling = slots.clone();
        let worker = WorkerBuilder::new(context.clone())
            .backend(self.storage(slots.queue).poll_with_interval(POLL_EVERY))
            .concurrency(slots.count)
            .build(move |ticket: serde_json::Value| {
                let slots = handling.clone();
                async move {
                    let Ok(ticket) = Ticket::deserialize(&ticket) else {
                        tracing::warn!(queue = %slots.queue, "left a ticket of an unknown version alone");
                        return;
                    };
                    slots.run(ticket).await;
                }
            });
        tokio::select! {
            ended = until_stopped(worker.run(), &context, stop) => ended,
            never = self.keep_clean(slots.queue, name) => match never {},
        }
    }

    async fn keep_clean(&self, queue: QueueName, worker: &str) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(VACUUM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.clean(queue, worker).await.is_err() {
                tracing::debug!(%queue, "finished tickets could not be cleared now");
            }
        }
    }

    /// Deletes what is left of finished tickets: their data by apalis' own script, their ids, which it forgets.
    async fn clean(&self, queue: QueueName, worker: &str) -> Result<(), apalis_redis::Error> {
        let mut storage = self.storage(queue);
        storage.vacuum().await?;
        let config = self.config(queue);
        let metadata = format!("{}:metadata:{worker}", config.workers_set());
        ::redis::pipe()
            .unlink(config.done_jobs_set())
            .unlink(config.dead_jobs_set())
            .expire(metadata, WORKER_FORGOTTEN_AFTER)
            .exec_async(storage.get_connection())
            .await?;
        Ok(())
    }

    /// A worker failed. If Redis answers all the same and this happens again and again, what waits cannot be read, be it
    /// more than one script can take or an id without its data: then the queue is emptied, by which nothing is lost
    /// (L4). Takes and returns how often in a row it looked like that.
    pub(super) async fn mend(&self, queue: QueueName, unreadable: u32) -> u32 {
        if self.connection.clone().ping::<String>().await.is_err() {
            return 0;
        }
        if unreadable + 1 < UNREADABLE_AFTER {
            return unreadable + 1;
        }
        if let Ok(Ok(())) = tokio::time::timeout(FORGET_WITHIN, self.forget(queue)).await {
            tracing::error!(%queue, "a queue that could not be read was emptied");
        } else {
            tracing::warn!(%queue, "a queue that cannot be read could not be emptied");
        }
        0
    }

    /// Deletes all tickets of a queue, but not who works on it: the others would fail in turn, and empty it in turn.
    async fn forget(&self, queue: QueueName) -> RedisResult<()> {
        // The braces of the hash tag mean nothing in a pattern.
        let pattern = format!("{}:*", queue.namespace(self.prefix.as_deref()));
        let workers = self.config(queue).workers_set();
        let mut connection = self.connection.clone();
        let mut cursor: u64 = 0;
        loop {
            let (next, keys): (u64, Vec<String>) = ::redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1_000)
                .query_async(&mut connection)
                .await?;
            let tickets: Vec<String> = keys.into_iter().filter(|key| !key.starts_with(&workers)).collect();
            if !tickets.is_empty() {
                let _: u64 = connection.unlink(tickets).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn storage(&self, queue: QueueName) -> Storage {
        Storage::new(self.connection.clone()).with_config(self.config(queue))
    }

    fn config(&self, queue: QueueName) -> Config {
        Config::default()
            .queue(queue.namespace(self.prefix.as_deref()))
            .batch_size(1)
            .heartbeat_interval(HEARTBEAT_EVERY)
            .missed_heartbeats(HEARTBEATS_MISSED)
            // Rows have leases; a second kind of lock in Redis would only be one more way to fail.
            .lock_tasks(false)
            .emit_events(false)
            // Not for the result, which is nothing, but because a ticket is only ever marked finished together with it.
            .persist_results(true)
    }
}

impl std::fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisQueue").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
