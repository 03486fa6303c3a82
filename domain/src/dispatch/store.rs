//! Due tenants by a skip scan over the partial due index, and the dispatchers' leases.

use carillon_entities::rows::tenancy::dispatcher_leases;
use carillon_entities::wall::{IdentitySql, IdentityTx, Wall};
use sea_orm::Value;

use crate::error::Result;
use crate::time::Timestamp;

/// One index probe per tenant with queued messages, however many messages there are; a suspended tenant's stay where they are.
pub(super) static DUE_MESSAGES: IdentitySql = IdentitySql {
    name: "DUE_MESSAGES",
    text: "WITH RECURSIVE found (tenant_id) AS (
            SELECT (SELECT m.tenant_id FROM messages m WHERE m.lane = $1 AND m.state = 'queued'
                ORDER BY m.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT m.tenant_id FROM messages m WHERE m.lane = $1 AND m.state = 'queued'
                AND m.tenant_id > found.tenant_id ORDER BY m.tenant_id LIMIT 1)
            FROM found WHERE found.tenant_id IS NOT NULL)
        SELECT due.tenant_id, due.oldest_due_at FROM (
            SELECT found.tenant_id, (SELECT m.due_at FROM messages m WHERE m.lane = $1 AND m.state = 'queued'
                AND m.tenant_id = found.tenant_id ORDER BY m.due_at LIMIT 1) AS oldest_due_at
            FROM found WHERE found.tenant_id IS NOT NULL) AS due
        WHERE due.oldest_due_at <= $2
            AND (SELECT t.suspended_at FROM tenants t WHERE t.id = due.tenant_id) IS NULL ORDER BY due.tenant_id",
};

/// One index probe per tenant with people under way and live workflow of it, however many they are: people on paused ones are
/// not looked at, nor those of a tenant that holds all. Then the workflows that people leave because they were archived, the
/// oldest hundred. A suspended tenant's stand still.
pub(super) static DUE_WORKFLOWS: IdentitySql = IdentitySql {
    name: "DUE_WORKFLOWS",
    text: "WITH RECURSIVE found (tenant_id) AS (
            SELECT (SELECT e.tenant_id FROM enrollments e WHERE e.state = 'active' ORDER BY e.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT e.tenant_id FROM enrollments e WHERE e.state = 'active'
                AND e.tenant_id > found.tenant_id ORDER BY e.tenant_id LIMIT 1)
            FROM found WHERE found.tenant_id IS NOT NULL)
        SELECT due.tenant_id, MIN(due.at) AS oldest_due_at FROM (
            SELECT found.tenant_id, (SELECT MIN((SELECT e.due_at FROM enrollments e WHERE e.state = 'active'
                    AND e.tenant_id = w.tenant_id AND e.workflow_id = w.id ORDER BY e.due_at LIMIT 1))
                FROM workflows w WHERE w.tenant_id = found.tenant_id AND w.state = 'live') AS at
            FROM found WHERE found.tenant_id IS NOT NULL AND (SELECT p.paused_at FROM pauses p
                WHERE p.tenant_id = found.tenant_id AND p.subject_id = found.tenant_id) IS NULL
                AND (SELECT t.suspended_at FROM tenants t WHERE t.id = found.tenant_id) IS NULL
            UNION ALL SELECT c.tenant_id, c.at FROM (SELECT w.tenant_id, w.closing_at AS at FROM workflows w
                WHERE w.closing_at IS NOT NULL
                    AND (SELECT t.suspended_at FROM tenants t WHERE t.id = w.tenant_id) IS NULL
                ORDER BY w.closing_at LIMIT 100) AS c) AS due
        WHERE due.at <= $1 GROUP BY due.tenant_id ORDER BY due.tenant_id",
};

/// Imports that wait, or whose worker is gone; those of a suspended tenant wait until it is no more. (A subquery for each
/// row of a narrow index, not a join, which would read all tenants.)
pub(super) static DUE_IMPORTS: IdentitySql = IdentitySql {
    name: "DUE_IMPORTS",
    text: "SELECT i.tenant_id, MIN(i.due_at) AS oldest_due_at FROM imports i
        WHERE ((i.state = 'queued' AND i.due_at <= $1)
            OR (i.state = 'running' AND i.due_at <= $1 AND (i.lease_until IS NULL OR i.lease_until < $1)))
            AND (SELECT t.suspended_at FROM tenants t WHERE t.id = i.tenant_id) IS NULL
        GROUP BY i.tenant_id ORDER BY i.tenant_id",
};

/// One index probe per endpoint with queued deliveries, however many there are. Those of one that is disabled wait, as do those
/// of a suspended tenant; those of one that is deleted are due to be taken back; one that a worker has at the moment has its turn, and one where nobody
/// answers has a rest.
pub(super) static DUE_WEBHOOKS: IdentitySql = IdentitySql {
    name: "DUE_WEBHOOKS",
    text: "WITH RECURSIVE found (endpoint_id) AS (
            SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.state = 'queued'
                ORDER BY d.endpoint_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.state = 'queued'
                AND d.endpoint_id > found.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
            FROM found WHERE found.endpoint_id IS NOT NULL)
        SELECT due.tenant_id, MIN(due.at) AS oldest_due_at FROM (
            SELECT (SELECT e.tenant_id FROM webhook_endpoints e WHERE e.id = found.endpoint_id AND e.state <> 'disabled'
                    AND (e.lease_until IS NULL OR e.lease_until <= $1)
                    AND (e.rests_until IS NULL OR e.rests_until <= $1) LIMIT 1) AS tenant_id,
                (SELECT d.due_at FROM webhook_deliveries d WHERE d.state = 'queued'
                    AND d.endpoint_id = found.endpoint_id ORDER BY d.due_at LIMIT 1) AS at
            FROM found WHERE found.endpoint_id IS NOT NULL) AS due
        WHERE due.at <= $1 AND due.tenant_id IS NOT NULL
            AND (SELECT t.suspended_at FROM tenants t WHERE t.id = due.tenant_id) IS NULL
        GROUP BY due.tenant_id ORDER BY due.tenant_id",
};

/// Campaigns that are to go on, the hundred that wait longest: each is due again later once it was served. Those of a
/// suspended tenant stand still.
pub(super) static DUE_CAMPAIGNS: IdentitySql = IdentitySql {
    name: "DUE_CAMPAIGNS",
    text: "SELECT due.tenant_id, MIN(due.due_at) AS oldest_due_at FROM (
            SELECT r.tenant_id, r.due_at FROM campaign_runs r WHERE r.due_at <= $1
                AND (SELECT t.suspended_at FROM tenants t WHERE t.id = r.tenant_id) IS NULL
            ORDER BY r.due_at LIMIT 100) AS due
        GROUP BY due.tenant_id ORDER BY due.tenant_id",
};

/// Hits to judge and events without a place in the feed (both found like due messages), lapsed claims, unknown outcomes to decide, and what is past its time: of the latter the oldest hundred, so that a long
/// past costs no more than a short one. A file whose import is not over is nobody's work, and must not stand at the head.
pub(super) static DUE_SWEEPS: IdentitySql = IdentitySql {
    name: "DUE_SWEEPS",
    text: "WITH RECURSIVE hit (tenant_id) AS (
            SELECT (SELECT h.tenant_id FROM message_hits h WHERE h.class = 'pending' ORDER BY h.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT h.tenant_id FROM message_hits h WHERE h.class = 'pending' AND h.tenant_id > hit.tenant_id
                ORDER BY h.tenant_id LIMIT 1)
            FROM hit WHERE hit.tenant_id IS NOT NULL),
        fed (tenant_id) AS (
            SELECT (SELECT b.tenant_id FROM message_batches b WHERE b.last_place IS NULL ORDER BY b.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT b.tenant_id FROM message_batches b WHERE b.last_place IS NULL AND b.tenant_id > fed.tenant_id
                ORDER BY b.tenant_id LIMIT 1)
            FROM fed WHERE fed.tenant_id IS NOT NULL)
        SELECT lapsed.tenant_id, MIN(lapsed.at) AS oldest_due_at FROM (
            SELECT judged.tenant_id, judged.at FROM (
                SELECT hit.tenant_id, (SELECT h.due_at FROM message_hits h WHERE h.class = 'pending'
                    AND h.tenant_id = hit.tenant_id ORDER BY h.due_at LIMIT 1) AS at
                FROM hit WHERE hit.tenant_id IS NOT NULL) AS judged WHERE judged.at <= $1
            UNION ALL SELECT fed.tenant_id, (SELECT b.made_at FROM message_batches b WHERE b.last_place IS NULL
                AND b.tenant_id = fed.tenant_id ORDER BY b.tenant_id LIMIT 1) AS at
                FROM fed WHERE fed.tenant_id IS NOT NULL
            UNION ALL SELECT tenant_id, lease_until AS at FROM messages WHERE state = 'claimed' AND lease_until < $1
            UNION ALL SELECT tenant_id, due_at AS at FROM messages WHERE state = 'unknown' AND due_at <= $1
            UNION ALL SELECT u.tenant_id, u.at FROM (SELECT f.tenant_id, f.expires_at AS at FROM uploads f
                WHERE f.state IN ('open', 'complete') AND f.expires_at <= $1
                    AND (SELECT MIN(i.due_at) FROM imports i WHERE i.tenant_id = f.tenant_id AND i.upload_id = f.id
                        AND i.state IN ('queued', 'running')) IS NULL
                ORDER BY f.expires_at LIMIT 100) AS u
            UNION ALL SELECT k.tenant_id, k.at FROM (SELECT tenant_id, expires_at AS at FROM idempotency_keys
                WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100) AS k) AS lapsed
        GROUP BY lapsed.tenant_id ORDER BY lapsed.tenant_id",
};

/// Due messages of a lane, counted to a thousand and no further than the tenant in which that is reached; a suspended tenant's
/// stay where they are.
pub(super) static DUE_MESSAGES_COUNT: IdentitySql = IdentitySql {
    name: "DUE_MESSAGES_COUNT",
    text: "WITH RECURSIVE found (tenant_id, amount) AS (
            SELECT (SELECT m.tenant_id FROM messages m WHERE m.lane = $1 AND m.state = 'queued'
                ORDER BY m.tenant_id LIMIT 1), CAST(0 AS BIGINT)
            UNION ALL
            SELECT (SELECT m.tenant_id FROM messages m WHERE m.lane = $1 AND m.state = 'queued'
                AND m.tenant_id > found.tenant_id ORDER BY m.tenant_id LIMIT 1),
                found.amount + CASE WHEN (SELECT t.suspended_at FROM tenants t WHERE t.id = found.tenant_id) IS NULL
                    THEN (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages m WHERE m.lane = $1
                        AND m.state = 'queued' AND m.tenant_id = found.tenant_id AND m.due_at <= $2 LIMIT 1000) AS due)
                    ELSE CAST(0 AS BIGINT) END
            FROM found WHERE found.tenant_id IS NOT NULL AND found.amount < 1000)
        SELECT MAX(found.amount) AS amount FROM found",
};

/// People due on workflows, counted the same way: by live workflow, as `DUE_WORKFLOWS` looks for them, so that neither
/// those who wait nor those who are held are read. Who has to leave an archived one is not counted.
pub(super) static DUE_WORKFLOWS_COUNT: IdentitySql = IdentitySql {
    name: "DUE_WORKFLOWS_COUNT",
    text: "WITH RECURSIVE found (tenant_id, amount) AS (
            SELECT (SELECT e.tenant_id FROM enrollments e WHERE e.state = 'active' ORDER BY e.tenant_id LIMIT 1),
                CAST(0 AS BIGINT)
            UNION ALL
            SELECT (SELECT e.tenant_id FROM enrollments e WHERE e.state = 'active'
                AND e.tenant_id > found.tenant_id ORDER BY e.tenant_id LIMIT 1),
                found.amount + (SELECT COALESCE(CAST(SUM((SELECT COUNT(*) FROM (SELECT 1 AS one FROM enrollments e
                        WHERE e.state = 'active' AND e.tenant_id = w.tenant_id AND e.workflow_id = w.id
                        AND e.due_at <= $1 LIMIT 1000) AS due)) AS BIGINT), CAST(0 AS BIGINT))
                    FROM workflows w WHERE w.tenant_id = found.tenant_id AND w.state = 'live'
                    AND (SELECT p.paused_at FROM pauses p
                        WHERE p.tenant_id = w.tenant_id AND p.subject_id = w.tenant_id) IS NULL
                    AND (SELECT t.suspended_at FROM tenants t WHERE t.id = w.tenant_id) IS NULL)
            FROM found WHERE found.tenant_id IS NOT NULL AND found.amount < 1000)
        SELECT MAX(found.amount) AS amount FROM found",
};

pub(super) static LEASE_TAKE: IdentitySql = IdentitySql {
    name: "LEASE_TAKE",
    text: "INSERT INTO dispatcher_leases (lane, holder, fence, lease_until) VALUES ($1, $2, 1, $4)
        ON CONFLICT (lane) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until,
            fence = dispatcher_leases.fence + CASE WHEN dispatcher_leases.holder = excluded.holder THEN 0 ELSE 1 END
        WHERE dispatcher_leases.holder = excluded.holder OR dispatcher_leases.lease_until < $3
        RETURNING lane",
};

/// Takes or renews a lane's lease, in a transaction of its own, for it is asked every second; false while another holds it.
pub(super) async fn lease_take(
    wall: &Wall,
    (lane, holder): (&str, &str),
    now: Timestamp,
    until: Timestamp,
) -> Result<bool> {
    let args = vec![Value::from(lane), holder.into(), now.into(), until.into()];
    Ok(!wall.run_identity(&LEASE_TAKE, args).await?.is_empty())
}

/// Gives a lane's lease back.
pub(super) async fn lease_release(tx: &mut IdentityTx, lane: &str, holder: &str) -> Result<()> {
    use dispatcher_leases::Column;
    let delete = tx.delete::<dispatcher_leases::Entity>().eq(Column::Lane, lane).eq(Column::Holder, holder);
    delete.execute().await?;
    Ok(())
}
