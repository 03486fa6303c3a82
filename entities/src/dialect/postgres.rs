//! Postgres: a batch is one array per column, so that its text does not grow with the number of rows.
//!
//! A batch of one row is written as that row. The planner then sees a look-up, whose plan it keeps; arrays it plans anew
//! on each call, because they may be of any length, and that costs more than the look-up itself.

use std::fmt::Write;

use sea_orm::Value;
use sea_query_sqlx::SqlxValues;
use sqlx::Arguments;
use sqlx::IntoArguments;
use sqlx::postgres::PgArguments;

use super::{Bound, Credential, Kind};
use crate::wall::WallError;

pub(super) fn bind(
    text: &str,
    scalars: Vec<Value>,
    columns: &[(&str, Kind)],
    rows: Vec<Vec<Value>>,
) -> Result<Bound, WallError> {
    if columns.is_empty() {
        return Ok(Bound::Postgres(text.to_owned(), arguments(scalars, columns, Vec::new())?));
    }
    let first = scalars.len() + 1;
    let relation = if rows.len() == 1 { row(columns, first) } else { relation(columns, first) };
    Ok(Bound::Postgres(text.replace("{batch}", &relation), arguments(scalars, columns, rows)?))
}

/// A text with its batch in the arrays that begin with argument `first`.
pub(super) fn text(text: &str, columns: &[(&str, Kind)], first: usize) -> String {
    text.replace("{batch}", &relation(columns, first))
}

/// A call of a function that takes the scalars, an array for each column, and the credential that must be good.
pub(super) fn call(
    function: &str,
    scalars: Vec<Value>,
    columns: &[(&str, Kind)],
    rows: Vec<Vec<Value>>,
    credential: Credential,
) -> Result<Bound, WallError> {
    let first = scalars.len() + 1;
    let mut places: Vec<String> = (1..first).map(|place| format!("${place}")).collect();
    let array = |(place, (_, kind)): (usize, &(&str, Kind))| format!("${}::{}[]", first + place, type_name(*kind));
    places.extend(columns.iter().enumerate().map(array));
    let last = first + columns.len();
    places.extend((last..last + 4).map(|place| format!("${place}")));
    let text = format!("SELECT * FROM {function}({})", places.join(", "));
    let mut arguments = arguments(scalars, columns, rows)?;
    let Credential { user, version, key, set } = credential;
    let added = arguments
        .add(user)
        .and_then(|()| arguments.add(version))
        .and_then(|()| arguments.add(key))
        .and_then(|()| arguments.add(set));
    added.map_err(|error| WallError::Row(error.to_string()))?;
    Ok(Bound::Postgres(text, arguments))
}

/// The scalars, and each column as one array.
fn arguments(scalars: Vec<Value>, columns: &[(&str, Kind)], rows: Vec<Vec<Value>>) -> Result<PgArguments, WallError> {
    let mut arguments: PgArguments =
        IntoArguments::<sqlx::Postgres>::into_arguments(SqlxValues(sea_orm::Values(scalars)));
    let mut cells: Vec<Vec<Value>> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        if row.len() != columns.len() {
            return Err(WallError::Row("a batch row of the wrong width".to_owned()));
        }
        for (column, value) in cells.iter_mut().zip(row) {
            column.push(value);
        }
    }
    for ((name, kind), column) in columns.iter().zip(cells) {
        add(&mut arguments, *kind, column).map_err(|()| WallError::Row(format!("batch column {name}")))?;
    }
    Ok(arguments)
}

/// The rows of the arrays that begin with argument `first`.
fn relation(columns: &[(&str, Kind)], first: usize) -> String {
    let (mut arrays, mut names) = (String::new(), String::new());
    for (place, (name, kind)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(arrays, "{comma}${}::{}[]", first + place, type_name(*kind));
        let _ = write!(names, "{comma}\"{name}\"");
    }
    format!("SELECT * FROM UNNEST({arrays}) AS batch_rows({names})")
}

/// The one row of the arrays that begin with argument `first`.
fn row(columns: &[(&str, Kind)], first: usize) -> String {
    let mut row = String::from("SELECT ");
    for (place, (name, kind)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(row, "{comma}(${}::{}[])[1] AS \"{name}\"", first + place, type_name(*kind));
    }
    row
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Text => "text",
        Kind::Int => "int4",
        Kind::BigInt => "int8",
        Kind::Bool => "bool",
        Kind::Time => "timestamptz",
        Kind::Bytes => "bytea",
        Kind::Json => "jsonb",
        Kind::Float => "float8",
        Kind::Date => "date",
    }
}

/// Adds a column as one array argument; a value of another kind is a bug of the store.
fn add(arguments: &mut PgArguments, kind: Kind, column: Vec<Value>) -> Result<(), ()> {
    macro_rules! array {
        ($variant:ident) => {
            array!($variant, |value| value)
        };
        ($variant:ident, $convert:expr) => {{
            let cells = column
                .into_iter()
                .map(|cell| match cell {
                    Value::$variant(value) => Ok(value.map($convert)),
                    other if other == other.as_null() => Ok(None),
                    _ => Err(()),
                })
                .collect::<Result<Vec<Option<_>>, ()>>()?;
            arguments.add(cells).map_err(|_| ())
        }};
    }
    match kind {
        Kind::Uuid => array!(Uuid),
        Kind::Text => array!(String),
        Kind::Int => array!(Int),
        Kind::BigInt => array!(BigInt),
        Kind::Bool => array!(Bool),
        Kind::Time => array!(ChronoDateTimeUtc),
        Kind::Bytes => array!(Bytes),
        Kind::Json => array!(Json, |value| *value),
        Kind::Float => array!(Double),
        Kind::Date => array!(ChronoDate),
    }
}
