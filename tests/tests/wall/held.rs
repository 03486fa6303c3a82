//! What holds when the types do not: row security by behaviour, the powers of logins, read transactions (C-205).

use std::time::Duration;

use carillon_domain::tenancy::WriteContacts;
use carillon_entities::ids::{ContactId, TenantId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::rows::tenancy::dispatcher_leases;
use carillon_entities::wall::{DatabaseSettings, Login, OnConflict, Role, TxMode, Wall, WallError};
use carillon_migration::schema::{Access, Table};
use carillon_tests::database::{connect, start};
use carillon_tests::schema::{columns, tenant_tables};
use carillon_tests::{World, WorldOptions, seed};
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// Two tenants with rows in every table, and the application's own login.
async fn street() -> Option<(World, TenantId, TenantId, DatabaseConnection)> {
    let world = World::on_postgres(WorldOptions::default()).await?;
    world.leave_unsettled();
    let (one, other) = (world.tenant("One").await, world.tenant("Other").await);
    for tenant in [one, other] {
        seed::tenant(world.wall(), tenant).await;
    }
    let login = connect(&world.database.settings(1).url).await.unwrap();
    Some((world, one, other, login))
}

async fn count(login: &DatabaseConnection, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS amount FROM {table}");
    let row = login.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
    row.try_get("", "amount").unwrap()
}

async fn begin(login: &DatabaseConnection, tenant: TenantId) {
    login.execute_unprepared(&format!("BEGIN; SET LOCAL app.tenant_id = '{}'", tenant.0)).await.unwrap();
}

/// A copy of a row of the tenant that is set, for another tenant.
fn copy_to(table: &Table, tenant: TenantId) -> String {
    let names: Vec<String> = columns(table).iter().map(|column| format!("\"{}\"", column.name)).collect();
    let (name, names) = (table.name, names.join(", "));
    format!("INSERT INTO {name} (tenant_id, {names}) SELECT '{}', {names} FROM {name} LIMIT 1", tenant.0)
}

#[tokio::test]
async fn c205_without_the_setting_there_is_nothing_to_see_or_to_change() {
    let Some((world, one, _, login)) = street().await else { return };
    for table in tenant_tables() {
        let name = table.name;
        assert!(world.number(&format!("SELECT COUNT(*) AS amount FROM {name}")).await > 0, "{name} has no rows");
        assert_eq!(count(&login, name).await, 0, "{name}");
        if table.access == Access::Tenant {
            let update = format!("UPDATE {name} SET tenant_id = tenant_id");
            assert_eq!(login.execute_unprepared(&update).await.unwrap().rows_affected(), 0, "{name}");
            let delete = format!("DELETE FROM {name}");
            assert_eq!(login.execute_unprepared(&delete).await.unwrap().rows_affected(), 0, "{name}");
        }
    }
    let insert = "INSERT INTO contact_tags (tenant_id, contact_id, tag) VALUES";
    let insert = format!("{insert} ('{}', '{}', 'x')", one.0, seed::id(99));
    let refused = login.execute_unprepared(&insert).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[tokio::test]
async fn c205_no_row_is_written_for_another_tenant() {
    let Some((world, one, other, login)) = street().await else { return };
    for table in tenant_tables() {
        let mut writes = vec![copy_to(table, other)];
        if table.access == Access::Tenant {
            writes.push(format!("UPDATE {} SET tenant_id = '{}'", table.name, other.0));
        }
        for write in writes {
            begin(&login, one).await;
            let done = login.execute_unprepared(&write).await;
            login.execute_unprepared("ROLLBACK").await.unwrap();
            let refused = done.expect_err(&write).to_string();
            // A trigger answers before the policy, and refuses the same.
            let is_held = refused.contains("row-level security") || refused.contains("an attempt cannot go");
            assert!(is_held, "{write}: {refused}");
        }
    }
    drop(world);
}

/// The application role reads of the tables without a tenant what its own tenant needs, and no more.
#[tokio::test]
async fn c205_of_tenants_the_application_sees_its_own() {
    let Some((world, one, other, login)) = street().await else { return };
    assert!(world.number("SELECT COUNT(*) AS amount FROM tenants").await >= 2);
    begin(&login, one).await;
    for (tenant, seen) in [(one, 1), (other, 0)] {
        let rows = count(&login, &format!("(SELECT id FROM tenants WHERE id = '{}') AS t", tenant.0)).await;
        assert_eq!(rows, seen);
    }
    assert_eq!(count(&login, "(SELECT id FROM tenants) AS t").await, 1);
    login.execute_unprepared("ROLLBACK").await.unwrap();
    assert_eq!(count(&login, "(SELECT id FROM tenants) AS t").await, 0);
    assert_eq!(count(&login, "(SELECT id FROM credentials) AS t").await, 0);
}

#[tokio::test]
async fn c205_a_login_that_row_security_does_not_hold_is_refused() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let settings = world.database.settings(1);
    let logins = [
        (Some(&settings.url), Role::App),
        (settings.identity_url.as_ref(), Role::Identity),
        (settings.dispatch_url.as_ref(), Role::Dispatch),
    ];
    for (url, role) in logins {
        assert!(Login::of(url.unwrap()).await.unwrap().is(role).is_ok());
    }
    let strong = Login::of(&world.database.admin_url).await.unwrap().is(Role::App);
    assert!(matches!(strong, Err(WallError::StrongLogin { .. })), "{strong:?}");
    // The pool asks, too: it may be the first that reaches the database.
    let settings = DatabaseSettings {
        url: world.database.admin_url.clone(),
        acquire_timeout: Duration::from_millis(500),
        ..settings
    };
    let wall = Wall::open(&settings).await.unwrap();
    let tenant = world.tenant("One").await;
    let begun = carillon_domain::tenancy::enter_for_work(&wall, tenant).grant::<WriteContacts>().begin().await;
    assert!(begun.is_err(), "the superuser serves");
    assert!(wall.begin_identity(TxMode::Read).await.is_ok(), "the other roles are as they should be");
    wall.close().await;
}

fn contact(row: usize) -> contacts::ActiveModel {
    contacts::ActiveModel {
        id: Set(ContactId(seed::id(row))),
        state: Set("active".to_owned()),
        attributes: Set(serde_json::json!({})),
        version: Set(1),
        created_at: Set(start()),
        updated_at: Set(start()),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_read_transaction_cannot_write() {
    let world = World::new().await;
    let tenant = world.tenant("One").await;
    let grant = world.grant::<WriteContacts>(tenant);
    let mut tx = grant.begin().await.unwrap();
    tx.insert(contact(0)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = grant.begin_read().await.unwrap();
    assert_eq!(tx.select::<contacts::Entity>().count().await.unwrap(), 1);
    let done = tx.update::<contacts::Entity>().set(contacts::Column::LastName, "X").execute().await;
    assert!(matches!(done, Err(WallError::Database { .. })), "{done:?}");
    drop(tx);
    let mut tx = world.wall().begin_identity(TxMode::Read).await.unwrap();
    let done = tx.delete::<dispatcher_leases::Entity>().execute().await;
    assert!(matches!(done, Err(WallError::Database { .. })), "{done:?}");
    drop(tx);
    // The connection goes back to the pool as it was.
    let mut tx = grant.begin().await.unwrap();
    assert_eq!(tx.update::<contacts::Entity>().set(contacts::Column::LastName, "X").execute().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_a_write_would_silently_leave_out_is_an_error() {
    let world = World::new().await;
    let tenant = world.tenant("One").await;
    let mut tx = world.grant::<WriteContacts>(tenant).begin().await.unwrap();
    let named = contacts::ActiveModel { first_name: Set(Some("Ada".to_owned())), ..contact(1) };
    for rows in [vec![contact(0), named.clone()], vec![named, contact(0)]] {
        let done = tx.insert_many(rows, OnConflict::Fail).await;
        assert!(matches!(done, Err(WallError::Row(_))), "{done:?}");
    }
    let moved = tx.update::<contacts::Entity>().set(contacts::Column::TenantId, tenant.0).execute().await;
    assert!(matches!(moved, Err(WallError::Row(_))), "{moved:?}");
    assert_eq!(tx.insert_many(vec![contact(0), contact(1)], OnConflict::Fail).await.unwrap(), 2);
    tx.rollback().await.unwrap();
}
