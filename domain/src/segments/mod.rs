//! Conditions on contacts: one type, one evaluator, one SQL compiler (L5).
//!
//! A condition is pure data; [`Condition::needs`] says what must be known, [`load_facts`] loads it for a whole batch and
//! [`Condition::evaluate`] answers. What is missing has a stated answer (A3.5), given where the type is declared.

mod check;
mod compile;
mod condition;
mod evaluate;
mod load;
mod matching;
mod needs;
mod store;
mod truth;
mod value;

pub use check::Size;
pub use compile::{CompiledCondition, compile};
pub use condition::{AttributeTest, Condition, MailDid, TopicTest, Window};
pub use evaluate::Facts;
pub(crate) use load::facts_of;
pub use load::load_facts;
pub use matching::{ask_database, count_matching, matching_contacts};
pub use needs::{EventNeed, Needs};
pub use store::STATEMENTS;
pub use truth::Truth;
pub use value::ContactField;
