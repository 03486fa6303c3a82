//! Workflows on a real database: entry, waits, goals, pauses, splits, what the answers say, and all of it over GraphQL.

mod ends;
mod entry;
mod graphql;
mod holds;
mod imports;
mod races;
mod running;
mod setup;
mod variants;
