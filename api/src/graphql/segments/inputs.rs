//! Conditions as input: the one type of the domain, field by field, turned into it by one function.

use async_graphql::{Enum, ID, InputObject, OneofObject};
use carillon_domain::error::Refusal;
use carillon_domain::segments::{AttributeTest, Condition, MailDid, TopicTest, Window};
use serde_json::Value;

use crate::graphql::node::parse_id;

/// How a contact stands to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::segments::TopicTest", name = "TopicStanding")]
pub enum Standing {
    /// Marketing about the topic is granted.
    Subscribed,
    /// It is not: never agreed, taken back, objected or expired.
    NotSubscribed,
}

/// What somebody did with a mail, themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::segments::MailDid", name = "MailDeed")]
pub enum Deed {
    /// Opened it.
    Opened,
    /// Clicked a link of it.
    Clicked,
}

/// A test of an attribute. A missing value is never equal, less or greater and starts with nothing.
#[derive(Debug, Clone, OneofObject)]
pub enum AttributeTestInput {
    /// This value: text, a number, a boolean, or a day such as `2026-11-22`.
    Equals(Value),
    /// Any of these values, of one kind.
    In(Vec<Value>),
    /// Less than this number or day.
    Less(Value),
    /// Greater than this number or day.
    Greater(Value),
    /// Text that begins so, as it is written.
    StartsWith(String),
    /// Whether there is no value.
    IsMissing(bool),
}

/// A condition on an attribute or field.
#[derive(Debug, Clone, InputObject)]
pub struct AttributeConditionInput {
    /// A declared attribute's name, or `contact.first_name`, `contact.last_name`, `contact.email`, `contact.locale`,
    /// `contact.country`, `contact.zone`.
    pub name: String,
    /// What of it.
    pub test: AttributeTestInput,
}

/// A condition on consent.
#[derive(Debug, Clone, InputObject)]
pub struct TopicConditionInput {
    /// The topic.
    pub topic_id: ID,
    /// How the contact stands to it, by e-mail.
    pub is: Standing,
}

/// A condition on how often the contact did something.
#[derive(Debug, Clone, InputObject)]
pub struct EventConditionInput {
    /// The event's name.
    pub name: String,
    /// At least so often, 0 to 1,000.
    pub at_least: i32,
    /// At most so often; 0 for who has not done it.
    pub at_most: Option<i32>,
    /// In the last so many seconds, at most ten years; ever if nothing is said.
    pub within_seconds: Option<i64>,
}

/// A condition on a mail of the same workflow.
#[derive(Debug, Clone, InputObject)]
pub struct MailConditionInput {
    /// The node that sent it.
    pub node: String,
    /// What the contact did.
    pub did: Deed,
}

/// A condition on one contact, at most 20 deep and of at most 200 parts.
#[derive(Debug, Clone, OneofObject)]
pub enum ConditionInput {
    /// The contact has the tag.
    Tag(String),
    /// An attribute or field.
    Attribute(AttributeConditionInput),
    /// Consent.
    Topic(TopicConditionInput),
    /// How often the contact did something.
    Event(EventConditionInput),
    /// What the contact did with a mail; only inside a workflow.
    Mail(MailConditionInput),
    /// All of them; of none, yes.
    And(Vec<ConditionInput>),
    /// Any of them; of none, no.
    Or(Vec<ConditionInput>),
    /// The opposite.
    Not(Box<ConditionInput>),
}

impl ConditionInput {
    /// The condition, checked; refusals are under `field`.
    ///
    /// # Errors
    /// What [`Condition::check`] finds, and `NOT_FOUND` for a topic's id that is none.
    pub fn parse(self, field: &str) -> Result<Condition, Vec<Refusal>> {
        let condition = self.condition(field).map_err(|refusal| vec![refusal])?;
        let under = |refusal: Refusal| {
            let place = if refusal.field.is_empty() { field.to_owned() } else { format!("{field}.{}", refusal.field) };
            refusal.at(place)
        };
        let findings: Vec<Refusal> = condition.check().into_iter().map(under).collect();
        if findings.is_empty() { Ok(condition) } else { Err(findings) }
    }

    fn condition(self, field: &str) -> Result<Condition, Refusal> {
        let all = |of: Vec<Self>| of.into_iter().map(|one| one.condition(field)).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::Tag(tag) => Condition::Tag { tag },
            Self::Attribute(AttributeConditionInput { name, test }) => attribute(name, test),
            Self::Topic(TopicConditionInput { topic_id, is }) => {
                Condition::Topic { topic: parse_id(&topic_id, field)?, test: TopicTest::from(is) }
            }
            Self::Event(event) => of_event(event, field)?,
            Self::Mail(MailConditionInput { node, did }) => Condition::Mail { node, did: MailDid::from(did) },
            Self::And(of) => Condition::And { of: all(of)? },
            Self::Or(of) => Condition::Or { of: all(of)? },
            Self::Not(of) => Condition::Not { of: Box::new(of.condition(field)?) },
        })
    }
}

fn attribute(name: String, test: AttributeTestInput) -> Condition {
    let test = match test {
        AttributeTestInput::Equals(value) => AttributeTest::Equals { value },
        AttributeTestInput::In(values) => AttributeTest::In { values },
        AttributeTestInput::Less(value) => AttributeTest::Less { value },
        AttributeTestInput::Greater(value) => AttributeTest::Greater { value },
        AttributeTestInput::StartsWith(value) => AttributeTest::StartsWith { value },
        AttributeTestInput::IsMissing(true) => AttributeTest::IsMissing,
        AttributeTestInput::IsMissing(false) => {
            let of = Condition::Attribute { name, test: AttributeTest::IsMissing };
            return Condition::Not { of: Box::new(of) };
        }
    };
    Condition::Attribute { name, test }
}

fn of_event(event: EventConditionInput, field: &str) -> Result<Condition, Refusal> {
    let count = |count: i32| {
        u32::try_from(count).map_err(|_| Refusal::new("INVALID_COUNT", field, "A count is not less than 0."))
    };
    let window = |seconds: i64| {
        let refused = || Refusal::new("INVALID_WINDOW", field, "A window is one second to ten years long.");
        u64::try_from(seconds).map(|seconds| Window { seconds }).map_err(|_| refused())
    };
    Ok(Condition::Event {
        name: event.name,
        at_least: count(event.at_least)?,
        at_most: event.at_most.map(count).transpose()?,
        within: event.within_seconds.map(window).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{InputType, Value as Graph};
    use serde_json::json;

    use super::*;

    fn parse(json: &Value) -> Result<Condition, Vec<Refusal>> {
        let value = Graph::from_json(json.clone()).expect("a value");
        ConditionInput::parse(<ConditionInput as InputType>::parse(Some(value)).expect("an input"), "condition")
    }

    #[test]
    fn an_input_is_the_condition_it_names() {
        let input = json!({"and": [
            {"not": {"tag": "vip"}},
            {"attribute": {"name": "plan", "test": {"isMissing": false}}},
            {"event": {"name": "order", "atLeast": 0, "atMost": 0, "withinSeconds": 60}},
        ]});
        let stored = json!({"kind": "and", "of": [
            {"kind": "not", "of": {"kind": "tag", "tag": "vip"}},
            {"kind": "not", "of": {"kind": "attribute", "name": "plan", "test": {"op": "is_missing"}}},
            {"kind": "event", "name": "order", "at_least": 0, "at_most": 0, "within": {"seconds": 60}},
        ]});
        assert_eq!(serde_json::to_value(parse(&input).expect("fine")).expect("json"), stored);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let code = |json: Value| parse(&json).map_err(|refusals| (refusals[0].code, refusals[0].field.clone()));
        let refused = |code, field: &str| Err((code, field.to_owned()));
        assert_eq!(code(json!({"or": [{"tag": "a,b"}]})), refused("INVALID_NAME", "condition.of.0.tag"));
        assert_eq!(code(json!({"event": {"name": "a", "atLeast": -1}})), refused("INVALID_COUNT", "condition"));
        assert_eq!(code(json!({"topic": {"topicId": "x", "is": "SUBSCRIBED"}})), refused("NOT_FOUND", "condition"));
        let deep = (0..20).fold(json!({"tag": "a"}), |of, _| json!({"not": of}));
        assert_eq!(code(deep).expect_err("too deep").0, "TOO_DEEP");
    }
}
