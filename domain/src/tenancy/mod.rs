//! Accounts, tenants, users, roles and how a request enters a tenant.
//!
//! Invariants: who somebody is comes from a verified credential only; what they may do is a value that only the policy
//! table makes; a change of password, role or state makes every token before it stale at the next request (C-213);
//! secrets are kept as hashes; and no answer tells whether an address has a user (C-217).

mod access_token;
mod account;
mod administer;
mod api_key;
mod audit;
mod bootstrap;
mod common_passwords;
mod create_account;
mod create_tenant;
mod doorkeeper;
mod enter;
mod enter_tenant;
mod grant;
mod held_credential;
mod invitation;
mod keys;
mod mail;
mod members;
mod once;
mod password;
mod policy;
mod rates;
mod reset;
mod role;
mod secret_token;
mod session;
mod sign_in;
mod sign_up;
mod standing;
mod store;
mod throttle;
mod verified_cache;
mod viewer;

pub use access_token::{AccessSubject, AccessTokens, VerifiedAccess};
pub use account::{Account, AccountUse, Membership, Name, Scope, Tenant, User};
pub use administer::{
    Caps, MadeAccount, OwnedAccount, cap_account, disable_user, make_account, resume_account, suspend_account,
};
pub use api_key::{NewApiKey, PresentedKey, StoredKey, VerifiedKey};
pub use audit::{AuditEvent, audit_events, find_audit_events};
pub(crate) use audit::{Deed, record};
pub use bootstrap::{SYSTEM_ACCOUNT, SYSTEM_TENANT, bootstrap};
pub use create_account::create_account;
pub use create_tenant::{NewTenant, create_tenant};
pub use doorkeeper::Doorkeeper;
pub use enter::{
    enter_as_user, enter_by_bounce, enter_by_click, enter_by_file, enter_by_link, enter_by_returned_link,
    enter_for_work, enter_to_advance, enter_to_campaign, enter_to_import, enter_to_tell, enter_to_verify,
    enter_with_key, operate,
};
pub use enter_tenant::{TenantSession, authenticate_key, enter_tenant, tenant};
pub(crate) use grant::TENANT_SUSPENDED;
pub use grant::{
    AccountContext, AccountGrant, DeploymentGrant, Grant, OperatorContext, Scopes, SystemContext, TenantContext,
};
pub use held_credential::{HeldCredential, ended_credentials};
pub use invitation::{NewInvitation, accept_invitation, invite_member};
pub(crate) use keys::key_makers;
pub use keys::{
    ApiKey, CreateApiKey, KEY_LIFE, KEYS_MAX, api_keys, create_api_key, find_api_keys, limit_api_key, revoke_api_key,
};
use mail::life;
pub use mail::{INVITATION_PAGE, RESET_PAGE, VERIFY_PAGE, is_mailed_link_good};
pub use members::{Member, account_members, change_member_role, leave, members, remove_member};
pub use password::{NewPassword, PasswordCheck, PasswordSettings, Passwords};
pub use policy::*;
pub use rates::{Payer, Payers, Payment, RateLimited, RateSettings, Rates, Standing, Standings};
pub use reset::{ChangePassword, change_password, request_password_reset, reset_password};
pub use role::{Actor, Role};
pub use secret_token::{NewSecret, SecretKind};
pub use session::{FAMILY_LIFE, REFRESH_LIFE, Session, forget_expired, has_expired, refresh_session, sign_out};
pub use sign_in::{SignIn, sign_in};
pub use sign_up::{SignUp, sign_up, verify_email};
pub(crate) use standing::assert_fresh;
pub use standing::{MemberGrant, enter_account};
pub use store::{IDENTITY_BATCHES, IDENTITY_STATEMENTS};
pub use throttle::{Caller, Limit, SharedLimits, Throttle};
pub use viewer::{account_tenants, reach_tenants, viewer, viewer_accounts, viewer_tenants};
