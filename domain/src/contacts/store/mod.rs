//! SQL of the contacts aggregate, a file per concern; rows go in, domain types come out.

pub(super) mod attributes;
pub(super) mod changes;
pub(super) mod contacts;
pub(super) mod events;
pub(super) mod identities;
pub(super) mod imports;
pub(super) mod list;
pub(super) mod opened;
pub(super) mod subject_keys;
pub(super) mod tags;

use carillon_entities::wall::{Alone, Args, Sql, TenantTx, Value, WallError};

/// Every registered statement of the aggregate.
pub fn statements() -> Vec<&'static Sql> {
    [
        attributes::STATEMENTS,
        changes::STATEMENTS,
        contacts::STATEMENTS,
        events::STATEMENTS,
        identities::STATEMENTS,
        imports::STATEMENTS,
        list::STATEMENTS,
        opened::STATEMENTS,
        subject_keys::STATEMENTS,
        tags::STATEMENTS,
    ]
    .concat()
}

/// Those that may be transactions of their own.
pub static STATEMENTS_ALONE: &[&Alone] = &[&contacts::GET_ALONE, &list::LIST_ALONE];

/// Runs a statement over rows, in as few batches as the database allows; no rows cost nothing.
async fn run(tx: &mut TenantTx, sql: &'static Sql, scalars: &[Value], rows: Vec<Vec<Value>>) -> Result<u64, WallError> {
    let size = tx.max_batch(sql);
    let mut rows = rows.into_iter().peekable();
    let mut done = 0;
    while rows.peek().is_some() {
        let batch: Vec<_> = rows.by_ref().take(size).collect();
        done += tx.sql(sql, Args::of(scalars.iter().cloned()).with_batch(batch))?.execute().await?;
    }
    Ok(done)
}

/// As [`run`], and reads what comes back.
async fn read<M: sea_orm::FromQueryResult>(
    tx: &mut TenantTx,
    sql: &'static Sql,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<M>, WallError> {
    let size = tx.max_batch(sql);
    let mut rows = rows.into_iter().peekable();
    let mut found = Vec::new();
    while rows.peek().is_some() {
        let batch: Vec<_> = rows.by_ref().take(size).collect();
        found.extend(tx.sql(sql, Args::batch(batch))?.all::<M>().await?);
    }
    Ok(found)
}

/// Somebody else inserted the same key meanwhile: the whole transaction is run again and then sees it.
fn lost_race(error: WallError) -> WallError {
    match error {
        WallError::Conflict { .. } => WallError::Retry,
        error => error,
    }
}
