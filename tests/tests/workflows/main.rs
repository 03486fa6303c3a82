//! Workflows on a real database: entry, waits, goals, pauses, splits, and what the answers say.

mod ends;
mod entry;
mod running;
mod setup;
