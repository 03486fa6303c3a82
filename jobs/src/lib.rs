//! The engine of Carillon: what leaves the house, and what makes it leave.

pub mod catcher;
pub mod channels;
mod dispatch;
pub mod engine;
pub mod handlers;
pub mod inbound;
pub mod queue;
pub mod redis;
