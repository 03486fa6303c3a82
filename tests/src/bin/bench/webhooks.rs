//! `webhooks`: deliveries from queued rows to an HTTP sink, by the engine of one process, against a bare reqwest loop that
//! posts a body of the same size.
//!
//! Queueing is not timed. Four tenants have an endpoint each; both sides have as many requests under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carillon_domain::files::Files;
use carillon_domain::ids::{TenantId, WebhookEndpointId, WebhookEventId};
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::AdministerWebhooks;
use carillon_domain::time::Timestamp;
use carillon_domain::webhooks::{CreateEndpoint, Replay, ReplayOf, WebhookEventType, create_endpoint, replay};
use carillon_jobs::channels::email::PoolSettings;
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::queue::{Backend, MemoryQueue};
use carillon_jobs::redis::Signals;
use carillon_tests::sink::Sink;
use chrono::TimeDelta;
use uuid::Uuid;

use super::figure::{Figure, Size};
use super::set::Set;

const TENANTS: u32 = 4;
/// Of each tenant: what one replay takes.
const EVENTS: u32 = 10_000;
/// Requests under way: those of four workers.
const AT_ONCE: usize = 64;
/// A run that takes longer has lost something.
const LONGEST: Duration = Duration::from_mins(5);

/// A tenant's endpoint, and from when its events are.
struct Listener {
    tenant: TenantId,
    endpoint: WebhookEndpointId,
    began: Timestamp,
}

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let (events, sink) = (size.of(EVENTS), Sink::counting().await);
    let mut set = Set::build("webhooks").await?;
    let mut listeners = Vec::new();
    for number in 0..TENANTS {
        listeners.push(listener(&mut set, &sink, (number, events)).await?);
    }
    let mut figure = Figure::new("webhooks", "deliveries/s", 0.6);
    let all = events * TENANTS;
    for _ in 0..size.runs() {
        for listener in &listeners {
            queue(&set, listener, events).await?;
        }
        set.settle().await?;
        let ours = ours(&set, &sink, all).await?;
        set.settle().await?;
        let reference = bare(&sink, all).await?;
        figure.add(all, ours, reference);
    }
    set.strike().await?;
    Ok(figure)
}

/// A tenant with an endpoint and so many events that nobody was told.
async fn listener(set: &mut Set, sink: &Sink, (number, events): (u32, u32)) -> Result<Listener> {
    let tenant = set.stage.cast(&format!("hooks{number}"), 0).await?.tenant;
    let grant = set.stage.enter(tenant)?.grant::<AdministerWebhooks>()?;
    // An address of this machine is one's own in the embedded mode alone.
    let settings = Settings { embedded: true, ..Settings::clone(&set.stage.ports.settings) };
    let ports = Ports { settings: Arc::new(settings), ..set.stage.ports.clone() };
    let event_types = vec![WebhookEventType::ContactUpdated];
    let command = CreateEndpoint { url: sink.url("hook"), description: String::new(), event_types };
    let mut tx = grant.begin().await?;
    let endpoint = create_endpoint(&grant, &mut tx, &ports, &command).await?.id;
    tx.commit().await?;
    let began = ports.now() - TimeDelta::seconds(1);
    let ids: Vec<Uuid> = (0..events).map(|_| ports.new_id::<WebhookEventId>().0).collect();
    let insert = "INSERT INTO outbox_events (tenant_id, id, event_type, data, at) \
        SELECT $1, id, 'contact.updated', jsonb_build_object('contactId', 'contact_01h455vb4pex5vsknk084sn02q', \
            'change', 'updated', 'fields', jsonb_build_array('lastName')), now() FROM UNNEST($2) AS new (id)";
    sqlx::query(insert).bind(tenant.0).bind(ids).execute(&mut set.owner).await?;
    Ok(Listener { tenant, endpoint, began })
}

/// Queues all of its events again.
async fn queue(set: &Set, listener: &Listener, events: u32) -> Result<()> {
    let grant = set.stage.enter(listener.tenant)?.grant::<AdministerWebhooks>()?;
    let until = set.stage.ports.now() + TimeDelta::seconds(1);
    let of = ReplayOf::Span { from: listener.began, until, undelivered_only: false };
    let mut tx = grant.begin().await?;
    let count = replay(&grant, &mut tx, &set.stage.ports, &Replay { endpoint: listener.endpoint, of }).await?;
    tx.commit().await?;
    ensure!(count == usize::try_from(events)?, "{count} of {events} events are queued");
    Ok(())
}

/// Lets an engine deliver all that is queued; returns the seconds it took.
async fn ours(set: &Set, sink: &Sink, all: u32) -> Result<f64> {
    let nowhere = "smtp://127.0.0.1:9?tls=none";
    let handlers = set.handlers(&Files::open("memory:")?, PoolSettings::default(), nowhere, Signals::local())?;
    let workers = Workers { messages: 1, imports: 1, workflows: 1, webhooks: 4, campaigns: 1 };
    let wanted = sink.count() + usize::try_from(all)?;
    let began = Instant::now();
    let engine = Engine::start(handlers, &Backend::Memory(MemoryQueue::new()), workers);
    let arrived = tokio::time::timeout(LONGEST, async {
        while sink.count() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let arrived = arrived.await;
    let seconds = began.elapsed().as_secs_f64();
    // What came of the last batches is still being written.
    engine.stop(Duration::from_secs(10)).await;
    arrived.context("webhooks are still waiting")?;
    ensure!(sink.count() == wanted, "{} more arrived than were queued", sink.count() - wanted);
    Ok(seconds)
}

/// The bare loop: what stays of delivering without rows, signatures and a log.
async fn bare(sink: &Sink, all: u32) -> Result<f64> {
    let body = r#"{"data":{"change":"updated","contactId":"contact_01h455vb4pex5vsknk084sn02q","fields":["lastName"]},"timestamp":"2026-03-02T09:00:00.000Z","type":"contact.updated"}"#;
    let (client, url, next) = (reqwest::Client::new(), sink.url("hook"), Arc::new(AtomicU32::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < all {
                    let request = client.post(&url).header("content-type", "application/json").body(body);
                    request.send().await?.error_for_status()?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed().as_secs_f64())
}
