//! Plausible rows for every table of a tenant: the same ids and texts in every tenant, so that only `tenant_id` tells
//! them apart.

use std::sync::OnceLock;

use carillon_domain::tenancy::{WriteContacts, enter_for_work};
use carillon_entities::ids::TenantId;
use carillon_entities::wall::{Args, Kind, Sql, Wall};
use carillon_migration::schema::Table;
use chrono::TimeDelta;
use sea_orm::Value;
use uuid::Uuid;

use crate::database::start;
use crate::schema::{Column, columns, tenant_tables};

/// Rows per table that [`tenant`] makes.
pub const ROWS: usize = 12;

/// The id of the row with this number, in every table: its time lies in the template's partitions.
pub fn id(row: usize) -> Uuid {
    let millis = u64::try_from(start().timestamp_millis()).unwrap_or(0) + row as u64;
    uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid()
}

/// What a column holds in the row with this number.
pub fn value(column: &Column, row: usize) -> Value {
    // Every third row leaves out what it may.
    if column.nullable && row % 3 == 2 && column.kind != Kind::Uuid {
        return null(column.kind);
    }
    match column.kind {
        Kind::Text => text(column, row).into(),
        kind => of_kind(kind, column.name, row),
    }
}

/// Claimed where the attempt with the same number is open, so that statements over both find something.
const MESSAGE_STATES: [&str; ROWS] = [
    "claimed",
    "queued",
    "claimed",
    "queued",
    "sent",
    "bounced",
    "failed",
    "unknown",
    "claimed",
    "expired",
    "claimed",
    "cancelled",
];

fn text(column: &Column, row: usize) -> String {
    if column.choices.starts_with(&["queued", "claimed"]) {
        return MESSAGE_STATES[row % ROWS].to_owned();
    }
    if column.name == "key" && row == 0 {
        return "all_marketing".to_owned();
    }
    if !column.choices.is_empty() {
        return column.choices[row % column.choices.len()].to_owned();
    }
    let choices: &[&str] = match column.name {
        "channel" => &["email"],
        "scope" => &["all", "marketing"],
        "state" => &["granted", "withdrawn"],
        "locale" | "default_locale" => &["de"],
        "hmac_key_id" => &["1"],
        "actor_kind" => &["system", "user"],
        _ => return format!("{}-{row:05}", column.name),
    };
    choices[row % choices.len()].to_owned()
}

/// A value of a kind that is the same for every column of its name.
pub fn of_kind(kind: Kind, name: &str, row: usize) -> Value {
    let number = i32::try_from(row).unwrap_or(i32::MAX);
    match kind {
        Kind::Uuid => id(row).into(),
        Kind::Text => format!("{name}-{row:05}").into(),
        Kind::Int => number.into(),
        Kind::BigInt => i64::from(number).into(),
        Kind::Bool => (row == 0).into(),
        // Half of the rows before and half after the clock's start.
        Kind::Time => (start() + TimeDelta::minutes(i64::from(number) - 6)).into(),
        Kind::Bytes => Uuid::from_u128(row as u128).as_bytes().repeat(2).into(),
        Kind::Json => serde_json::json!({ "row": row }).into(),
        Kind::Float => f64::from(number).into(),
        Kind::Date => (start().date_naive() + TimeDelta::days(i64::from(number))).into(),
    }
}

/// NULL of a kind.
pub fn null(kind: Kind) -> Value {
    of_kind(kind, "", 0).as_null()
}

/// Fills every table of a tenant with [`ROWS`] rows, past row security when the wall's login is.
pub async fn tenant(wall: &Wall, tenant: TenantId) {
    let grant = enter_for_work(wall, tenant).grant::<WriteContacts>();
    let mut tx = grant.begin().await.expect("a transaction");
    for (table, insert) in inserts() {
        let columns = columns(table);
        let rows = (0..ROWS).map(|row| columns.iter().map(|column| value(column, row)).collect());
        let done = tx.sql(insert, Args::batch(rows)).expect("the batch binds").execute().await;
        let inserted = done.unwrap_or_else(|error| panic!("{}: {error}", table.name));
        assert!(inserted > 0, "no row in {}", table.name);
    }
    tx.commit().await.expect("the rows are committed");
}

/// One insert per table. Unique keys that allow fewer rows than asked for keep the first.
fn inserts() -> &'static [(&'static Table, Sql)] {
    static INSERTS: OnceLock<Vec<(&'static Table, Sql)>> = OnceLock::new();
    INSERTS.get_or_init(|| {
        let insert = |table: &'static Table| {
            let batch: Vec<(&'static str, Kind)> = columns(table).iter().map(|column| (column.name, column.kind)).collect();
            let names: Vec<String> = batch.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let text = format!(
                "INSERT INTO {} (tenant_id, {}) SELECT $1, b.{} FROM ({{batch}}) AS b WHERE true ON CONFLICT DO NOTHING",
                table.name,
                names.join(", "),
                names.join(", b.")
            );
            (table, Sql { name: table.name, text: text.leak(), args: &[], batch: batch.leak() })
        };
        tenant_tables().map(insert).collect()
    })
}
