//! Channels: the only code that hands anything to the outside world, and of messages only those the gate cleared (L3).

pub mod email;
pub mod webhook;
