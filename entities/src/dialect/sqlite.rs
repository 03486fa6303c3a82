//! SQLite: a batch is a VALUES list.

use std::fmt::Write;

use sea_orm::{DbBackend, Statement, Value};

use super::{Bound, Kind};

pub(super) fn bind(text: &str, mut scalars: Vec<Value>, columns: &[(&str, Kind)], rows: Vec<Vec<Value>>) -> Bound {
    if columns.is_empty() {
        return Bound::Sqlite(Statement::from_sql_and_values(DbBackend::Sqlite, text, scalars));
    }
    let mut relation = String::from("SELECT ");
    for (place, (name, _)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(relation, "{comma}column{} AS \"{name}\"", place + 1);
    }
    relation.push_str(" FROM (VALUES ");
    if rows.is_empty() {
        let nulls = vec!["NULL"; columns.len()].join(", ");
        let _ = write!(relation, "({nulls})) WHERE false");
    } else {
        for (index, row) in rows.into_iter().enumerate() {
            relation.push_str(if index == 0 { "(" } else { ", (" });
            for (place, value) in row.into_iter().enumerate() {
                scalars.push(value);
                let comma = if place == 0 { "" } else { ", " };
                let _ = write!(relation, "{comma}${}", scalars.len());
            }
            relation.push(')');
        }
        // The WHERE keeps a following ON CONFLICT from being read as a join condition.
        relation.push_str(") WHERE true");
    }
    let text = text.replace("{batch}", &relation);
    Bound::Sqlite(Statement::from_sql_and_values(DbBackend::Sqlite, text, scalars))
}
