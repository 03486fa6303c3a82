//! The one evaluator: pure and total, so that it is the same live, in replay and for explain (L5).

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::TopicId;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use super::{Condition, MailDid, TopicTest, Truth, Window};
use crate::contacts::AttributeValue;
use crate::time::Timestamp;

/// What is known of one contact: all that [`super::Needs`] named, nothing else need be there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Attributes and fields that have a value, by name.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// Tags it has.
    pub tags: BTreeSet<String>,
    /// Topics about which marketing is granted.
    pub subscribed: BTreeSet<TopicId>,
    /// When it did what, each in order of time: the latest ones, up to the instant the facts were loaded for.
    pub events: BTreeMap<String, Vec<Timestamp>>,
    /// What it did with mails of the workflow's nodes. A mail that is not here was not sent: nobody opened it.
    pub mails: BTreeMap<(String, MailDid), Truth>,
}

impl Condition {
    /// The answer at an instant, which is not before the one the facts were loaded for.
    pub fn evaluate(&self, facts: &Facts, now: Timestamp) -> Truth {
        match self {
            Self::And { of } => of.iter().fold(Truth::Yes, |all, one| all.and(one.evaluate(facts, now))),
            Self::Or { of } => of.iter().fold(Truth::No, |any, one| any.or(one.evaluate(facts, now))),
            Self::Not { of } => !of.evaluate(facts, now),
            Self::Attribute { name, test } => test.passes(facts.attributes.get(name)).into(),
            Self::Tag { tag } => facts.tags.contains(tag).into(),
            Self::Topic { topic, test } => {
                (facts.subscribed.contains(topic) == (*test == TopicTest::Subscribed)).into()
            }
            Self::Event { name, at_least, at_most, within } => {
                let count = facts.count(name, *within, now);
                (count >= *at_least && at_most.is_none_or(|most| count <= most)).into()
            }
            Self::Mail { node, did } => facts.mails.get(&(node.clone(), *did)).copied().unwrap_or(Truth::No),
        }
    }

    /// The next instant after `now` at which the answer may be another one though nothing happens: an event falls out
    /// of its window (A3.2). None where time alone changes nothing.
    pub fn next_change(&self, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
        self.leaves().filter_map(|leaf| leaf.leaf_change(facts, now)).min()
    }

    fn leaf_change(&self, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
        let Self::Event { name, within: Some(window), .. } = self else { return None };
        let answer = self.evaluate(facts, now);
        let times = facts.events.get(name).map_or(&[][..], Vec::as_slice);
        // Both ends of the window are included, so it is left a microsecond later.
        let left =
            |at: &Timestamp| at.checked_add_signed(window.length()?)?.checked_add_signed(TimeDelta::microseconds(1));
        times.iter().filter_map(left).filter(|at| *at > now).find(|at| self.evaluate(facts, *at) != answer)
    }

    /// All that is neither and, or nor not, in order.
    pub fn leaves(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::And { of } | Self::Or { of } => Box::new(of.iter().flat_map(Self::leaves)),
            Self::Not { of } => of.leaves(),
            leaf => Box::new(std::iter::once(leaf)),
        }
    }
}

impl Window {
    /// Its length; none where it is longer than time.
    pub(super) fn length(self) -> Option<TimeDelta> {
        i64::try_from(self.seconds).ok().and_then(TimeDelta::try_seconds)
    }

    /// The first instant of the window that ends now; the beginning of time for one that is longer.
    pub(super) fn start(self, now: Timestamp) -> Timestamp {
        self.length().and_then(|length| now.checked_sub_signed(length)).unwrap_or(Timestamp::MIN_UTC)
    }
}

impl Facts {
    /// How often the contact did it; of more than the facts hold, as many as those.
    fn count(&self, name: &str, within: Option<Window>, now: Timestamp) -> u32 {
        let Some(times) = self.events.get(name) else { return 0 };
        let start = within.map_or(Timestamp::MIN_UTC, |window| window.start(now));
        let (from, to) = (times.partition_point(|at| *at < start), times.partition_point(|at| *at <= now));
        u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX)
    }

    /// What a condition saw of them: names, counts and answers, never a value, for it is stored where nothing personal
    /// may be (L7).
    pub fn used_by(&self, condition: &Condition, now: Timestamp) -> Json {
        let seen = |leaf: &Condition| {
            let is = leaf.evaluate(self, now);
            match leaf {
                Condition::Attribute { name, .. } => json!({"kind": "attribute", "name": name, "is": is}),
                Condition::Tag { tag } => json!({"kind": "tag", "tag": tag, "is": is}),
                Condition::Topic { topic, .. } => json!({"kind": "topic", "topic": topic, "is": is}),
                Condition::Event { name, within, .. } => {
                    json!({"kind": "event", "name": name, "count": self.count(name, *within, now), "is": is})
                }
                Condition::Mail { node, did } => json!({"kind": "mail", "node": node, "did": did, "is": is}),
                Condition::And { .. } | Condition::Or { .. } | Condition::Not { .. } => Json::Null,
            }
        };
        condition.leaves().map(seen).collect()
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
