//! `advance`: people of three tenants whose wait is over go through a branch to one of two mails and into the next wait,
//! against one statement by hand per five thousand that does the same to the same rows.
//!
//! Both sides have two workers that go from tenant to tenant. Each has tenants of its own with the same people, and in the
//! end both have left the same: enrollments moved, three steps for each, a queued mail, endpoints ensured, usage counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use carillon_domain::ids::TenantId;
use carillon_domain::tenancy::enter_to_advance;
use carillon_domain::workflows::{PEOPLE as TICKET, advance_due};
use carillon_tests::stage::Cast;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::crowd;
use super::figure::{Figure, Size};
use super::set::Set;

const PEOPLE: u32 = 200_000;
const TENANTS: u32 = 3;
const WORKERS: usize = 2;

/// Puts everybody of a tenant on its one version, at the first node; their hour is over.
const ENROL: &str = "INSERT INTO enrollments (tenant_id, id, workflow_id, version_id, contact_id, entry_key, entry_number, \
        state, node, visit, node_entered_at, due_at, entered_at) \
     SELECT c.tenant_id, c.id, v.workflow_id, v.id, c.id, c.id::text, 1, 'active', 'pause', 0, now() - interval '2 hours', \
        now() - interval '1 hour', now() - interval '2 hours' \
     FROM contacts c JOIN workflow_versions v ON v.tenant_id = c.tenant_id WHERE c.tenant_id = $1";

/// What the engine does, as somebody would write it who knows this one workflow and nothing else. Ids are in the order of
/// time, as ours are; of tracking it knows that nobody chose anything.
const BY_HAND: &str = "WITH due AS MATERIALIZED ( \
        SELECT id, contact_id, version_id, node_entered_at FROM enrollments \
        WHERE tenant_id = $1 AND workflow_id = (SELECT w.id FROM workflows w WHERE w.tenant_id = $1) \
        AND state = 'active' AND due_at <= now() ORDER BY due_at LIMIT 5000 FOR UPDATE SKIP LOCKED), \
     person AS MATERIALIZED ( \
        SELECT d.*, pg_temp.new_id() AS message, c.country = 'AT' AS is_home, a.address_hmac, a.hmac_key_id FROM due d \
        JOIN contacts c ON c.tenant_id = $1 AND c.id = d.contact_id AND c.state = 'active' \
        JOIN bench_addresses a ON a.tenant_id = $1 AND a.contact_id = d.contact_id), \
     moved AS ( \
        UPDATE enrollments e SET node = 'rest', visit = 3, node_entered_at = now(), due_at = now() + interval '1 day' \
        FROM person p WHERE e.tenant_id = $1 AND e.id = p.id), \
     stepped AS ( \
        INSERT INTO enrollment_steps (tenant_id, id, enrollment_id, version_id, node, outcome, facts, at) \
        SELECT $1, pg_temp.new_id(), p.id, p.version_id, s.node, s.outcome, s.facts, now() FROM person p \
        CROSS JOIN LATERAL (VALUES ('pause', 'waited', jsonb_build_object('since', p.node_entered_at)), \
            ('asked', CASE WHEN p.is_home THEN 'then' ELSE 'otherwise' END, jsonb_build_array(jsonb_build_object( \
                'kind', 'attribute', 'name', 'contact.country', 'is', p.is_home))), \
            (CASE WHEN p.is_home THEN 'home' ELSE 'abroad' END, 'queued', jsonb_build_object('message', p.message)) \
        ) AS s (node, outcome, facts)), \
     ensured AS ( \
        INSERT INTO endpoints (tenant_id, address_hmac, channel, hmac_key_id, subject_ref, hard_bounces, soft_bounces, \
            consent_version, created_at, updated_at) \
        SELECT $1, address_hmac, 'email', hmac_key_id, pg_temp.new_id(), 0, 0, 0, now(), now() FROM person \
        ON CONFLICT (tenant_id, address_hmac, channel) DO NOTHING), \
     sent AS ( \
        INSERT INTO messages (tenant_id, id, intent_key, fingerprint, lane, class, state, channel, contact_id, \
            address_hmac, hmac_key_id, brand_id, topic_id, sender_id, template_version_id, internet_message_id, attempts, \
            is_test, tracking, workflow_version_id, enrollment_id, node, due_at, send_at, expires_at, fence, created_at) \
        SELECT $1, message, 'workflow:' || id || ':2', sha256(uuid_send(id)), 'bulk', 'marketing', 'queued', 'email', \
            contact_id, address_hmac, hmac_key_id, $2, $3, $4, $5, message || '@bench.carillon.example', 0, false, \
            CASE WHEN is_home THEN 'aggregate' ELSE 'individual' END, version_id, id, \
            CASE WHEN is_home THEN 'home' ELSE 'abroad' END, now(), now(), now() + interval '2 days', 0, now() FROM person \
        ON CONFLICT (tenant_id, intent_key) DO NOTHING RETURNING 1), \
     counted AS ( \
        INSERT INTO usage (tenant_id, meter, day, count) \
        SELECT $1, 'messages', (now() AT TIME ZONE 'UTC')::date, COUNT(*) FROM sent HAVING COUNT(*) > 0 \
        ON CONFLICT (tenant_id, meter, day) DO UPDATE SET count = usage.count + excluded.count) \
     SELECT COUNT(*) FROM person";

/// UUIDs of version 7.
const NEW_ID: &str = "CREATE FUNCTION pg_temp.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$ \
     SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING \
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), \
        52, 1), 53, 1), 'hex')::uuid $$";

/// What is there of a tenant, counted.
const LEFT: &str = "SELECT 'enrollment ' || node || ' ' || state || ' ' || visit AS what, COUNT(*) AS amount \
        FROM enrollments WHERE tenant_id = $1 GROUP BY node, state, visit \
     UNION ALL SELECT 'step ' || node || ' ' || outcome, COUNT(*) FROM enrollment_steps WHERE tenant_id = $1 \
        GROUP BY node, outcome \
     UNION ALL SELECT 'message ' || node || ' ' || state || ' ' || tracking || ' ' || lane, COUNT(*) FROM messages \
        WHERE tenant_id = $1 GROUP BY node, state, tracking, lane \
     UNION ALL SELECT 'endpoints', COUNT(*) FROM endpoints WHERE tenant_id = $1 \
     UNION ALL SELECT 'usage', SUM(count)::bigint FROM usage WHERE tenant_id = $1 ORDER BY what";

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let people = size.of(PEOPLE) / TENANTS;
    let mut figure = Figure::new("advance", "people/s", 0.3);
    figure.note(&format!("{TENANTS} tenants of {people}, {WORKERS} workers"));
    let mut set = Set::build("advance").await?;
    for run in 0..size.runs() {
        let (mut engines, mut hands) = (Vec::new(), Vec::new());
        for tenant in 0..TENANTS {
            engines.push(enrolled(&mut set, &format!("engine{run}x{tenant}"), people).await?);
            hands.push(enrolled(&mut set, &format!("hand{run}x{tenant}"), people).await?);
        }
        set.settle().await?;
        let before = set.stage.ports.wall.statements();
        let ours = ours(&set, &engines).await?;
        let statements = set.stage.ports.wall.statements() - before;
        set.settle().await?;
        let reference = by_hand(&set, &hands).await?;
        for (engine, hand) in engines.iter().zip(&hands) {
            let (engine, hand) = (left(&mut set, engine).await?, left(&mut set, hand).await?);
            ensure!(engine == hand, "the engine left {engine:?}, the hand {hand:?}");
            let mails: i64 = engine.iter().filter(|(what, _)| what.starts_with("message ")).map(|(_, many)| many).sum();
            ensure!(mails == i64::from(people), "{mails} mails for {people} people");
        }
        figure.note(&format!("{statements} statements of ours"));
        figure.add(people * TENANTS, ours, reference);
    }
    set.strike().await?;
    Ok(figure)
}

/// A tenant whose people are all due.
async fn enrolled(set: &mut Set, name: &str, people: u32) -> Result<Cast> {
    let cast = set.stage.cast(name, 0).await?;
    set.stage.declare(&cast, &["started"]).await?;
    let definition = json!({
        "trigger": { "event": "started" },
        "start": "pause",
        "nodes": {
            "pause": { "kind": "wait_for", "seconds": 3_600, "next": "asked" },
            "asked": {
                "kind": "branch", "then": "home", "otherwise": "abroad",
                "condition": { "kind": "attribute", "name": "contact.country", "test": { "op": "equals", "value": "AT" } },
            },
            "home": set.stage.mail_node(&cast, "rest").await?,
            "abroad": set.stage.mail_node(&cast, "rest").await?,
            "rest": { "kind": "wait_for", "seconds": 86_400, "next": "bye" },
            "bye": { "kind": "exit" },
        },
    });
    set.stage.live(&cast, "Welcome", definition).await?;
    crowd::gather(set, cast.tenant, people).await?;
    sqlx::query(ENROL).bind(cast.tenant.0).execute(&mut set.owner).await?;
    Ok(cast)
}

/// Whose turn it is; who has nobody left drops out.
#[derive(Clone)]
struct Turns<T>(Arc<Mutex<VecDeque<(TenantId, T)>>>);

impl<T: Clone> Turns<T> {
    fn of(tenants: impl IntoIterator<Item = (TenantId, T)>) -> Self {
        Self(Arc::new(Mutex::new(tenants.into_iter().collect())))
    }

    async fn next(&self) -> Option<(TenantId, T)> {
        let mut turns = self.0.lock().await;
        let next = turns.pop_front()?;
        turns.push_back(next.clone());
        Some(next)
    }

    async fn is_done(&self, tenant: TenantId) {
        self.0.lock().await.retain(|(one, _)| *one != tenant);
    }
}

/// Lets two workers take tickets until nobody is due; returns the seconds it took.
async fn ours(set: &Set, casts: &[Cast]) -> Result<f64> {
    let wall = &set.stage.ports.wall;
    let turns = Turns::of(casts.iter().map(|cast| (cast.tenant, enter_to_advance(wall, cast.tenant))));
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (turns, ports) = (turns.clone(), set.stage.ports.clone());
            tokio::spawn(async move {
                while let Some((tenant, grants)) = turns.next().await {
                    if advance_due(&grants, &ports, TICKET).await? == 0 {
                        turns.is_done(tenant).await;
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// The same by hand, on two connections of the application's role.
async fn by_hand(set: &Set, casts: &[Cast]) -> Result<f64> {
    let turns = Turns::of(casts.iter().map(|cast| (cast.tenant, cast.clone())));
    let mut connections = Vec::new();
    for _ in 0..WORKERS {
        let mut connection = set.as_application().await?;
        sqlx::query(NEW_ID).execute(&mut connection).await?;
        connections.push(connection);
    }
    let began = Instant::now();
    let workers: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let turns = turns.clone();
            tokio::spawn(async move {
                while let Some((tenant, cast)) = turns.next().await {
                    if chunk(&mut connection, &cast).await? == 0 {
                        turns.is_done(tenant).await;
                    }
                }
                connection.close().await?;
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn chunk(connection: &mut PgConnection, cast: &Cast) -> Result<i64> {
    let mut tx = connection.begin().await?;
    super::set::enter(&mut tx, cast.tenant).await?;
    let moved: i64 = sqlx::query_scalar(BY_HAND)
        .bind(cast.tenant.0)
        .bind(cast.brand.0)
        .bind(cast.topic.0)
        .bind(cast.sender.0)
        .bind(cast.version.0)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(moved)
}

async fn left(set: &mut Set, cast: &Cast) -> Result<Vec<(String, i64)>> {
    Ok(sqlx::query_as(LEFT).bind(cast.tenant.0).fetch_all(&mut set.owner).await?)
}
