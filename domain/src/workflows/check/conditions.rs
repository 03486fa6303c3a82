//! What a definition tests: properties of events, and conditions on people.

use super::{Check, Finding, Severity, error};
use crate::segments::Condition;
use crate::workflows::{Node, PropertyFilter};

const KIND: &str = "Compare with values of its kind; only numbers and dates have an order, and only text a beginning.";

impl Check<'_> {
    pub(super) fn filters(&mut self, event: &str, filters: &[PropertyFilter]) {
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
    pub(super) fn property(&mut self, event: &str, property: &str) {
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

    pub(super) fn condition(&mut self, node: Option<&str>, condition: &Condition) {
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
}
