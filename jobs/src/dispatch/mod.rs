//! The dispatcher (L4): finds tenants with due work and hands out tickets, in turn, never more than the workers of all
//! processes can take.
//!
//! A ticket is permission to claim; losing one costs time, never work. One older than ten seconds counts as lost,
//! here as with the workers: whatever became of it, another may take its place.

mod crew;
mod measure;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carillon_domain::dispatch as due;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use carillon_domain::time::{Monotonic, Timestamp};
use carillon_domain::trace;
use carillon_domain::workflows::PEOPLE;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::handlers::{BATCH, Handlers};
use crate::queue::{Backend, QueueName, Slots, Task, Ticket};
use crate::redis::Signal;
use crew::Crew;
pub use measure::{Elected, keep_measuring};
use turns::Turns;

/// Due work is looked for at least this often.
const POLL: Duration = Duration::from_secs(1);

/// The dispatcher of one queue.
pub struct Dispatcher {
    handlers: Arc<Handlers>,
    backend: Backend,
    queue: QueueName,
    /// This process' own.
    slots: Slots,
    /// Names them to the others.
    id: Uuid,
    crew: Crew,
    outstanding: HashMap<Uuid, (TenantId, Monotonic)>,
    turns: Turns,
    /// Tells whoever measures what is due.
    elected: Elected,
    /// Work done here because the queue could not be reached.
    fallback: TaskTracker,
}

impl Dispatcher {
    /// A dispatcher of the queue that these slots are for.
    pub fn new(handlers: Arc<Handlers>, backend: Backend, slots: Slots, elected: Elected) -> Self {
        Self {
            backend,
            queue: slots.queue,
            id: handlers.ports.new_id(),
            crew: Crew::new(slots.queue),
            handlers,
            slots,
            outstanding: HashMap::new(),
            turns: Turns::default(),
            elected,
            fallback: TaskTracker::new(),
        }
    }

    /// Runs until `stop`; stands for election all the while, and dispatches while elected.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut signals = self.handlers.signals.listen();
        let mut elected_at: Option<tokio::time::Instant> = None;
        let mut told_at: Option<tokio::time::Instant> = None;
        while !stop.is_cancelled() {
            if told_at.is_none_or(|at| at.elapsed() > POLL) {
                told_at = Some(tokio::time::Instant::now());
                self.tell(self.slots.count);
            }
            if elected_at.is_none_or(|at| at.elapsed() > POLL) {
                elected_at = self.elect().await.then(tokio::time::Instant::now);
                self.elected.set(self.queue, elected_at.is_some());
            }
            if elected_at.is_some() {
                self.dispatch().await;
            }
            let wait = tokio::time::timeout(POLL, self.wait_for_signal(&mut signals));
            tokio::select! { _ = wait => {} () = stop.cancelled() => {} }
        }
        self.elected.set(self.queue, false);
        self.tell(0);
        self.fallback.close();
        self.fallback.wait().await;
        let holder = &self.handlers.worker;
        // Without it the next is elected when the lease lapses.
        let _ = due::step_down(&self.handlers.ports, self.queue.as_str(), holder).await;
    }

    async fn elect(&self) -> bool {
        let elected = due::elect(&self.handlers.ports, self.queue.as_str(), &self.handlers.worker).await;
        elected.unwrap_or_else(|fault| {
            tracing::warn!(queue = %self.queue, fault = %fault, "no election");
            false
        })
    }

    /// Tells whoever is elected, which may be this dispatcher, how many slots of this process may be filled.
    fn tell(&mut self, count: usize) {
        self.crew.hear(self.id, count, self.handlers.ports.clock.monotonic());
        self.handlers.signals.send(Signal::Slots { process: self.id, queue: self.queue, count });
    }

    /// Returns when something that concerns this queue was heard.
    async fn wait_for_signal(&mut self, signals: &mut tokio::sync::broadcast::Receiver<Signal>) {
        loop {
            match signals.recv().await {
                // One that found nothing to do leaves everything as it was: looking again at once would find the same.
                Ok(Signal::Done { ticket, worked }) if self.outstanding.remove(&ticket).is_some() && worked => return,
                Ok(Signal::Ring(lane)) if QueueName::from(lane) == self.queue => return,
                Ok(Signal::RingImports) if self.queue == QueueName::Imports => return,
                Ok(Signal::RingWorkflows) if self.queue == QueueName::Workflows => return,
                Ok(Signal::RingWebhooks) if self.queue == QueueName::Webhooks => return,
                Ok(Signal::RingCampaigns) if self.queue == QueueName::Campaigns => return,
                Ok(Signal::Slots { process, queue, count }) if queue == self.queue => {
                    self.crew.hear(process, count, self.handlers.ports.clock.monotonic());
                }
                Ok(_) => {}
                // Signals were missed: looking is always right.
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => return tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn dispatch(&mut self) {
        // A ticket's age counts from here for both sides: none claims that is counted as lost.
        let (pushed_at, now) = (self.handlers.ports.now(), self.handlers.ports.clock.monotonic());
        self.outstanding.retain(|_, (_, since)| now.since(*since) < Ticket::LOST_AFTER);
        self.crew.forget_silent(now);
        let free = self.crew.most().saturating_sub(self.outstanding.len());
        if free == 0 {
            return;
        }
        let due = match self.due().await {
            Ok(due) => due,
            Err(fault) => return tracing::warn!(queue = %self.queue, fault = %fault, "due work cannot be looked for"),
        };
        let waiting = |tenant: &TenantId| self.outstanding.values().filter(|(held, _)| held == tenant).count();
        let out: HashMap<TenantId, usize> = due.iter().map(|tenant| (*tenant, waiting(tenant))).collect();
        for tenant in self.turns.pick(&due, &out, free, self.crew.share()) {
            self.push(tenant, (pushed_at, now)).await;
        }
    }

    async fn due(&self) -> carillon_domain::error::Result<Vec<TenantId>> {
        let ports = &self.handlers.ports;
        let due = match self.queue {
            QueueName::Transactional => due::due_messages(ports, Lane::Transactional).await?,
            QueueName::Bulk => due::due_messages(ports, Lane::Bulk).await?,
            QueueName::Imports => due::due_imports(ports).await?,
            QueueName::Workflows => due::due_workflows(ports).await?,
            QueueName::Webhooks => due::due_webhooks(ports).await?,
            QueueName::Campaigns => due::due_campaigns(ports).await?,
            QueueName::Maintenance => due::due_sweeps(ports).await?,
        };
        Ok(due.into_iter().map(|due| due.tenant).collect())
    }

    async fn push(&mut self, tenant: TenantId, (pushed_at, now): (Timestamp, Monotonic)) {
        let id: Uuid = self.handlers.ports.new_id();
        let task = match self.queue {
            QueueName::Transactional => Task::DeliverMessagesV1 { lane: Lane::Transactional, n: BATCH },
            QueueName::Bulk => Task::DeliverMessagesV1 { lane: Lane::Bulk, n: BATCH },
            QueueName::Imports => Task::RunImportV1,
            QueueName::Workflows => Task::AdvanceWorkflowsV1 { n: PEOPLE },
            QueueName::Webhooks => Task::DeliverWebhooksV1,
            QueueName::Campaigns => Task::RunCampaignV1,
            QueueName::Maintenance => Task::SweepV1,
        };
        let lane = self.queue.as_str();
        let span =
            tracing::info_span!(target: trace::PARTS, "dispatch", otel.kind = "producer", lane, tenant.id = %tenant);
        let ticket = Ticket { id, tenant, pushed_at, trace: trace::of(&span), task };
        self.outstanding.insert(id, (tenant, now));
        if let Err(down) = self.backend.push(self.queue, ticket).instrument(span).await {
            // Rows are the queue: without Redis the elected process does the work itself, as much as it has slots.
            tracing::warn!(queue = %self.queue, reason = %down, "doing the work here");
            if self.fallback.len() < self.slots.count {
                let slots = self.slots.clone();
                self.fallback.spawn(async move { slots.run(ticket).await });
            }
        }
    }
}
