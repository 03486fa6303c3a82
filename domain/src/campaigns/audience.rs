//! Whom an audience means: SQL says what it can, and where consent has to be asked the evaluator decides (L5).

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::Audience;
use super::store::audience::{Candidate, audience_counted, audience_rows, audience_walk};
use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::segments::{CompiledCondition, Condition, Truth, compile, load_facts};
use crate::time::Timestamp;

/// Contacts that one count looks at one by one, where the database cannot decide.
const LOOKED_AT: i64 = 50_000;
/// For each that a step may find it walks past so many: where one in a thousand is meant, a million contacts are still not
/// read by one statement, and whoever pauses meanwhile waits for one step.
const WALKED: i64 = 20;

/// A step of the walk.
pub(super) struct Step {
    /// Whom the audience means.
    pub found: Vec<Candidate>,
    /// The last that was looked at; none at the end.
    pub reached: Option<ContactId>,
}

/// The condition of an audience, which holds for everybody where there is none.
fn condition_of(audience: &Audience) -> Condition {
    audience.condition.clone().unwrap_or(Condition::And { of: Vec::new() })
}

/// The next whom an audience means, behind a contact, as of an instant.
pub(super) async fn step(
    tx: &mut TenantTx,
    ports: &Ports,
    audience: &Audience,
    as_of: Timestamp,
    after: Option<ContactId>,
) -> Result<Step> {
    let condition = condition_of(audience);
    let compiled = compile(&condition, as_of).map_err(Error::Refused)?;
    one_step(tx, ports, (audience, &condition, &compiled), as_of, after).await
}

async fn one_step(
    tx: &mut TenantTx,
    ports: &Ports,
    (audience, condition, compiled): (&Audience, &Condition, &CompiledCondition),
    as_of: Timestamp,
    after: Option<ContactId>,
) -> Result<Step> {
    let after = after.unwrap_or(ContactId(Uuid::nil()));
    let size = i64::from(ports.settings.campaign_batch);
    let end = audience_walk(tx, after, size.saturating_mul(WALKED)).await?;
    let until = end.unwrap_or(ContactId(Uuid::max()));
    let rows = audience_rows(tx, (audience, compiled), as_of, (after, until), size).await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|found| found >= size);
    let reached = if is_full { rows.last().map(|row| row.id) } else { end };
    let undecided: Vec<ContactId> = rows.iter().filter(|row| row.truth == Truth::Unknown).map(|row| row.id).collect();
    let facts = load_facts(tx, ports, &undecided, &condition.needs(), as_of).await?;
    let passes = |row: &Candidate| {
        row.truth.is_yes() || facts.get(&row.id).is_some_and(|facts| condition.evaluate(facts, as_of).is_yes())
    };
    Ok(Step { found: rows.into_iter().filter(passes).collect(), reached })
}

/// How many an audience means; none where too many would have to be looked at one by one.
pub(super) async fn count(
    tx: &mut TenantTx,
    ports: &Ports,
    audience: &Audience,
    as_of: Timestamp,
) -> Result<Option<i64>> {
    let condition = condition_of(audience);
    let compiled = compile(&condition, as_of).map_err(Error::Refused)?;
    let (sure, undecided) = audience_counted(tx, (audience, &compiled), as_of).await?;
    if undecided == 0 {
        return Ok(Some(sure));
    }
    if undecided > LOOKED_AT {
        return Ok(None);
    }
    let (mut total, mut after) = (0, None);
    loop {
        let step = one_step(tx, ports, (audience, &condition, &compiled), as_of, after).await?;
        total += i64::try_from(step.found.len()).unwrap_or(i64::MAX);
        if step.reached.is_none() {
            return Ok(Some(total));
        }
        after = step.reached;
    }
}
