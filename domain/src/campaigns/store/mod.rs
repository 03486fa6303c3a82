//! SQL of the campaigns aggregate, a file per concern; rows go in, domain types come out.

pub(super) mod answers;
pub(super) mod audience;
pub(super) mod campaigns;
pub(super) mod lists;
pub(super) mod recipients;
pub(super) mod runs;

use carillon_entities::wall::Sql;

/// Every registered statement of the aggregate.
pub fn statements() -> Vec<&'static Sql> {
    [
        answers::STATEMENTS,
        audience::STATEMENTS,
        campaigns::STATEMENTS,
        lists::STATEMENTS,
        recipients::STATEMENTS,
        runs::STATEMENTS,
    ]
    .concat()
}
