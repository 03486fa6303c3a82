//! The schema as data: every table once, for both databases.
//!
//! Column types are written as tokens (`UUID`, `TIME`, `JSON`, `BYTES`) and rendered per database. What kind of table it
//! is decides the rest: row security, grants, append-only triggers and partitions follow from it, so no table can be
//! added without them.

pub mod campaigns;
pub mod consent;
pub mod contacts;
pub mod messaging;
pub mod persisted;
pub mod service;
pub mod tenancy;
pub mod webhooks;
pub mod workflows;

/// Who may do what with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A tenant's rows; the application reads and writes them under row security.
    Tenant,
    /// A tenant's rows that are only ever inserted (L7).
    AppendOnly,
    /// As `AppendOnly`, range-partitioned by the month of the UUIDv7 id.
    AppendOnlyPartitioned,
    /// Without a tenant; reached by the identity role alone.
    Identity,
}

impl Access {
    /// True where rows carry `tenant_id`.
    pub fn has_tenant(self) -> bool {
        self != Self::Identity
    }

    /// True where the database refuses UPDATE and DELETE.
    pub fn is_append_only(self) -> bool {
        matches!(self, Self::AppendOnly | Self::AppendOnlyPartitioned)
    }
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Who may do what.
    pub access: Access,
    /// Columns and constraints; `tenant_id` is added in front where the table has a tenant.
    pub columns: &'static str,
    /// Index definitions: `name ON table (..)`, with `UNIQUE` in front where it is unique.
    pub indexes: &'static [&'static str],
}

/// Every table, in an order in which foreign keys can be made.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    let first = [tenancy::TABLES, contacts::TABLES, consent::TABLES, messaging::TABLES, workflows::TABLES];
    first.into_iter().chain([campaigns::TABLES, persisted::TABLES, service::TABLES, webhooks::TABLES]).flatten()
}
