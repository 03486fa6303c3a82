//! SQL of the workflows aggregate, a file per concern; rows go in, domain types come out.

pub(super) mod answers;
pub(super) mod enrollments;
pub(super) mod events;
pub(super) mod pauses;
pub(super) mod steps;
pub(super) mod workflows;

use carillon_entities::wall::Sql;

/// Every registered statement of the aggregate.
pub fn statements() -> Vec<&'static Sql> {
    [
        answers::STATEMENTS,
        enrollments::STATEMENTS,
        events::STATEMENTS,
        pauses::STATEMENTS,
        steps::STATEMENTS,
        workflows::STATEMENTS,
    ]
    .concat()
}
