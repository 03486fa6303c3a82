//! Brands, topics, ledger, projection, evidence, suppressions and decisions.

use crate::rows::row;

row! {
    /// A row of `brands`.
    brands "brands" (Tenant) {
        key tenant_id: TenantId,
        key id: BrandId,
        name: String,
        is_default: bool,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `topics`.
    topics "topics" (Tenant) {
        key tenant_id: TenantId,
        key id: TopicId,
        brand_id: BrandId,
        key: String,
        name: String,
        purpose: String,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `consent_events`.
    consent_events "consent_events" (Tenant) {
        key tenant_id: TenantId,
        key id: ConsentEventId,
        subject_ref: SubjectId,
        address_hmac: Vec<u8>,
        hmac_key_id: String,
        channel: String,
        brand_id: BrandId,
        topic_id: TopicId,
        action: String,
        basis: String,
        jurisdictions: Json,
        effective_at: DateTimeUtc,
        recorded_at: DateTimeUtc,
        actor_kind: String,
        actor_id: Option<Uuid>,
        source_kind: String,
        source_id: Option<Uuid>,
        source_line: Option<i64>,
        form_version: Option<String>,
        notice_version: Option<String>,
        wording_hash: Option<Vec<u8>>,
        locale: Option<String>,
        evidence_ref: Option<EvidenceId>,
        supersedes: Option<Uuid>,
    }
}

row! {
    /// A row of `consent_states`.
    consent_states "consent_states" (Tenant) {
        key tenant_id: TenantId,
        key channel: String,
        key address_hmac: Vec<u8>,
        key brand_id: BrandId,
        key topic_id: TopicId,
        state: String,
        fold: Json,
        event_id: ConsentEventId,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `subject_keys`.
    subject_keys "subject_keys" (Tenant) {
        key tenant_id: TenantId,
        key subject_id: SubjectId,
        wrapped: Option<Vec<u8>>,
        created_at: DateTimeUtc,
        destroyed_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `consent_evidence`.
    consent_evidence "consent_evidence" (Tenant) {
        key tenant_id: TenantId,
        key id: EvidenceId,
        subject_id: SubjectId,
        digest: Vec<u8>,
        sealed: Vec<u8>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `suppressions`.
    suppressions "suppressions" (Tenant) {
        key tenant_id: TenantId,
        key id: SuppressionId,
        channel: String,
        address_hmac: Vec<u8>,
        hmac_key_id: String,
        scope: String,
        reason: String,
        since: DateTimeUtc,
        source_event: Option<Uuid>,
        operator_id: Option<String>,
    }
}

row! {
    /// A row of `gate_decisions`.
    gate_decisions "gate_decisions" (Tenant) {
        key tenant_id: TenantId,
        key id: DecisionId,
        message_id: MessageId,
        attempt: i32,
        verdict: String,
        reason: String,
        rules_version: i32,
        facts: Json,
        trace: Json,
        at: DateTimeUtc,
    }
}
