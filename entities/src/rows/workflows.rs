//! Workflows, versions, enrollments, steps and exposures.

use crate::rows::row;

row! {
    /// A row of `workflows`.
    workflows "workflows" (Tenant) {
        key tenant_id: TenantId,
        key id: WorkflowId,
        name: String,
        state: String,
        draft: Json,
        version: i64,
        live_version_id: Option<WorkflowVersionId>,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
        archived_at: Option<DateTimeUtc>,
        closing_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `workflow_versions`.
    workflow_versions "workflow_versions" (Tenant) {
        key tenant_id: TenantId,
        key id: WorkflowVersionId,
        workflow_id: WorkflowId,
        number: i32,
        definition: Json,
        content_hash: Vec<u8>,
        published_at: DateTimeUtc,
        actor_kind: String,
        actor_id: Option<Uuid>,
    }
}

row! {
    /// A row of `workflow_listeners`.
    workflow_listeners "workflow_listeners" (Tenant) {
        key tenant_id: TenantId,
        key watches: String,
        key event_id: EventDefinitionId,
        key role: String,
        key version_id: WorkflowVersionId,
        workflow_id: WorkflowId,
    }
}

row! {
    /// A row of `enrollments`.
    enrollments "enrollments" (Tenant) {
        key tenant_id: TenantId,
        key id: EnrollmentId,
        workflow_id: WorkflowId,
        version_id: WorkflowVersionId,
        contact_id: ContactId,
        entry_key: String,
        entry_number: i32,
        state: String,
        node: String,
        visit: i32,
        node_entered_at: DateTimeUtc,
        due_at: DateTimeUtc,
        variant: Option<String>,
        entry_event_id: Option<ContactEventId>,
        end_reason: Option<String>,
        entered_at: DateTimeUtc,
        ended_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `enrollment_steps`.
    enrollment_steps "enrollment_steps" (Tenant) {
        key tenant_id: TenantId,
        key id: StepId,
        enrollment_id: EnrollmentId,
        version_id: WorkflowVersionId,
        node: String,
        outcome: String,
        reason: Option<String>,
        variant: Option<String>,
        facts: Json,
        at: DateTimeUtc,
    }
}

row! {
    /// A row of `exposures`.
    exposures "exposures" (Tenant) {
        key tenant_id: TenantId,
        key workflow_id: WorkflowId,
        key node: String,
        key address_hmac: Vec<u8>,
        variant: String,
        contact_id: ContactId,
        enrollment_id: EnrollmentId,
        exposed_at: DateTimeUtc,
        converts_until: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `pauses`.
    pauses "pauses" (Tenant) {
        key tenant_id: TenantId,
        key subject_id: Uuid,
        kind: String,
        paused_at: DateTimeUtc,
    }
}
