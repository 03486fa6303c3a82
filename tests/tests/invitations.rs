//! Invitations that are accepted while somebody changes what they are about (C-213).

use std::sync::Arc;

use carillon_domain::ports::{IdentityTx, TxMode};
use carillon_domain::tenancy::{
    MemberGrant, Membership, Role, Scope, SecretKind, VerifiedAccess, accept_invitation, enter_account, invite_member,
};
use carillon_entities::ids::MembershipId;
use carillon_entities::rows::tenancy::{accounts, memberships};
use carillon_tests::access::{AccessWorld, new_invitation};

/// A member who was invited again, and a change of their membership that is not committed yet.
struct Overtaken {
    world: Arc<AccessWorld>,
    bob: VerifiedAccess,
    membership: MembershipId,
    token: String,
    changing: IdentityTx,
}

#[expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]
impl Overtaken {
    async fn new() -> Self {
        let world = Arc::new(AccessWorld::new().await);
        let (ada, account) = world.owner_and_account("ada@example.org").await;
        let scope = Scope::Account(account);
        let bob = world.invited(&ada, scope, "bob@example.org", Role::Admin).await;
        let membership = world.own_membership(&bob, scope).await;
        world.advance(chrono::TimeDelta::milliseconds(1));
        let grant = MemberGrant::on(world.ports(), &ada, scope, "accountId").await.unwrap();
        let again = new_invitation(&"bob@example.org".parse().unwrap(), Role::Viewer);
        invite_member(&grant, world.ports(), world.desk(), &again, None).await.unwrap();
        let token = world.mailed(SecretKind::Invitation).await;
        // As whoever changes members begins.
        let mut changing = world.wall().begin_identity(TxMode::Write).await.unwrap();
        let lock = changing.select::<accounts::Entity>().eq(accounts::Column::Id, account.0).for_update();
        lock.one().await.unwrap();
        Self { world, bob, membership, token, changing }
    }

    fn accept(&self) -> tokio::task::JoinHandle<Membership> {
        let (world, bob, token) = (Arc::clone(&self.world), self.bob, self.token.clone());
        tokio::spawn(async move { accept_invitation(world.ports(), world.desk(), &bob, &token).await.unwrap() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c213_an_invitation_undoes_no_demotion() {
    let mut overtaken = Overtaken::new().await;
    let update = overtaken.changing.update::<memberships::Entity>();
    let update = update.eq(memberships::Column::Id, overtaken.membership.0);
    update.set(memberships::Column::Role, "analyst").execute().await.unwrap();
    let accepting = overtaken.accept();
    overtaken.world.until_waiting(|| accepting.is_finished()).await;
    overtaken.changing.commit().await.unwrap();
    let accepted = accepting.await.unwrap();
    assert_eq!((accepted.id, accepted.role), (overtaken.membership, Role::Analyst));
    let stored = "SELECT COUNT(*) AS amount FROM memberships WHERE role = 'analyst'";
    assert_eq!(overtaken.world.number(stored).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c213_an_invitation_gives_a_membership_that_is_there() {
    let mut overtaken = Overtaken::new().await;
    let accepting = overtaken.accept();
    overtaken.world.until_waiting(|| accepting.is_finished()).await;
    let delete = overtaken.changing.delete::<memberships::Entity>();
    delete.eq(memberships::Column::Id, overtaken.membership.0).execute().await.unwrap();
    overtaken.changing.commit().await.unwrap();
    let accepted = accepting.await.unwrap();
    assert_eq!(accepted.role, Role::Viewer);
    let mut tx = overtaken.world.wall().begin_identity(TxMode::Read).await.unwrap();
    let found = tx.select::<memberships::Entity>().eq(memberships::Column::Id, accepted.id.0).one().await.unwrap();
    assert!(found.is_some(), "removed and invited again");
}

#[tokio::test]
async fn c213_a_role_that_an_invitation_raises_ends_the_tokens_of_the_lower_one() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let scope = Scope::Account(account);
    let bob = world.invited(&ada, scope, "bob@example.org", Role::Viewer).await;
    for (role, lives) in [(Role::Viewer, true), (Role::Admin, false)] {
        world.advance(chrono::TimeDelta::milliseconds(1));
        let grant = MemberGrant::on(world.ports(), &ada, scope, "accountId").await.unwrap();
        let again = new_invitation(&"bob@example.org".parse().unwrap(), role);
        invite_member(&grant, world.ports(), world.desk(), &again, None).await.unwrap();
        let token = world.mailed(SecretKind::Invitation).await;
        accept_invitation(world.ports(), world.desk(), &bob, &token).await.unwrap();
        assert_eq!(enter_account(world.ports(), &bob, account, "").await.is_ok(), lives, "{role}");
    }
}
