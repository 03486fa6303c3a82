//! Monthly partitions of the append-only tables, by the time in the UUIDv7 id (Postgres).

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use uuid::Uuid;

use crate::schema::{Access, tables};

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

/// Makes the partitions from last month to `months_ahead` months from `now`, and drops those of the event history
/// that lie wholly before `keep_from`. Decisions and contact changes are evidence and are never dropped here.
pub async fn maintain(
    connection: &impl ConnectionTrait,
    now: DateTime<Utc>,
    months_ahead: u32,
    keep_from: Option<DateTime<Utc>>,
) -> Result<Maintained, DbErr> {
    let backend = connection.get_database_backend();
    let mut done = Maintained::default();
    let first = month(now).checked_sub_months(Months::new(1)).unwrap_or_default();
    for table in tables().filter(|table| table.access == Access::AppendOnlyPartitioned) {
        let existing = Name::find_by_statement(Statement::from_sql_and_values(
            backend,
            "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = $1::text::regclass",
            [table.name.into()],
        ))
        .all(connection)
        .await?;
        for ahead in 0..months_ahead + 2 {
            let from = first.checked_add_months(Months::new(ahead)).unwrap_or(first);
            let until = from.checked_add_months(Months::new(1)).unwrap_or(from);
            let name = partition_name(table.name, from);
            if existing.iter().any(|partition| partition.name == name) {
                continue;
            }
            for ddl in partition_ddl(table.name, &name, from, until) {
                connection.execute_unprepared(&ddl).await?;
            }
            done.made.push(name);
        }
        if let (Some(keep_from), true) = (keep_from, table.name == "message_events") {
            let oldest = partition_name(table.name, month(keep_from));
            for partition in existing.iter().filter(|partition| partition.name < oldest) {
                connection.execute_unprepared(&format!("DROP TABLE {}", partition.name)).await?;
                done.dropped.push(partition.name.clone());
            }
        }
    }
    Ok(done)
}

fn month(at: DateTime<Utc>) -> NaiveDate {
    at.date_naive().with_day(1).unwrap_or_default()
}

fn partition_name(table: &str, from: NaiveDate) -> String {
    format!("{table}_{:04}_{:02}", from.year(), from.month())
}

fn partition_ddl(table: &str, name: &str, from: NaiveDate, until: NaiveDate) -> [String; 4] {
    [
        format!(
            "CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{}') TO ('{}')",
            lowest_id(from),
            lowest_id(until)
        ),
        // Nobody reaches a partition but through its parent, and even the owner is held by the wall.
        format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"),
        format!(
            "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name} \
             FOR EACH STATEMENT EXECUTE FUNCTION carillon_refuse_change()"
        ),
    ]
}

/// The lowest id whose time is the start of a day: the 48 bits of milliseconds, then zeros.
fn lowest_id(day: NaiveDate) -> Uuid {
    let millis = day.and_hms_opt(0, 0, 0).map_or(0, |at| at.and_utc().timestamp_millis());
    Uuid::from_u128(u128::from(u64::try_from(millis).unwrap_or(0)) << 80)
}
