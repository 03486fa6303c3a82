//! Accounts, tenants, users and what they sign in with: no tenant column, identity role only.

use crate::rows::row;

row! {
    /// A row of `accounts`.
    accounts "accounts" (Identity) {
        key id: AccountId,
        parent_id: Option<AccountId>,
        depth: i32,
        name: String,
        max_tenants: i64,
        max_messages_per_day: i64,
        suspended_at: Option<DateTimeUtc>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `tenants`.
    tenants "tenants" (Identity) {
        key id: TenantId,
        account_id: AccountId,
        name: String,
        default_zone: String,
        default_locale: String,
        default_country: String,
        is_system: bool,
        creation_key: Option<String>,
        max_messages_per_day: i64,
        suspended_at: Option<DateTimeUtc>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `users`.
    users "users" (Identity) {
        key id: UserId,
        email: String,
        email_norm: String,
        name: String,
        password_hash: Option<String>,
        auth_version: i64,
        email_verified_at: Option<DateTimeUtc>,
        disabled_at: Option<DateTimeUtc>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `memberships`.
    memberships "memberships" (Identity) {
        key id: MembershipId,
        user_id: UserId,
        scope_kind: String,
        scope_id: Uuid,
        role: String,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `refresh_sessions`.
    refresh_sessions "refresh_sessions" (Identity) {
        key id: SessionId,
        family_id: Uuid,
        user_id: UserId,
        token_hash: Vec<u8>,
        auth_version: i64,
        expires_at: DateTimeUtc,
        family_expires_at: DateTimeUtc,
        used_at: Option<DateTimeUtc>,
        revoked_at: Option<DateTimeUtc>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `credentials`.
    credentials "credentials" (Identity) {
        key id: CredentialId,
        kind: String,
        scope_kind: Option<String>,
        scope_id: Option<Uuid>,
        user_id: Option<UserId>,
        secret_hash: Vec<u8>,
        prefix: String,
        name: String,
        role: Option<String>,
        scopes: Json,
        document_set_id: Option<DocumentSetId>,
        email_norm: Option<String>,
        pending: Option<Json>,
        expires_at: Option<DateTimeUtc>,
        used_at: Option<DateTimeUtc>,
        revoked_at: Option<DateTimeUtc>,
        last_used_at: Option<DateTimeUtc>,
        created_by: Option<Uuid>,
        created_at: DateTimeUtc,
    }
}

row! {
    /// A row of `identity_idempotency_keys`.
    identity_idempotency_keys "identity_idempotency_keys" (Identity) {
        key user_id: UserId,
        key scope_id: Uuid,
        key operation: String,
        key key: String,
        input_hash: Vec<u8>,
        sealed_answer: Vec<u8>,
        created_at: DateTimeUtc,
        expires_at: DateTimeUtc,
    }
}

row! {
    /// A row of `dispatcher_leases`.
    dispatcher_leases "dispatcher_leases" (Identity) {
        key lane: String,
        holder: String,
        fence: i64,
        lease_until: DateTimeUtc,
    }
}
