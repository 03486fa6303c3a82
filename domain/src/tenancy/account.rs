//! Accounts, tenants, and who belongs to them.
//!
//! Accounts form a tree at most [`Account::DEEPEST`] deep: an agency's account has accounts and tenants below it. A
//! membership on an account reaches everything below; what somebody is in a tenant is the strongest of their roles on
//! the tenant and the accounts above it.

use carillon_entities::ids::{AccountId, MembershipId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Role;
use crate::contacts::{EmailAddress, InvalidText, one_line};
use crate::time::Timestamp;

/// A paying account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The account it lies under.
    pub parent: Option<AccountId>,
    /// 1 for the top of a tree.
    pub depth: i32,
    /// The name its members see.
    pub name: String,
    /// Tenants that may lie under it, at any depth; the accounts under it have the same limit.
    pub max_tenants: i64,
    /// What each of its tenants may send in a day.
    pub max_messages_per_day: i64,
    /// True when it or an account above it is suspended: it creates and sends nothing.
    pub is_suspended: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Account {
    /// Depth of the deepest account of a tree.
    pub const DEEPEST: i32 = 5;
}

/// How full an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountUse {
    /// Its limit.
    pub max_tenants: i64,
    /// Tenants under it, at any depth.
    pub tenants: i64,
    /// Accounts under it, at any depth.
    pub accounts: i64,
}

/// One customer's walled-off data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The account it belongs to.
    pub account: AccountId,
    /// The name its members see.
    pub name: String,
    /// Zone of contacts that have none.
    pub default_zone: String,
    /// Locale of contacts that have none.
    pub default_locale: String,
    /// Country of contacts that have none, and of phone numbers without a prefix.
    pub default_country: String,
    /// What it may send in a day.
    pub max_messages_per_day: i64,
    /// True when an account above it is suspended: it cannot be entered.
    pub is_suspended: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A name of a person, an account or a tenant: one line of at most 100 octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Octets of a name.
    pub const MAX: usize = 100;

    /// Parses a name; surrounding space goes.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        one_line(text, Self::MAX).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Where they get mail.
    pub email: EmailAddress,
    /// What they are called.
    pub name: String,
    pub(super) password_hash: Option<String>,
    pub(super) auth_version: i64,
    pub(super) is_disabled: bool,
    /// Since when they are known.
    pub created_at: Timestamp,
}

/// Only the id: everything else is personal or secret (L9).
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("User").field(&self.id).finish()
    }
}

/// What a membership is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// An account, and everything below it.
    Account(AccountId),
    /// One tenant.
    Tenant(TenantId),
}

impl Scope {
    /// The kind, as rows have it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Tenant(_) => "tenant",
        }
    }

    /// The id, whatever its kind.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Account(AccountId(id)) | Self::Tenant(TenantId(id)) => id,
        }
    }
}

/// One user's role on one account or tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// Whose.
    pub user: UserId,
    /// On what.
    pub scope: Scope,
    /// As what.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// An account or a tenant with everything above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub tenant: Option<Tenant>,
    /// The nearest first; never empty.
    pub accounts: Vec<Account>,
}

impl Place {
    /// The ids memberships that count here are on.
    pub fn scope_ids(&self) -> Vec<Uuid> {
        self.scopes().map(Scope::id).collect()
    }

    /// What memberships that count here are on.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let tenant = self.tenant.iter().map(|tenant| Scope::Tenant(tenant.id));
        tenant.chain(self.accounts.iter().map(|account| Scope::Account(account.id)))
    }

    /// The tenant's name, or the account's.
    pub fn name(&self) -> &str {
        let account = self.accounts.first().map_or("", |account| account.name.as_str());
        self.tenant.as_ref().map_or(account, |tenant| tenant.name.as_str())
    }

    /// True when it or anything above it is suspended.
    pub fn is_suspended(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.is_suspended)
            || self.accounts.iter().any(|account| account.is_suspended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line() {
        assert_eq!(Name::parse(" Ärzte & Co ").unwrap().as_str(), "Ärzte & Co");
        for text in ["", "a\r\nb", &"x".repeat(101)] {
            assert!(Name::parse(text).is_err());
        }
    }
}
