//! Credentials that somebody listens with: whether they are still good is asked of all at once (C-224).
//!
//! What a request is asked with its BEGIN (C-213) is asked here for thousands in one statement, so that who listens and hears
//! nothing costs next to nothing. The answer is the same: a user who is enabled and still at the token's version, a key that
//! is neither revoked nor expired and still held to the same documents, a tenant that is not suspended. When a token ends is
//! written in it.

use std::collections::HashSet;

use carillon_entities::ids::{CredentialId, DocumentSetId, TenantId, UserId};

use super::{Actor, TenantContext, VerifiedAccess, store};
use crate::error::Result;
use crate::ports::Ports;

/// What is asked about who listens; many may listen with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldCredential {
    /// The user, and the version of their credentials.
    pub(super) user: Option<(UserId, i64)>,
    /// The API key, and the set whose documents it may run and no others.
    pub(super) key: Option<(CredentialId, Option<DocumentSetId>)>,
    /// The tenant it is good for.
    pub(super) tenant: Option<TenantId>,
}

impl HeldCredential {
    /// A user's, whether inside a tenant or not.
    pub fn of_user(access: &VerifiedAccess) -> Self {
        let subject = access.subject();
        let tenant = subject.entered.map(|(tenant, _)| tenant);
        Self { user: Some((subject.user, subject.auth_version)), key: None, tenant }
    }

    /// An API key's; none for who came without one.
    pub fn of_key(context: &TenantContext) -> Option<Self> {
        match context.actor() {
            Actor::ApiKey(key) => {
                let key = Some((key, context.document_set()));
                Some(Self { user: None, key, tenant: Some(context.tenant()) })
            }
            Actor::User(_) | Actor::Recipient | Actor::System => None,
        }
    }
}

/// Those that are no longer good: a statement for a few thousand.
pub async fn ended_credentials(ports: &Ports, held: &[HeldCredential]) -> Result<HashSet<HeldCredential>> {
    if held.is_empty() {
        return Ok(HashSet::new());
    }
    let now = ports.now();
    store::read!(ports, |tx| store::held::held_ended(tx, held, now).await)
}
