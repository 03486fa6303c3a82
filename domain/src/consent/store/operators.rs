//! `operator_hours`: what came of mail to each operator of mailboxes, by the hour (C-53).

use carillon_entities::rows::messaging::operator_hours;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, WallError};
use chrono::TimeDelta;
use sea_orm::{FromQueryResult, Value};

use crate::consent::fault::{BEFORE, Mails, hour};
use crate::messaging::reply_class::Operator;
use crate::time::Timestamp;

statements! {
    /// Adds to counts, one row after the other.
    OPERATORS_COUNT(Time) [operator_id: Text, handed: BigInt, gone: BigInt] =
        "INSERT INTO operator_hours (tenant_id, operator_id, hour_at, handed, gone) \
         SELECT $1, b.operator_id, $2, b.handed, b.gone FROM ({batch}) AS b WHERE true ORDER BY b.operator_id \
         ON CONFLICT (tenant_id, operator_id, hour_at) DO UPDATE \
            SET handed = operator_hours.handed + excluded.handed, gone = operator_hours.gone + excluded.gone";
    /// The counts of operators since an hour, and before it since another.
    OPERATORS_LEVELS(Time, Time) [operator_id: Text] =
        "SELECT b.operator_id, \
         CAST(SUM(CASE WHEN h.hour_at >= $2 THEN h.handed ELSE 0 END) AS BIGINT) AS recent_handed, \
         CAST(SUM(CASE WHEN h.hour_at >= $2 THEN h.gone ELSE 0 END) AS BIGINT) AS recent_gone, \
         CAST(SUM(CASE WHEN h.hour_at < $2 THEN h.handed ELSE 0 END) AS BIGINT) AS before_handed, \
         CAST(SUM(CASE WHEN h.hour_at < $2 THEN h.gone ELSE 0 END) AS BIGINT) AS before_gone \
         FROM ({batch}) AS b JOIN operator_hours h ON h.tenant_id = $1 AND h.operator_id = b.operator_id AND h.hour_at >= $3 \
         GROUP BY b.operator_id";
}

/// Adds mails of this hour.
pub async fn operators_count(
    tx: &mut TenantTx,
    counts: impl IntoIterator<Item = (Operator, Mails)>,
    now: Timestamp,
) -> Result<(), WallError> {
    let rows = counts
        .into_iter()
        .map(|(operator, mails)| vec![Value::from(operator.as_str()), mails.handed.into(), mails.gone.into()]);
    let args = Args::of([hour(now).into()]).with_batch(rows);
    tx.sql(&OPERATORS_COUNT, args)?.execute().await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct LevelRow {
    operator_id: String,
    recent_handed: i64,
    recent_gone: i64,
    before_handed: i64,
    before_gone: i64,
}

/// The mails of operators since an instant, and those of the month before it.
pub async fn operators_levels(
    tx: &mut TenantTx,
    operators: impl IntoIterator<Item = Operator>,
    since: Timestamp,
) -> Result<Vec<(Operator, Mails, Mails)>, WallError> {
    let batch = operators.into_iter().map(|operator| vec![Value::from(operator.as_str())]);
    let args = Args::of([since.into(), (since - BEFORE).into()]).with_batch(batch);
    let rows: Vec<LevelRow> = tx.sql(&OPERATORS_LEVELS, args)?.all().await?;
    let level = |row: LevelRow| {
        let recent = Mails { handed: row.recent_handed, gone: row.recent_gone };
        let before = Mails { handed: row.before_handed, gone: row.before_gone };
        (Operator::of_id(&row.operator_id), recent, before)
    };
    Ok(rows.into_iter().map(level).collect())
}

/// Forgets what is older than is compared with.
pub async fn operators_forget(tx: &mut TenantTx, now: Timestamp) -> Result<(), WallError> {
    let until = now - BEFORE - TimeDelta::days(1);
    tx.delete::<operator_hours::Entity>().lt(operator_hours::Column::HourAt, until).execute().await?;
    Ok(())
}
