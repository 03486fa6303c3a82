//! The two spaces of tables: with a tenant, and the closed list without.

use sea_orm::EntityTrait;

use crate::ids::TenantId;

/// The space of one tenant's rows.
#[derive(Debug, Clone, Copy)]
pub struct Tenant(pub(super) TenantId);

/// The space of the tables without a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

/// Says which space an entity's table lies in; a query in the other space does not compile.
pub trait Belongs<S>: EntityTrait {
    /// The tenant column, in the tenant space.
    const TENANT: Option<Self::Column>;
}

/// What the wall binds for a space.
pub trait Space: Send + Sync + std::fmt::Debug {
    /// The tenant, in the tenant space.
    fn tenant(&self) -> Option<TenantId>;
}

impl Space for Tenant {
    fn tenant(&self) -> Option<TenantId> {
        Some(self.0)
    }
}

impl Space for Identity {
    fn tenant(&self) -> Option<TenantId> {
        None
    }
}
