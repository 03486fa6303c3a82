//! What accounts, tenants and members look like from outside.

use async_graphql::{ComplexObject, Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::error::Error;
use carillon_domain::ids::{AccountId, AuditEventId, CredentialId, DocumentSetId, MembershipId, TenantId, UserId};
use carillon_domain::messaging::tenant_tracking_choice;
use carillon_domain::tenancy::{self as domain, Permission, ReadTenant, Scope, tenant};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::loaders::{MembersOf, TenantsOf};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::loader;
use crate::graphql::messaging::tracking::TrackingMode;
use crate::graphql::messaging::types::MessageStats;
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Instant;

/// What a member may do: each role may do all that the ones after it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::tenancy::Role")]
pub enum Role {
    /// Administers the account as well.
    Owner,
    /// Administers a tenant.
    Admin,
    /// Writes contacts and sends.
    Marketer,
    /// Sees consent and results, without personal data.
    Analyst,
    /// Sees what exists, without personal data.
    Viewer,
}

/// What somebody gets who signed in: a token for the `Authorization` header, and one that gets the next session.
#[derive(SimpleObject)]
pub struct Session {
    /// Send it as `Authorization: Bearer ..`; it is good for accounts, not inside a tenant.
    access_token: String,
    /// Until when it is believed.
    access_token_expires_at: DateTime<Utc>,
    /// Gets the next session, once; using it twice ends them all.
    refresh_token: String,
}

impl From<domain::Session> for Session {
    fn from(session: domain::Session) -> Self {
        Self {
            access_token: session.access_token,
            access_token_expires_at: session.access_token_expires_at,
            refresh_token: session.refresh_token,
        }
    }
}

/// What somebody gets who entered a tenant.
#[derive(SimpleObject)]
pub struct TenantSession {
    /// Send it as `Authorization: Bearer ..`; it is good inside this tenant.
    access_token: String,
    /// Until when it is believed.
    access_token_expires_at: DateTime<Utc>,
    /// As what they entered.
    role: Role,
    /// Where.
    tenant: Tenant,
}

impl From<domain::TenantSession> for TenantSession {
    fn from(session: domain::TenantSession) -> Self {
        Self {
            access_token: session.access_token,
            access_token_expires_at: session.access_token_expires_at,
            role: session.role.into(),
            tenant: Tenant::new(session.tenant, session.role),
        }
    }
}

/// A paying account; an agency's has accounts and tenants below it.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub struct Account {
    #[graphql(skip)]
    key: AccountId,
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The account it lies under.
    parent_id: Option<ID>,
    /// Its name.
    name: String,
    /// True while it and everything below it stands still.
    suspended: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl Account {
    /// The account with this id, if the caller reaches it.
    pub async fn find(ctx: &Context<'_>, id: AccountId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::Account> for Account {
    fn from(account: domain::Account) -> Self {
        Self {
            key: account.id,
            id: account.id.to_string().into(),
            parent_id: account.parent.map(|parent| parent.to_string().into()),
            name: account.name,
            suspended: account.is_suspended,
            created_at: account.created_at,
        }
    }
}

#[ComplexObject]
impl Account {
    /// Its own members, for those who may change them; in order of arrival.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<Member>> {
        let page = PageArgs::ahead(first, after)?;
        let members = loader::of(ctx).load_one(MembersOf(self.key, page)).await?;
        let members = members.unwrap_or_else(|| Ok(page.empty()))?;
        Ok(list(members, |member| member.membership.id, |member| Member { member, shows_email: true }))
    }

    /// The tenants below it, at any depth, suspended ones too; in order of arrival.
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<Tenant>> {
        let page = PageArgs::ahead(first, after)?;
        let tenants = loader::of(ctx).load_one(TenantsOf(self.key, page)).await?;
        let tenants = tenants.unwrap_or_else(|| Ok(page.empty()))?;
        Ok(list(tenants, |(tenant, _)| tenant.id, |(tenant, role)| Tenant::new(tenant, role)))
    }
}

/// One customer's walled-off data.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub struct Tenant {
    #[graphql(skip)]
    key: TenantId,
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The account it belongs to.
    account_id: ID,
    /// Its name.
    name: String,
    /// Time zone of contacts that have none.
    default_zone: String,
    /// Locale of contacts that have none.
    default_locale: String,
    /// Country of contacts that have none.
    default_country: String,
    /// Messages it may send in a day.
    max_messages_per_day: i64,
    /// True while it stands still.
    suspended: bool,
    /// What the caller is here.
    my_role: Role,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl Tenant {
    /// The tenant the caller is in.
    pub async fn own(scope: &RequestScope) -> Result<Self> {
        let found = tenant(&scope.grant::<ReadTenant>()?, scope.ports()).await?;
        Ok(Self::new(found, scope.tenant()?.role()))
    }

    /// The tenant with this id, if the caller is in it.
    pub async fn find(ctx: &Context<'_>, id: TenantId) -> Result<Option<Self>> {
        let scope = RequestScope::of(ctx);
        if scope.tenant()?.tenant() == id { Self::own(scope).await.map(Some) } else { Ok(None) }
    }

    /// A tenant as somebody with this role sees it.
    pub fn new(tenant: domain::Tenant, role: domain::Role) -> Self {
        Self {
            key: tenant.id,
            id: tenant.id.to_string().into(),
            account_id: tenant.account.to_string().into(),
            name: tenant.name,
            default_zone: tenant.default_zone,
            default_locale: tenant.default_locale,
            default_country: tenant.default_country,
            max_messages_per_day: tenant.max_messages_per_day,
            suspended: tenant.is_suspended,
            my_role: role.into(),
            created_at: tenant.created_at,
        }
    }
}

#[ComplexObject]
impl Tenant {
    /// The most that may be known of what anybody does with its marketing mail, as it was chosen; null if nothing was, and
    /// for whoever is not inside.
    async fn tracking_mode(&self, ctx: &Context<'_>) -> Result<Option<TrackingMode>> {
        let scope = RequestScope::of(ctx);
        if scope.tenant().map_or(true, |inside| inside.tenant() != self.key) {
            return Ok(None);
        }
        let (grant, mut tx) = scope.read::<ReadTenant>().await?;
        Ok(tenant_tracking_choice(&grant, &mut tx).await?.map(TrackingMode::from))
    }

    /// How many of its messages came to what, among those accepted since an instant (the last 30 days if none is given).
    /// Whoever is not inside sees it of every tenant that they reach: each is read by itself, and one that is suspended,
    /// or where their role does not allow it, is null beside its error. It costs a hundred fields.
    async fn message_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant.")] since: Option<Instant>,
    ) -> Result<Option<MessageStats>> {
        MessageStats::of(ctx, self.key, since).await.map(Some)
    }
}

/// An account and what the viewer is there.
#[derive(SimpleObject)]
pub struct AccountMembership {
    /// The account.
    pub account: Account,
    /// The strongest of the viewer's roles on it and above it.
    pub role: Role,
}

/// The person behind a membership.
pub struct Member {
    pub member: domain::Member,
    /// Addresses are for those who may change members.
    pub shows_email: bool,
}

/// Who belongs to a tenant or an account.
#[Object]
impl Member {
    /// Id of the membership, for `changeMemberRole` and `removeMember`.
    async fn id(&self) -> ID {
        self.member.membership.id.to_string().into()
    }

    /// As what.
    async fn role(&self) -> Role {
        self.member.membership.role.into()
    }

    /// True when the role comes from an account above the tenant.
    async fn inherited(&self) -> bool {
        matches!(self.member.membership.scope, Scope::Account(_))
    }

    /// Id of the person.
    async fn user_id(&self) -> ID {
        self.member.user.id.to_string().into()
    }

    /// What the person is called.
    async fn name(&self) -> &str {
        &self.member.user.name
    }

    /// Their address; for those who may change members.
    #[expect(clippy::unused_async, reason = "a field is async")]
    async fn email(&self) -> Result<Option<&str>> {
        if self.shows_email { Ok(Some(self.member.user.email.as_sent())) } else { Err(Error::Forbidden.into()) }
    }

    /// Since when.
    async fn created_at(&self) -> DateTime<Utc> {
        self.member.membership.created_at
    }
}

impl Member {
    /// A member as the caller in a tenant sees them.
    pub fn in_tenant(member: domain::Member, tenant: &domain::TenantContext) -> Self {
        Self { member, shows_email: tenant.may(Permission::AdministerTenant) }
    }
}

/// A role on an account or a tenant.
#[derive(SimpleObject)]
pub struct Membership {
    /// Its id.
    id: ID,
    /// As what.
    role: Role,
    /// The account it is on, if it is on one.
    account_id: Option<ID>,
    /// The tenant it is on, if it is on one.
    tenant_id: Option<ID>,
    /// Since when.
    created_at: DateTime<Utc>,
}

impl From<domain::Membership> for Membership {
    fn from(membership: domain::Membership) -> Self {
        let (account_id, tenant_id) = match membership.scope {
            Scope::Account(id) => (Some(id.to_string().into()), None),
            Scope::Tenant(id) => (None, Some(id.to_string().into())),
        };
        Self {
            id: membership.id.to_string().into(),
            role: membership.role.into(),
            account_id,
            tenant_id,
            created_at: membership.created_at,
        }
    }
}

/// A program's way into a tenant, without its secret.
#[derive(Debug, SimpleObject)]
pub struct ApiKey {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// What it is for.
    name: String,
    /// Its readable part, to tell keys apart.
    prefix: String,
    /// The role it acts as.
    role: Role,
    /// What it may do of what the role may.
    scopes: Vec<String>,
    /// The document set that it is held to: it runs the documents of that set, by their ids, and nothing else. Any document if
    /// null.
    document_set_id: Option<ID>,
    /// When it ends.
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the hour.
    last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl ApiKey {
    /// The key with this id.
    pub async fn find(ctx: &Context<'_>, id: CredentialId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::ApiKey> for ApiKey {
    fn from(key: domain::ApiKey) -> Self {
        Self {
            id: key.id.to_string().into(),
            name: key.name,
            prefix: key.prefix,
            role: key.role.into(),
            scopes: key.scopes.iter().map(ToString::to_string).collect(),
            document_set_id: key.document_set.map(ID::from),
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
            created_at: key.created_at,
        }
    }
}

/// One entry of the audit log.
#[derive(Debug, SimpleObject)]
pub struct AuditEvent {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// What kind of actor it was: `user`, `api_key`, `subject` or `system`.
    actor_kind: String,
    /// Which one, where there is one.
    actor_id: Option<ID>,
    /// What was done, such as `member.remove`.
    action: String,
    /// To what.
    object_id: Option<ID>,
    /// More of it: codes and ids.
    detail: Value,
    /// When.
    at: DateTime<Utc>,
}

impl AuditEvent {
    /// The entry with this id.
    pub async fn find(ctx: &Context<'_>, id: AuditEventId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::AuditEvent> for AuditEvent {
    fn from(event: domain::AuditEvent) -> Self {
        let actor_id = event.actor_id.map(|id| match event.actor_kind.as_str() {
            "api_key" => CredentialId(id).to_string().into(),
            _ => UserId(id).to_string().into(),
        });
        let noun = match event.action.as_str() {
            // An invitation is no membership yet.
            "member.invite" => "invitation",
            action => action.split('.').next().unwrap_or(""),
        };
        let object_id = event.object.map(|id| match noun {
            "api_key" | "invitation" => CredentialId(id).to_string().into(),
            "document_set" => DocumentSetId(id).to_string().into(),
            "member" => MembershipId(id).to_string().into(),
            "tenant" => TenantId(id).to_string().into(),
            "account" => AccountId(id).to_string().into(),
            _ => id.to_string().into(),
        });
        Self {
            id: event.id.to_string().into(),
            actor_kind: event.actor_kind,
            actor_id,
            action: event.action,
            object_id,
            detail: event.detail,
            at: event.at,
        }
    }
}
