//! The gateway: GraphQL over HTTP, and the one executable around it.

pub mod app;
pub mod catcher;
pub mod commands;
pub mod config;
pub mod graphql;
pub mod http;
pub mod traces;
