//! Contacts, identities, attributes, tags, history and imports.

use crate::rows::row;

row! {
    /// A row of `contacts`.
    contacts "contacts" (Tenant) {
        key tenant_id: TenantId,
        key id: ContactId,
        state: String,
        external_id: Option<String>,
        email: Option<String>,
        email_norm: Option<String>,
        former_email: Option<String>,
        phone_norm: Option<String>,
        first_name: Option<String>,
        last_name: Option<String>,
        name_norm: Option<String>,
        locale: Option<String>,
        zone: Option<String>,
        country: Option<String>,
        attributes: Json,
        version: i64,
        import_id: Option<ImportId>,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
        archived_at: Option<DateTimeUtc>,
        deleted_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `contact_identities`.
    contact_identities "contact_identities" (Tenant) {
        key tenant_id: TenantId,
        key kind: String,
        key value_norm: String,
        contact_id: ContactId,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `attribute_definitions`.
    attribute_definitions "attribute_definitions" (Tenant) {
        key tenant_id: TenantId,
        key id: AttributeId,
        name: String,
        kind: String,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `contact_attribute_values`.
    contact_attribute_values "contact_attribute_values" (Tenant) {
        key tenant_id: TenantId,
        key contact_id: ContactId,
        key attribute_id: AttributeId,
        text_value: Option<String>,
        number_value: Option<f64>,
        bool_value: Option<bool>,
        date_value: Option<Date>,
    }
}

row! {
    /// A row of `contact_tags`.
    contact_tags "contact_tags" (Tenant) {
        key tenant_id: TenantId,
        key tag: String,
        key contact_id: ContactId,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `contact_changes`.
    contact_changes "contact_changes" (Tenant) {
        key tenant_id: TenantId,
        key id: ContactChangeId,
        contact_id: ContactId,
        kind: String,
        actor_kind: String,
        actor_id: Option<Uuid>,
        source_kind: String,
        source_id: Option<Uuid>,
        fields: Json,
        sealed: Option<Vec<u8>>,
        at: DateTimeUtc,
    }
}

row! {
    /// A row of `event_definitions`.
    event_definitions "event_definitions" (Tenant) {
        key tenant_id: TenantId,
        key id: EventDefinitionId,
        name: String,
        is_declared: bool,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `event_properties`.
    event_properties "event_properties" (Tenant) {
        key tenant_id: TenantId,
        key event_id: EventDefinitionId,
        key name: String,
        kind: String,
        is_declared: bool,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `contact_events`.
    contact_events "contact_events" (Tenant) {
        key tenant_id: TenantId,
        key id: ContactEventId,
        contact_id: ContactId,
        event_id: EventDefinitionId,
        occurred_at: DateTimeUtc,
        sealed: Option<Vec<u8>>,
    }
}

row! {
    /// A row of `event_keys`.
    event_keys "event_keys" (Tenant) {
        key tenant_id: TenantId,
        key source: String,
        key message_key: String,
        fingerprint: Vec<u8>,
        event_id: ContactEventId,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `uploads`.
    uploads "uploads" (Tenant) {
        key tenant_id: TenantId,
        key id: UploadId,
        file_name: String,
        size: i64,
        received: i64,
        fence: i64,
        state: String,
        expires_at: DateTimeUtc,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `imports`.
    imports "imports" (Tenant) {
        key tenant_id: TenantId,
        key id: ImportId,
        upload_id: UploadId,
        file_name: String,
        state: String,
        options: Json,
        columns: Json,
        cursor: Json,
        total_bytes: i64,
        done_bytes: i64,
        rows_seen: i64,
        rows_created: i64,
        rows_updated: i64,
        rows_failed: i64,
        file_sha256: Option<Vec<u8>>,
        evidence_id: Option<EvidenceId>,
        error_code: Option<String>,
        actor_kind: String,
        actor_id: Option<Uuid>,
        due_at: DateTimeUtc,
        lease_until: Option<DateTimeUtc>,
        fence: i64,
        attempts: i32,
        created_at: DateTimeUtc,
        finished_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `import_errors`.
    import_errors "import_errors" (Tenant) {
        key tenant_id: TenantId,
        key import_id: ImportId,
        key line: i64,
        key place: i32,
        field: String,
        code: String,
        message: String,
    }
}
