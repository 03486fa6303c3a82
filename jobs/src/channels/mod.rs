//! Channels: the only code that hands messages to the outside world, and only messages the gate cleared (L3).

pub mod email;
