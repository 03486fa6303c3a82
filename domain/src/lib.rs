//! Rules and use cases of Carillon, one folder per aggregate.
//!
//! Pure files decide, use cases load, decide and store, and `store.rs` is the only file of an aggregate that knows SQL.

#[macro_use]
pub mod text_code;

pub mod campaigns;
pub mod codes;
pub mod consent;
pub mod contacts;
pub mod dispatch;
pub mod doorbell;
pub mod entropy;
pub mod error;
pub mod files;
pub mod idempotency;
pub mod keys;
pub mod messaging;
pub mod metrics;
pub mod paging;
pub mod persisted;
pub mod ports;
pub mod reruns;
pub mod segments;
pub mod settings;
pub mod tenancy;
pub mod time;
pub mod trace;
pub mod webhooks;
pub mod workflows;

pub use carillon_entities::{ids, seeded_bugs};

/// Every registered statement (L1), for the test that runs them all over two tenants.
pub fn statements() -> Vec<&'static carillon_entities::wall::Sql> {
    let rest: &[&[&'static carillon_entities::wall::Sql]] = &[
        &contacts::statements(),
        files::STATEMENTS,
        idempotency::STATEMENTS,
        segments::STATEMENTS,
        &workflows::statements(),
        &campaigns::statements(),
    ];
    [consent::store::STATEMENTS, messaging::STATEMENTS, webhooks::store::STATEMENTS, rest].concat().concat()
}

/// Those of them that may be transactions of their own, for the tests of the functions that hold their texts.
pub fn statements_alone() -> Vec<&'static carillon_entities::wall::Alone> {
    [messaging::STATEMENTS_ALONE, contacts::STATEMENTS_ALONE].concat()
}

/// Every registered statement of the identity role.
pub fn identity_statements() -> Vec<&'static carillon_entities::wall::IdentitySql> {
    let rest = [dispatch::IDENTITY_STATEMENTS, idempotency::IDENTITY_STATEMENTS].concat();
    [tenancy::IDENTITY_STATEMENTS, messaging::IDENTITY_STATEMENTS, &rest].concat()
}
