//! Events: what contacts did.

mod name;

pub use name::{EventName, InvalidEventName};
