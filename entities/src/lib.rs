//! Rows, typed ids, the tenant wall and the two SQL dialects.

pub mod ids;
pub mod wall;
