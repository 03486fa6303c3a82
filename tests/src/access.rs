//! A world with a doorkeeper, and the steps that tests of access have in common.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::ops::Deref;

use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::{Error, Refusal, Result};
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{
    AdministerTenant, ApiKey, CreateApiKey, Doorkeeper, MemberGrant, Name, NewInvitation, NewPassword, NewTenant,
    OwnedAccount, PasswordSettings, Permission, Role, Scope, SecretKind, Session, SignIn, SignUp, TenantContext,
    VerifiedAccess, accept_invitation, bootstrap, create_api_key, create_tenant, enter_account, enter_as_user,
    enter_tenant, invite_member, make_account, operate, sign_in, sign_up, verify_email, viewer_accounts,
};
use carillon_entities::ids::{AccountId, MembershipId, TenantId};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{World, WorldOptions};

/// Everybody's password.
pub const PASSWORD: &str = "tischbein-lampe-regal";

/// How long a test's key is good for: the wall asks the database's own clock as well, which no test can move.
pub const KEY_LIFE: TimeDelta = TimeDelta::days(36_500);

/// A world that people sign in to.
#[derive(Debug)]
pub struct AccessWorld {
    world: World,
    desk: Doorkeeper,
}

impl Deref for AccessWorld {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

/// Hashes that cost nothing.
fn cheap(memory_kib: u32) -> PasswordSettings {
    PasswordSettings { memory_kib, passes: 1, lanes: 1, permits: 2, queue: 64 }
}

impl AccessWorld {
    /// The usual world.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut options = WorldOptions::default();
        change(&mut options.settings);
        let world = World::with(options).await;
        bootstrap(world.ports()).await.unwrap();
        // Mails that nobody delivers here.
        world.leave_unsettled();
        let desk = Doorkeeper::new(world.ports(), &world.ports().keys, cheap(64)).unwrap();
        Self { world, desk }
    }

    /// What every sign-in passes.
    pub fn desk(&self) -> &Doorkeeper {
        &self.desk
    }

    /// A doorkeeper of a later release.
    pub fn stronger_desk(&self) -> Doorkeeper {
        Doorkeeper::new(self.ports(), &self.ports().keys, cheap(128)).unwrap()
    }

    /// How many users there are.
    pub async fn users(&self) -> i64 {
        self.number("SELECT COUNT(*) AS amount FROM users").await
    }

    /// A password that may be set.
    pub fn new_password(&self, text: &str) -> NewPassword {
        NewPassword::parse(text, "password", &[]).unwrap()
    }

    /// Somebody's sign-up, with [`PASSWORD`].
    pub fn new_person(&self, email: &str, name: &str) -> SignUp {
        SignUp {
            email: email.parse().unwrap(),
            password: self.new_password(PASSWORD),
            name: Name::parse(name).unwrap(),
            account_name: Some(Name::parse(&format!("{name}'s agency")).unwrap()),
            invitation: None,
            address: None,
        }
    }

    /// Somebody's sign-in.
    pub fn person(&self, email: &str, password: &str) -> SignIn {
        SignIn { email: email.parse().unwrap(), password: password.to_owned(), address: None }
    }

    /// Signs somebody up.
    pub async fn sign_up(&self, email: &str, name: &str) -> Result<()> {
        sign_up(self.ports(), &self.desk, self.new_person(email, name)).await
    }

    /// Signs somebody in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<Session> {
        sign_in(self.ports(), &self.desk, self.person(email, password)).await
    }

    /// What a token says.
    pub fn verified(&self, token: &str) -> VerifiedAccess {
        self.desk.tokens.verify(token, self.ports().now()).expect("a token of ours")
    }

    /// Signs in.
    pub async fn access(&self, email: &str) -> VerifiedAccess {
        let session = self.sign_in(email, PASSWORD).await.unwrap();
        self.verified(&session.access_token)
    }

    /// The token of the newest mail of a kind: the stored hash is replaced by that of a token we know.
    pub async fn mailed(&self, kind: SecretKind) -> String {
        let secret = kind.generate(self.ports().entropy.as_ref());
        let hash = hex::encode(secret.hash);
        let hash = if self.wall().is_postgres() { format!("'\\x{hash}'") } else { format!("x'{hash}'") };
        let changed = self
            .execute(&format!(
                "UPDATE credentials SET secret_hash = {hash} WHERE id = (SELECT id FROM credentials \
                 WHERE kind = '{kind}' AND used_at IS NULL AND revoked_at IS NULL ORDER BY id DESC LIMIT 1)"
            ))
            .await;
        assert_eq!(changed, 1, "a mail with a secret was sent");
        secret.text
    }

    /// Somebody who signed up and owns an account.
    pub async fn owner(&self, email: &str) -> VerifiedAccess {
        self.advance(TimeDelta::milliseconds(1));
        self.sign_up(email, "Ada").await.unwrap();
        let token = self.mailed(SecretKind::EmailVerification).await;
        verify_email(self.ports(), &self.desk, (&token, PASSWORD), None).await.unwrap();
        self.access(email).await
    }

    /// Somebody who signed up, and the account they own.
    pub async fn owner_and_account(&self, email: &str) -> (VerifiedAccess, AccountId) {
        let access = self.owner(email).await;
        let account = viewer_accounts(self.ports(), &access).await.unwrap()[0].0.id;
        (access, account)
    }

    /// An owner whom the operator made.
    pub async fn made_owner(&self, email: &str) -> (VerifiedAccess, AccountId) {
        let command = OwnedAccount {
            name: Name::parse("Agency").unwrap(),
            email: email.parse().unwrap(),
            owner: Name::parse("Ada").unwrap(),
            password: Some(self.new_password(PASSWORD)),
        };
        let made = make_account(&operate().grant(), self.ports(), &self.desk, command).await.unwrap();
        (self.access(email).await, made.account.id)
    }

    /// What a tenant is made of.
    pub fn tenant_command(&self, name: &str, key: Option<&str>) -> NewTenant {
        NewTenant {
            name: Name::parse(name).unwrap(),
            zone: carillon_domain::contacts::Zone::parse("Europe/Vienna").unwrap(),
            locale: carillon_domain::contacts::Locale::parse("de-AT").unwrap(),
            country: carillon_domain::contacts::Country::parse("AT").unwrap(),
            creation_key: key.map(str::to_owned),
        }
    }

    /// A new tenant under an account.
    pub async fn new_tenant(&self, access: &VerifiedAccess, account: AccountId, name: &str) -> TenantId {
        self.advance(TimeDelta::milliseconds(1));
        let grant = enter_account(self.ports(), access, account, "accountId").await.unwrap().grant().unwrap();
        create_tenant(&grant, self.ports(), &self.tenant_command(name, None)).await.unwrap().id
    }

    /// A tenant under the first account of somebody, entered.
    pub async fn made_tenant_of(&self, access: &VerifiedAccess, name: &str) -> (TenantContext, TenantId) {
        let account = viewer_accounts(self.ports(), access).await.unwrap()[0].0.id;
        let tenant = self.new_tenant(access, account, name).await;
        (self.entered(access, tenant).await, tenant)
    }

    /// Enters a tenant.
    pub async fn entered(&self, access: &VerifiedAccess, tenant: TenantId) -> TenantContext {
        let session = enter_tenant(self.ports(), &self.desk, access, tenant).await.unwrap();
        enter_as_user(self.wall(), &self.verified(&session.access_token)).unwrap()
    }

    /// Somebody new who was invited and accepted.
    pub async fn invited(&self, by: &VerifiedAccess, scope: Scope, email: &str, role: Role) -> VerifiedAccess {
        let access = self.owner(email).await;
        self.advance(TimeDelta::milliseconds(1));
        let grant = MemberGrant::on(self.ports(), by, scope, "tenantId").await.unwrap();
        invite_member(&grant, self.ports(), &self.desk, &new_invitation(&email.parse().unwrap(), role), None)
            .await
            .unwrap();
        let token = self.mailed(SecretKind::Invitation).await;
        accept_invitation(self.ports(), &self.desk, &access, &token).await.unwrap();
        access
    }

    /// A key that reads contacts.
    pub async fn new_key(&self, access: &VerifiedAccess, tenant: TenantId) -> (ApiKey, String) {
        self.advance(TimeDelta::milliseconds(1));
        let grant = self.entered(access, tenant).await.grant::<AdministerTenant>().unwrap();
        let command = CreateApiKey {
            name: Name::parse("Shop").unwrap(),
            role: Role::Marketer,
            scopes: vec![Permission::ReadContacts],
            document_set: None,
            expires_at: Some(self.ports().now() + KEY_LIFE),
        };
        create_api_key(&grant, self.ports(), command, None).await.unwrap()
    }

    /// The first membership on an account.
    pub async fn membership_on(&self, account: AccountId) -> MembershipId {
        self.membership(&format!("scope_id = {} ORDER BY id LIMIT 1", self.id(account.0))).await
    }

    /// Somebody's own membership on a scope.
    pub async fn own_membership(&self, access: &VerifiedAccess, scope: Scope) -> MembershipId {
        let (user, scope) = (self.id(access.subject().user.0), self.id(scope.id()));
        self.membership(&format!("user_id = {user} AND scope_id = {scope}")).await
    }

    async fn membership(&self, condition: &str) -> MembershipId {
        let hex = if self.wall().is_postgres() { "CAST(id AS TEXT)" } else { "hex(id)" };
        let lines = self.lines(&format!("SELECT {hex} AS line FROM memberships WHERE {condition}")).await;
        MembershipId(Uuid::parse_str(&lines[0]).unwrap())
    }

    fn id(&self, id: Uuid) -> String {
        if self.wall().is_postgres() { format!("'{id}'") } else { format!("x'{}'", id.simple()) }
    }
}

/// Whom to invite, and as what.
pub fn new_invitation(email: &EmailAddress, role: Role) -> NewInvitation {
    NewInvitation { email: email.clone(), role }
}

/// The first refusal's code.
pub fn code<T>(result: Result<T>) -> String {
    refusals(result).first().map_or("", |refusal| refusal.code).to_owned()
}

/// The refusals of a result that must be one.
pub fn refusals<T>(result: Result<T>) -> Vec<Refusal> {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(Error::Refused(refusals)) => refusals,
        Err(error) => panic!("{error}"),
    }
}
