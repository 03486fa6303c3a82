//! A test's world: its own database, a clock that moves when told to, seeded chance, keys.
//!
//! A world that is dropped while work is still queued, claimed or running fails its test: a test that means to leave
//! work behind says so with [`World::leave_unsettled`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::Keyring;
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{Grant, SystemAction, SystemContext, enter_for_work};
use carillon_domain::time::{Clock, ManualClock};
use carillon_entities::ids::{AccountId, TenantId};
use carillon_entities::rows::tenancy::{accounts, tenants};
use carillon_entities::wall::{DatabaseSettings, TxMode, Wall, WallError};
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tokio::sync::OnceCell;

use crate::database::{Backend, TestDatabase, apart, start};
use crate::work::Workshop;

/// Work that must have come to rest when a test ends.
const UNSETTLED: &str = "SELECT (SELECT COUNT(*) FROM messages WHERE state IN ('queued', 'claimed')) \
     + (SELECT COUNT(*) FROM attempts WHERE state IN ('cleared', 'started')) \
     + (SELECT COUNT(*) FROM imports WHERE state IN ('queued', 'running')) AS amount";

/// How a world differs from the usual one.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// Which database.
    pub backend: Backend,
    /// Connections of the application role.
    pub pool: u32,
    /// Reach Postgres through PgBouncer in transaction mode.
    pub through_pooler: bool,
    /// Seed of the world's chance.
    pub seed: u64,
    /// The deployment's settings.
    pub settings: Settings,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            backend: Backend::from_env(),
            pool: 8,
            through_pooler: false,
            seed: 1,
            settings: Settings::new("https://carillon.test"),
        }
    }
}

const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// One test's world.
#[derive(Debug)]
pub struct World {
    /// The clock; starts at [`crate::database::start`].
    pub clock: Arc<ManualClock>,
    /// Its database.
    pub database: TestDatabase,
    ports: Ports,
    account: OnceCell<AccountId>,
    admin: OnceCell<DatabaseConnection>,
    leaves_unsettled: AtomicBool,
    pub(crate) workshop: Workshop,
}

impl World {
    /// The usual world, on the database that `CARILLON_TEST_BACKEND` names.
    pub async fn new() -> Self {
        Box::pin(Self::with(WorldOptions::default())).await
    }

    /// A world with other options.
    pub async fn with(options: WorldOptions) -> Self {
        let database = TestDatabase::create(options.backend).await.expect("a database for the test");
        let settings = if options.through_pooler {
            database.settings_through_pooler(options.pool).expect("PGBOUNCER_URL and Postgres")
        } else {
            database.settings(options.pool)
        };
        let clock = Arc::new(ManualClock::new(start()));
        let entropy = Arc::new(SeededEntropy::new(options.seed));
        let ports = Ports {
            doorbell: std::sync::Arc::new(carillon_domain::doorbell::NoDoorbell),
            versions: Arc::default(),
            metrics: Arc::default(),
            wall: Wall::open(&settings).await.expect("the test's database opens"),
            clock: clock.clone(),
            keys: Arc::new(Keyring::generate(entropy.as_ref())),
            entropy,
            settings: Arc::new(options.settings),
        };
        let (account, admin) = (OnceCell::new(), OnceCell::new());
        Self {
            clock,
            database,
            ports,
            account,
            admin,
            leaves_unsettled: AtomicBool::new(false),
            workshop: Workshop::default(),
        }
    }

    /// The usual world when the tests run on Postgres, for what only Postgres has: roles, row security, poolers.
    pub async fn on_postgres(options: WorldOptions) -> Option<Self> {
        if options.backend == Backend::Postgres { Some(Self::with(options).await) } else { None }
    }

    /// A wall that logs in past row security: only the statements' own predicates hold tenants apart.
    pub async fn wall_without_row_security(&self) -> Wall {
        let settings = DatabaseSettings::single(&self.database.admin_url);
        Wall::open(&settings).await.expect("the administrator's wall opens")
    }

    /// What use cases take.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The wall.
    pub fn wall(&self) -> &Wall {
        &self.ports.wall
    }

    /// Moves the clock on.
    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// The world's one account; made when first asked for.
    pub async fn account(&self) -> AccountId {
        *self.account.get_or_init(|| async { self.insert_account().await.expect("an account") }).await
    }

    async fn insert_account(&self) -> Result<AccountId, WallError> {
        let id: AccountId = self.ports.new_id();
        let mut tx = self.wall().begin_identity(TxMode::Write).await?;
        tx.insert(accounts::ActiveModel {
            id: Set(id),
            parent_id: Set(None),
            depth: Set(1),
            name: Set("The world".to_owned()),
            max_tenants: Set(1_000),
            max_messages_per_day: Set(1_000_000),
            suspended_at: Set(None),
            created_at: Set(self.clock.now()),
        })
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A new tenant of the world's account: the bare row, without what `createTenant` puts into it.
    pub async fn tenant(&self, name: &str) -> TenantId {
        let account = self.account().await;
        self.insert_tenant(account, name).await.expect("a tenant")
    }

    async fn insert_tenant(&self, account: AccountId, name: &str) -> Result<TenantId, WallError> {
        let id: TenantId = self.ports.new_id();
        let mut tx = self.wall().begin_identity(TxMode::Write).await?;
        tx.insert(tenants::ActiveModel {
            id: Set(id),
            account_id: Set(account),
            name: Set(name.to_owned()),
            default_zone: Set("Europe/Vienna".to_owned()),
            default_locale: Set("de-AT".to_owned()),
            default_country: Set("AT".to_owned()),
            is_system: Set(false),
            creation_key: Set(None),
            max_messages_per_day: Set(1_000_000),
            suspended_at: Set(None),
            created_at: Set(self.clock.now()),
        })
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Carillon's own work in a tenant.
    pub fn work(&self, tenant: TenantId) -> SystemContext {
        enter_for_work(self.wall(), tenant)
    }

    /// A worker's permission in a tenant.
    pub fn grant<A: SystemAction>(&self, tenant: TenantId) -> Grant<A> {
        self.work(tenant).grant()
    }

    /// How many statements some work costs, `BEGIN` and `COMMIT` included.
    pub async fn statements_of<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.wall().statements();
        let done = Box::pin(work).await;
        (done, self.wall().statements() - before)
    }

    /// A connection past the wall: the superuser of Postgres, or the plain file.
    pub async fn admin(&self) -> &DatabaseConnection {
        self.admin.get_or_init(|| async { self.database.admin().await.expect("the administrator connects") }).await
    }

    /// Runs a statement past the wall.
    pub async fn execute(&self, sql: &str) -> u64 {
        let done = self.admin().await.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    /// Has every COMMIT fail, on Postgres, that a new row of a table is part of.
    pub async fn refuse_commits_of(&self, table: &str) {
        let refuse = "CREATE OR REPLACE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql \
            AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$";
        self.execute(refuse).await;
        self.execute(&format!(
            "CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION refuse_commit()"
        ))
        .await;
    }

    /// Lets them succeed again.
    pub async fn allow_commits_of(&self, table: &str) {
        self.execute(&format!("DROP TRIGGER refuse_commit ON {table}")).await;
    }

    /// The number that a statement selects past the wall, as its only column `amount`.
    pub async fn number(&self, sql: &str) -> i64 {
        number(self.admin().await, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Until somebody waits for a lock, or who ought to wait has ended.
    pub async fn until_waiting(&self, ended: impl Fn() -> bool) {
        for round in 0.. {
            // SQLite's one writer waits inside the process, where nobody can see it wait.
            let waits = if self.wall().is_postgres() { self.number(WAITING).await > 0 } else { round == 1_000 };
            if waits || ended() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a statement selects this number: for what workers do in their own time and tell nobody.
    pub async fn until(&self, sql: &str, wanted: i64) {
        let reached = async {
            while self.number(sql).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_mins(1), reached).await;
        reached.unwrap_or_else(|_| panic!("never {wanted}: {sql}"));
    }

    /// The text that a statement selects past the wall, one per row, in its column `line`.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        let admin = self.admin().await;
        let rows = admin.query_all_raw(Statement::from_string(admin.get_database_backend(), sql)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter().map(|row| row.try_get("", "line").expect("a column named line")).collect()
    }

    /// Says that work may be left behind.
    pub fn leave_unsettled(&self) {
        self.leaves_unsettled.store(true, Ordering::Relaxed);
    }

    fn unsettled(&self) -> anyhow::Result<i64> {
        apart(async {
            let admin = self.database.admin().await?;
            let amount = number(&admin, UNSETTLED).await?;
            admin.close().await?;
            Ok(amount)
        })
    }
}

async fn number(connection: &DatabaseConnection, sql: &str) -> Result<i64, sea_orm::DbErr> {
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.ok_or_else(|| sea_orm::DbErr::RecordNotFound(String::new()))?.try_get("", "amount")
}

impl Drop for World {
    fn drop(&mut self) {
        let checked = !std::thread::panicking() && !self.leaves_unsettled.load(Ordering::Relaxed);
        let unsettled = if checked { self.unsettled() } else { Ok(0) };
        let removed = self.database.remove();
        if checked {
            assert_eq!(unsettled.expect("the test's database answers"), 0, "the test left unsettled work behind");
            removed.expect("the test's database can be removed");
        }
    }
}
