//! The reference of `import`: the same rows again, for another tenant, by COPY into the same tables.
//!
//! Primary keys begin with the tenant, so the rows differ in nothing else; indexes, foreign keys and triggers are those
//! of the product. COPY refuses tables under row security, so this works as the owner.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use carillon_domain::ids::TenantId;
use carillon_migration::schema;
use futures::TryStreamExt as _;
use sqlx::PgConnection;

/// Bytes that go to the server at once.
const PIECE: usize = 1 << 20;

/// Rows in files, ready for COPY.
pub struct Dump {
    tables: Vec<Table>,
}

struct Table {
    name: &'static str,
    columns: String,
    file: PathBuf,
    rows: u64,
}

impl Dump {
    /// Writes what one tenant has into files, as another tenant's; tables with a row per person only.
    pub async fn of(
        owner: &mut PgConnection,
        (from, to): (TenantId, TenantId),
        people: u32,
        folder: &Path,
    ) -> Result<Self> {
        let mut tables = Vec::new();
        for name in schema::tables().filter(|table| table.access.has_tenant()).map(|table| table.name) {
            let columns = columns(owner, name).await?;
            let file = folder.join(name);
            let statement = format!(
                "COPY (SELECT '{}'::uuid AS tenant_id, {columns} FROM {name} WHERE tenant_id = '{}') TO STDOUT",
                to.0, from.0
            );
            let rows = write_out(owner, &statement, &file).await?;
            if rows >= u64::from(people / 2).max(1) {
                tables.push(Table { name, columns, file, rows });
            }
        }
        ensure!(tables.iter().any(|table| table.name == "contacts"), "nobody was imported");
        Ok(Self { tables })
    }

    /// Which tables, with how many rows each.
    pub fn tables(&self) -> String {
        let all: Vec<String> = self.tables.iter().map(|table| format!("{} ({})", table.name, table.rows)).collect();
        all.join(", ")
    }

    /// Copies them in; returns the seconds it took.
    pub async fn copy(&self, owner: &mut PgConnection) -> Result<f64> {
        let mut piece = vec![0; PIECE];
        let began = Instant::now();
        for table in &self.tables {
            let mut file = std::fs::File::open(&table.file)?;
            let statement = format!("COPY {} (tenant_id, {}) FROM STDIN", table.name, table.columns);
            let mut copy = owner.copy_in_raw(&statement).await?;
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    break;
                }
                copy.send(&piece[..read]).await?;
            }
            ensure!(copy.finish().await? == table.rows, "{} did not take all rows", table.name);
        }
        Ok(began.elapsed().as_secs_f64())
    }
}

async fn columns(owner: &mut PgConnection, table: &str) -> Result<String> {
    let sql = "SELECT string_agg(quote_ident(column_name::text), ', ' ORDER BY ordinal_position) \
               FROM information_schema.columns \
               WHERE table_schema = 'public' AND table_name = $1 AND column_name <> 'tenant_id'";
    Ok(sqlx::query_scalar(sql).bind(table).fetch_one(owner).await?)
}

/// In COPY's text format a line end is a row's end and nothing else.
#[expect(clippy::naive_bytecount, reason = "not measured")]
async fn write_out(owner: &mut PgConnection, statement: &str, path: &Path) -> Result<u64> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut rows = 0;
    let mut pieces = owner.copy_out_raw(statement).await?;
    while let Some(piece) = pieces.try_next().await? {
        rows += u64::try_from(piece.iter().filter(|byte| **byte == b'\n').count())?;
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(rows)
}
