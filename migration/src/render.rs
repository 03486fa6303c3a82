//! Schema to DDL, per database.

use crate::schema::{Access, Table};
use crate::seeded_bugs;

/// The DDL of one table on Postgres: table, indexes, row security, grants, triggers.
pub fn postgres(table: &Table) -> Vec<String> {
    let name = table.name;
    let partition = if table.access == Access::AppendOnlyPartitioned { " PARTITION BY RANGE (id)" } else { "" };
    let mut ddl = vec![format!("CREATE TABLE {name} ({}){partition}", columns(table, postgres_type))];
    ddl.extend(indexes(table));
    if table.access.has_tenant() && !(name == "suppressions" && seeded_bugs::on("policy_dropped")) {
        ddl.extend([
            format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"),
            // The sub-select is evaluated once per statement; NULLIF because a reset setting reads ''.
            format!(
                "CREATE POLICY tenant_wall ON {name} TO carillon_app \
                 USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)) \
                 WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid))"
            ),
        ]);
    }
    ddl.push(match table.access {
        Access::Tenant => format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO carillon_app"),
        Access::AppendOnly | Access::AppendOnlyPartitioned => format!("GRANT SELECT, INSERT ON {name} TO carillon_app"),
        Access::Identity => format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO carillon_identity"),
    });
    if table.access.is_append_only() && !seeded_bugs::on("history_rewritable") {
        ddl.push(format!(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {name} \
             FOR EACH ROW EXECUTE FUNCTION carillon_refuse_change()"
        ));
        ddl.push(format!(
            "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name} \
             FOR EACH STATEMENT EXECUTE FUNCTION carillon_refuse_change()"
        ));
    }
    ddl
}

/// The DDL of one table on SQLite: table, indexes, triggers.
pub fn sqlite(table: &Table) -> Vec<String> {
    let name = table.name;
    let mut ddl = vec![format!("CREATE TABLE {name} ({})", columns(table, sqlite_type))];
    ddl.extend(indexes(table));
    if table.access.is_append_only() && !seeded_bugs::on("history_rewritable") {
        for verb in ["UPDATE", "DELETE"] {
            ddl.push(format!(
                "CREATE TRIGGER {name}_no_{} BEFORE {verb} ON {name} \
                 BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END",
                verb.to_lowercase()
            ));
        }
    }
    ddl
}

fn columns(table: &Table, type_of: fn(&str) -> Option<&'static str>) -> String {
    let tenant = if table.access.has_tenant() { "tenant_id UUID NOT NULL, " } else { "" };
    let text = format!("{tenant}{}", table.columns);
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map(|piece| {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            match type_of(word) {
                Some(kind) => piece.replacen(word, kind, 1),
                None => piece.to_owned(),
            }
        })
        .collect()
}

fn indexes(table: &Table) -> impl Iterator<Item = String> {
    table.indexes.iter().map(|index| match index.strip_prefix("UNIQUE ") {
        Some(index) => format!("CREATE UNIQUE INDEX {index}"),
        None => format!("CREATE INDEX {index}"),
    })
}

fn postgres_type(token: &str) -> Option<&'static str> {
    Some(match token {
        "UUID" => "uuid",
        // Byte order: what SQLite does, what prefix ranges need, and no index depends on the machine's locale data.
        "TEXT" => r#"text COLLATE "C""#,
        "TIME" => "timestamptz",
        "JSON" => "jsonb",
        "BYTES" => "bytea",
        "BOOL" => "boolean",
        "INT" => "integer",
        "BIGINT" => "bigint",
        "FLOAT" => "double precision",
        "DATE" => "date",
        _ => return None,
    })
}

/// Ids are 16-byte blobs, times RFC 3339 text in UTC, documents text.
fn sqlite_type(token: &str) -> Option<&'static str> {
    Some(match token {
        "UUID" | "BYTES" => "blob",
        "TEXT" | "TIME" | "JSON" | "DATE" => "text",
        "BOOL" => "boolean",
        "INT" => "integer",
        "BIGINT" => "bigint",
        "FLOAT" => "double",
        _ => return None,
    })
}
