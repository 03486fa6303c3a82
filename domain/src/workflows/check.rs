//! Whether a definition may be published: every finding with its node, how bad it is, and what to do about it. Pure.
//!
//! A definition that has no error always brings everybody to an end or to a wait: no way leads nowhere, and every circle
//! has a wait in it.

mod conditions;
mod shape;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::{BrandId, EventDefinitionId, SenderId, TemplateId, TopicId};
use serde_json::Value as Json;

use super::local_time::TimeOfDay;
use super::{BASIS_POINTS, Definition, End, Node, Reentry, Variant};
use crate::contacts::events::KnownProperties;
use crate::contacts::{AttributeKind, AttributeValue, Definitions, Tag};
use crate::error::Refusal;
use crate::messaging::{MessageClass, UsableTemplate};
use crate::segments::MailDid;

/// The longest wait and the longest window: two years.
pub const WAIT_MAX_SECONDS: u64 = 2 * 366 * 86_400;
/// The longest name of a node, a variant or a reason.
const NAME_MAX: usize = 64;
/// The most findings that are told at once.
pub(super) const FINDINGS_MAX: usize = 100;
/// The most exits beside the goal: they are asked at every change of every person.
const EXITS_MAX: usize = 20;

text_code! {
    /// How bad a finding is.
    pub enum Severity {
        /// It cannot be published like this.
        Error = "error",
        /// It can, and may not be what was meant.
        Warning = "warning",
    }
}

/// Something wrong with, or doubtful in, a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The node; none where it concerns the whole.
    pub node: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// Stable upper-case code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: &'static str,
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        let field = finding.node.map_or("definition".to_owned(), |node| format!("definition.nodes.{node}"));
        Self::new(finding.code, field, format!("{} {}", finding.message, finding.fix))
    }
}

/// What the tenant has of what definitions name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Events by name.
    pub events: HashMap<String, EventDefinitionId>,
    /// What is known of their properties.
    pub properties: HashMap<EventDefinitionId, KnownProperties>,
    /// Declared attributes.
    pub attributes: Definitions,
    /// Topics and their brands.
    pub topics: HashMap<TopicId, BrandId>,
    /// Senders and their brands.
    pub senders: HashMap<SenderId, BrandId>,
    /// Templates.
    pub templates: HashMap<TemplateId, UsableTemplate>,
}

/// All findings about a definition, errors first.
pub(crate) fn check(definition: &Definition, known: &Known) -> Vec<Finding> {
    let mut check = Check { definition, known, findings: Vec::new() };
    check.whole();
    for (name, node) in &definition.nodes {
        check.node(name, node);
    }
    check.shape();
    let mut findings = check.findings;
    findings.sort_by_key(|finding| finding.severity);
    findings.truncate(FINDINGS_MAX);
    findings
}

pub(super) fn error(node: Option<&str>, code: &'static str, message: impl Into<String>, fix: &'static str) -> Finding {
    Finding { node: node.map(str::to_owned), severity: Severity::Error, code, message: message.into(), fix }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

struct Check<'a> {
    definition: &'a Definition,
    known: &'a Known,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn error(&mut self, node: Option<&str>, code: &'static str, message: impl Into<String>, fix: &'static str) {
        self.findings.push(error(node, code, message, fix));
    }

    fn whole(&mut self) {
        let definition = self.definition;
        if !definition.nodes.contains_key(&definition.start) {
            let message = format!("People enter at \"{}\", which is no node.", definition.start);
            self.error(None, "START_UNKNOWN", message, "Name one of the nodes.");
        }
        self.event(None, &definition.trigger.event);
        self.filters(&definition.trigger.event, &definition.trigger.filter);
        if let Some(property) = &definition.trigger.entry_key {
            self.property(&definition.trigger.event, property);
        }
        if definition.exits.len() > EXITS_MAX {
            let message = format!("It has {} exits, and {EXITS_MAX} are allowed.", definition.exits.len());
            self.error(None, "TOO_MANY_EXITS", message, "Join conditions with \"or\".");
        }
        if let Reentry::AfterInterval { seconds } = definition.reentry
            && !(1..=WAIT_MAX_SECONDS).contains(&seconds)
        {
            self.error(None, "INTERVAL_OUT_OF_RANGE", "The re-entry interval is too short or too long.", RANGE);
        }
        for end in definition.goal.iter().chain(&definition.exits) {
            match end {
                End::Event { event, filter, .. } => {
                    self.event(None, event);
                    self.filters(event, filter);
                }
                End::Condition { condition } => self.condition(None, condition),
            }
        }
    }

    fn node(&mut self, name: &str, node: &Node) {
        if !is_name(name) {
            let fix = "Use letters, digits, _ and -, at most 64.";
            self.error(Some(name), "NODE_NAME", "This is no name for a node.", fix);
        }
        match node {
            Node::Send { template, sender, topic, .. } => self.send(name, *template, *sender, *topic),
            Node::WaitFor { seconds, .. } if !(1..=WAIT_MAX_SECONDS).contains(seconds) => {
                self.error(Some(name), "WAIT_OUT_OF_RANGE", "This wait is too short or too long.", RANGE);
            }
            Node::WaitUntil { time, .. } if TimeOfDay::parse(time).is_none() => {
                let message = format!("\"{time}\" is no time of day.");
                self.error(Some(name), "TIME_UNREADABLE", message, "Write it as 09:30.");
            }
            Node::Branch { condition, .. } => self.condition(Some(name), condition),
            Node::Split { variants, conversion } => {
                self.split(name, variants);
                if let Some(conversion) = conversion {
                    self.event(Some(name), &conversion.event);
                    if !(1..=WAIT_MAX_SECONDS).contains(&conversion.within_seconds) {
                        self.error(Some(name), "WINDOW_OUT_OF_RANGE", "The window is too short or too long.", RANGE);
                    }
                }
            }
            Node::Update { set, add_tags, remove_tags, .. } => self.update(name, set, add_tags, remove_tags),
            Node::Exit { reason: Some(reason) } if !is_name(reason) => {
                let fix = "Use letters, digits, _ and -, at most 64.";
                self.error(Some(name), "REASON_NAME", "This is no name for a reason.", fix);
            }
            Node::Exit { .. } | Node::WaitFor { .. } | Node::WaitUntil { .. } => {}
        }
    }

    fn event(&mut self, node: Option<&str>, name: &str) {
        if !self.known.events.contains_key(name) {
            let message = format!("No event \"{name}\" was declared or seen.");
            self.error(node, "EVENT_UNKNOWN", message, "Declare it, or check its spelling.");
        }
    }

    fn send(&mut self, name: &str, template: TemplateId, sender: SenderId, topic: Option<TopicId>) {
        let brand = self.known.senders.get(&sender);
        if brand.is_none() {
            self.error(Some(name), "SENDER_UNKNOWN", "There is no such sender.", "Choose one of the tenant's senders.");
        }
        let Some(template) = self.known.templates.get(&template) else {
            let fix = "Choose one of the tenant's templates.";
            return self.error(Some(name), "TEMPLATE_UNKNOWN", "There is no such template.", fix);
        };
        if template.content.is_empty() {
            let message = "The template has no published version.";
            self.error(Some(name), "TEMPLATE_UNPUBLISHED", message, "Publish one.");
        }
        let trigger = self.known.events.get(&self.definition.trigger.event);
        if template.content.values().filter_map(|(_, event)| event.as_ref()).any(|event| Some(event) != trigger) {
            let message = "The template uses properties of an event that does not start this workflow.";
            self.error(Some(name), "TEMPLATE_EVENT", message, "Use a template of the trigger's event.");
        }
        match (template.class, topic) {
            (MessageClass::Marketing, None) => {
                self.error(Some(name), "TOPIC_REQUIRED", "Marketing needs a topic.", "Say what it is about.");
            }
            (MessageClass::Transactional, Some(_)) => {
                let message = "Transactional messages have no topic.";
                self.error(Some(name), "TOPIC_NOT_ALLOWED", message, "Leave it out.");
            }
            (MessageClass::Marketing, Some(topic)) => match self.known.topics.get(&topic) {
                None => {
                    self.error(Some(name), "TOPIC_UNKNOWN", "There is no such topic.", "Choose one of the tenant's.");
                }
                Some(of) if brand.is_some_and(|brand| brand != of) => {
                    let message = "Topic and sender are of different brands.";
                    self.error(Some(name), "BRAND_MISMATCH", message, "Choose a topic of the sender's brand.");
                }
                Some(_) => {}
            },
            (MessageClass::Transactional, None) => {}
        }
    }

    fn split(&mut self, name: &str, variants: &[Variant]) {
        if !(2..=8).contains(&variants.len()) {
            self.error(Some(name), "VARIANTS", "A split has two to eight variants.", "Add or remove some.");
        }
        let labels: BTreeSet<&str> = variants.iter().map(|variant| variant.label.as_str()).collect();
        if labels.len() < variants.len() || !labels.iter().all(|label| is_name(label)) {
            let fix = "Use letters, digits, _ and -, at most 64, and each once.";
            self.error(Some(name), "VARIANT_LABELS", "The labels of the variants cannot be used.", fix);
        }
        let sum: u64 = variants.iter().map(|variant| u64::from(variant.weight_bp)).sum();
        if sum != u64::from(BASIS_POINTS) {
            let message = format!("The weights sum to {sum} basis points.");
            self.error(Some(name), "WEIGHTS", message, "Let them sum to 10000.");
        }
    }

    fn update(&mut self, name: &str, set: &BTreeMap<String, Json>, add: &[String], remove: &[String]) {
        for (attribute, value) in set {
            let Some(kind) = self.known.attributes.get(attribute).map(|one| one.kind) else {
                self.attribute_unknown(Some(name), attribute);
                continue;
            };
            if !value.is_null() && !is_of(kind, value) {
                let message = format!("\"{attribute}\" takes a {}.", kind.as_str());
                self.error(Some(name), "ATTRIBUTE_KIND", message, "Give a value of its kind, or null to clear it.");
            }
        }
        for tag in add.iter().chain(remove) {
            if Tag::parse(tag).is_err() {
                self.error(Some(name), "TAG", "This is no tag.", "A tag is one line of at most 100 characters.");
            }
        }
        if set.is_empty() && add.is_empty() && remove.is_empty() {
            let finding = error(Some(name), "UPDATE_EMPTY", "This node changes nothing.", "Say what it sets.");
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
    }

    fn attribute_unknown(&mut self, node: Option<&str>, name: &str) {
        let message = format!("No attribute \"{name}\" is declared.");
        self.error(node, "ATTRIBUTE_UNKNOWN", message, "Declare it, or check its spelling.");
    }
}

const RANGE: &str = "It may be one second to two years.";

fn is_of(kind: AttributeKind, value: &Json) -> bool {
    AttributeValue::from_json(kind, value).is_ok()
}

/// The mails that a definition's conditions ask about.
pub fn mails_asked(definition: &Definition) -> BTreeSet<(String, MailDid)> {
    let branches = definition.nodes.values().filter_map(|node| match node {
        Node::Branch { condition, .. } => Some(condition),
        _ => None,
    });
    let ends = definition.goal.iter().chain(&definition.exits).filter_map(|end| match end {
        End::Condition { condition } => Some(condition),
        End::Event { .. } => None,
    });
    branches.chain(ends).flat_map(|condition| condition.needs().mails).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
