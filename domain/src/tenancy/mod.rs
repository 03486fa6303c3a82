//! Accounts, tenants, users, roles and how a request enters a tenant.

mod enter;
mod grant;
mod policy;
mod role;

pub use enter::{enter_by_link, enter_for_work};
pub use grant::{AccountContext, AccountGrant, Grant, Scopes, SystemContext, TenantContext};
pub use policy::*;
pub use role::{Actor, Role};
