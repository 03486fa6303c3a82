//! Signing up, in and out, and running accounts, tenants, members and keys.
//!
//! These change the identity space, so each runs its own transactions instead of the request's (on SQLite the two
//! would wait for each other); a transaction that lost a race is run again below.

use async_graphql::{Context, Object, Result};
use carillon_domain::tenancy::{
    AdministerTenant, MemberGrant, accept_invitation, change_member_role, change_password, create_account,
    create_api_key, create_tenant, enter_account, enter_tenant, invite_member, leave, limit_api_key, refresh_session,
    remove_member, request_password_reset, reset_password, revoke_api_key, sign_in, sign_out, sign_up, verify_email,
};
use carillon_domain::{error, tenancy as domain};

use super::inputs::{
    AcceptInvitationInput, ChangeMemberRoleInput, ChangePasswordInput, CreateAccountInput, CreateApiKeyInput,
    CreateTenantInput, EnterTenantInput, InviteMemberInput, LeaveInput, LimitApiKeyInput, RefreshSessionInput,
    RemoveMemberInput, RequestPasswordResetInput, ResetPasswordInput, RevokeApiKeyInput, SignInInput, SignOutInput,
    SignUpInput, VerifyEmailInput, email,
};
use super::payloads::{
    AcceptInvitationPayload, ChangeMemberRolePayload, ChangePasswordPayload, CreateAccountPayload, CreateApiKeyPayload,
    CreateTenantPayload, EnterTenantPayload, InviteMemberPayload, LeavePayload, LimitApiKeyPayload,
    RefreshSessionPayload, RemoveMemberPayload, RequestPasswordResetPayload, ResetPasswordPayload, RevokeApiKeyPayload,
    SignInPayload, SignOutPayload, SignUpPayload, VerifyEmailPayload,
};
use super::types::Tenant;
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations for people on their own behalf.
#[derive(Debug, Default)]
pub struct AccessMutation;

#[Object]
impl AccessMutation {
    /// Signs somebody up. A mail with a link follows; nobody learns here whether the address has a user.
    async fn sign_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SignUpInput,
    ) -> Result<SignUpPayload> {
        let scope = RequestScope::of(ctx);
        let run = async { sign_up(scope.ports(), scope.desk(), input.parse(scope.client_ip())?).await };
        SignUpPayload::new(run.await)
    }

    /// Proves an address with the link of the mail and the password of the sign-up; the account exists from then on.
    async fn verify_email(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: VerifyEmailInput,
    ) -> Result<VerifyEmailPayload> {
        let scope = RequestScope::of(ctx);
        let proof = (input.token.as_str(), input.password.as_str());
        VerifyEmailPayload::new(verify_email(scope.ports(), scope.desk(), proof, scope.client_ip()).await)
    }

    /// Opens a session for an address and its password.
    async fn sign_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SignInInput,
    ) -> Result<SignInPayload> {
        let scope = RequestScope::of(ctx);
        let run = async { sign_in(scope.ports(), scope.desk(), input.parse(scope.client_ip())?).await };
        SignInPayload::new(run.await)
    }

    /// Gives the next session for a refresh token. A token that comes twice ends its whole family.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RefreshSessionInput,
    ) -> Result<RefreshSessionPayload> {
        let scope = RequestScope::of(ctx);
        let token = &input.refresh_token;
        RefreshSessionPayload::new(refresh_session(scope.ports(), scope.desk(), token, scope.client_ip()).await)
    }

    /// Ends a session; says the same for a token that is none.
    async fn sign_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SignOutInput,
    ) -> Result<SignOutPayload> {
        SignOutPayload::new(sign_out(RequestScope::of(ctx).ports(), &input.refresh_token).await)
    }

    /// Mails a link that sets a password; nobody learns here whether the address has a user.
    async fn request_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RequestPasswordResetInput,
    ) -> Result<RequestPasswordResetPayload> {
        let scope = RequestScope::of(ctx);
        let run = async {
            let email = email(&input.email)?;
            request_password_reset(scope.ports(), scope.desk(), &email, scope.client_ip()).await
        };
        RequestPasswordResetPayload::new(run.await)
    }

    /// Sets a password with the link of the mail; every session ends.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ResetPasswordInput,
    ) -> Result<ResetPasswordPayload> {
        let scope = RequestScope::of(ctx);
        let run = async {
            let password = input.password()?;
            reset_password(scope.ports(), scope.desk(), &input.token, password, scope.client_ip()).await
        };
        ResetPasswordPayload::new(run.await)
    }

    /// Sets a password with the one so far; every other session ends.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let run = async { change_password(scope.ports(), scope.desk(), access, input.parse(scope.client_ip())?).await };
        ChangePasswordPayload::new(run.await)
    }

    /// Gives a token for a tenant the caller belongs to.
    async fn enter_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: EnterTenantInput,
    ) -> Result<EnterTenantPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let run =
            async { enter_tenant(scope.ports(), scope.desk(), access, parse_id(&input.tenant_id, "tenantId")?).await };
        EnterTenantPayload::new(run.await)
    }

    /// Makes the caller a member of what they were invited to; where that raises a role they had, their tokens end with
    /// their next request, and refreshing the session gives new ones.
    async fn accept_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: AcceptInvitationInput,
    ) -> Result<AcceptInvitationPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        AcceptInvitationPayload::new(accept_invitation(scope.ports(), scope.desk(), access, &input.token).await)
    }

    /// Ends the caller's own membership on a tenant or an account.
    async fn leave(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: LeaveInput,
    ) -> Result<LeavePayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let once = Once::new("leave", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let run = async {
            let (on, field) = input.parse()?;
            leave(scope.ports(), access, on, field, once.run(once.call(scope)?.as_ref())).await
        };
        LeavePayload::new(run.await)
    }
}

/// Mutations for those who run accounts and tenants.
#[derive(Debug, Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes an account under one the caller owns.
    async fn create_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateAccountInput,
    ) -> Result<CreateAccountPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let once = Once::new("createAccount", input.idempotency_key.as_deref(), &input);
        let run = async {
            let context = enter_account(scope.ports(), access, input.parent()?, "parentId").await?;
            create_account(&context.grant()?, scope.ports(), &input.name()?, once.call(scope)?.as_ref()).await
        };
        CreateAccountPayload::new(run.await)
    }

    /// Makes a tenant under an account, with a first brand and the topic that stands for all its marketing.
    async fn create_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateTenantInput,
    ) -> Result<CreateTenantPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let run = async {
            let context = enter_account(scope.ports(), access, input.account()?, "accountId").await?;
            let grant = context.grant()?;
            let tenant = create_tenant(&grant, scope.ports(), &input.parse()?).await?;
            error::Result::Ok(Tenant::new(tenant, context.role()))
        };
        CreateTenantPayload::new(run.await)
    }

    /// Mails somebody an invitation; nobody learns here whether the address has a user.
    async fn invite_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: InviteMemberInput,
    ) -> Result<InviteMemberPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let once = Once::new("inviteMember", input.idempotency_key.as_deref(), &input);
        let run = async {
            let (on, field) = input.on()?;
            let grant = MemberGrant::on(scope.ports(), access, on, field).await?;
            invite_member(&grant, scope.ports(), scope.desk(), &input.parse()?, once.call(scope)?.as_ref()).await
        };
        InviteMemberPayload::new(run.await)
    }

    /// Gives a member another role; their tokens die with their next request.
    async fn change_member_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ChangeMemberRoleInput,
    ) -> Result<ChangeMemberRolePayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let once = Once::new("changeMemberRole", input.idempotency_key.as_deref(), &input);
        let run = async {
            let membership = parse_id(&input.membership_id, "membershipId")?;
            change_member_role(scope.ports(), access, membership, input.role.into(), once.call(scope)?.as_ref()).await
        };
        ChangeMemberRolePayload::new(run.await)
    }

    /// Takes a membership away; the member's tokens die with their next request. API keys that they made are the tenant's and
    /// stay good: `auditEvents` tells which, and one that may have left with them is revoked with `revokeApiKey`.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RemoveMemberInput,
    ) -> Result<RemoveMemberPayload> {
        let scope = RequestScope::of(ctx);
        let access = scope.access()?;
        let once = Once::new("removeMember", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let run = async {
            let membership = parse_id(&input.membership_id, "membershipId")?;
            remove_member(scope.ports(), access, membership, once.run(once.call(scope)?.as_ref())).await
        };
        RemoveMemberPayload::new(run.await)
    }

    /// Makes an API key for the tenant the caller is in; its secret is shown in this answer only.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload> {
        let scope = RequestScope::of(ctx);
        let grant: domain::Grant<AdministerTenant> = scope.grant()?;
        let once = Once::new("createApiKey", input.idempotency_key.as_deref(), &input);
        let run = async { create_api_key(&grant, scope.ports(), input.parse()?, once.call(scope)?.as_ref()).await };
        CreateApiKeyPayload::new(run.await)
    }

    /// Holds an API key to the documents of a set, or lets it run any again; with its next request. Its subscriptions end
    /// within five seconds and may be opened again.
    async fn limit_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: LimitApiKeyInput,
    ) -> Result<LimitApiKeyPayload> {
        let scope = RequestScope::of(ctx);
        let grant: domain::Grant<AdministerTenant> = scope.grant()?;
        let once = Once::new("limitApiKey", input.idempotency_key.as_deref(), &input);
        let run = async { limit_api_key(&grant, scope.ports(), input.parse()?, once.call(scope)?.as_ref()).await };
        LimitApiKeyPayload::new(run.await)
    }

    /// Ends an API key with its next request.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RevokeApiKeyInput,
    ) -> Result<RevokeApiKeyPayload> {
        let scope = RequestScope::of(ctx);
        let grant: domain::Grant<AdministerTenant> = scope.grant()?;
        let once = Once::new("revokeApiKey", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let run = async {
            let key = parse_id(&input.id, "id")?;
            revoke_api_key(&grant, scope.ports(), key, once.run(once.call(scope)?.as_ref())).await
        };
        RevokeApiKeyPayload::new(run.await)
    }
}
