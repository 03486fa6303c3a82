//! The schema read back from its one description, for tests that go over every table and column.

use carillon_entities::wall::Kind;
use carillon_migration::schema::{Table, tables};

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// False where it is `NOT NULL` or part of a single-column primary key.
    pub nullable: bool,
    /// What a CHECK leaves open; empty where there is none.
    pub choices: Vec<&'static str>,
}

/// Tables of tenants, in an order in which rows can be inserted.
pub fn tenant_tables() -> impl Iterator<Item = &'static Table> {
    tables().filter(|table| table.access.has_tenant())
}

/// The columns of a table, without `tenant_id`.
pub fn columns(table: &Table) -> Vec<Column> {
    split(table.columns).into_iter().filter_map(column).collect()
}

/// Splits at the commas outside parentheses.
fn split(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

fn column(part: &'static str) -> Option<Column> {
    let (name, rest) = part.split_once(' ')?;
    let kind = match rest.split(' ').next()? {
        "UUID" => Kind::Uuid,
        "TEXT" => Kind::Text,
        "TIME" => Kind::Time,
        "JSON" => Kind::Json,
        "BYTES" => Kind::Bytes,
        "BOOL" => Kind::Bool,
        "INT" => Kind::Int,
        "BIGINT" => Kind::BigInt,
        "FLOAT" => Kind::Float,
        "DATE" => Kind::Date,
        _ => return None,
    };
    let choices = rest.split_once(" IN (").map_or(Vec::new(), |(_, list)| {
        list.trim_end_matches(')').split(',').map(|choice| choice.trim().trim_matches('\'')).collect()
    });
    let nullable = !rest.contains("NOT NULL") && !rest.contains("PRIMARY KEY");
    Some(Column { name, kind, nullable, choices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_read() {
        let table = tenant_tables().find(|table| table.name == "contact_identities").unwrap();
        let columns = columns(table);
        assert_eq!(
            columns[0],
            Column { name: "kind", kind: Kind::Text, nullable: false, choices: vec!["email", "phone", "external_id"] }
        );
        assert_eq!(
            columns.iter().map(|column| column.name).collect::<Vec<_>>(),
            ["kind", "value_norm", "contact_id", "created_at"]
        );
        // Whatever starts in lower case is a column: none is skipped for a type this does not know.
        for table in tables() {
            let lower = split(table.columns).into_iter().filter(|part| part.starts_with(char::is_lowercase)).count();
            assert_eq!(super::columns(table).len(), lower, "{}", table.name);
        }
    }
}
