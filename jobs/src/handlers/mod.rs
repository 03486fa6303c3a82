//! What tickets permit, one file per task; no apalis types in here.
//!
//! A handler settles every outcome in rows. A fault is logged once and left: the rows it held come back by their lease.

mod advance_workflows;
mod deliver_messages;
mod deliver_webhooks;
mod hand_over;
mod pace;
mod run_campaign;
mod run_import;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use carillon_domain::files::Files;
use carillon_domain::messaging::{ContentCache, Lane};
use carillon_domain::metrics::labels::TicketEnd;
use carillon_domain::ports::Ports;
use carillon_domain::trace;
use carillon_domain::workflows::PEOPLE;
use carillon_domain::{dispatch, error};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

pub use pace::Pace;

use crate::channels::email::{EmailChannel, Relay};
use crate::channels::webhook::WebhookChannel;
use crate::queue::{Task, Ticket, TicketHandler};
use crate::redis::{Signal, Signals};

/// How many messages one ticket permits to claim: large enough that the cost per message is small, small enough that
/// another tenant waits for one batch at most.
pub const BATCH: u32 = 480;

/// Everything the tasks need; shared by the workers of a process.
#[derive(Debug)]
pub struct Handlers {
    /// The domain's ports.
    pub ports: Ports,
    /// Uploaded files.
    pub files: Files,
    /// The mail channel.
    pub channel: EmailChannel,
    /// The webhook channel.
    pub webhooks: WebhookChannel,
    /// The deployment's relay.
    pub relay: Relay,
    /// Compiled content.
    pub cache: ContentCache,
    /// This process in claims and attempts; unique per start.
    pub worker: String,
    /// How much a claim takes.
    pub pace: Pace,
    /// Until when the object store is left alone, on the monotonic clock; the past while it answers.
    pub files_away_until: AtomicI64,
    /// Between processes.
    pub signals: Signals,
    /// Cancelled when the process stops: what has begun is finished, nothing new begins.
    pub draining: CancellationToken,
}

/// None where the tenant is suspended: whatever is due to it waits until it is not.
fn unless_suspended<T>(done: error::Result<T>) -> error::Result<Option<T>> {
    match done {
        Err(error::Error::Refused(_)) => Ok(None),
        done => done.map(Some),
    }
}

#[async_trait::async_trait]
impl TicketHandler for Handlers {
    fn is_fit(&self) -> bool {
        self.ports.clock.is_trustworthy()
    }

    async fn handle(&self, ticket: Ticket) -> bool {
        let (lane, tenant) = (ticket.task.work().as_str(), ticket.tenant);
        let span = tracing::info_span!(
            target: trace::PARTS, "ticket", otel.kind = "consumer", otel.status_code = Empty, lane, tenant.id = %tenant,
            outcome = Empty,
        );
        trace::adopt(&span, ticket.trace);
        // Lines of the log find the trace, where there is one.
        let told = trace::of(&span).map_or_else(
            Span::none,
            |part| tracing::info_span!("ticket", id = %ticket.id, lane, trace_id = part.trace_id()),
        );
        let end = self.work_on(ticket).instrument(span.clone()).instrument(told).await;
        span.record("outcome", end.as_str());
        if end == TicketEnd::Failed {
            span.record("otel.status_code", "error");
        }
        self.ports.metrics.tickets.one((ticket.task.work(), end));
        end == TicketEnd::Worked
    }

    fn done(&self, ticket: Ticket, worked: bool) {
        self.signals.send(Signal::Done { ticket: ticket.id, worked });
        if worked {
            self.signals.send(Signal::Changed(ticket.tenant));
        }
    }
}

impl Handlers {
    /// Does what a ticket permits, and logs what went wrong.
    async fn work_on(&self, ticket: Ticket) -> TicketEnd {
        let tenant = ticket.tenant;
        let result = match ticket.task {
            _ if ticket.is_lost(self.ports.now()) => Ok(0),
            Task::DeliverMessagesV1 { lane, n } => self.deliver_messages(tenant, lane, n).await,
            Task::RunImportV1 => self.run_import(tenant).await,
            Task::AdvanceWorkflowsV1 { n } => self.advance_workflows(tenant, n).await,
            Task::DeliverWebhooksV1 => self.deliver_webhooks(tenant).await,
            Task::RunCampaignV1 => self.run_campaign(tenant).await,
            Task::SweepV1 => self.sweep(tenant).await,
        };
        match result {
            Ok(0) => TicketEnd::Idle,
            Ok(_) => TicketEnd::Worked,
            Err(fault) => {
                tracing::error!(tenant.id = %tenant, fault = %fault, "a ticket's work failed; its rows come back by lease");
                TicketEnd::Failed
            }
        }
    }

    /// Does all due work in this task until there is none: what tests and the end of the demo wait for.
    pub async fn run_until_quiet(self: &Arc<Self>) -> error::Result<usize> {
        let mut done = 0;
        loop {
            let mut now = 0;
            for due in dispatch::due_sweeps(&self.ports).await? {
                now += self.sweep(due.tenant).await?;
            }
            for due in dispatch::due_imports(&self.ports).await? {
                now += self.run_import(due.tenant).await?;
            }
            for due in dispatch::due_workflows(&self.ports).await? {
                now += self.advance_workflows(due.tenant, PEOPLE).await?;
            }
            for due in dispatch::due_campaigns(&self.ports).await? {
                now += self.run_campaign(due.tenant).await?;
            }
            for lane in Lane::ALL {
                for due in dispatch::due_messages(&self.ports, *lane).await? {
                    now += self.deliver_messages(due.tenant, *lane, BATCH).await?;
                }
            }
            for due in dispatch::due_webhooks(&self.ports).await? {
                now += self.deliver_webhooks(due.tenant).await?;
            }
            if now == 0 {
                return Ok(done);
            }
            done += now;
        }
    }
}
