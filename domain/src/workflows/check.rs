//! Whether a definition may be published: every finding with its node, how bad it is, and what to do about it. Pure.
//!
//! A definition that has no error always brings everybody to an end or to a wait: no way leads nowhere, and every circle
//! has a wait in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::{BrandId, EventDefinitionId, SenderId, TemplateId, TopicId};
use serde_json::Value as Json;

use super::local_time::TimeOfDay;
use super::{BASIS_POINTS, Definition, End, Node, PropertyFilter, Reentry, Variant};
use crate::contacts::events::KnownProperties;
use crate::contacts::{AttributeKind, AttributeValue, Definitions, Tag};
use crate::error::Refusal;
use crate::messaging::{MessageClass, UsableTemplate};
use crate::segments::{Condition, MailDid};

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

    fn filters(&mut self, event: &str, filters: &[PropertyFilter]) {
        if filters.len() > 20 {
            return self.error(None, "TOO_MANY_FILTERS", "More than 20 properties are tested.", "Test fewer.");
        }
        for filter in filters {
            self.property(event, &filter.property);
            // A property is tested as an attribute is; whatever its name.
            let as_condition = Condition::Attribute { name: "property".to_owned(), test: filter.test.clone() };
            if let Some(why) = as_condition.check().into_iter().next() {
                let message = format!("The test of \"{}\" cannot be used: {}", filter.property, why.message);
                self.error(None, "FILTER_UNUSABLE", message, "Compare with values of one kind.");
            } else {
                self.filter_kind(event, filter);
            }
        }
    }

    /// What is learned of a property binds nobody, and text may be a day: only a declared kind is held against the test.
    fn filter_kind(&mut self, event: &str, filter: &PropertyFilter) {
        let known = self.known.events.get(event).and_then(|id| self.known.properties.get(id));
        let declared = known.and_then(|known| known.get(&filter.property)).filter(|one| one.is_declared);
        if let Some(kind) = declared.and_then(|one| one.kind.attribute_kind())
            && !filter.test.fits(kind)
        {
            let message = format!("\"{}\" of \"{event}\" is declared as {}.", filter.property, kind.as_str());
            self.error(None, "FILTER_KIND", message, KIND);
        }
    }

    /// Events may have properties that nobody declared: only where some are declared is another one a mistake.
    fn property(&mut self, event: &str, property: &str) {
        let known = self.known.events.get(event).and_then(|id| self.known.properties.get(id));
        if known.is_some_and(|known| known.contains_key(property)) {
            return;
        }
        let is_declared = known.is_some_and(|known| known.values().any(|one| one.is_declared));
        let message = format!("No property \"{property}\" of \"{event}\" was declared or seen.");
        let finding = error(None, "PROPERTY_UNKNOWN", message, "Declare it, or check its spelling.");
        let severity = if is_declared { Severity::Error } else { Severity::Warning };
        self.findings.push(Finding { severity, ..finding });
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

    fn condition(&mut self, node: Option<&str>, condition: &Condition) {
        let unusable = condition.check();
        if !unusable.is_empty() {
            for why in unusable.into_iter().take(10) {
                let message = format!("In the condition, at \"{}\": {}", why.field, why.message);
                self.error(node, "CONDITION_UNUSABLE", message, "Mend it.");
            }
            return;
        }
        let needs = condition.needs();
        for name in &needs.attributes {
            if !name.starts_with("contact.") && self.known.attributes.get(name).is_none() {
                self.attribute_unknown(node, name);
            }
        }
        for leaf in condition.leaves() {
            if let Condition::Attribute { name, test } = leaf
                && let Some(kind) = self.known.attributes.get(name).map(|one| one.kind)
                && !test.fits(kind)
            {
                let message = format!("In the condition, \"{name}\" is a {}.", kind.as_str());
                self.error(node, "CONDITION_KIND", message, KIND);
            }
        }
        for topic in &needs.topics {
            if !self.known.topics.contains_key(topic) {
                let message = "The condition names a topic that is not there.";
                self.error(node, "TOPIC_UNKNOWN", message, "Choose one of the tenant's topics.");
            }
        }
        for name in needs.events.keys() {
            self.event(node, name);
        }
        for (mail, _) in &needs.mails {
            self.mail(node, mail);
        }
    }

    /// A condition on a mail names the node that sends it.
    fn mail(&mut self, node: Option<&str>, mail: &str) {
        if !matches!(self.definition.nodes.get(mail), Some(Node::Send { .. })) {
            let message = format!("The condition asks about a mail of \"{mail}\", which is no node that sends.");
            self.error(node, "MAIL_UNKNOWN", message, "Name a node that sends.");
        }
    }

    /// Ways that lead nowhere, nodes nobody comes to, circles in which nobody waits.
    fn shape(&mut self) {
        let definition = self.definition;
        for (name, node) in &definition.nodes {
            for (way, next) in node.ways() {
                match next {
                    None => {
                        let message = format!("The way \"{way}\" ends in the air.");
                        self.error(Some(name), "DEAD_END", message, "Lead it to a node; an exit ends a way.");
                    }
                    Some(next) if !definition.nodes.contains_key(next) => {
                        let message = format!("The way \"{way}\" leads to \"{next}\", which is no node.");
                        self.error(Some(name), "WAY_UNKNOWN", message, "Lead it to one of the nodes.");
                    }
                    Some(_) => {}
                }
            }
        }
        let reached = Self::reached(definition);
        let lost: Vec<&String> = definition.nodes.keys().filter(|name| !reached.contains(name.as_str())).collect();
        for name in lost {
            let finding =
                error(Some(name), "UNREACHABLE", "Nobody comes to this node.", "Lead a way to it, or remove it.");
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
        if let Some(name) = self.circle() {
            let fix = "Put a wait into the circle.";
            self.error(Some(&name), "CIRCLE_WITHOUT_WAIT", "People would go round here without end.", fix);
        }
    }

    fn next_of<'a>(definition: &'a Definition, name: &str) -> Vec<&'a str> {
        let ways = definition.nodes.get(name).map(Node::ways).unwrap_or_default();
        ways.into_iter().filter_map(|(_, next)| next.map(String::as_str)).collect()
    }

    fn reached(definition: &Definition) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![definition.start.as_str()];
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(Self::next_of(definition, name));
            }
        }
        reached
    }

    /// A node of a circle without a wait: what is left when nodes that lead only out are taken away again and again.
    fn circle(&self) -> Option<String> {
        let is_instant = |name: &str| self.definition.nodes.get(name).is_some_and(|node| !node.waits());
        let instant: Vec<&str> =
            self.definition.nodes.keys().map(String::as_str).filter(|name| is_instant(name)).collect();
        let mut into: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut ways_out: HashMap<&str, usize> = HashMap::new();
        for name in &instant {
            let next: BTreeSet<&str> =
                Self::next_of(self.definition, name).into_iter().filter(|next| is_instant(next)).collect();
            ways_out.insert(*name, next.len());
            for next in next {
                into.entry(next).or_default().push(*name);
            }
        }
        let mut done: Vec<&str> = instant.iter().copied().filter(|name| ways_out[name] == 0).collect();
        let mut taken = 0;
        while let Some(name) = done.pop() {
            taken += 1;
            for before in into.get(name).into_iter().flatten() {
                if let Some(left) = ways_out.get_mut(before) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(*before);
                    }
                }
            }
        }
        if taken == instant.len() {
            return None;
        }
        instant.iter().find(|name| ways_out[**name] > 0).map(|name| (*name).to_owned())
    }
}

const RANGE: &str = "It may be one second to two years.";
const KIND: &str = "Compare with values of its kind; only numbers and dates have an order, and only text a beginning.";

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
