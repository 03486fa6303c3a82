//! Conditions on contacts: one type, one evaluator, one SQL compiler (L5).

mod condition;
mod truth;

pub use condition::{AttributeTest, Condition, MailDid, TopicTest, Window};
pub use truth::Truth;
