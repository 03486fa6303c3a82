//! Ledger to state (C-152, C-153): what the entries about one address and topic add up to.
//!
//! The state keeps the latest entry of each kind, so it is a join: entries may arrive in any order, one by one or in
//! bulk, twice or once, and the state is the same. Reading it applies the order of the law: by effective time, an end
//! beats a grant at the same time, and only a newer act of the person lifts what the person ended (C-128).

use carillon_entities::ids::ConsentEventId;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Basis, ConsentAction, SourceKind};
use crate::error::Refusal;
use crate::time::Timestamp;

/// Clocks of well-kept systems differ by no more than this (C-153).
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// What the fold needs of a ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The entry.
    pub id: ConsentEventId,
    /// What it says.
    pub action: ConsentAction,
    /// On which ground; of a grant.
    pub basis: Basis,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// Where it came from.
    pub source: SourceKind,
}

/// The latest entry of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark<T> {
    /// From when it holds.
    pub at: Timestamp,
    /// Which entry.
    pub event: ConsentEventId,
    /// The ground of a grant, the kind of an end.
    pub what: T,
}

/// All that must be remembered of the entries about one address and topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentState {
    /// The person's own grant or confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proven: Option<Mark<Basis>>,
    /// A grant that others attest (import, API, agent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed: Option<Mark<Basis>>,
    /// A grant on a ground that carries no marketing (C-155).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weak: Option<Mark<Basis>>,
    /// A grant that waits for its confirmation (C-83).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Mark<Basis>>,
    /// A withdrawal or objection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Mark<ConsentAction>>,
    /// The address changed hands, or processing is restricted: not even service messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    barred: Option<Mark<ConsentAction>>,
    /// Consent ran out; anybody's newer grant renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired: Option<Mark<ConsentAction>>,
}

text_code! {
    /// What a state means.
    pub enum ConsentStatus {
        /// Nothing is known.
        None = "none",
        /// Marketing may be sent.
        Granted = "granted",
        /// A grant waits for its confirmation (C-83).
        Pending = "pending",
        /// There is a grant, on a ground that carries no marketing (C-155).
        Unproven = "unproven",
        /// The person took consent back.
        Withdrawn = "withdrawn",
        /// The person objected.
        Objected = "objected",
        /// Consent ran out.
        Expired = "expired",
        /// The address belongs to somebody else now.
        Reassigned = "reassigned",
        /// Processing is restricted.
        Restricted = "restricted",
    }
}

/// A state, read: the status, and the entry it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What the state means.
    pub status: ConsentStatus,
    /// The deciding entry; none if there are no entries.
    pub event: Option<ConsentEventId>,
    /// The ground, when granted.
    pub basis: Option<Basis>,
    /// When the person last agreed themselves, if the status rests on it.
    pub proven_at: Option<Timestamp>,
}

impl ConsentState {
    /// Takes one more entry.
    pub fn apply(&mut self, entry: &LedgerEntry) {
        let end = Mark { at: entry.effective_at, event: entry.id, what: entry.action };
        match entry.action {
            ConsentAction::Grant | ConsentAction::Confirm => self.apply_grant(entry),
            ConsentAction::Withdraw | ConsentAction::Object => keep_later(&mut self.ended, Some(end)),
            ConsentAction::Reassign | ConsentAction::Restrict => keep_later(&mut self.barred, Some(end)),
            ConsentAction::Expire => keep_later(&mut self.expired, Some(end)),
        }
    }

    fn apply_grant(&mut self, entry: &LedgerEntry) {
        let mark = Some(Mark { at: entry.effective_at, event: entry.id, what: entry.basis });
        let register = match entry.basis {
            Basis::Unconfirmed => &mut self.pending,
            basis if !basis.carries_marketing() => &mut self.weak,
            _ if entry.source.is_the_person() => &mut self.proven,
            _ => &mut self.claimed,
        };
        keep_later(register, mark);
    }

    /// The state of all the entries of both, such as those under two keys of one address (C-157).
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.join_grants(&other);
        self.join_ends(&other);
        self
    }

    fn join_grants(&mut self, other: &Self) {
        keep_later(&mut self.proven, other.proven);
        keep_later(&mut self.claimed, other.claimed);
        keep_later(&mut self.weak, other.weak);
        keep_later(&mut self.pending, other.pending);
    }

    fn join_ends(&mut self, other: &Self) {
        keep_later(&mut self.ended, other.ended);
        keep_later(&mut self.barred, other.barred);
        keep_later(&mut self.expired, other.expired);
    }

    /// What the state means.
    pub fn standing(&self) -> Standing {
        let rests_on = |status, event| Standing { status, event: Some(event), basis: None, proven_at: None };
        if let Some(bar) = self.bar().barred {
            let restricted = bar.what == ConsentAction::Restrict;
            let status = if restricted { ConsentStatus::Restricted } else { ConsentStatus::Reassigned };
            return rests_on(status, bar.event);
        }
        if let Some(end) = self.ended.filter(|end| !self.person_agreed_after(end.at)) {
            if let Some(pending) = self.pending.filter(|pending| pending.at > end.at) {
                return rests_on(ConsentStatus::Pending, pending.event);
            }
            let objected = end.what == ConsentAction::Object;
            let status = if objected { ConsentStatus::Objected } else { ConsentStatus::Withdrawn };
            return rests_on(status, end.event);
        }
        let lives = |grant: &Mark<Basis>| self.expired.is_none_or(|expired| grant.at > expired.at);
        if let Some(grant) = self.proven.filter(lives).or(self.claimed.filter(lives)) {
            let basis = Some(grant.what);
            let proven_at = self.proven.filter(lives).map(|proven| proven.at);
            return Standing { status: ConsentStatus::Granted, event: Some(grant.event), basis, proven_at };
        }
        let rest = [
            self.pending.filter(lives).map(|mark| (ConsentStatus::Pending, mark.event)),
            self.expired.map(|mark| (ConsentStatus::Expired, mark.event)),
            self.weak.map(|mark| (ConsentStatus::Unproven, mark.event)),
        ];
        let none = Standing { status: ConsentStatus::None, event: None, basis: None, proven_at: None };
        rest.into_iter().flatten().next().map_or(none, |(status, event)| rests_on(status, event))
    }

    /// What the state of a topic means beside the state of "all marketing" (C-13).
    ///
    /// What ended all marketing ends the topic too. A grant of all marketing covers the topic, unless the person ended
    /// the topic by itself: that is lifted by a grant of the topic only.
    pub fn standing_under(&self, all_marketing: &Self) -> Standing {
        let mut state = *self;
        if self.ended.is_none() && self.barred.is_none() {
            state.join_grants(all_marketing);
        }
        state.join_ends(all_marketing);
        state.standing()
    }

    /// The bar that is in force, and nothing else.
    #[must_use]
    pub fn bar(&self) -> Self {
        Self { barred: self.barred.filter(|bar| !self.person_agreed_after(bar.at)), ..Self::default() }
    }

    /// What the person ended, themselves or as a person, and has not taken back: it is theirs, not the address's, whose
    /// passing into other hands is left out.
    pub fn ends(&self) -> impl Iterator<Item = Mark<ConsentAction>> {
        let restricted = self.bar().barred.filter(|bar| bar.what == ConsentAction::Restrict);
        let ended = self.ended.filter(|end| !self.person_agreed_after(end.at));
        [ended, restricted].into_iter().flatten()
    }

    /// True when it has the end, or a later one of its kind, lifted or not.
    pub fn has_end(&self, end: &Mark<ConsentAction>) -> bool {
        let of_its_kind = if end.what == ConsentAction::Restrict { self.barred } else { self.ended };
        of_its_kind.is_some_and(|own| own.at >= end.at)
    }

    fn person_agreed_after(&self, end: Timestamp) -> bool {
        self.proven.is_some_and(|proven| proven.at > end)
    }
}

impl<'a> FromIterator<&'a LedgerEntry> for ConsentState {
    fn from_iter<I: IntoIterator<Item = &'a LedgerEntry>>(entries: I) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|entry| state.apply(entry));
        state
    }
}

/// Equal times are settled by id, so that the order of arrival never matters.
fn keep_later<T>(kept: &mut Option<Mark<T>>, new: Option<Mark<T>>) {
    let Some(new) = new else { return };
    if kept.as_ref().is_none_or(|old| (new.at, new.event) > (old.at, old.event)) {
        *kept = Some(new);
    }
}

/// The effective time to record for a claimed one: the past as it is, the near future as now.
///
/// # Errors
/// `TIME_IN_FUTURE` beyond [`CLOCK_TOLERANCE`] (C-153).
pub fn effective_at(claimed: Timestamp, now: Timestamp, field: &str) -> Result<Timestamp, Refusal> {
    if claimed > now + CLOCK_TOLERANCE {
        return Err(Refusal::new("TIME_IN_FUTURE", field, "The time lies in the future."));
    }
    Ok(claimed.min(now))
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
