//! What the end-to-end tests stand on: a [`World`] per test, with its own database.

pub mod access;
pub mod attacks;
pub mod collector;
pub mod database;
pub mod gateway;
#[cfg(target_os = "linux")]
pub mod memory;
pub mod people;
pub mod post;
pub mod print;
pub mod schema;
pub mod seed;
pub mod sink;
pub mod stage;
pub mod work;
pub mod world;

pub use database::Backend;
pub use world::{World, WorldOptions};
