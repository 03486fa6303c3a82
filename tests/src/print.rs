//! Rows of any shape as text, to compare what two databases or two tenants answer.

use carillon_entities::wall::WallError;
use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{FromQueryResult, QueryResult, TryGetable};
use uuid::Uuid;

/// A row with every column printed: `name=value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Printed(pub String);

impl FromQueryResult for Printed {
    fn from_query_result(row: &QueryResult, _prefix: &str) -> Result<Self, sea_orm::DbErr> {
        let names = row.column_names();
        let cells = names.iter().map(|name| Ok(format!("{name}={}", cell(row, name)?)));
        Ok(Self(cells.collect::<Result<Vec<_>, sea_orm::DbErr>>()?.join(" ")))
    }
}

/// The first type that can read the cell decides.
fn cell(row: &QueryResult, name: &str) -> Result<String, sea_orm::DbErr> {
    fn read<T: TryGetable + std::fmt::Debug>(row: &QueryResult, name: &str) -> Option<String> {
        let value = row.try_get::<Option<T>>("", name).ok()?;
        Some(value.map_or_else(|| "NULL".to_owned(), |value| format!("{value:?}")))
    }
    read::<Uuid>(row, name)
        .or_else(|| read::<String>(row, name))
        .or_else(|| read::<i64>(row, name))
        .or_else(|| read::<i32>(row, name))
        .or_else(|| read::<bool>(row, name))
        .or_else(|| read::<f64>(row, name))
        .or_else(|| read::<DateTime<Utc>>(row, name))
        .or_else(|| read::<NaiveDate>(row, name))
        .or_else(|| read::<Vec<u8>>(row, name))
        .or_else(|| read::<serde_json::Value>(row, name))
        .ok_or_else(|| sea_orm::DbErr::Type(format!("column {name} has a type that is not known here")))
}

/// Sorted, because a statement without an order may answer in any.
pub fn sorted(rows: Result<Vec<Printed>, WallError>) -> Result<Vec<Printed>, String> {
    let mut rows = rows.map_err(|error| error.to_string())?;
    rows.sort();
    Ok(rows)
}
