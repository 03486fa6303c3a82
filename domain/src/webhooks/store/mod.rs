//! SQL of webhooks, a file per concern; rows go in, domain types come out.

pub(super) mod deliveries;
pub(super) mod endpoints;
pub(super) mod outbox;

use carillon_entities::wall::Sql;

/// Every registered statement of webhooks.
pub static STATEMENTS: &[&[&Sql]] = &[deliveries::STATEMENTS, endpoints::STATEMENTS, outbox::STATEMENTS];
