//! Persisted documents, and the sets of them that API keys are held to.

use super::{Access, Table};

/// The tables.
pub const TABLES: &[Table] = &[
    Table {
        // A document is its text: the same text is the same row, and a retired one is gone.
        name: "persisted_documents",
        access: Access::Tenant,
        columns: "id UUID NOT NULL,
            hash BYTES NOT NULL,
            body TEXT NOT NULL,
            created_at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["UNIQUE persisted_documents_hash ON persisted_documents (tenant_id, hash)"],
    },
    Table {
        // Which of its versions holds is one number, so that putting one back is one write.
        name: "document_sets",
        access: Access::Tenant,
        columns: "id UUID NOT NULL,
            name TEXT NOT NULL,
            active_number INT,
            version BIGINT NOT NULL,
            created_at TIME NOT NULL,
            updated_at TIME NOT NULL,
            PRIMARY KEY (tenant_id, id)",
        indexes: &["UNIQUE document_sets_name ON document_sets (tenant_id, name)"],
    },
    Table {
        name: "document_set_versions",
        access: Access::Tenant,
        columns: "set_id UUID NOT NULL,
            number INT NOT NULL,
            documents INT NOT NULL,
            created_at TIME NOT NULL,
            PRIMARY KEY (tenant_id, set_id, number),
            FOREIGN KEY (tenant_id, set_id) REFERENCES document_sets (tenant_id, id)",
        indexes: &[],
    },
    Table {
        // By hash and not by row: what a version allows does not change when a document is retired and registered again.
        name: "document_set_members",
        access: Access::Tenant,
        columns: "set_id UUID NOT NULL,
            number INT NOT NULL,
            hash BYTES NOT NULL,
            PRIMARY KEY (tenant_id, set_id, number, hash),
            FOREIGN KEY (tenant_id, set_id, number) REFERENCES document_set_versions (tenant_id, set_id, number)",
        indexes: &[],
    },
];
