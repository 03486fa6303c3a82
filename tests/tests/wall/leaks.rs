//! No interleaving of transactions over a small pool lets one tenant see another: commits, rollbacks, panics, failed
//! statements, dropped transactions and dropped beginnings (C-204 to C-208).

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use carillon_domain::tenancy::{WriteContacts, enter_for_work};
use carillon_entities::ids::{ContactId, TenantId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::wall::{Args, Freshness, Kind, OnConflict, Sql, TenantTx, TxMode, Wall, WallError};
use carillon_tests::database::start;
use carillon_tests::print::Printed;
use carillon_tests::{World, WorldOptions, seed};
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sea_orm::ActiveValue::Set;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};

use super::alone::{alone, door, first_people, starting, step};

const TASKS: usize = 16;
const TRANSACTIONS: usize = 10_000;
const CONTACTS: usize = 5;

/// Without a predicate: what row security alone lets through, and whether the transaction began after `$2`.
static SEEN: Sql = Sql {
    name: "SEEN",
    text: "SELECT CAST(tenant_id AS text) AS tenant, COUNT(*) AS contacts, \
           transaction_timestamp() >= $2 AS began_now, current_setting('app.tenant_id', true) AS setting \
           FROM contacts WHERE $1 = $1 GROUP BY tenant_id",
    args: &[Kind::Time],
    batch: &[],
};

/// Polls a future a number of times and then gives up, which drops it in flight.
struct Abandon<F> {
    future: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Abandon<F> {
    fn after(polls: u32, future: F) -> Self {
        Self { future: Box::pin(future), polls }
    }
}

impl<F: Future> Future for Abandon<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => {
                self.polls -= 1;
                Poll::Pending
            }
        }
    }
}

async fn fill(wall: &Wall, tenant: TenantId) {
    let mut tx = begin(wall, tenant).await.unwrap();
    let contact = |row: usize| contacts::ActiveModel {
        id: Set(ContactId(seed::id(row))),
        state: Set("active".to_owned()),
        first_name: Set(Some(tenant.to_string())),
        attributes: Set(serde_json::json!({})),
        version: Set(1),
        created_at: Set(start()),
        updated_at: Set(start()),
        ..Default::default()
    };
    let rows = (0..CONTACTS).map(contact).collect();
    assert_eq!(tx.insert_many(rows, OnConflict::Fail).await.unwrap(), CONTACTS as u64);
    tx.commit().await.unwrap();
}

async fn begin(wall: &Wall, tenant: TenantId) -> carillon_domain::error::Result<TenantTx> {
    enter_for_work(wall, tenant).grant::<WriteContacts>().begin().await
}

/// What the transaction sees is one tenant's, by its predicate and by row security alone.
async fn check(wall: &Wall, tx: &mut TenantTx, tenant: TenantId, began_after: DateTime<Utc>) {
    let rows = tx.select::<contacts::Entity>().all().await.unwrap();
    assert_eq!(rows.len(), CONTACTS);
    for row in rows {
        assert_eq!((row.tenant_id, row.first_name), (tenant, Some(tenant.to_string())));
    }
    if wall.is_postgres() {
        let args = Args::of([began_after.into()]);
        let seen: Vec<Printed> = tx.sql(&SEEN, args).unwrap().all().await.unwrap();
        let id = tenant.0;
        let expected = format!("tenant=\"{id}\" contacts={CONTACTS} began_now=true setting=\"{id}\"");
        assert_eq!(seen, [Printed(expected)], "the transaction is not its own");
    }
}

async fn fail(tx: &mut TenantTx, tenant: TenantId) {
    let doubled = contacts::ActiveModel {
        id: Set(ContactId(seed::id(0))),
        state: Set("active".to_owned()),
        first_name: Set(Some(tenant.to_string())),
        attributes: Set(serde_json::json!({})),
        version: Set(1),
        created_at: Set(start()),
        updated_at: Set(start()),
        ..Default::default()
    };
    let done = tx.insert(doubled).await;
    assert!(matches!(done, Err(WallError::Conflict { .. })), "{done:?}");
}

/// One of the many transactions; `Ok(false)` when its beginning was dropped.
async fn transact(wall: Wall, tenant: TenantId, mut rng: StdRng) -> bool {
    let began_after = if wall.is_postgres() { wall.database_now().await.unwrap() } else { start() };
    let fate = rng.random_range(0..8);
    let polls = rng.random_range(0..4);
    if fate == 0 {
        return Abandon::after(polls, begin(&wall, tenant)).await.is_some();
    }
    if fate == 6 {
        let one = alone("CONTACT_LIST");
        let mut tx = door(&wall, tenant).begin_when_read().await.unwrap();
        return Abandon::after(polls, tx.sql_alone(one, first_people())).await.is_some();
    }
    if fate == 7 && wall.is_postgres() {
        // Of nobody's attempt; what counts is what it leaves on the connection.
        let (door, nobodys) = (door(&wall, tenant), starting(0, "rule"));
        return Abandon::after(polls, door.run_alone(step(), nobodys)).await.is_some();
    }
    let mut tx = begin(&wall, tenant).await.unwrap();
    check(&wall, &mut tx, tenant, began_after).await;
    if rng.random_bool(0.5) {
        let row = ContactId(seed::id(rng.random_range(0..CONTACTS)));
        let update =
            tx.update::<contacts::Entity>().set(contacts::Column::LastName, "changed").eq(contacts::Column::Id, row);
        assert_eq!(update.execute().await.unwrap(), 1);
    }
    match fate {
        1 => tx.rollback().await.unwrap(),
        2 => drop(tx),
        3 => {
            fail(&mut tx, tenant).await;
            assert!(matches!(tx.commit().await, Err(WallError::Failed)), "a failed transaction was committed");
        }
        4 => drop(Abandon::after(polls, tx.select::<contacts::Entity>().all()).await),
        5 => std::panic::resume_unwind(Box::new("on purpose")),
        _ => tx.commit().await.unwrap(),
    }
    true
}

async fn interleave(world: World, seed: u64) {
    let (one, other) = (world.tenant("One").await, world.tenant("Other").await);
    for tenant in [one, other] {
        fill(world.wall(), tenant).await;
    }
    let wall = Arc::new(world.wall().clone());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let wall = wall.clone();
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed * 1_000 + task as u64);
                let mut dropped = 0;
                for _ in 0..TRANSACTIONS / TASKS {
                    let tenant = if rng.random_bool(0.5) { one } else { other };
                    let chance = StdRng::seed_from_u64(rng.random());
                    match tokio::spawn(transact(wall.as_ref().clone(), tenant, chance)).await {
                        Ok(begun) => dropped += usize::from(!begun),
                        Err(error) => match error.into_panic().downcast::<&str>() {
                            Ok(words) if *words == "on purpose" => {}
                            Ok(words) => panic!("{words}"),
                            Err(words) => std::panic::resume_unwind(words),
                        },
                    }
                }
                dropped
            })
        })
        .collect();
    let mut dropped = 0;
    for task in tasks {
        dropped += task.await.unwrap();
    }
    println!("{TRANSACTIONS} transactions, {dropped} beginnings dropped in flight");
    assert!(dropped > 100, "only {dropped} beginnings were dropped: the test tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c204_ten_thousand_interleaved_transactions_see_their_own_tenant() {
    let world = World::with(WorldOptions { pool: 4, ..WorldOptions::default() }).await;
    interleave(world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c206_ten_thousand_interleaved_transactions_through_pgbouncer_see_their_own_tenant() {
    let Some(world) = through_pooler().await else { return };
    interleave(world, 2).await;
}

async fn through_pooler() -> Option<World> {
    std::env::var("PGBOUNCER_URL").ok()?;
    World::on_postgres(WorldOptions { pool: 4, through_pooler: true, ..WorldOptions::default() }).await
}

/// PgBouncer hands a server connection to the next client as it is: a setting that outlives its transaction is seen by
/// whoever comes next.
#[tokio::test]
async fn c206_the_next_client_of_a_pooled_connection_finds_no_tenant() {
    let Some(world) = through_pooler().await else { return };
    let tenant = world.tenant("One").await;
    fill(world.wall(), tenant).await;
    let settings = world.database.settings_through_pooler(1).unwrap();
    let options = PgConnectOptions::from_str(&settings.url).unwrap().extra_float_digits(None);
    let mut stranger = options.connect().await.unwrap();
    for _ in 0..20 {
        begin(world.wall(), tenant).await.unwrap().commit().await.unwrap();
        let text = "SELECT COALESCE(current_setting('app.tenant_id', true), ''), (SELECT COUNT(*) FROM contacts)::text";
        let row = sqlx::raw_sql(text).fetch_one(&mut stranger).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "");
        assert_eq!(row.get::<String, _>(1), "0", "without a tenant there is nothing to see");
    }
}

/// A beginning dropped in flight must not leave its transaction, and with it its tenant, on a pooled connection.
#[tokio::test]
async fn c206_a_dropped_beginning_leaves_no_open_transaction_behind() {
    let Some(world) = World::on_postgres(WorldOptions { pool: 1, ..WorldOptions::default() }).await else { return };
    let (one, other) = (world.tenant("One").await, world.tenant("Other").await);
    for tenant in [one, other] {
        fill(world.wall(), tenant).await;
    }
    let mut dropped = 0;
    for round in 0..200 {
        dropped += u32::from(Abandon::after(round % 4, begin(world.wall(), one)).await.is_none());
        drop(Abandon::after(round % 4, door(world.wall(), one).run_alone(step(), starting(0, "rule"))).await);
        let mut tx = door(world.wall(), one).begin_when_read().await.unwrap();
        drop(Abandon::after(round % 4, tx.sql_alone(alone("CONTACT_LIST"), first_people())).await);
        drop(tx);
        let began_after = world.wall().database_now().await.unwrap();
        let mut tx = begin(world.wall(), other).await.unwrap();
        check(world.wall(), &mut tx, other, began_after).await;
        tx.commit().await.unwrap();
    }
    assert!(dropped >= 50, "only {dropped} beginnings were dropped");
}

/// Postgres would roll back and answer `ROLLBACK` to the COMMIT, which a driver takes for success.
#[tokio::test]
async fn c187_a_commit_after_a_failed_statement_is_refused() {
    let world = World::new().await;
    let tenant = world.tenant("One").await;
    fill(world.wall(), tenant).await;
    let mut tx = begin(world.wall(), tenant).await.unwrap();
    let change = tx.update::<contacts::Entity>().set(contacts::Column::LastName, "lost");
    assert_eq!(change.execute().await.unwrap(), CONTACTS as u64);
    fail(&mut tx, tenant).await;
    let done = tx.commit().await;
    assert!(matches!(done, Err(WallError::Failed)), "{done:?}");
    let lost = world.number("SELECT COUNT(*) AS amount FROM contacts WHERE last_name = 'lost'").await;
    assert_eq!(lost, 0);
}

/// A stale credential is refused in the round trip that begins, and costs no connection (C-213).
#[tokio::test]
async fn c213_a_stale_credential_begins_nothing_and_spoils_no_connection() {
    let world = World::with(WorldOptions { pool: 1, ..WorldOptions::default() }).await;
    let tenant = world.tenant("One").await;
    fill(world.wall(), tenant).await;
    let nobody = Freshness::User(seed::id(1).into(), 1);
    #[expect(clippy::disallowed_methods, reason = "the door is what is tested")]
    let door = world.wall().assume_tenant(tenant, nobody);
    for mode in [TxMode::Read, TxMode::Write] {
        for _ in 0..3 {
            assert!(matches!(door.begin(mode).await, Err(WallError::NotFresh)));
        }
    }
    let began_after = if world.wall().is_postgres() { world.wall().database_now().await.unwrap() } else { start() };
    let mut tx = begin(world.wall(), tenant).await.unwrap();
    check(world.wall(), &mut tx, tenant, began_after).await;
    tx.commit().await.unwrap();
}
