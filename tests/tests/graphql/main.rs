//! What holds for the whole schema, whatever the room: who may do what, what a page costs, ids, keys, nulls.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod access_matrix;
mod access_places;
mod agency;
mod brute;
mod budget;
mod dry_runs;
mod feed;
mod foreign;
mod forged;
mod hostile;
mod keys;
mod leaves;
mod limits;
mod looks;
mod nodes;
mod nulls;
mod paging;
mod payloads;
mod persisted;
mod persisted_sets;
mod places;
mod rate;
mod raw;
mod rows;
mod rust_client;
mod sdl;
mod served;
mod setup;
mod socket;
mod stalled;
mod streams;
mod subscriptions;
mod texts;
mod wrong;
