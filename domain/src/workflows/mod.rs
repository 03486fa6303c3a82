//! Workflows: what happens to people after an event, over days and weeks.
//!
//! A draft becomes an immutable version when it is published; who enters stays on the version they entered (C-182). The
//! engine loads a batch of due people with their facts, asks the pure `advance` for each, and writes the batch (L5). A
//! goal or an exit ends somebody's way at once, in the transaction that made it true, and the gate asks again (C-184).

mod definition;
mod react;

pub use definition::{
    BASIS_POINTS, Conversion, DEFINITION_MAX, Definition, End, NODES_MAX, Node, NodeName, PropertyFilter, Reentry,
    Trigger, Variant,
};
pub use react::{Occurred, react_to_contacts, react_to_engagement, react_to_events};
