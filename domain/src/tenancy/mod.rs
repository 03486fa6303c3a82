//! Accounts, tenants, users, roles and how a request enters a tenant.

mod access_token;
mod api_key;
mod common_passwords;
mod enter;
mod grant;
mod password;
mod policy;
mod role;
mod secret_token;
mod throttle;
mod verified_cache;

pub use access_token::{AccessSubject, AccessTokens, VerifiedAccess};
pub use api_key::{NewApiKey, PresentedKey, StoredKey, VerifiedKey};
pub use enter::{enter_as_user, enter_by_link, enter_for_work, enter_with_key};
pub use grant::{AccountContext, AccountGrant, Grant, Scopes, SystemContext, TenantContext};
pub use password::{NewPassword, PasswordCheck, PasswordSettings, Passwords};
pub use policy::*;
pub use role::{Actor, Role};
pub use secret_token::{NewSecret, SecretKind};
pub use throttle::{Caller, Limit, Throttle};
