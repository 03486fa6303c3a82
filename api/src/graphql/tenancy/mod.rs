//! Accounts, tenants, members, API keys and signing in over GraphQL.

mod inputs;
mod loaders;
mod mutations;
mod payloads;
mod queries;
mod types;

pub use mutations::{AccessMutation, AccountMutation};
pub use queries::TenancyQuery;
pub use types::{Account, AccountMembership, ApiKey, AuditEvent, Member, Role, Tenant};
