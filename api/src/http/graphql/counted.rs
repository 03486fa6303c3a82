//! What operators see of an operation: its kind and what became of it, by class.

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, Value};
use carillon_domain::metrics::labels::{Answer, Operation};

/// The kind as it is counted.
pub(super) fn operation(kind: Option<OperationType>) -> Operation {
    match kind {
        Some(OperationType::Query) => Operation::Query,
        Some(OperationType::Mutation) => Operation::Mutation,
        Some(OperationType::Subscription) => Operation::Subscription,
        None => Operation::Unknown,
    }
}

/// What became of it: the class of its first error, as clients are told it, or whether a payload has `userErrors`.
pub(super) fn answer(response: &Response) -> Answer {
    let Some(error) = response.errors.first() else {
        return if has_user_errors(&response.data) { Answer::UserError } else { Answer::Ok };
    };
    match error.extensions.as_ref().and_then(|values| values.get("code")) {
        Some(Value::String(code)) => Answer::of(code),
        _ => Answer::BadRequest,
    }
}

fn has_user_errors(data: &Value) -> bool {
    let Value::Object(payloads) = data else { return false };
    payloads.values().any(|payload| match payload {
        Value::Object(fields) => matches!(fields.get("userErrors"), Some(Value::List(errors)) if !errors.is_empty()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{ServerError, value};

    use super::*;

    #[test]
    fn an_answer_is_classed_by_its_first_error_and_by_user_errors() {
        let of = |data: Value| answer(&Response::new(data));
        assert_eq!(of(value!({ "viewer": { "userErrors": [] } })), Answer::Ok);
        assert_eq!(of(value!({ "createContact": { "userErrors": [{ "code": "TAKEN" }] } })), Answer::UserError);
        let mut error = ServerError::new("gone", None);
        assert_eq!(answer(&Response::from_errors(vec![error.clone()])), Answer::BadRequest);
        let codes = [("NOT_FOUND", Answer::Refused), ("RATE_LIMITED", Answer::TooMany), ("INTERNAL", Answer::Internal)];
        for (code, expected) in codes {
            error.extensions.get_or_insert_default().set("code", code);
            assert_eq!(answer(&Response::from_errors(vec![error.clone()])), expected);
        }
    }
}
