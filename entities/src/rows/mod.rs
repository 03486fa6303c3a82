//! Rows, one file per aggregate.
