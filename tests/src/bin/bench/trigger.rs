//! `trigger`: events through the use case that the API calls, against 200 live workflows, with enrolment; the reference
//! puts the same events into `contact_events` and does nothing else.
//!
//! Twenty of the workflows listen to the events' name, each to another value of a property, and a person enters each of
//! them once, which is what a workflow that says nothing about it does: of ten events of a run one brings its person in,
//! nine find them there. The other workflows listen to other names, and must not cost anything: a second tenant has the
//! twenty alone.
//!
//! `trigger_each`: every event brings its person into a workflow once more, and leaves four rows; so does the reference,
//! one statement of somebody who knows everything beforehand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use carillon_domain::contacts::events::{EventContact, EventName, TRACK_MAX, TrackEvent, track_events};
use carillon_domain::ids::{ContactId, EventDefinitionId, TenantId};
use carillon_domain::ports::Ports;
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{Grant, TrackEvents};
use carillon_tests::stage::Cast;
use serde_json::{Map, Value as Json, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::crowd;
use super::figure::{Figure, Size, median};
use super::set::{Set, enter};

const EVENTS: u32 = 100_000;
const PEOPLE: u32 = 10_000;
/// As many as keep both processors busy while others wait for the disk, for both sides.
const CALLERS: usize = 4;
const LIVE: u32 = 200;
const LISTENING: u32 = 20;
/// Workflows that do not listen may cost no more than what two runs of the same differ by.
const FLAT: f64 = 1.25;

const INSERT: &str = "INSERT INTO contact_events (tenant_id, id, contact_id, event_id, occurred_at, sealed) \
     SELECT $1, * FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::bytea[])";
/// The rows that an event leaves that brings somebody into a workflow, as one statement of somebody who knows all of it.
const BY_HAND: &str = "WITH told AS MATERIALIZED ( \
        SELECT * FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::bytea[]) \
        AS told (id, contact_id, event_id, at, sealed)), \
     stored AS (INSERT INTO contact_events (tenant_id, id, contact_id, event_id, occurred_at, sealed) \
        SELECT $1, id, contact_id, event_id, at, sealed FROM told), \
     known AS (INSERT INTO event_keys (tenant_id, source, message_key, fingerprint, event_id, created_at) \
        SELECT $1, 'hand', id::text, sha256(uuid_send(id)), id, at FROM told), \
     begun AS (INSERT INTO enrollments (tenant_id, id, workflow_id, version_id, contact_id, entry_key, entry_number, state, \
            node, visit, node_entered_at, due_at, entry_event_id, entered_at) \
        SELECT $1, t.id, v.workflow_id, v.id, t.contact_id, t.contact_id || ':' || t.id, 1, 'active', 'pause', 0, t.at, t.at, \
            t.id, t.at FROM told t CROSS JOIN (SELECT id, workflow_id FROM workflow_versions WHERE tenant_id = $1 LIMIT 1) v) \
     INSERT INTO enrollment_steps (tenant_id, id, enrollment_id, version_id, node, outcome, facts, at) \
     SELECT $1, t.id, t.id, v.id, 'pause', 'enrolled', jsonb_build_object('event', t.id, 'entry', 1), t.at FROM told t \
     CROSS JOIN (SELECT id FROM workflow_versions WHERE tenant_id = $1 LIMIT 1) v";
const ENROLLED: &str = "SELECT COUNT(*) FROM enrollments WHERE tenant_id = $1";
/// One event as it lies there.
const SEALED: &str = "SELECT event_id, sealed FROM contact_events WHERE tenant_id = $1 LIMIT 1";

/// Measures both.
pub async fn run(size: Size) -> Result<Vec<Figure>> {
    let (events, people) = (size.of(EVENTS), size.of(PEOPLE));
    let mut figure = Figure::new("trigger", "events/s", 0.25);
    let mut each = Figure::new("trigger_each", "events/s", 0.25);
    let mut set = Set::build("trigger").await?;
    let all = Tenant::build(&mut set, ("all", LIVE, Entering::Once), people).await?;
    let few = Tenant::build(&mut set, ("few", LISTENING, Entering::Once), people).await?;
    let ever = Tenant::build(&mut set, ("ever", LIVE, Entering::Each), people).await?;
    let (mut with_all, mut with_few) = (Vec::new(), Vec::new());
    for run in 1..=u32::try_from(size.runs())? {
        with_all.push(all.measure(&mut set, run, events).await?);
        with_few.push(few.measure(&mut set, run, events).await?);
        let ours = ever.measure(&mut set, run, events).await?;
        set.settle().await?;
        let by_hand = by_sql(&mut set, &ever, (ever.cast.tenant, BY_HAND), events).await?;
        set.settle().await?;
        // A tenant without workflows.
        let nobody = set.stage.ports.new_id();
        let reference = by_sql(&mut set, &all, (nobody, INSERT), events).await?;
        let of = |times: &[f64]| f64::from(events) / times.last().copied().unwrap_or(f64::NAN);
        let (wide, narrow) = (of(&with_all), of(&with_few));
        figure.note(&format!("{wide:.0} events/s with {LIVE} live workflows, {narrow:.0} with {LISTENING}"));
        figure.add(events, with_all.last().copied().unwrap_or(f64::NAN), reference);
        each.add(events, ours, by_hand);
    }
    let slower = median(&with_all) / median(&with_few);
    figure.limit(&format!("time with {LIVE} live workflows, that with {LISTENING} being 1"), slower, FLAT);
    set.strike().await?;
    Ok(vec![figure, each])
}

/// How often a person enters a workflow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entering {
    Once,
    Each,
}

struct Tenant {
    cast: Cast,
    people: Arc<Vec<ContactId>>,
    entering: Entering,
}

impl Tenant {
    async fn build(set: &mut Set, (name, live, entering): (&str, u32, Entering), people: u32) -> Result<Self> {
        let cast = set.stage.cast(name, 0).await?;
        let others: Vec<String> = (0..LISTENING).map(|number| format!("other_{number}")).collect();
        let names: Vec<&str> = others.iter().map(String::as_str).chain(["visited"]).collect();
        set.stage.declare(&cast, &names).await?;
        for number in 0..live {
            let event = if number < LISTENING { "visited" } else { names[(number % LISTENING) as usize] };
            let page = number % LISTENING;
            set.stage.live(&cast, &format!("Page {number}"), definition(event, page, entering)).await?;
        }
        let people = Arc::new(crowd::gather(set, cast.tenant, people).await?);
        let tenant = Self { cast, people, entering };
        // Everybody did something before: their keys are made, as for people whom one knows.
        let count = u32::try_from(tenant.people.len())?;
        tenant.track(set, 0, count).await?;
        Ok(tenant)
    }

    /// A run, and that it brought in whom it should.
    async fn measure(&self, set: &mut Set, run: u32, events: u32) -> Result<f64> {
        set.settle().await?;
        let before = self.enrolled(set).await?;
        let seconds = self.track(set, run, events).await?;
        let new = self.enrolled(set).await? - before;
        let wanted = match self.entering {
            Entering::Once => events.min(u32::try_from(self.people.len())?),
            Entering::Each => events,
        };
        ensure!(new == i64::from(wanted), "{new} people were enrolled by {events} events, not {wanted}");
        Ok(seconds)
    }

    async fn enrolled(&self, set: &mut Set) -> Result<i64> {
        Ok(sqlx::query_scalar(ENROLLED).bind(self.cast.tenant.0).fetch_one(&mut set.owner).await?)
    }

    /// Tells so many events; returns the seconds it took.
    async fn track(&self, set: &Set, run: u32, events: u32) -> Result<f64> {
        let context = set.stage.enter(self.cast.tenant)?;
        let next = Arc::new(AtomicU32::new(0));
        let began = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (ports, people, next) = (set.stage.ports.clone(), Arc::clone(&self.people), Arc::clone(&next));
                let grant = context.grant::<TrackEvents>();
                tokio::spawn(async move {
                    let grant = grant?;
                    while let Some(numbers) = batch(&next, events) {
                        let events = numbers.map(|number| event(&people, run, number)).collect::<Result<Vec<_>>>()?;
                        tell(&grant, &ports, &events).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        Ok(began.elapsed().as_secs_f64())
    }
}

/// People wait for a day, so nothing but entering is measured.
fn definition(event: &str, page: u32, entering: Entering) -> Json {
    let entry_key = (entering == Entering::Each).then_some("visit");
    json!({
        "trigger": {
            "event": event, "entry_key": entry_key,
            "filter": [{ "property": "page", "test": { "op": "equals", "value": page } }],
        },
        "start": "pause",
        "nodes": { "pause": { "kind": "wait_for", "seconds": 86_400, "next": "bye" }, "bye": { "kind": "exit" } },
    })
}

/// The next numbers of a run.
fn batch(next: &AtomicU32, events: u32) -> Option<std::ops::Range<u32>> {
    let size = u32::try_from(TRACK_MAX).unwrap_or(u32::MAX);
    let first = next.fetch_add(size, Ordering::Relaxed);
    (first < events).then(|| first..events.min(first + size))
}

/// In each run a person looks at one page, another one than in the run before.
fn event(people: &[ContactId], run: u32, number: u32) -> Result<TrackEvent> {
    let who = number as usize % people.len();
    let page = (u32::try_from(who)? + run) % LISTENING;
    let properties = json!({ "page": page, "visit": format!("{run}-{number}") });
    let properties: Map<String, Json> = serde_json::from_value(properties)?;
    Ok(TrackEvent {
        message_id: format!("{run}-{number}"),
        source: "bench".to_owned(),
        name: EventName::parse("visited").map_err(|error| anyhow!("{error}"))?,
        contact: EventContact::Id(people[who]),
        create: None,
        occurred_at: None,
        properties,
    })
}

/// One call, run again when it lost a race.
async fn tell(grant: &Grant<TrackEvents>, ports: &Ports, events: &[TrackEvent]) -> Result<()> {
    let mut reruns = Reruns::default();
    loop {
        match once(grant, ports, events).await {
            Err(error) if reruns.after(&error) => {}
            told => return Ok(told?),
        }
    }
}

async fn once(grant: &Grant<TrackEvents>, ports: &Ports, events: &[TrackEvent]) -> carillon_domain::error::Result<()> {
    let mut tx = grant.begin().await?;
    let verdicts = track_events(grant, &mut tx, ports, events).await?;
    tx.commit().await?;
    match verdicts.into_iter().find_map(Result::err) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(()),
    }
}

/// The same events by one statement, as many callers, and batches of the same size.
async fn by_sql(set: &mut Set, like: &Tenant, (tenant, sql): (TenantId, &'static str), events: u32) -> Result<f64> {
    let found: Option<(Uuid, Vec<u8>)> =
        sqlx::query_as(SEALED).bind(like.cast.tenant.0).fetch_optional(&mut set.owner).await?;
    let (definition, sealed) = found.context("an event that was told before")?;
    let definition = EventDefinitionId(definition);
    let next = Arc::new(AtomicU32::new(0));
    let mut connections = Vec::new();
    for _ in 0..CALLERS {
        connections.push(set.as_application().await?);
    }
    let began = Instant::now();
    let callers: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (ports, people, next) = (set.stage.ports.clone(), Arc::clone(&like.people), Arc::clone(&next));
            let sealed = sealed.clone();
            tokio::spawn(async move {
                while let Some(numbers) = batch(&next, events) {
                    let people: Vec<Uuid> = numbers.map(|number| people[number as usize % people.len()].0).collect();
                    insert(&mut connection, &ports, (tenant, sql), (definition, &people, &sealed)).await?;
                }
                connection.close().await?;
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn insert(
    connection: &mut PgConnection,
    ports: &Ports,
    (tenant, sql): (TenantId, &'static str),
    (definition, people, sealed): (EventDefinitionId, &[Uuid], &[u8]),
) -> Result<()> {
    let (count, now) = (people.len(), ports.now());
    let ids: Vec<Uuid> = (0..count).map(|_| ports.new_id()).collect();
    let mut tx = connection.begin().await?;
    enter(&mut tx, tenant).await?;
    sqlx::query(sql)
        .bind(tenant.0)
        .bind(&ids)
        .bind(people)
        .bind(vec![definition.0; count])
        .bind(vec![now; count])
        .bind(vec![sealed; count])
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
