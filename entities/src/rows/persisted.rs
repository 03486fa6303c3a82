//! Persisted documents and sets of them.

use crate::rows::row;

row! {
    /// A row of `persisted_documents`.
    persisted_documents "persisted_documents" (Tenant) {
        key tenant_id: TenantId,
        key id: PersistedDocumentId,
        hash: Vec<u8>,
        body: String,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `document_sets`.
    document_sets "document_sets" (Tenant) {
        key tenant_id: TenantId,
        key id: DocumentSetId,
        name: String,
        active_number: Option<i32>,
        version: i64,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `document_set_versions`.
    document_set_versions "document_set_versions" (Tenant) {
        key tenant_id: TenantId,
        key set_id: DocumentSetId,
        key number: i32,
        documents: i32,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `document_set_members`.
    document_set_members "document_set_members" (Tenant) {
        key tenant_id: TenantId,
        key set_id: DocumentSetId,
        key number: i32,
        key hash: Vec<u8>,
    }
}
