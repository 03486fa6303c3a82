//! Messages: intents, attempts, templates and the outcome of every hand-over.

mod email_message;

pub use email_message::{DkimKey, EmailMessage, ListHeaders, Mailbox};
