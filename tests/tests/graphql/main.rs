//! What holds for the whole schema, whatever the room: who may do what, what a page costs, ids, keys, nulls.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod budget;
mod nodes;
mod rows;
mod sdl;
mod setup;
