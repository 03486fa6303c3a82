//! Monthly partitions of the append-only tables, by the time in the UUIDv7 id (Postgres).

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult, Statement, TransactionTrait};
use uuid::Uuid;

use crate::schema::{Access, tables};
use crate::waiting::{Patience, is_held};

/// Tables whose old months may be dropped: what became of each mail, and what webhooks were told of it.
const MAY_GO: [&str; 3] = ["message_events", "outbox_events", "webhook_attempts"];

/// What a maintenance run did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Partitions made.
    pub made: Vec<String>,
    /// Partitions dropped because they lie wholly before the retention.
    pub dropped: Vec<String>,
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

/// Makes the partitions from last month to `months_ahead` months from `now`, and drops those of the histories of events
/// that lie wholly before `keep_from`. Decisions and contact changes are evidence and are never dropped here.
///
/// A partition is made whole or not at all: one without row security would be open to whoever names it.
pub async fn maintain(
    connection: &DatabaseConnection,
    now: DateTime<Utc>,
    months_ahead: u32,
    keep_from: Option<DateTime<Utc>>,
) -> Result<Maintained, DbErr> {
    let mut done = Maintained::default();
    let first = month(now).checked_sub_months(Months::new(1)).unwrap_or_default();
    for table in tables().filter(|table| table.access == Access::AppendOnlyPartitioned) {
        let existing = partitions_of(connection, table.name).await?;
        for ahead in 0..months_ahead + 2 {
            let from = first.checked_add_months(Months::new(ahead)).unwrap_or(first);
            let until = from.checked_add_months(Months::new(1)).unwrap_or(from);
            let name = partition_name(table.name, from);
            if existing.contains(&name) {
                continue;
            }
            whole(connection, &partition_ddl(table.name, &name, from, until)).await?;
            done.made.push(name);
        }
        if let (Some(keep_from), true) = (keep_from, MAY_GO.contains(&table.name)) {
            let oldest = partition_name(table.name, month(keep_from));
            for partition in existing.into_iter().filter(|partition| *partition < oldest) {
                whole(connection, &[format!("DROP TABLE {partition}")]).await?;
                done.dropped.push(partition);
            }
        }
    }
    Ok(done)
}

/// All of these or none, tried again while a table is in use.
async fn whole(connection: &DatabaseConnection, ddl: &[String]) -> Result<(), DbErr> {
    let mut patience = Patience::default();
    loop {
        let done = at_once(connection, ddl).await;
        if !patience.lasts(is_held(&done)).await {
            return done;
        }
    }
}

async fn at_once(connection: &DatabaseConnection, ddl: &[String]) -> Result<(), DbErr> {
    let transaction = connection.begin().await?;
    for ddl in ddl {
        transaction.execute_unprepared(ddl).await?;
    }
    transaction.commit().await
}

/// Partitions of this month and the next that are not there: without them writes will fail.
pub async fn missing(connection: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Vec<String>, DbErr> {
    let mut missing = Vec::new();
    for table in tables().filter(|table| table.access == Access::AppendOnlyPartitioned) {
        let existing = partitions_of(connection, table.name).await?;
        let months = [0, 1].map(|ahead| month(now).checked_add_months(Months::new(ahead)).unwrap_or_default());
        let names = months.map(|from| partition_name(table.name, from));
        missing.extend(names.into_iter().filter(|name| !existing.contains(name)));
    }
    Ok(missing)
}

async fn partitions_of(connection: &impl ConnectionTrait, table: &str) -> Result<Vec<String>, DbErr> {
    let found = Name::find_by_statement(Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = $1 AND p.relnamespace = 'public'::regnamespace",
        [table.into()],
    ));
    Ok(found.all(connection).await?.into_iter().map(|partition| partition.name).collect())
}

fn month(at: DateTime<Utc>) -> NaiveDate {
    at.date_naive().with_day(1).unwrap_or_default()
}

fn partition_name(table: &str, from: NaiveDate) -> String {
    format!("{table}_{:04}_{:02}", from.year(), from.month())
}

fn partition_ddl(table: &str, name: &str, from: NaiveDate, until: NaiveDate) -> [String; 5] {
    [
        // Made apart and attached when it is whole: made as a partition, it would lock out who reads and writes the table.
        format!("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"),
        // Nobody reaches a partition but through its parent, and even the owner is held by the wall.
        format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"),
        format!(
            "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name} \
             FOR EACH STATEMENT EXECUTE FUNCTION carillon_refuse_change()"
        ),
        format!(
            "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{}') TO ('{}')",
            lowest_id(from),
            lowest_id(until)
        ),
    ]
}

/// The lowest id whose time is the start of a day: the 48 bits of milliseconds, then zeros.
fn lowest_id(day: NaiveDate) -> Uuid {
    let millis = day.and_hms_opt(0, 0, 0).map_or(0, |at| at.and_utc().timestamp_millis());
    Uuid::from_u128(u128::from(u64::try_from(millis).unwrap_or(0)) << 80)
}
