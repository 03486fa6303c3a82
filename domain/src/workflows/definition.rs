//! What a workflow is: nodes by name, from one trigger on. Canonical JSON, so that its hash names it.
//!
//! A draft may be anything that is JSON; `parse` reads it, and `check` says whether it may be published. What it names by
//! name (events, attributes, partials) and by id (templates, senders, topics) is looked up then, and the contents of its
//! mails are pinned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::{EventDefinitionId, SenderId, TemplateId, TemplateVersionId, TopicId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Watch;
use crate::segments::{Condition, Needs, Size};

/// The name of a node, unique in its workflow: letters, digits, `_` and `-`, at most 64.
pub type NodeName = String;

/// Nodes that a workflow may have.
pub const NODES_MAX: usize = 500;
/// Octets that a definition may have as JSON.
pub const DEFINITION_MAX: usize = 500_000;
/// Basis points of all variants together.
pub const BASIS_POINTS: u32 = 10_000;

/// A workflow's definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What starts people.
    pub trigger: Trigger,
    /// Who may enter again.
    #[serde(default)]
    pub reentry: Reentry,
    /// What the workflow is for: whoever does it is done, at once (A3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<End>,
    /// What else ends somebody's way at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<End>,
    /// The node people enter at.
    pub start: NodeName,
    /// All nodes.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// The event that starts people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name.
    pub event: String,
    /// Set when published: the event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub event_id: Option<EventDefinitionId>,
    /// All of these must hold of its properties.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<PropertyFilter>,
    /// Events that arrive more than 72 hours late start somebody, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_late: bool,
    /// The property that tells one entry of a person from another, such as a cart's id; without it a person is one entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_key: Option<String>,
}

/// A test of one property of an event; a missing property passes none but `is_missing`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyFilter {
    /// Its name.
    pub property: String,
    /// What of it.
    pub test: crate::segments::AttributeTest,
}

/// Who may enter again under the same entry key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reentry {
    /// Nobody.
    #[default]
    Never,
    /// Who is out again.
    AfterExit,
    /// Who is out again, and entered at least so long ago.
    AfterInterval {
        /// Seconds since the last entry.
        seconds: u64,
    },
}

/// What ends somebody's way at once, wherever they wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// An event.
    Event {
        /// Its name.
        event: String,
        /// Set when published: the event's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        event_id: Option<EventDefinitionId>,
        /// All of these must hold of its properties.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        filter: Vec<PropertyFilter>,
    },
    /// A condition, true in any instant of the way (A3.2).
    Condition {
        /// Which.
        condition: Condition,
    },
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Node {
    /// Asks for a mail; the gate decides whether it goes.
    Send {
        /// Which template.
        #[schemars(with = "String")]
        template: TemplateId,
        /// Who sends.
        #[schemars(with = "String")]
        sender: SenderId,
        /// About what; marketing must say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        topic: Option<TopicId>,
        /// Set when published: the version of each locale.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[schemars(with = "BTreeMap<String, String>")]
        content: BTreeMap<String, TemplateVersionId>,
        /// Set when published: one of them uses the properties of the event that started the way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        uses_event: bool,
        /// Where it goes on.
        next: Option<NodeName>,
    },
    /// Waits for a time.
    WaitFor {
        /// Seconds, at most two years.
        seconds: u64,
        /// Where it goes on.
        next: Option<NodeName>,
    },
    /// Waits for the next time of day in the contact's zone, or the tenant's (C-178).
    WaitUntil {
        /// Hours and minutes, `09:30`.
        time: String,
        /// Where it goes on.
        next: Option<NodeName>,
    },
    /// Asks a condition.
    Branch {
        /// Which.
        condition: Condition,
        /// If it holds.
        then: Option<NodeName>,
        /// If not.
        otherwise: Option<NodeName>,
        /// If nobody can know, for the person is not tracked; needed where that can be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unknown: Option<NodeName>,
    },
    /// Splits people by chance that stays with their address (C-183).
    Split {
        /// Two to eight, together 10,000 basis points.
        variants: Vec<Variant>,
        /// The event that counts as success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversion: Option<Conversion>,
    },
    /// Changes the contact.
    Update {
        /// Attributes to set; null clears.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        set: BTreeMap<String, Json>,
        /// Tags to add.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        add_tags: Vec<String>,
        /// Tags to remove.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove_tags: Vec<String>,
        /// Where it goes on.
        next: Option<NodeName>,
    },
    /// Ends the way.
    Exit {
        /// Why, for the counts; `completed` if nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// One variant of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, unique in the split.
    pub label: String,
    /// Its share in basis points.
    pub weight_bp: u32,
    /// Set when published: which of the 10,000 buckets are its own, as half-open ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<(u32, u32)>,
    /// Where it goes on.
    pub next: Option<NodeName>,
}

/// What counts as success of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// The event's name.
    pub event: String,
    /// Set when published: the event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub event_id: Option<EventDefinitionId>,
    /// Seconds after the exposure in which it counts.
    pub within_seconds: u64,
}

/// What a definition looks like, for editors and generators: a JSON Schema of draft 2020-12. What `check` says comes on top.
pub fn definition_schema() -> Json {
    schemars::schema_for!(Definition).to_value()
}

impl Node {
    /// The stable name of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::WaitFor { .. } => "wait_for",
            Self::WaitUntil { .. } => "wait_until",
            Self::Branch { .. } => "branch",
            Self::Split { .. } => "split",
            Self::Update { .. } => "update",
            Self::Exit { .. } => "exit",
        }
    }

    /// True where people stay until something happens or time passes.
    pub const fn waits(&self) -> bool {
        matches!(self, Self::WaitFor { .. } | Self::WaitUntil { .. })
    }

    /// The nodes it may lead to, in order, with the name of each way; none where a way ends in the air.
    pub fn ways(&self) -> Vec<(&str, Option<&NodeName>)> {
        match self {
            Self::Send { next, .. }
            | Self::WaitFor { next, .. }
            | Self::WaitUntil { next, .. }
            | Self::Update { next, .. } => vec![("next", next.as_ref())],
            Self::Branch { then, otherwise, unknown, condition } => {
                let mut ways = vec![("then", then.as_ref()), ("otherwise", otherwise.as_ref())];
                if condition.may_be_unknown() || unknown.is_some() {
                    ways.push(("unknown", unknown.as_ref()));
                }
                ways
            }
            Self::Split { variants, .. } => {
                variants.iter().map(|variant| (variant.label.as_str(), variant.next.as_ref())).collect()
            }
            Self::Exit { .. } => Vec::new(),
        }
    }
}

impl Definition {
    /// The conditions that end ways.
    fn end_conditions(&self) -> impl Iterator<Item = &Condition> {
        self.goal.iter().chain(&self.exits).filter_map(|end| match end {
            End::Condition { condition } => Some(condition),
            End::Event { .. } => None,
        })
    }

    /// How much is asked of whom it concerns: by what starts and ends ways, and by each node that asks.
    pub fn sizes(&self) -> impl Iterator<Item = (Option<&NodeName>, Size)> {
        let filters = |filter: &[PropertyFilter]| filter.iter().map(|one| one.test.size()).sum::<Size>();
        let end = |end: &End| match end {
            End::Event { filter, .. } => filters(filter),
            End::Condition { condition } => condition.size(),
        };
        let whole = [filters(&self.trigger.filter)].into_iter().chain(self.goal.iter().chain(&self.exits).map(end));
        let nodes = self.nodes.iter().filter_map(|(name, node)| match node {
            Node::Branch { condition, .. } => Some((Some(name), condition.size())),
            _ => None,
        });
        std::iter::once((None, whole.sum::<Size>())).chain(nodes)
    }

    /// What must be known to ask whether a way ends.
    pub fn needs_of_ends(&self) -> Needs {
        self.end_conditions().fold(Needs::default(), |all, condition| all.union(condition.needs()))
    }

    /// What must be known to move people.
    pub fn needs(&self) -> Needs {
        let branches = self.nodes.values().filter_map(|node| match node {
            Node::Branch { condition, .. } => Some(condition),
            _ => None,
        });
        branches.fold(self.needs_of_ends(), |all, condition| all.union(condition.needs()))
    }

    /// The splits, by name.
    pub fn splits(&self) -> impl Iterator<Item = (&NodeName, &Vec<Variant>, Option<&Conversion>)> {
        self.nodes.iter().filter_map(|(name, node)| match node {
            Node::Split { variants, conversion } => Some((name, variants, conversion.as_ref())),
            _ => None,
        })
    }

    /// Names of all events that it is about.
    pub fn event_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.needs().events.into_keys().collect();
        names.insert(self.trigger.event.clone());
        names.extend(self.goal.iter().chain(&self.exits).filter_map(|end| match end {
            End::Event { event, .. } => Some(event.clone()),
            End::Condition { .. } => None,
        }));
        names.extend(self.splits().filter_map(|(_, _, conversion)| conversion.map(|one| one.event.clone())));
        names
    }

    /// What it listens to, once it is published: its trigger, and whatever may end a way.
    pub fn watches(&self, events: &HashMap<String, EventDefinitionId>) -> BTreeSet<Watch> {
        let mut watches = BTreeSet::new();
        watches.extend(self.trigger.event_id.map(|event| Watch { event: Some(event), starts: true }));
        for end in self.goal.iter().chain(&self.exits) {
            if let End::Event { event_id: Some(event), .. } = end {
                watches.insert(Watch { event: Some(*event), starts: false });
            }
        }
        let needs = self.needs_of_ends();
        let named = needs.events.keys().filter_map(|name| events.get(name));
        watches.extend(named.map(|event| Watch { event: Some(*event), starts: false }));
        if !(needs.attributes.is_empty() && needs.tags.is_empty() && needs.topics.is_empty()) {
            watches.insert(Watch { event: None, starts: false });
        }
        watches
    }
}
