//! Whom a condition means, now: for authors who want to see it before it acts.

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::compile::{CompiledCondition, compile};
use super::store::{matching_count, matching_rows};
use super::{Condition, Truth, load_facts};
use crate::contacts::{ContactCard, contacts_get};
use crate::error::{Error, Refusal, Result};
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadPersonalData};
use crate::time::Timestamp;

/// Contacts of one step of the walk.
const STEP: u32 = 500;
/// Contacts that one question looks at one by one, where the database cannot decide.
const LOOKED_AT: usize = 50_000;

/// A page of the contacts that a condition holds for, in the order of their ids, deleted ones left out; forward only.
///
/// # Errors
/// What [`compile`] refuses; `TOO_WIDE` where more than 50,000 people would have to be looked at one by one, for their
/// topics, before the page is full.
pub async fn matching_contacts(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    ports: &Ports,
    condition: &Condition,
    page: Page<ContactId>,
) -> Result<Paged<ContactCard>> {
    let now = ports.now();
    let compiled = compile(condition, now).map_err(Error::Refused)?;
    let wanted = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1);
    let mut walk = Walk::new(condition, &compiled, now, page.cursor);
    let mut ids = Vec::new();
    while ids.len() < wanted {
        let Some(found) = walk.step(tx, ports).await? else { break };
        ids.extend(found);
        if walk.looked_at > LOOKED_AT {
            let message = "The condition asks about topics of too many people; narrow it by something else.";
            return Err(Refusal::new("TOO_WIDE", "condition", message).into());
        }
    }
    ids.truncate(wanted);
    let mut cards: Vec<ContactCard> = contacts_get(tx, &ids).await?.iter().map(ContactCard::from).collect();
    cards.sort_unstable_by_key(|card| card.id);
    Ok(page.finish(cards))
}

/// How many contacts a condition holds for; none where too many would have to be looked at one by one.
///
/// # Errors
/// What [`compile`] refuses.
pub async fn count_matching(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    ports: &Ports,
    condition: &Condition,
) -> Result<Option<i64>> {
    let now = ports.now();
    let compiled = compile(condition, now).map_err(Error::Refused)?;
    let (sure, undecided) = matching_count(tx, &compiled).await?;
    if undecided == 0 {
        return Ok(Some(sure));
    }
    if usize::try_from(undecided).is_ok_and(|undecided| undecided > LOOKED_AT) {
        return Ok(None);
    }
    let mut walk = Walk::new(condition, &compiled, now, None);
    let mut total = 0;
    while let Some(found) = walk.step(tx, ports).await? {
        total += i64::try_from(found.len()).unwrap_or(i64::MAX);
    }
    Ok(Some(total))
}

/// What the database says of contacts by itself, unknown where the evaluator has to decide; those it says no of are left
/// out.
pub async fn ask_database(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    condition: &Condition,
    now: Timestamp,
) -> Result<Vec<(ContactId, Truth)>> {
    let compiled = compile(condition, now).map_err(Error::Refused)?;
    matching_rows(tx, &compiled, ContactId(Uuid::nil()), i64::MAX).await
}

/// A walk along all contacts that may pass.
struct Walk<'a> {
    condition: &'a Condition,
    compiled: &'a CompiledCondition,
    now: Timestamp,
    after: Option<ContactId>,
    looked_at: usize,
}

impl<'a> Walk<'a> {
    fn new(
        condition: &'a Condition,
        compiled: &'a CompiledCondition,
        now: Timestamp,
        cursor: Option<ContactId>,
    ) -> Self {
        Self { condition, compiled, now, after: Some(cursor.unwrap_or(ContactId(Uuid::nil()))), looked_at: 0 }
    }

    /// The next that pass; none at the end.
    async fn step(&mut self, tx: &mut TenantTx, ports: &Ports) -> Result<Option<Vec<ContactId>>> {
        let Some(after) = self.after else { return Ok(None) };
        let rows = matching_rows(tx, self.compiled, after, i64::from(STEP)).await?;
        let is_last = rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
        self.after = rows.last().map(|(id, _)| *id).filter(|_| !is_last);
        let undecided: Vec<ContactId> =
            rows.iter().filter(|(_, truth)| *truth == Truth::Unknown).map(|(id, _)| *id).collect();
        self.looked_at += undecided.len();
        let facts = load_facts(tx, ports, &undecided, &self.condition.needs(), self.now).await?;
        let passes = |(id, truth): &(ContactId, Truth)| {
            truth.is_yes() || facts.get(id).is_some_and(|facts| self.condition.evaluate(facts, self.now).is_yes())
        };
        Ok(Some(rows.into_iter().filter(passes).map(|(id, _)| id).collect()))
    }
}
