//! What is wrong with a condition, whatever the tenant has declared: its size, its names, its values.

use serde_json::Value as Json;

use super::value::ContactField;
use super::{AttributeTest, Condition};
use crate::contacts::events::EventName;
use crate::contacts::{AttributeKind, AttributeName, AttributeValue, EmailAddress, Tag};
use crate::error::Refusal;

impl Condition {
    /// How deep it may be.
    pub const DEPTH_MAX: usize = 20;
    /// Leaves it may have.
    pub const LEAVES_MAX: usize = 200;
    /// How often something may have to be done.
    pub const COUNT_MAX: u32 = 1_000;
    /// Values that an `in` may have.
    pub const VALUES_MAX: usize = 500;
    /// Values of all its leaves together: each is bound, and databases have limits.
    pub const ALL_VALUES_MAX: usize = 2_000;
    /// Seconds of the longest window: ten years.
    pub const WINDOW_MAX: u64 = 315_576_000;

    /// What is wrong with it; each finding's field is the place in its JSON, such as `of.0.test.value`. One that is too
    /// large is not looked at any further.
    pub fn check(&self) -> Vec<Refusal> {
        let size = self.size();
        let too_large = |what, most| Refusal::new("TOO_LARGE", "", format!("A condition has at most {most} {what}."));
        if size.leaves > Self::LEAVES_MAX {
            return vec![too_large("leaves", Self::LEAVES_MAX)];
        }
        if size.values > Self::ALL_VALUES_MAX {
            return vec![too_large("values", Self::ALL_VALUES_MAX)];
        }
        let mut check = Check::default();
        check.visit(self, 1);
        check.findings
    }

    /// How much there is to ask. A group of nothing counts as a leaf, so nothing that is small here has many parts.
    pub fn size(&self) -> Size {
        match self {
            Self::And { of } | Self::Or { of } if !of.is_empty() => of.iter().map(Self::size).sum(),
            Self::Not { of } => of.size(),
            Self::Attribute { test, .. } => test.size(),
            _ => Size { leaves: 1, values: 0 },
        }
    }
}

impl AttributeTest {
    /// The same of one test.
    pub fn size(&self) -> Size {
        let values = match self {
            Self::In { values } => values.len(),
            Self::IsMissing => 0,
            Self::Equals { .. } | Self::Less { .. } | Self::Greater { .. } | Self::StartsWith { .. } => 1,
        };
        Size { leaves: 1, values }
    }
}

/// How much there is to ask of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Leaves.
    pub leaves: usize,
    /// Values that they compare with.
    pub values: usize,
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes
            .fold(Self::default(), |all, one| Self { leaves: all.leaves + one.leaves, values: all.values + one.values })
    }
}

/// How far the check has come.
#[derive(Default)]
struct Check {
    path: Vec<String>,
    findings: Vec<Refusal>,
}

impl Check {
    fn visit(&mut self, condition: &Condition, depth: usize) {
        if depth > Condition::DEPTH_MAX {
            let message = format!("A condition is at most {} deep.", Condition::DEPTH_MAX);
            return self.find("TOO_DEEP", "", message);
        }
        match condition {
            Condition::And { of } | Condition::Or { of } => {
                for (place, one) in of.iter().enumerate() {
                    self.within(&format!("of.{place}"), |check| check.visit(one, depth + 1));
                }
            }
            Condition::Not { of } => self.within("of", |check| check.visit(of, depth + 1)),
            leaf => self.leaf(leaf),
        }
    }

    fn within(&mut self, place: &str, visit: impl FnOnce(&mut Self)) {
        self.path.push(place.to_owned());
        visit(self);
        self.path.pop();
    }

    fn find(&mut self, code: &'static str, place: &str, message: impl Into<String>) {
        let place = (!place.is_empty()).then_some(place);
        let path: Vec<&str> = self.path.iter().map(String::as_str).chain(place).collect();
        self.findings.push(Refusal::new(code, path.join("."), message));
    }

    fn leaf(&mut self, leaf: &Condition) {
        match leaf {
            Condition::Attribute { name, test } => {
                let field: Option<ContactField> = name.parse().ok();
                if field.is_none() && AttributeName::parse(name).is_err() {
                    self.find(
                        "INVALID_NAME",
                        "name",
                        "This is neither an attribute's name nor `contact.` and a field's.",
                    );
                }
                self.within("test", |check| check.test(test, field));
            }
            Condition::Tag { tag } => {
                if Tag::parse(tag).map_or(true, |parsed| parsed.as_str() != tag) {
                    self.find("INVALID_NAME", "tag", "This is not a tag.");
                }
            }
            Condition::Event { name, at_least, at_most, within } => {
                if EventName::parse(name).map_or(true, |parsed| parsed.as_str() != name) {
                    self.find("INVALID_NAME", "name", "This is not an event's name.");
                }
                if *at_least > Condition::COUNT_MAX || at_most.is_some_and(|most| most > Condition::COUNT_MAX) {
                    let message = format!("A count is at most {}.", Condition::COUNT_MAX);
                    self.find("INVALID_COUNT", "at_least", message);
                }
                if at_most.is_some_and(|most| most < *at_least) {
                    self.find("INVALID_COUNT", "at_most", "At most is less than at least: nobody could pass.");
                }
                if within.is_some_and(|window| !(1..=Condition::WINDOW_MAX).contains(&window.seconds)) {
                    self.find("INVALID_WINDOW", "within.seconds", "A window is one second to ten years long.");
                }
            }
            Condition::Mail { node, .. } => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                if node.is_empty() || node.len() > 64 || !node.bytes().all(plain) {
                    self.find("INVALID_NAME", "node", "This is not a node's name.");
                }
            }
            Condition::Topic { .. } | Condition::And { .. } | Condition::Or { .. } | Condition::Not { .. } => {}
        }
    }

    fn test(&mut self, test: &AttributeTest, field: Option<ContactField>) {
        match test {
            AttributeTest::IsMissing => {}
            AttributeTest::Equals { value } => self.value("value", value, field),
            AttributeTest::In { values } => {
                if values.is_empty() || values.len() > Condition::VALUES_MAX {
                    let message = format!("There are 1 to {} values.", Condition::VALUES_MAX);
                    return self.find("INVALID_VALUE", "values", message);
                }
                for (place, value) in values.iter().enumerate() {
                    self.value(&format!("values.{place}"), value, field);
                }
                let first = values.first().map(std::mem::discriminant);
                if values.iter().any(|value| Some(std::mem::discriminant(value)) != first) {
                    self.find("INVALID_VALUE", "values", "The values are not of one kind.");
                }
            }
            AttributeTest::Less { value } | AttributeTest::Greater { value } => {
                let kinds = [AttributeKind::Number, AttributeKind::Date];
                if kinds.iter().all(|kind| AttributeValue::from_json(*kind, value).is_err()) {
                    self.find("INVALID_VALUE", "value", "Only numbers and days such as 2026-11-22 have an order.");
                } else if field.is_some() {
                    self.find("INVALID_VALUE", "value", "A field is text, which has no order.");
                }
            }
            AttributeTest::StartsWith { value } => self.value("value", &Json::from(value.as_str()), None),
        }
    }

    fn value(&mut self, place: &str, value: &Json, field: Option<ContactField>) {
        let text = AttributeValue::from_json(AttributeKind::String, value);
        let other = matches!(value, Json::Bool(_) | Json::Number(_)) && field.is_none();
        if text.is_err() && !other {
            return self.find("INVALID_VALUE", place, "This is not a value of such an attribute.");
        }
        let address = |text: &str| EmailAddress::parse(text).is_ok_and(|email| email.norm() == text);
        if field == Some(ContactField::Email) && !value.as_str().is_some_and(address) {
            self.find("INVALID_VALUE", place, "This is not an address in lower case, as it is compared.");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(json: Json) -> Vec<(&'static str, String)> {
        let condition: Condition = serde_json::from_value(json).expect("a condition");
        condition.check().into_iter().map(|one| (one.code, one.field)).collect()
    }

    #[test]
    fn each_finding_names_its_place() {
        let attribute = |name: &str, test: Json| json!({"kind": "attribute", "name": name, "test": test});
        let found = findings(json!({"kind": "and", "of": [
            attribute("Plan!", json!({"op": "is_missing"})),
            {"kind": "not", "of": attribute("plan", json!({"op": "in", "values": ["a", 1]}))},
            attribute("plan", json!({"op": "less", "value": "soon"})),
            attribute("contact.email", json!({"op": "equals", "value": "Ada@Example.org"})),
            attribute("plan", json!({"op": "equals", "value": {"a": 1}})),
            {"kind": "event", "name": "a\nb", "at_least": 2, "at_most": 1, "within": {"seconds": 0}},
            {"kind": "tag", "tag": "a,b"},
            {"kind": "mail", "node": "", "did": "opened"},
        ]}));
        let wanted = [
            ("INVALID_NAME", "of.0.name"),
            ("INVALID_VALUE", "of.1.of.test.values"),
            ("INVALID_VALUE", "of.2.test.value"),
            ("INVALID_VALUE", "of.3.test.value"),
            ("INVALID_VALUE", "of.4.test.value"),
            ("INVALID_NAME", "of.5.name"),
            ("INVALID_COUNT", "of.5.at_most"),
            ("INVALID_WINDOW", "of.5.within.seconds"),
            ("INVALID_NAME", "of.6.tag"),
            ("INVALID_NAME", "of.7.node"),
        ];
        assert_eq!(found, wanted.map(|(code, field)| (code, field.to_owned())));
    }

    #[test]
    fn depth_and_size_have_an_end() {
        let tag = || Condition::Tag { tag: "vip".into() };
        let deep = |levels| (1..levels).fold(tag(), |of, _| Condition::Not { of: Box::new(of) });
        assert!(deep(Condition::DEPTH_MAX).check().is_empty());
        assert_eq!(deep(Condition::DEPTH_MAX + 1).check()[0].code, "TOO_DEEP");
        let wide = |leaves| Condition::And { of: (0..leaves).map(|_| tag()).collect() };
        assert!(wide(Condition::LEAVES_MAX).check().is_empty());
        assert_eq!(wide(Condition::LEAVES_MAX + 1).check()[0].code, "TOO_LARGE");
        let empty = |groups| Condition::Or { of: vec![Condition::And { of: vec![] }; groups] };
        assert!(empty(Condition::LEAVES_MAX).check().is_empty());
        assert_eq!(empty(Condition::LEAVES_MAX + 1).check().len(), 1, "groups of nothing are looked at, too");
        let many = |values| Condition::And {
            of: vec![
                Condition::Attribute {
                    name: "plan".into(),
                    test: AttributeTest::In { values: vec![json!("gold"); values] },
                };
                5
            ],
        };
        assert!(many(Condition::ALL_VALUES_MAX / 5).check().is_empty());
        assert_eq!(many(Condition::ALL_VALUES_MAX / 5 + 1).check()[0].code, "TOO_LARGE");
    }
}
