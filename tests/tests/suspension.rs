//! Accounts that the operator stops: each on its own, and whatever lies below it with it.

use std::sync::Arc;

use carillon_domain::error::Result;
use carillon_domain::paging::Page;
use carillon_domain::ports::TxMode;
use carillon_domain::tenancy::{
    Caps, MemberGrant, Name, ReadContacts, Role, Scope, VerifiedAccess, authenticate_key, cap_account, create_account,
    enter_account, enter_tenant, enter_to_import, operate, resume_account, suspend_account, viewer_accounts,
    viewer_tenants,
};
use carillon_entities::ids::{AccountId, TenantId};
use carillon_entities::rows::tenancy::{accounts, tenants};
use carillon_tests::access::{AccessWorld, code};

/// An agency's account, a client's below it, and one below that, each with a tenant; the client's has a key.
struct Agency {
    world: AccessWorld,
    ada: VerifiedAccess,
    above: AccountId,
    client: AccountId,
    tenants: [TenantId; 3],
    key: String,
}

#[expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]
impl Agency {
    async fn new() -> Self {
        let world = AccessWorld::new().await;
        let (ada, above) = world.owner_and_account("ada@example.org").await;
        let client = account_below(&world, &ada, above).await;
        let below = account_below(&world, &ada, client).await;
        let one = world.new_tenant(&ada, above, "Above").await;
        let two = world.new_tenant(&ada, client, "Client").await;
        let three = world.new_tenant(&ada, below, "Below").await;
        let (_, key) = world.new_key(&ada, two).await;
        Self { world, ada, above, client, tenants: [one, two, three], key }
    }

    async fn suspend(&self, account: AccountId) {
        suspend_account(&operate().grant(), self.world.ports(), account).await.unwrap();
    }

    async fn resume(&self, account: AccountId) -> bool {
        resume_account(&operate().grant(), self.world.ports(), account).await.unwrap().is_suspended
    }

    /// Which of the tenants stand still: to those who enter, to work on imports, and to a key.
    async fn still(&self) -> [bool; 3] {
        let (ports, mut still) = (self.world.ports(), [false; 3]);
        for (tenant, still) in self.tenants.iter().zip(&mut still) {
            *still = is_still(enter_tenant(ports, self.world.desk(), &self.ada, *tenant).await);
            assert_eq!(is_still(enter_to_import(self.world.wall(), *tenant).begin_read().await), *still);
        }
        let read = authenticate_key(ports, &self.key).await.unwrap().grant::<ReadContacts>().unwrap();
        assert_eq!(is_still(read.begin_read().await), still[1]);
        let shown = viewer_tenants(ports, &self.ada, &Page::first(10)).await.unwrap().items;
        assert_eq!(shown.iter().map(|(tenant, _)| tenant.is_suspended).collect::<Vec<_>>(), still);
        still
    }
}

#[expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]
async fn account_below(world: &AccessWorld, owner: &VerifiedAccess, account: AccountId) -> AccountId {
    world.advance(chrono::TimeDelta::milliseconds(1));
    let grant = enter_account(world.ports(), owner, account, "parentId").await.unwrap().grant().unwrap();
    create_account(&grant, world.ports(), &Name::parse("Client").unwrap(), None).await.unwrap().id
}

fn is_still<T>(result: Result<T>) -> bool {
    let refused = result.is_err();
    assert!(!refused || code(result) == "TENANT_SUSPENDED");
    refused
}

#[tokio::test]
async fn resuming_below_a_suspended_account_frees_nobody() {
    let agency = Agency::new().await;
    agency.suspend(agency.above).await;
    assert_eq!(agency.still().await, [true; 3]);
    assert!(agency.resume(agency.client).await, "told that it is still held from above");
    assert_eq!(agency.still().await, [true; 3]);
    assert!(!agency.resume(agency.above).await);
    assert_eq!(agency.still().await, [false; 3]);
}

#[tokio::test]
async fn who_was_suspended_alone_stays_so_when_all_above_is_resumed() {
    let agency = Agency::new().await;
    agency.suspend(agency.client).await;
    assert_eq!(agency.still().await, [false, true, true]);
    agency.suspend(agency.above).await;
    agency.resume(agency.above).await;
    assert_eq!(agency.still().await, [false, true, true]);
    agency.suspend(agency.client).await;
    agency.resume(agency.client).await;
    assert_eq!(agency.still().await, [false; 3], "however often it was suspended");
}

#[tokio::test]
async fn whoever_belongs_below_a_suspended_account_alone_is_told_so() {
    let agency = Agency::new().await;
    let (world, scope) = (&agency.world, Scope::Account(agency.client));
    let bob = world.invited(&agency.ada, scope, "bob@example.org", Role::Owner).await;
    agency.suspend(agency.above).await;
    let shown = viewer_accounts(world.ports(), &bob).await.unwrap();
    let shown = shown.iter().filter(|(account, _)| account.depth > 1);
    assert_eq!(shown.map(|(account, _)| account.is_suspended).collect::<Vec<_>>(), [true, true]);
    let grant = enter_account(world.ports(), &bob, agency.client, "accountId").await.unwrap().grant().unwrap();
    let made = create_account(&grant, world.ports(), &Name::parse("Another").unwrap(), None).await;
    assert_eq!(code(made), "ACCOUNT_SUSPENDED");
    let invites = MemberGrant::on(world.ports(), &bob, scope, "accountId").await;
    assert_eq!(code(invites), "ACCOUNT_SUSPENDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_that_is_made_meanwhile_escapes_neither_suspension_nor_limit() {
    let Agency { world, above, client, tenants, .. } = Agency::new().await;
    let world = Arc::new(world);
    for round in 0..2 {
        // As whoever makes a tenant begins.
        let mut making = world.wall().begin_identity(TxMode::Write).await.unwrap();
        let lock = making.select::<accounts::Entity>().eq(accounts::Column::Id, above.0).for_update();
        lock.one().await.unwrap();
        let found = making.select::<tenants::Entity>().eq(tenants::Column::Id, tenants[1].0).one().await.unwrap();
        let id = world.ports().new_id();
        let new = tenants::Model { id, suspended_at: None, max_messages_per_day: 100, ..found.unwrap() };
        making.insert(tenants::ActiveModel::from(new)).await.unwrap();
        let operator = Arc::clone(&world);
        let acting = tokio::spawn(async move {
            let (grant, ports) = (operate().grant(), operator.ports());
            let caps = Caps { messages_per_day: Some(7), ..Caps::default() };
            match round {
                0 => cap_account(&grant, ports, client, caps).await.unwrap(),
                _ => drop(suspend_account(&grant, ports, client).await.unwrap()),
            }
        });
        world.until_waiting(|| acting.is_finished()).await;
        making.commit().await.unwrap();
        acting.await.unwrap();
        let mut tx = world.wall().begin_identity(TxMode::Read).await.unwrap();
        let made = tx.select::<tenants::Entity>().eq(tenants::Column::Id, id.0).one().await.unwrap().unwrap();
        assert_eq!((made.max_messages_per_day == 7, made.suspended_at.is_some()), (round == 0, round == 1));
    }
}
