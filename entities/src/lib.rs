//! Rows, typed ids, the tenant wall and the two SQL dialects.
//!
//! Nothing outside [`wall`] touches a connection. A row type leaves this crate only into a `store.rs`.

pub mod dialect;
pub mod ids;
pub mod rows;
pub mod seeded_bugs;
pub mod wall;
