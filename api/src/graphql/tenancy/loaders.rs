//! Batched reads of tenancy.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::error::Error;
use carillon_domain::ids::{AccountId, AuditEventId, CredentialId, MembershipId, TenantId};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{
    Account, AdministerTenant, ApiKey, AuditEvent, Member, Role, Tenant, account_members, account_tenants,
    find_api_keys, find_audit_events, viewer_accounts,
};

use crate::graphql::loader::{LoadError, Rows, by_page};

/// The first members of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MembersOf(pub AccountId, pub Ahead<MembershipId>);

impl Loader<MembersOf> for Rows {
    /// What the caller may not see of one account is no matter of the others.
    type Value = Result<Paged<Member>, LoadError>;
    type Error = LoadError;

    async fn load(&self, keys: &[MembersOf]) -> Result<HashMap<MembersOf, Self::Value>, LoadError> {
        let mut found = HashMap::new();
        for (page, accounts) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let members = account_members(self.0.ports(), self.0.access()?, &accounts, page).await?;
            let told = |(account, members): (_, carillon_domain::error::Result<_>)| {
                (MembersOf(account, page), members.map_err(LoadError::from))
            };
            found.extend(members.into_iter().map(told));
        }
        Ok(found)
    }
}

/// The first tenants below an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantsOf(pub AccountId, pub Ahead<TenantId>);

impl Loader<TenantsOf> for Rows {
    /// What the caller may not see of one account is no matter of the others.
    type Value = Result<Paged<(Tenant, Role)>, LoadError>;
    type Error = LoadError;

    async fn load(&self, keys: &[TenantsOf]) -> Result<HashMap<TenantsOf, Self::Value>, LoadError> {
        let mut found = HashMap::new();
        for (page, accounts) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let tenants = account_tenants(self.0.ports(), self.0.access()?, &accounts, page).await?;
            let told = |(account, tenants): (_, carillon_domain::error::Result<_>)| {
                (TenantsOf(account, page), tenants.map_err(LoadError::from))
            };
            found.extend(tenants.into_iter().map(told));
        }
        Ok(found)
    }
}

impl Loader<AuditEventId> for Rows {
    type Value = AuditEvent;
    type Error = LoadError;

    async fn load(&self, keys: &[AuditEventId]) -> Result<HashMap<AuditEventId, AuditEvent>, LoadError> {
        let (grant, mut tx) = self.0.read::<AdministerTenant>().await?;
        let found = find_audit_events(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|event| (event.id, event)).collect())
    }
}

impl Loader<CredentialId> for Rows {
    type Value = ApiKey;
    type Error = LoadError;

    async fn load(&self, keys: &[CredentialId]) -> Result<HashMap<CredentialId, ApiKey>, LoadError> {
        let found = find_api_keys(&self.0.grant::<AdministerTenant>()?, self.0.ports(), keys).await?;
        Ok(found.into_iter().map(|key| (key.id, key)).collect())
    }
}

impl Loader<AccountId> for Rows {
    type Value = Account;
    type Error = LoadError;

    /// Of all that the caller reaches, which are few; a token bound to a tenant reaches none.
    async fn load(&self, keys: &[AccountId]) -> Result<HashMap<AccountId, Account>, LoadError> {
        if self.0.tenant().is_ok() {
            return Err(Error::Forbidden.into());
        }
        let reached = viewer_accounts(self.0.ports(), self.0.access()?).await?;
        let asked = reached.into_iter().map(|(account, _)| account).filter(|account| keys.contains(&account.id));
        Ok(asked.map(|account| (account.id, account)).collect())
    }
}
