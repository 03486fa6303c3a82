//! A statement that was prepared before a migration changed what it gives fails on the connection that holds it (0A000),
//! for as long as that lives. So the connection is closed, the work is told to begin again, and the next try succeeds.

use carillon_entities::ids::TenantId;
use carillon_entities::wall::{Alone, Args, Sql, TxMode, Wall, WallError};
use carillon_tests::print::Printed;
use carillon_tests::{World, WorldOptions};

use super::alone::door;

/// It gives whatever columns there are, as no statement of the product does.
static SCRATCH: Sql =
    Sql { name: "SCRATCH", text: "SELECT * FROM scratch WHERE tenant_id = $1", args: &[], batch: &[] };
static SCRATCH_ALONE: Alone = Alone { sql: &SCRATCH, function: "scratch_alone", mode: TxMode::Read };

/// A table and a function as the application finds them, and a wall with one connection.
async fn before_the_migration(world: &World) -> (Wall, TenantId) {
    let tenant = world.tenant("One").await;
    world.execute("CREATE TABLE scratch (tenant_id uuid NOT NULL, word text NOT NULL)").await;
    world.execute("GRANT SELECT ON scratch TO carillon_app").await;
    world.execute(&format!("INSERT INTO scratch VALUES ('{}', 'one')", tenant.0)).await;
    world
        .execute("CREATE FUNCTION scratch_alone(uuid, uuid, int8, uuid, uuid) RETURNS TABLE (word text) LANGUAGE sql AS $$ SELECT 'one' $$")
        .await;
    (Wall::open(&world.database.settings(1)).await.unwrap(), tenant)
}

async fn read(wall: &Wall, tenant: TenantId) -> Result<Vec<Printed>, WallError> {
    let mut tx = door(wall, tenant).begin(TxMode::Read).await?;
    let rows = tx.sql(&SCRATCH, Args::default())?.all().await?;
    tx.commit().await?;
    Ok(rows)
}

async fn run_alone(wall: &Wall, tenant: TenantId) -> Result<Vec<Printed>, WallError> {
    door(wall, tenant).run_alone(&SCRATCH_ALONE, Args::default()).await?.read()
}

fn printed(text: &str) -> Vec<Printed> {
    vec![Printed(text.to_owned())]
}

#[tokio::test]
async fn a_statement_older_than_the_schema_costs_its_connection_and_one_try() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (wall, tenant) = before_the_migration(&world).await;
    let one = format!("tenant_id={:?} word=\"one\"", tenant.0);
    for _ in 0..2 {
        assert_eq!(read(&wall, tenant).await.unwrap(), printed(&one));
    }
    world.execute("ALTER TABLE scratch ADD COLUMN more text NOT NULL DEFAULT 'two'").await;
    let failed = read(&wall, tenant).await;
    assert!(matches!(failed, Err(WallError::Retry)), "{failed:?}");
    assert_eq!(read(&wall, tenant).await.unwrap(), printed(&format!("{one} more=\"two\"")));
    wall.close().await;
}

/// Nothing ran, so this is no unknown commit.
#[tokio::test]
async fn a_statement_alone_older_than_its_function_costs_its_connection_and_one_try() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (wall, tenant) = before_the_migration(&world).await;
    for _ in 0..2 {
        assert_eq!(run_alone(&wall, tenant).await.unwrap(), printed("word=\"one\""));
    }
    world.execute("DROP FUNCTION scratch_alone(uuid, uuid, int8, uuid, uuid)").await;
    let wider = "CREATE FUNCTION scratch_alone(uuid, uuid, int8, uuid, uuid) RETURNS TABLE (word text, more text) LANGUAGE sql AS $$ SELECT 'one', 'two' $$";
    world.execute(wider).await;
    let failed = run_alone(&wall, tenant).await;
    assert!(matches!(failed, Err(WallError::Retry)), "{failed:?}");
    assert_eq!(run_alone(&wall, tenant).await.unwrap(), printed("word=\"one\" more=\"two\""));
    wall.close().await;
}

/// True for a text that gives whatever columns a table has.
fn gives_all(text: &str) -> bool {
    text.match_indices('*').any(|(at, _)| {
        let (before, behind) = (text[..at].trim_end(), text[at + 1..].trim_start());
        let is_all = before.ends_with("SELECT") || before.ends_with("RETURNING");
        before.ends_with('.') || is_all && !behind.starts_with("FROM (")
    })
}

/// So a column that a migration adds makes nothing stale that the release before has prepared: it runs on both schemas.
#[test]
fn every_statement_names_the_columns_it_gives() {
    let identity = carillon_domain::identity_statements();
    let others = identity.iter().chain(carillon_domain::dispatch::DISPATCH_STATEMENTS).map(|sql| (sql.name, sql.text));
    let statements = carillon_domain::statements();
    let all = statements.iter().map(|sql| (sql.name, sql.text)).chain(others);
    let faults: Vec<&str> = all.filter(|(_, text)| gives_all(text)).map(|(name, _)| name).collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert!(gives_all(SCRATCH.text) && gives_all("SELECT c.id, d.* FROM c") && gives_all("DELETE FROM c RETURNING *"));
    assert!(!gives_all("SELECT * FROM (SELECT COUNT(*), 2 * n FROM c) AS x"));
}
