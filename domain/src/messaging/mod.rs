//! Messages: intents, attempts, templates and the outcome of every hand-over.

mod class;
mod dkim_key;
mod email_message;
pub mod reply_class;
mod retry;
mod settle;
mod state;
pub mod template;

pub use class::{MessageClass, UnknownCode};
pub use dkim_key::NewDkimKey;
pub use email_message::{DkimKey, EmailMessage, ListHeaders, Mailbox};
pub use retry::{NextAttempt, RetrySchedule, RetryWindow};
pub use settle::{AttemptFacts, HandOver, MessageMove, NotHandedOver, Settlement, decide_after};
pub use state::{
    AttemptOutcome, AttemptState, AttemptStatus, Ending, Evidence, IllegalTransition, MessageState, MessageStatus,
};
