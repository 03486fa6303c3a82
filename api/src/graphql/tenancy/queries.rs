//! Who calls, where they are, and who else is there.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::tenancy::{
    AdministerTenant, ReadTenant, User, api_keys, audit_events, members, viewer, viewer_accounts, viewer_tenants,
};
use carillon_domain::{ids, tenancy as domain};

use super::types::{Account, AccountMembership, ApiKey, AuditEvent, Member, Tenant};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::node::by_id;
use crate::graphql::scope::{Caller, RequestScope};

/// Queries of tenancy.
#[derive(Debug, Default)]
pub struct TenancyQuery;

#[Object]
impl TenancyQuery {
    /// The signed-in user; null for nobody and for API keys.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<Viewer>> {
        let scope = RequestScope::of(ctx);
        match scope.caller() {
            Caller::User(access, _) => Ok(Some(Viewer(viewer(scope.ports(), access).await?))),
            _ => Ok(None),
        }
    }

    /// An account that the caller reaches, directly or from above; null when there is none with this id. Not in a tenant,
    /// whose token reaches nothing else.
    async fn account(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Account>> {
        by_id(&id, |id| Account::find(ctx, id)).await
    }

    /// The tenant the caller is in.
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant> {
        Tenant::own(RequestScope::of(ctx)).await
    }

    /// Who belongs to the tenant, members of the accounts above it too; in order of arrival.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<Member>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let scope = RequestScope::of(ctx);
        let context = scope.tenant()?;
        let found = members(&scope.grant::<ReadTenant>()?, scope.ports(), &page).await?;
        Ok(list(found, |member| member.membership.id, |member| Member::in_tenant(member, context)))
    }

    /// The tenant's API keys, revoked ones too; in order of arrival.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<ApiKey>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let scope = RequestScope::of(ctx);
        let keys = api_keys(&scope.grant::<AdministerTenant>()?, scope.ports(), &page).await?;
        Ok(list(keys, |key| key.id, ApiKey::from))
    }

    /// Who administered what in the tenant; the newest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<AuditEvent>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<AdministerTenant>().await?;
        let events = audit_events(&grant, &mut tx, &page).await?;
        Ok(list(events, |event| event.id, AuditEvent::from))
    }
}

/// The signed-in user.
pub struct Viewer(User);

/// The signed-in user.
#[Object]
impl Viewer {
    /// Their id.
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Where they get mail.
    async fn email(&self) -> &str {
        self.0.email.as_sent()
    }

    /// What they are called.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The accounts they reach, directly or from above; in order of arrival. None in a tenant, whose token reaches nothing
    /// else.
    async fn accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<AccountMembership>> {
        let page = PageArgs::forward(first, after).page::<ids::AccountId>()?;
        let scope = RequestScope::of(ctx);
        // What is shown of one depends on those above it, so all are read.
        let reached = viewer_accounts(scope.ports(), scope.access()?).await?.into_iter();
        let behind = reached.filter(|(account, _)| page.cursor.is_none_or(|cursor| account.id > cursor));
        let accounts = page.finish(behind.collect());
        let reach = |(account, role): (domain::Account, domain::Role)| AccountMembership {
            account: account.into(),
            role: role.into(),
        };
        Ok(list(accounts, |(account, _)| account.id, reach))
    }

    /// The tenants they can enter; in order of arrival. In a tenant that one alone.
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<Tenant>> {
        let page = PageArgs::forward(first, after).page::<ids::TenantId>()?;
        let scope = RequestScope::of(ctx);
        let tenants = viewer_tenants(scope.ports(), scope.access()?, &page).await?;
        Ok(list(tenants, |(tenant, _)| tenant.id, |(tenant, role)| Tenant::new(tenant, role)))
    }
}
