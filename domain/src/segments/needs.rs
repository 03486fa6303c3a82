//! What has to be known of a contact before a condition can be answered: loaded once for a whole batch (L5).

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::TopicId;

use super::{Condition, MailDid, Window};

/// What conditions ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Attributes and fields, by name.
    pub attributes: BTreeSet<String>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Topics.
    pub topics: BTreeSet<TopicId>,
    /// Events, by name.
    pub events: BTreeMap<String, EventNeed>,
    /// Mails of a workflow's nodes, which its engine looks up.
    pub mails: BTreeSet<(String, MailDid)>,
}

/// How much of an event's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventNeed {
    /// The longest window; ever without one.
    pub within: Option<Window>,
    /// Only so many of the latest: more would change no answer.
    pub latest: u32,
}

impl Needs {
    /// What either asks about.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.attributes.extend(other.attributes);
        self.tags.extend(other.tags);
        self.topics.extend(other.topics);
        self.mails.extend(other.mails);
        for (name, need) in other.events {
            self.event(name, need);
        }
        self
    }

    fn event(&mut self, name: String, need: EventNeed) {
        let own = self.events.entry(name).or_insert(need);
        let longest = |a: Window, b: Window| if a.seconds < b.seconds { b } else { a };
        own.within = own.within.zip(need.within).map(|(a, b)| longest(a, b));
        own.latest = own.latest.max(need.latest);
    }

    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::And { of } | Condition::Or { of } => of.iter().for_each(|one| self.add(one)),
            Condition::Not { of } => self.add(of),
            Condition::Attribute { name, .. } => drop(self.attributes.insert(name.clone())),
            Condition::Tag { tag } => drop(self.tags.insert(tag.clone())),
            Condition::Topic { topic, .. } => drop(self.topics.insert(*topic)),
            Condition::Event { name, at_least, at_most, within } => {
                let latest = at_most.map_or(*at_least, |most| most.saturating_add(1).max(*at_least)).max(1);
                self.event(name.clone(), EventNeed { within: *within, latest });
            }
            Condition::Mail { node, did } => drop(self.mails.insert((node.clone(), *did))),
        }
    }
}

impl Condition {
    /// What it asks about.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        needs.add(self);
        needs
    }
}
