//! Permission as a value (L2): a [`Grant`] exists only where the policy table said yes.

use std::marker::PhantomData;

use carillon_entities::ids::{AccountId, DocumentSetId, TenantId, UserId};
use carillon_entities::wall::{Alone, Args, Rows, TenantDoor, TenantTx, TxMode};

use super::{
    AccountAction, Action, Actor, DeploymentAction, OperatorAction, Permission, Role, RunDocuments, SystemAction,
    TenantAction, WriteAction,
};
use crate::error::{Error, Result};

/// What an API key was limited to; a signed-in user has everything the role has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scopes {
    /// No further limit.
    All,
    /// Only these.
    Only(Vec<Permission>),
}

impl Scopes {
    fn include(&self, permission: Permission) -> bool {
        match self {
            Self::All => true,
            Self::Only(permissions) => {
                permissions.iter().any(|given| *given == permission || given.reads() == Some(permission))
            }
        }
    }
}

/// A verified caller inside a tenant; only `enter.rs` makes one.
#[derive(Debug, Clone)]
pub struct TenantContext {
    door: TenantDoor,
    actor: Actor,
    role: Role,
    scopes: Scopes,
    document_set: Option<DocumentSetId>,
}

impl TenantContext {
    pub(super) fn new(door: TenantDoor, actor: Actor, role: Role, scopes: Scopes) -> Self {
        Self { door, actor, role, scopes, document_set: None }
    }

    /// The same caller, who may run the documents of this set and no others.
    pub(super) fn held_to(self, document_set: Option<DocumentSetId>) -> Self {
        Self { document_set, ..self }
    }

    /// The set of documents that the caller may run, where they may not run any.
    pub fn document_set(&self) -> Option<DocumentSetId> {
        self.document_set
    }

    /// The permission to have a document by its id. Everybody inside has it, whatever their scopes: it gives nothing that
    /// the text of the document would not.
    pub fn grant_to_run(&self) -> Grant<RunDocuments> {
        Grant::new(self.door.clone(), self.actor)
    }

    /// Whose data the caller is in.
    pub fn tenant(&self) -> TenantId {
        self.door.tenant()
    }

    /// Who calls.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The caller's role here.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True when [`Self::grant`] would give the permission.
    pub fn may(&self, permission: Permission) -> bool {
        permits(self.actor, self.role, &self.scopes, permission)
    }

    /// Refuses a caller whose credential is no longer good, or whose tenant is suspended (C-213).
    pub async fn assert_fresh(&self) -> Result<()> {
        Ok(begin(&self.door, TxMode::Read).await?.commit().await?)
    }

    /// The permission for an action, or [`Error::Forbidden`].
    pub fn grant<A: TenantAction>(&self) -> Result<Grant<A>> {
        if self.may(A::PERMISSION) { Ok(Grant::new(self.door.clone(), self.actor)) } else { Err(Error::Forbidden) }
    }
}

fn permits(actor: Actor, role: Role, scopes: &Scopes, permission: Permission) -> bool {
    let kind = match actor {
        Actor::User(_) => true,
        Actor::ApiKey(_) => permission.allows_keys(),
        Actor::Recipient | Actor::System => false,
    };
    kind && permission.allows(role) && scopes.include(permission)
}

/// Carillon's own work inside a tenant; only `enter.rs` makes one.
#[derive(Debug, Clone)]
pub struct SystemContext {
    door: TenantDoor,
}

impl SystemContext {
    pub(super) fn new(door: TenantDoor) -> Self {
        Self { door }
    }

    /// Whose data the work is on.
    pub fn tenant(&self) -> TenantId {
        self.door.tenant()
    }

    /// The permission for an action that the table gives to workers.
    pub fn grant<A: SystemAction>(&self) -> Grant<A> {
        Grant::new(self.door.clone(), Actor::System)
    }
}

/// Whoever holds the deployment's own logins and keys; only `enter.rs` makes one.
#[derive(Debug)]
pub struct OperatorContext(());

impl OperatorContext {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// The permission for an action on the deployment that the table gives to its operator.
    pub fn grant<A: OperatorAction + DeploymentAction>(&self) -> DeploymentGrant<A> {
        DeploymentGrant(PhantomData)
    }

    /// The permission for such an action in the tenant behind a door.
    #[expect(clippy::unused_self, reason = "to have the context is the permission")]
    pub(super) fn grant_in<A: OperatorAction + TenantAction>(&self, door: TenantDoor) -> Grant<A> {
        Grant::new(door, Actor::System)
    }
}

/// The permission to do `A` to the deployment itself.
#[derive(Debug)]
pub struct DeploymentGrant<A>(PhantomData<A>);

/// The permission to do `A` in one tenant: tenant, actor and scope in one value.
pub struct Grant<A> {
    door: TenantDoor,
    actor: Actor,
    action: PhantomData<A>,
}

impl<A: Action> Grant<A> {
    pub(super) fn new(door: TenantDoor, actor: Actor) -> Self {
        Self { door, actor, action: PhantomData }
    }

    /// In which tenant.
    pub fn tenant(&self) -> TenantId {
        self.door.tenant()
    }

    /// By whom.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// Begins a transaction that only reads.
    pub async fn begin_read(&self) -> Result<TenantTx> {
        begin(&self.door, TxMode::Read).await
    }

    /// A transaction that only reads, and begins when it does.
    pub async fn begin_when_read(&self) -> Result<TenantTx> {
        Ok(self.door.begin_when_read().await?)
    }
}

impl<A: WriteAction> Grant<A> {
    /// Begins a transaction that may write.
    ///
    /// A permission to read begins none:
    ///
    /// ```
    /// # use carillon_domain::tenancy::{Grant, WriteContacts};
    /// async fn writes(grant: &Grant<WriteContacts>) { let _ = grant.begin().await; }
    /// ```
    ///
    /// ```compile_fail
    /// # use carillon_domain::tenancy::{Grant, ReadContacts};
    /// async fn writes(grant: &Grant<ReadContacts>) { let _ = grant.begin().await; }
    /// ```
    pub async fn begin(&self) -> Result<TenantTx> {
        begin(&self.door, TxMode::Write).await
    }

    /// Runs a statement that is a transaction of its own, for a store.
    pub(crate) async fn run_alone(&self, alone: &'static Alone, args: Args) -> Result<Rows> {
        Ok(self.door.run_alone(alone, args).await?)
    }
}

/// The refusal of whatever begins in a suspended tenant.
pub(crate) const TENANT_SUSPENDED: &str = "TENANT_SUSPENDED";

async fn begin(door: &TenantDoor, mode: TxMode) -> Result<TenantTx> {
    Ok(door.begin(mode).await?)
}

impl<A> Clone for Grant<A> {
    fn clone(&self) -> Self {
        Self { door: self.door.clone(), actor: self.actor, action: PhantomData }
    }
}

impl<A: Action> std::fmt::Debug for Grant<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grant({} in {} by {:?})", A::PERMISSION, self.tenant(), self.actor)
    }
}

/// A verified user and their role on an account; only the tenancy room makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountContext {
    account: AccountId,
    user: UserId,
    role: Role,
}

impl AccountContext {
    // Made by the use cases that read memberships, in this room.
    pub(super) fn new(account: AccountId, user: UserId, role: Role) -> Self {
        Self { account, user, role }
    }

    /// The user's role on the account.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The permission for an action, or [`Error::Forbidden`].
    pub fn grant<A: AccountAction>(&self) -> Result<AccountGrant<A>> {
        if A::PERMISSION.allows(self.role) {
            Ok(AccountGrant { account: self.account, user: self.user, action: PhantomData })
        } else {
            Err(Error::Forbidden)
        }
    }
}

/// The permission to do `A` on one account.
#[derive(Debug, Clone)]
pub struct AccountGrant<A> {
    account: AccountId,
    user: UserId,
    action: PhantomData<A>,
}

impl<A: AccountAction> AccountGrant<A> {
    /// On which account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// By whom.
    pub fn user(&self) -> UserId {
        self.user
    }
}

#[cfg(test)]
mod tests {
    use carillon_entities::ids::CredentialId;
    use uuid::Uuid;

    use super::*;
    use crate::tenancy::{AdministerAccount, CreateTenant, ReadAccount};

    #[test]
    fn a_keys_scopes_and_its_role_both_limit_it() {
        let key = Actor::ApiKey(CredentialId(Uuid::from_u128(1)));
        let only = |permission| Scopes::Only(vec![permission]);
        let may = |role, scopes: &Scopes, permission| permits(key, role, scopes, permission);
        assert!(may(Role::Marketer, &only(Permission::SendMessages), Permission::SendMessages));
        assert!(!may(Role::Marketer, &only(Permission::SendMessages), Permission::WriteContacts));
        assert!(!may(Role::Viewer, &only(Permission::SendMessages), Permission::SendMessages));
        assert!(!may(Role::Owner, &Scopes::All, Permission::AdministerTenant));
    }

    #[test]
    fn who_may_change_something_may_see_what_came_of_it() {
        let key = Actor::ApiKey(CredentialId(Uuid::from_u128(1)));
        for given in Permission::ALL.iter().filter(|permission| permission.allows_keys()) {
            let scopes = Scopes::Only(vec![*given]);
            let may = |permission| permits(key, Role::Owner, &scopes, permission);
            let included: Vec<_> = Permission::ALL.iter().copied().filter(|permission| may(*permission)).collect();
            let expected: Vec<_> = [given.reads(), Some(*given)].into_iter().flatten().collect();
            assert_eq!(included.len(), expected.len(), "{given}");
            assert!(expected.iter().all(|permission| included.contains(permission)), "{given}");
            assert!(given.reads() != Some(Permission::ReadPersonalData), "that is given by its own name only");
        }
    }

    #[test]
    fn neither_recipients_nor_workers_have_a_role() {
        for permission in Permission::ALL {
            assert!(!permits(Actor::Recipient, Role::Owner, &Scopes::All, *permission));
            assert!(!permits(Actor::System, Role::Owner, &Scopes::All, *permission));
        }
    }

    #[test]
    fn account_grants_follow_the_table() {
        let account = AccountId(Uuid::from_u128(1));
        let user = UserId(Uuid::from_u128(2));
        let admin = AccountContext::new(account, user, Role::Admin);
        assert!(admin.grant::<CreateTenant>().is_ok_and(|grant| grant.account() == account && grant.user() == user));
        assert!(matches!(admin.grant::<AdministerAccount>(), Err(Error::Forbidden)));
        assert!(AccountContext::new(account, user, Role::Viewer).grant::<ReadAccount>().is_ok());
    }
}
