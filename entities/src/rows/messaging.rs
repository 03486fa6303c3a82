//! Endpoints, senders, templates, messages and attempts.

use crate::rows::row;

row! {
    /// A row of `endpoints`.
    endpoints "endpoints" (Tenant) {
        key tenant_id: TenantId,
        key address_hmac: Vec<u8>,
        key channel: String,
        hmac_key_id: String,
        subject_ref: SubjectId,
        hard_bounces: i32,
        soft_bounces: i32,
        soft_since: Option<DateTimeUtc>,
        soft_last_at: Option<DateTimeUtc>,
        consent_version: i64,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `operator_hours`.
    operator_hours "operator_hours" (Tenant) {
        key tenant_id: TenantId,
        key operator_id: String,
        key hour_at: DateTimeUtc,
        handed: i64,
        gone: i64,
    }
}

row! {
    /// A row of `sender_identities`.
    sender_identities "sender_identities" (Tenant) {
        key tenant_id: TenantId,
        key id: SenderId,
        brand_id: BrandId,
        from_name: String,
        from_email: String,
        reply_to: Option<String>,
        postal_address: String,
        domain: String,
        dkim_selector: String,
        dkim_sealed: Vec<u8>,
        dkim_public: String,
        verified_at: Option<DateTimeUtc>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `relays`.
    relays "relays" (Tenant) {
        key tenant_id: TenantId,
        key id: RelayId,
        host: String,
        sealed_url: Vec<u8>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `templates`.
    templates "templates" (Tenant) {
        key tenant_id: TenantId,
        key id: TemplateId,
        name: String,
        class: String,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `template_partials`.
    template_partials "template_partials" (Tenant) {
        key tenant_id: TenantId,
        key id: PartialId,
        name: String,
        html: String,
        body_text: String,
        version: i64,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `template_versions`.
    template_versions "template_versions" (Tenant) {
        key tenant_id: TenantId,
        key id: TemplateVersionId,
        template_id: TemplateId,
        version: i32,
        locale: String,
        subject: String,
        html: String,
        body_text: String,
        format: String,
        source: String,
        event_id: Option<EventDefinitionId>,
        content_hash: Vec<u8>,
        published_at: DateTimeUtc,
    }
}

row! {
    /// A row of `messages`.
    messages "messages" (Tenant) {
        key tenant_id: TenantId,
        key id: MessageId,
        intent_key: String,
        fingerprint: Vec<u8>,
        lane: String,
        class: String,
        state: String,
        reason: Option<String>,
        channel: String,
        contact_id: Option<ContactId>,
        address_hmac: Vec<u8>,
        hmac_key_id: String,
        sealed_address: Option<Vec<u8>>,
        brand_id: BrandId,
        topic_id: Option<TopicId>,
        sender_id: SenderId,
        template_version_id: TemplateVersionId,
        sealed_variables: Option<Vec<u8>>,
        internet_message_id: String,
        attempts: i32,
        is_test: bool,
        tracking: String,
        workflow_version_id: Option<WorkflowVersionId>,
        enrollment_id: Option<EnrollmentId>,
        campaign_id: Option<CampaignId>,
        node: Option<String>,
        variant: Option<String>,
        due_at: DateTimeUtc,
        send_at: DateTimeUtc,
        expires_at: DateTimeUtc,
        lease_until: Option<DateTimeUtc>,
        claimed_by: Option<String>,
        fence: i64,
        created_at: DateTimeUtc,
        settled_at: Option<DateTimeUtc>,
        trace: Option<Vec<u8>>,
    }
}

row! {
    /// A row of `attempts`.
    attempts "attempts" (Tenant) {
        key tenant_id: TenantId,
        key message_id: MessageId,
        key number: i32,
        state: String,
        decision_id: DecisionId,
        fence: i64,
        worker: String,
        cleared_at: DateTimeUtc,
        started_at: Option<DateTimeUtc>,
        settled_at: Option<DateTimeUtc>,
        smtp_code: Option<i32>,
        enhanced_code: Option<String>,
        class: Option<String>,
        rule_id: Option<String>,
        content_sha256: Option<Vec<u8>>,
    }
}

row! {
    /// A row of `message_events`.
    message_events "message_events" (Tenant) {
        key tenant_id: TenantId,
        key id: MessageEventId,
        message_id: MessageId,
        kind: String,
        detail: Json,
        at: DateTimeUtc,
    }
}

row! {
    /// A row of `message_batches`.
    message_batches "message_batches" (Tenant) {
        key tenant_id: TenantId,
        key first_id: MessageEventId,
        size: i32,
        message_id: Option<MessageId>,
        kind: Option<String>,
        made_at: DateTimeUtc,
        last_place: Option<i64>,
        placed_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `message_feeds`.
    message_feeds "message_feeds" (Tenant) {
        key tenant_id: TenantId,
        last_place: i64,
        forgotten: i64,
        tidied_at: DateTimeUtc,
    }
}

row! {
    /// A row of `message_hits`.
    message_hits "message_hits" (Tenant) {
        key tenant_id: TenantId,
        key id: HitId,
        message_id: MessageId,
        kind: String,
        link: Option<i32>,
        links: Option<i32>,
        agent: String,
        is_head: bool,
        source_hash: Vec<u8>,
        class: String,
        rule_id: Option<String>,
        at: DateTimeUtc,
        due_at: DateTimeUtc,
    }
}

row! {
    /// A row of `tracking_counts`.
    tracking_counts "tracking_counts" (Tenant) {
        key tenant_id: TenantId,
        key day: Date,
        key template_version_id: TemplateVersionId,
        key origin: String,
        key kind: String,
        count: i64,
    }
}

row! {
    /// A row of `tracking_modes`.
    tracking_modes "tracking_modes" (Tenant) {
        key tenant_id: TenantId,
        key subject_id: Uuid,
        mode: String,
        decided_at: DateTimeUtc,
    }
}
