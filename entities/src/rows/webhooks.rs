//! Webhook endpoints, what they listen to, the outbox, and deliveries with their attempts.

use crate::rows::row;

row! {
    /// A row of `webhook_endpoints`.
    webhook_endpoints "webhook_endpoints" (Tenant) {
        key tenant_id: TenantId,
        key id: WebhookEndpointId,
        url: String,
        description: String,
        state: String,
        reason: Option<String>,
        sealed_secret: Vec<u8>,
        sealed_previous: Option<Vec<u8>>,
        previous_until: Option<DateTimeUtc>,
        version: i64,
        failing_since: Option<DateTimeUtc>,
        disabled_at: Option<DateTimeUtc>,
        claimed_at: Option<DateTimeUtc>,
        lease_until: Option<DateTimeUtc>,
        rests_until: Option<DateTimeUtc>,
        fence: i64,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `webhook_subscriptions`.
    webhook_subscriptions "webhook_subscriptions" (Tenant) {
        key tenant_id: TenantId,
        key event_type: String,
        key endpoint_id: WebhookEndpointId,
    }
}

row! {
    /// A row of `outbox_events`.
    outbox_events "outbox_events" (Tenant) {
        key tenant_id: TenantId,
        key id: WebhookEventId,
        event_type: String,
        data: Json,
        at: DateTimeUtc,
    }
}

row! {
    /// A row of `webhook_deliveries`.
    webhook_deliveries "webhook_deliveries" (Tenant) {
        key tenant_id: TenantId,
        key id: WebhookDeliveryId,
        endpoint_id: WebhookEndpointId,
        event_id: WebhookEventId,
        event_type: String,
        state: String,
        attempts: i32,
        due_at: DateTimeUtc,
        outcome: Option<String>,
        status_code: Option<i32>,
        created_at: DateTimeUtc,
        settled_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `webhook_attempts`.
    webhook_attempts "webhook_attempts" (Tenant) {
        key tenant_id: TenantId,
        key id: WebhookAttemptId,
        delivery_id: WebhookDeliveryId,
        number: i32,
        outcome: String,
        status_code: Option<i32>,
        duration_ms: i64,
        answer: Option<String>,
        at: DateTimeUtc,
    }
}
