//! The gateway: GraphQL over HTTP, and the one executable around it.

pub mod config;
pub mod graphql;
pub mod http;
