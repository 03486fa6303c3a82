//! Batched reads of tenancy.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::ids::{AccountId, MembershipId};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{Member, account_members};

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
