//! The condition type: branches, goals, exits, audiences and segments are all made of it (L5).

use carillon_entities::ids::TopicId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A condition on one contact. As JSON each has its `kind`; later work adds kinds and changes none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// All of them; of none, yes.
    And {
        /// Which.
        of: Vec<Condition>,
    },
    /// Any of them; of none, no.
    Or {
        /// Which.
        of: Vec<Condition>,
    },
    /// The opposite; of unknown, unknown.
    Not {
        /// Of what.
        of: Box<Condition>,
    },
    /// A declared attribute, or one of `first_name`, `last_name`, `email`, `locale`, `country`, `zone` as `contact.name`.
    Attribute {
        /// Its name.
        name: String,
        /// What of it.
        test: AttributeTest,
    },
    /// The contact has the tag.
    Tag {
        /// Which.
        tag: String,
    },
    /// How the contact stands to a topic, by e-mail.
    Topic {
        /// Which.
        #[schemars(with = "String")]
        topic: TopicId,
        /// What of it.
        test: TopicTest,
    },
    /// How often the contact did something.
    Event {
        /// The event's name.
        name: String,
        /// At least so often; 0 is always true.
        at_least: u32,
        /// At most so often; with 0, "has not".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u32>,
        /// In which time; ever if nothing is said. A contact that is younger than the window counts like any other (A3.5).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<Window>,
    },
    /// What the contact did with the mail of a workflow's node; only inside that workflow.
    Mail {
        /// The node that sent it.
        node: String,
        /// What they did, themselves: what machines do counts as nothing (C-81).
        did: MailDid,
    },
}

/// The last so many seconds, up to now, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Seconds, at most ten years.
    pub seconds: u64,
}

/// A test of an attribute. A missing value is never equal, less or greater, contains nothing and starts with nothing:
/// the answer is no, and `is_missing` is yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttributeTest {
    /// The same value of the same kind.
    Equals {
        /// Text, number, boolean, or a date as `2026-11-22`.
        value: Json,
    },
    /// Any of these.
    In {
        /// Values of one kind.
        values: Vec<Json>,
    },
    /// Less: numbers and dates.
    Less {
        /// Than this.
        value: Json,
    },
    /// Greater: numbers and dates.
    Greater {
        /// Than this.
        value: Json,
    },
    /// Text that begins with this, as it is written.
    StartsWith {
        /// The beginning.
        value: String,
    },
    /// There is no value.
    IsMissing,
}

/// A test of consent, as the projection has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopicTest {
    /// Marketing about the topic is granted.
    Subscribed,
    /// It is not: never agreed, taken back, objected or expired.
    NotSubscribed,
}

/// What somebody did with a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailDid {
    /// Opened it.
    Opened,
    /// Clicked a link of it.
    Clicked,
}

impl Condition {
    /// True where the answer can be unknown.
    pub fn may_be_unknown(&self) -> bool {
        match self {
            Self::And { of } | Self::Or { of } => of.iter().any(Self::may_be_unknown),
            Self::Not { of } => of.may_be_unknown(),
            Self::Mail { .. } => true,
            Self::Attribute { .. } | Self::Tag { .. } | Self::Topic { .. } | Self::Event { .. } => false,
        }
    }
}
