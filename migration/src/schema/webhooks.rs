//! Outgoing webhooks: endpoints, the outbox of what is to be told, deliveries and their attempts.

use super::{Access, Table};

/// The tables.
pub const TABLES: &[Table] = &[
    Table {
        // The claim is on the endpoint: one worker at a time delivers to it, so that a slow one holds up nobody else.
        // A deleted one keeps its id for the log, and nothing that opens anything.
        name: "webhook_endpoints",
        access: Access::Tenant,
        columns: "id UUID NOT NULL,
            url TEXT NOT NULL,
            description TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
            reason TEXT CHECK (reason IN ('owner', 'gone', 'failing')),
            sealed_secret BYTES NOT NULL,
            sealed_previous BYTES,
            previous_until TIME,
            version BIGINT NOT NULL,
            failing_since TIME,
            disabled_at TIME,
            claimed_at TIME,
            lease_until TIME,
            rests_until TIME,
            fence BIGINT NOT NULL,
            created_at TIME NOT NULL,
            updated_at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["webhook_endpoints_by_id ON webhook_endpoints (id)"],
    },
    Table {
        name: "webhook_subscriptions",
        access: Access::Tenant,
        columns: "event_type TEXT NOT NULL,
            endpoint_id UUID NOT NULL,
            PRIMARY KEY (tenant_id, event_type, endpoint_id),
            FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id)",
        indexes: &["webhook_subscriptions_endpoint ON webhook_subscriptions (tenant_id, endpoint_id)"],
    },
    Table {
        // Written with the fact that it tells, in one transaction; the id's time is the fact's. Ids and codes, nothing
        // personal (L7).
        name: "outbox_events",
        access: Access::AppendOnlyPartitioned,
        columns: "id UUID NOT NULL,
            event_type TEXT NOT NULL,
            data JSON NOT NULL,
            at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["outbox_events_type ON outbox_events (tenant_id, event_type, id)"],
    },
    Table {
        // The queue (L4). No foreign keys: one on the endpoint would have its claim wait for everybody who tells it
        // something, and a partition of the outbox may be dropped.
        name: "webhook_deliveries",
        access: Access::Tenant,
        columns: "id UUID NOT NULL,
            endpoint_id UUID NOT NULL,
            event_id UUID NOT NULL,
            event_type TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'failed', 'cancelled')),
            attempts INT NOT NULL,
            due_at TIME NOT NULL,
            outcome TEXT,
            status_code INT,
            created_at TIME NOT NULL,
            settled_at TIME,
            PRIMARY KEY (tenant_id, id)",
        indexes: &[
            "webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'queued'",
            "webhook_deliveries_endpoint ON webhook_deliveries (tenant_id, endpoint_id, id)",
            "webhook_deliveries_event ON webhook_deliveries (tenant_id, event_id)",
        ],
    },
    Table {
        name: "webhook_attempts",
        access: Access::AppendOnlyPartitioned,
        columns: "id UUID NOT NULL,
            delivery_id UUID NOT NULL,
            number INT NOT NULL,
            outcome TEXT NOT NULL,
            status_code INT,
            duration_ms BIGINT NOT NULL,
            answer TEXT,
            at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["webhook_attempts_delivery ON webhook_attempts (tenant_id, delivery_id, id)"],
    },
];
