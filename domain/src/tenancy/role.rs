//! Roles and who acts.

use carillon_entities::ids::{CredentialId, UserId};
use uuid::Uuid;

use crate::consent::ActorKind;

text_code! {
    /// What a member may do; declared from the weakest to the strongest, and each may do all the weaker ones may.
    pub enum Role {
        /// Sees what exists, without personal data.
        Viewer = "viewer",
        /// Sees consent and results as well, still without personal data.
        Analyst = "analyst",
        /// Writes contacts and sends.
        Marketer = "marketer",
        /// Administers a tenant.
        Admin = "admin",
        /// Administers the account as well.
        Owner = "owner",
    }
}

impl Role {
    /// Nobody gives a role above their own (C-198).
    pub fn may_give(self, other: Self) -> bool {
        self >= other
    }

    /// What somebody is in a tenant who has these roles on it and on the accounts above it: the strongest.
    pub fn effective(roles: impl IntoIterator<Item = Self>) -> Option<Self> {
        roles.into_iter().max()
    }
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A signed-in user.
    User(UserId),
    /// An API key.
    ApiKey(CredentialId),
    /// The person a mail was sent to, through a link in it.
    Recipient,
    /// Carillon's own work.
    System,
}

impl Actor {
    /// The kind, as the ledger and the audit log write it.
    pub const fn kind(self) -> ActorKind {
        match self {
            Self::User(_) => ActorKind::User,
            Self::ApiKey(_) => ActorKind::ApiKey,
            Self::Recipient => ActorKind::Subject,
            Self::System => ActorKind::System,
        }
    }

    /// The id, where the actor has one.
    pub const fn id(self) -> Option<Uuid> {
        match self {
            Self::User(UserId(id)) | Self::ApiKey(CredentialId(id)) => Some(id),
            Self::Recipient | Self::System => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_role_counts_and_nobody_gives_more_than_they_have() {
        assert_eq!(Role::effective([Role::Viewer, Role::Admin, Role::Marketer]), Some(Role::Admin));
        assert_eq!(Role::effective([]), None);
        assert!(Role::Admin.may_give(Role::Admin));
        assert!(!Role::Admin.may_give(Role::Owner));
    }
}
