//! The engine of Carillon: what leaves the house, and what makes it leave.

pub mod catcher;
pub mod channels;
pub mod queue;
pub mod redis;
