//! Idempotency, usage and audit.

use crate::rows::row;

row! {
    /// A row of `idempotency_keys`.
    idempotency_keys "idempotency_keys" (Tenant) {
        key tenant_id: TenantId,
        key operation: String,
        key key: String,
        input_hash: Vec<u8>,
        sealed_answer: Vec<u8>,
        created_at: DateTimeUtc,
        expires_at: DateTimeUtc,
    }
}

row! {
    /// A row of `usage`.
    usage "usage" (Tenant) {
        key tenant_id: TenantId,
        key meter: String,
        key day: Date,
        count: i64,
    }
}

row! {
    /// A row of `audit_events`.
    audit_events "audit_events" (Tenant) {
        key tenant_id: TenantId,
        key id: AuditEventId,
        actor_kind: String,
        actor_id: Option<Uuid>,
        action: String,
        object_id: Option<Uuid>,
        detail: Json,
        at: DateTimeUtc,
    }
}
