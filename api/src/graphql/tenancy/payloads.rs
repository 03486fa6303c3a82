//! What the mutations of tenancy answer: the object, or what was wrong with the input.

use async_graphql::{Result, SimpleObject};

use super::types::{Account, ApiKey, Membership, Session, Tenant, TenantSession};
use crate::graphql::error::{UserError, payload};

/// Payloads that hold one object.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty })+) => {$(
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            $field: Option<$type>,
            /// What was wrong with the input; empty when all went well.
            user_errors: Vec<UserError>,
        }

        impl $name {
            /// The payload of a result.
            pub fn new<T: Into<$type>>(result: carillon_domain::error::Result<T>) -> Result<Self> {
                let (value, user_errors) = payload(result)?;
                Ok(Self { $field: value.map(Into::into), user_errors })
            }
        }
    )+};
}

/// Payloads that hold nothing but what was wrong.
macro_rules! bare_payloads {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub struct $name {
            /// What was wrong with the input; empty when all went well.
            user_errors: Vec<UserError>,
        }

        impl $name {
            /// The payload of a result.
            pub fn new(result: carillon_domain::error::Result<()>) -> Result<Self> {
                Ok(Self { user_errors: payload(result)?.1 })
            }
        }
    )+};
}

payloads! {
    /// Answer of `signIn`.
    SignInPayload {
        /// The session.
        session: Session
    }
    /// Answer of `refreshSession`.
    RefreshSessionPayload {
        /// The next session.
        session: Session
    }
    /// Answer of `changePassword`.
    ChangePasswordPayload {
        /// The one session that is left.
        session: Session
    }
    /// Answer of `createAccount`.
    CreateAccountPayload {
        /// The account.
        account: Account
    }
    /// Answer of `createTenant`.
    CreateTenantPayload {
        /// The tenant.
        tenant: Tenant
    }
    /// Answer of `enterTenant`.
    EnterTenantPayload {
        /// The session inside the tenant.
        session: TenantSession
    }
    /// Answer of `acceptInvitation`.
    AcceptInvitationPayload {
        /// What the caller is now.
        membership: Membership
    }
    /// Answer of `changeMemberRole`.
    ChangeMemberRolePayload {
        /// The membership with its new role.
        membership: Membership
    }
    /// Answer of `removeMember`.
    RemoveMemberPayload {
        /// The membership that was.
        membership: Membership
    }
    /// Answer of `limitApiKey`.
    LimitApiKeyPayload {
        /// The key.
        api_key: ApiKey
    }
    /// Answer of `revokeApiKey`.
    RevokeApiKeyPayload {
        /// The key.
        api_key: ApiKey
    }
}

bare_payloads! {
    /// Answer of `signUp`: the same whether or not the address has a user.
    SignUpPayload
    /// Answer of `verifyEmail`.
    VerifyEmailPayload
    /// Answer of `signOut`.
    SignOutPayload
    /// Answer of `requestPasswordReset`: the same whether or not the address has a user.
    RequestPasswordResetPayload
    /// Answer of `resetPassword`.
    ResetPasswordPayload
    /// Answer of `inviteMember`: the same whether or not the address has a user.
    InviteMemberPayload
    /// Answer of `leave`.
    LeavePayload
}

/// Answer of `createApiKey`.
#[derive(SimpleObject)]
pub struct CreateApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// The whole key for its owner; no other call shows it.
    secret: Option<String>,
    /// What was wrong with the input; empty when all went well.
    user_errors: Vec<UserError>,
}

impl CreateApiKeyPayload {
    /// The payload of a result.
    pub fn new(result: carillon_domain::error::Result<(carillon_domain::tenancy::ApiKey, String)>) -> Result<Self> {
        let (made, user_errors) = payload(result)?;
        let (api_key, secret) = made.map(|(key, secret)| (ApiKey::from(key), secret)).unzip();
        Ok(Self { api_key, secret, user_errors })
    }
}
