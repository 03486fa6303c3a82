//! Idempotency, usage and the audit log.

use super::{Access, Table};

/// The tables.
pub const TABLES: &[Table] = &[
    Table {
        name: "idempotency_keys",
        access: Access::Tenant,
        columns: "operation TEXT NOT NULL,
            key TEXT NOT NULL,
            input_hash BYTES NOT NULL,
            sealed_answer BYTES NOT NULL,
            created_at TIME NOT NULL,
            expires_at TIME NOT NULL,
            PRIMARY KEY (tenant_id, operation, key)",
        indexes: &["idempotency_keys_due ON idempotency_keys (expires_at, tenant_id)"],
    },
    Table {
        name: "usage",
        access: Access::Tenant,
        columns: "meter TEXT NOT NULL,
            day DATE NOT NULL,
            count BIGINT NOT NULL,
            PRIMARY KEY (tenant_id, meter, day)",
        indexes: &[],
    },
    Table {
        name: "audit_events",
        access: Access::AppendOnlyPartitioned,
        columns: "id UUID NOT NULL,
            actor_kind TEXT NOT NULL,
            actor_id UUID,
            action TEXT NOT NULL,
            object_id UUID,
            detail JSON NOT NULL,
            at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["audit_events_page ON audit_events (tenant_id, id)"],
    },
];
