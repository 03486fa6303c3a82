//! One step of the engine for one person: what they do next, and why. Pure and total (L5): the same version, way, facts
//! and instant give the same effects, live, in rehearsal and for explain.
//!
//! A run goes on from node to node until somebody has to wait or is out. Published versions have no circle without a wait,
//! and a run that finds one all the same is parked, with an alarm, and not lost (C-182).

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::assign::{bucket, variant_of};
use super::local_time::{TimeOfDay, next_time_of_day};
use super::{Definition, End, Node, NodeName, Variant};
use crate::keys::AddressHash;
use crate::segments::{Condition, Facts, MailDid, Truth};
use crate::time::Timestamp;

/// Hits are judged a little after their hold is over: until then what they say is not an absence (C-82). After this nobody
/// waits for them any more, and goes on as one of whom nothing is known.
const JUDGED_WITHIN: TimeDelta = TimeDelta::minutes(1);
/// How often is looked whether they are.
const LOOKED_AT_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// Where somebody is on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Of which workflow.
    pub workflow: carillon_entities::ids::WorkflowId,
    /// The node they are at.
    pub node: NodeName,
    /// Counts the nodes they were at, from 0: a node visited twice sends twice.
    pub visit: i32,
    /// Since when they are at it.
    pub node_entered_at: Timestamp,
    /// The variant they got last, as `node/label`.
    pub variant: Option<String>,
}

/// What is known of them, loaded once for the whole batch.
#[derive(Debug, Clone)]
pub struct WayFacts {
    /// What conditions ask about.
    pub contact: Facts,
    /// The contact was deleted.
    pub is_gone: bool,
    /// The contact is held, and was not yet when the way was last moved.
    pub is_held: bool,
    /// Their zone, or the tenant's.
    pub zone: TimeZone,
    /// What splits go by; none without an address.
    pub address: Option<AddressHash>,
    /// Variants that the address saw before, by node: it stays in them.
    pub seen: BTreeMap<NodeName, String>,
    /// Hits on mails that are not judged yet, and when their hold is over: a branch on them waits for it (C-82). What
    /// conditions know of such a mail is yes or unknown, never no.
    pub pending: BTreeMap<(NodeName, MailDid), Timestamp>,
    /// Set where the day has not room for all mails of the batch.
    pub ration: Option<Ration>,
}

/// What somebody may ask for of a day's mails that are nearly used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ration {
    /// Mails they may ask for.
    pub mails: usize,
    /// At another they wait until then.
    pub until: Timestamp,
}

text_code! {
    /// What happened at a node.
    pub enum StepOutcome {
        /// Came in; said of the first node.
        Enrolled = "enrolled",
        /// A mail was asked for; the gate has the last word.
        Queued = "queued",
        /// No mail could be asked for; the reason says why, and the person goes on.
        Refused = "refused",
        /// A wait was over.
        Waited = "waited",
        /// A branch's condition held.
        Then = "then",
        /// It did not.
        Otherwise = "otherwise",
        /// Nobody can know: the person is not tracked.
        Unknown = "unknown",
        /// A split chose; the step's variant says what.
        Split = "split",
        /// The contact was changed.
        Updated = "updated",
        /// An exit was reached.
        Completed = "completed",
        /// The goal was met.
        Goal = "goal",
        /// Something else ended the way.
        Exited = "exited",
        /// This program does not know how to go on; nothing is lost.
        Parked = "parked",
    }
}

text_code! {
    /// Where a way stands.
    pub enum WayState {
        /// Under way.
        Active = "active",
        /// Held; goes on where it was when it is resumed.
        Paused = "paused",
        /// At a node that this program does not know.
        Parked = "parked",
        /// Came to an exit.
        Completed = "completed",
        /// Met the goal.
        Goal = "goal",
        /// Ended by an exit condition, or because the contact is gone.
        Exited = "exited",
        /// Cannot go on.
        Failed = "failed",
    }
}

/// One thing that happened, to be appended to the way's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where.
    pub node: NodeName,
    /// What.
    pub outcome: StepOutcome,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// The variant they were in then.
    pub variant: Option<String>,
    /// What it was decided from, without personal values (L7).
    pub facts: Json,
    /// Its place on the way.
    pub visit: i32,
}

/// How the way goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// They wait, and are looked at again at an instant.
    At {
        /// When.
        due_at: Timestamp,
    },
    /// It is over.
    Ended {
        /// How.
        state: WayState,
        /// Why.
        reason: String,
    },
    /// Something holds it; it goes on from there when it is let go.
    Held,
    /// It stays where it is until somebody looks at it (C-182).
    Parked,
}

/// What a run wants written.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// What happened, in order. A `queued` step asks for its node's mail, a `split` step exposes to its variant, an
    /// `updated` step asks for its node's change.
    pub steps: Vec<Step>,
    /// Where they are now, since when, in which variant.
    pub way: Way,
    /// How it goes on from there.
    pub next: Next,
}

/// Moves somebody as far as they get at this instant.
pub fn advance(definition: &Definition, way: Way, facts: &WayFacts, now: Timestamp) -> Effects {
    let mut run = Run { definition, facts, now, way, steps: Vec::new() };
    let next = run.until_it_stops();
    Effects { steps: run.steps, way: run.way, next }
}

/// How many mails steps ask for.
pub(super) fn asked_mails(steps: &[Step]) -> usize {
    steps.iter().filter(|step| step.outcome == StepOutcome::Queued).count()
}

/// What ends a way by what is known of the person: the goal first, then the exits in order (A3.12).
pub fn ended_by(definition: &Definition, facts: &Facts, now: Timestamp) -> Option<(WayState, String)> {
    let holds = |end: &End| match end {
        End::Condition { condition } => condition.evaluate(facts, now) == Truth::Yes,
        End::Event { .. } => false,
    };
    if definition.goal.as_ref().is_some_and(holds) {
        return Some((WayState::Goal, "goal".to_owned()));
    }
    let exit = definition.exits.iter().position(holds)?;
    Some((WayState::Exited, format!("exit_{}", exit + 1)))
}

/// When time alone may make true what ends a way.
pub fn next_end(definition: &Definition, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let changes = definition.goal.iter().chain(&definition.exits).filter_map(|end| match end {
        End::Condition { condition } => condition.next_change(facts, now),
        End::Event { .. } => None,
    });
    changes.min()
}

struct Run<'a> {
    definition: &'a Definition,
    facts: &'a WayFacts,
    now: Timestamp,
    way: Way,
    steps: Vec<Step>,
}

impl Run<'_> {
    fn until_it_stops(&mut self) -> Next {
        if self.facts.is_gone {
            return self.end(StepOutcome::Exited, WayState::Exited, "contact_deleted");
        }
        if self.facts.is_held {
            return Next::Held;
        }
        if let Some((state, reason)) = ended_by(self.definition, &self.facts.contact, self.now) {
            let outcome = if state == WayState::Goal { StepOutcome::Goal } else { StepOutcome::Exited };
            return self.end(outcome, state, &reason);
        }
        for _ in 0..=self.definition.nodes.len() {
            if let Some(next) = self.one_node() {
                return next;
            }
        }
        self.park("CIRCLE")
    }

    /// Does what the present node says; none if the run goes on at another.
    fn one_node(&mut self) -> Option<Next> {
        let definition = self.definition;
        let Some(node) = definition.nodes.get(&self.way.node) else { return Some(self.park("NODE_UNKNOWN")) };
        match node {
            Node::Send { next, .. } => match self.facts.ration {
                Some(ration) if asked_mails(&self.steps) >= ration.mails => Some(Next::At { due_at: ration.until }),
                _ => self.leave(StepOutcome::Queued, Json::Null, next.as_ref()),
            },
            Node::WaitFor { seconds, next } => {
                let seconds = i64::try_from(*seconds).unwrap_or(i64::MAX);
                let wait = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
                let until = self.way.node_entered_at.checked_add_signed(wait).unwrap_or(Timestamp::MAX_UTC);
                self.wait(until, next.as_ref())
            }
            Node::WaitUntil { time, next } => match TimeOfDay::parse(time) {
                Some(time) => {
                    let until = next_time_of_day(time, &self.facts.zone, self.way.node_entered_at);
                    self.wait(until, next.as_ref())
                }
                None => Some(self.park("TIME_UNREADABLE")),
            },
            Node::Branch { condition, then, otherwise, unknown } => {
                self.branch(condition, [then, otherwise, unknown].map(Option::as_ref))
            }
            Node::Split { variants, .. } => self.split(variants),
            Node::Update { next, .. } => {
                // What comes after must see the change: it is written first.
                let next = self.leave(StepOutcome::Updated, Json::Null, next.as_ref());
                Some(next.unwrap_or(Next::At { due_at: self.now }))
            }
            Node::Exit { reason } => {
                let reason = reason.as_deref().unwrap_or("completed");
                Some(self.end(StepOutcome::Completed, WayState::Completed, reason))
            }
        }
    }

    fn wait(&mut self, until: Timestamp, next: Option<&NodeName>) -> Option<Next> {
        if self.now >= until {
            return self.leave(StepOutcome::Waited, json!({ "since": self.way.node_entered_at }), next);
        }
        // What time alone makes true must not be missed (A3.2).
        let change = next_end(self.definition, &self.facts.contact, self.now);
        let earliest = change.map_or(until, |change| change.clamp(self.now, until));
        Some(Next::At { due_at: earliest })
    }

    fn branch(&mut self, condition: &Condition, [then, otherwise, unknown]: [Option<&NodeName>; 3]) -> Option<Next> {
        let asked = if self.facts.pending.is_empty() { BTreeSet::new() } else { condition.needs().mails };
        if let Some(until) = asked.iter().filter_map(|mail| self.facts.pending.get(mail)).max()
            && let Some(patience) = until.checked_add_signed(JUDGED_WITHIN)
            && self.now < patience
        {
            let soon = self.now.checked_add_signed(LOOKED_AT_AGAIN).unwrap_or(patience);
            return Some(Next::At { due_at: (*until).max(soon) });
        }
        let (outcome, next) = match condition.evaluate(&self.facts.contact, self.now) {
            Truth::Yes => (StepOutcome::Then, then),
            Truth::No => (StepOutcome::Otherwise, otherwise),
            Truth::Unknown => (StepOutcome::Unknown, unknown.or(otherwise)),
        };
        let used = self.facts.contact.used_by(condition, self.now);
        self.leave(outcome, used, next)
    }

    fn split(&mut self, variants: &[Variant]) -> Option<Next> {
        let node = self.way.node.clone();
        let Some(address) = self.facts.address else {
            return Some(self.end(StepOutcome::Exited, WayState::Exited, "no_address"));
        };
        let bucket = bucket(self.way.workflow.0, &node, address);
        let labelled = |label: &String| variants.iter().find(|variant| variant.label == *label);
        let seen = self.facts.seen.get(&node).and_then(labelled).filter(|variant| variant.weight_bp > 0);
        let Some(variant) = seen.or_else(|| variant_of(variants, bucket)) else { return Some(self.park("NO_VARIANT")) };
        self.way.variant = Some(format!("{node}/{}", variant.label));
        self.leave(StepOutcome::Split, json!({ "bucket": bucket, "seen": seen.is_some() }), variant.next.as_ref())
    }

    fn record(&mut self, outcome: StepOutcome, reason: Option<String>, facts: Json) {
        let (node, variant) = (self.way.node.clone(), self.way.variant.clone());
        self.steps.push(Step { node, outcome, reason, variant, facts, visit: self.way.visit });
    }

    fn leave(&mut self, outcome: StepOutcome, facts: Json, next: Option<&NodeName>) -> Option<Next> {
        self.record(outcome, None, facts);
        // No version that is published has a way that ends in the air.
        let Some(next) = next else { return Some(self.park("WAY_MISSING")) };
        self.way.node.clone_from(next);
        self.way.visit = self.way.visit.saturating_add(1);
        self.way.node_entered_at = self.now;
        None
    }

    fn end(&mut self, outcome: StepOutcome, state: WayState, reason: &str) -> Next {
        self.record(outcome, Some(reason.to_owned()), Json::Null);
        Next::Ended { state, reason: reason.to_owned() }
    }

    fn park(&mut self, reason: &str) -> Next {
        self.record(StepOutcome::Parked, Some(reason.to_owned()), Json::Null);
        Next::Parked
    }
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
