//! What a caller learns of an error (L9, C-226): refusals as data, everything else as a code and a trace id.
//!
//! Resolvers use `?` on domain errors; [`present`] gives each error of a response its code and logs once what is ours.
//! A message that this house did not write on purpose never leaves.

use async_graphql::{ErrorExtensionValues, Response, ServerError, SimpleObject, Value};
use carillon_domain::codes;
use carillon_domain::error::{Error, Refusal, Result};

use super::error_code::ErrorCode;

/// Something the caller asked for that the rules do not allow.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject, serde::Serialize, serde::Deserialize)]
pub struct UserError {
    /// What is wrong, for programs.
    code: ErrorCode,
    /// Path of the input field to blame, if there is one.
    field: Option<Vec<String>>,
    /// What is wrong, in English, for developers.
    message: String,
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.into(), field: path(&refusal.field), message: refusal.message }
    }
}

/// Splits a use case's result into its payload's object and `userErrors`; other errors stay errors.
pub fn payload<T>(result: Result<T>) -> async_graphql::Result<(Option<T>, Vec<UserError>)> {
    match result {
        Ok(value) => Ok((Some(value), Vec::new())),
        Err(Error::Refused(refusals)) => Ok((None, user_errors(refusals))),
        Err(error) => Err(error.into()),
    }
}

/// As [`payload`], of a change that names the version it saw: beside `CONFLICT` stands what there is now, so that its caller
/// can decide again.
pub fn payload_at<T>(result: Result<T>, seen: T) -> async_graphql::Result<(Option<T>, Vec<UserError>)> {
    let is_conflict = |refusal: &Refusal| refusal.code == "CONFLICT";
    let has_changed = matches!(&result, Err(Error::Refused(refusals)) if refusals.iter().any(is_conflict));
    let (value, user_errors) = payload(result)?;
    Ok((value.or_else(|| has_changed.then_some(seen)), user_errors))
}

/// Refusals as a payload shows them.
pub fn user_errors(refusals: impl IntoIterator<Item = Refusal>) -> Vec<UserError> {
    refusals.into_iter().map(UserError::from).collect()
}

/// Code of an error that is nobody's business but ours.
const INTERNAL: &str = "INTERNAL";
/// Messages of async-graphql about values the caller sent.
const ABOUT_INPUT: [&str; 4] =
    ["Failed to parse \"", "Expected input type", "Invalid value for argument", "Variable \""];

/// Gives each error its code, the trace id and whether to try again, and logs what the operator must know. Several refusals of one field are
/// as many errors, each with the path of the argument to blame.
pub fn present(response: &mut Response, trace_id: &str) {
    let errors = std::mem::take(&mut response.errors);
    response.errors = errors.into_iter().flat_map(one_per_refusal).collect();
    for error in &mut response.errors {
        let (code, message, retry_after) = judge(error);
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", code);
        }
        extensions.set("traceId", trace_id);
        if let Some(seconds) = retry_after {
            extensions.set("retryAfter", Value::from(seconds));
        }
        tell_retry(extensions);
        if let Some(message) = message {
            error.message = message;
        }
        error.source = None;
    }
}

/// Says for programs that know no codes whether the same request may be answered later, and after how long.
fn tell_retry(extensions: &mut ErrorExtensionValues) {
    let is_retryable = matches!(extensions.get("code"), Some(Value::String(code)) if codes::is_retryable(code));
    extensions.set("retryable", is_retryable);
    let millis = match extensions.get("retryAfter") {
        Some(Value::Number(seconds)) => seconds.as_u64().and_then(|seconds| seconds.checked_mul(1_000)),
        _ => None,
    };
    if let Some(millis) = millis {
        extensions.set("retryAfterMs", millis);
    }
}

fn one_per_refusal(error: ServerError) -> Vec<ServerError> {
    let Some(Error::Refused(refusals)) = error.source::<Error>() else { return vec![error] };
    let told = |refusal: &Refusal| {
        let mut told = ServerError { message: refusal.message.clone(), source: None, ..error.clone() };
        let extensions = told.extensions.get_or_insert_default();
        extensions.set("code", refusal.code);
        if let Some(path) = path(&refusal.field) {
            extensions.set("field", path);
        }
        told
    };
    let told: Vec<_> = refusals.iter().map(told).collect();
    if told.is_empty() { vec![error] } else { told }
}

/// The path of an input field; none for a refusal that blames no field.
fn path(field: &str) -> Option<Vec<String>> {
    (!field.is_empty()).then(|| field.split('.').map(str::to_owned).collect())
}

/// Leaves out of a response what its errors tell of the schema: strangers do not learn it from their mistakes (C-222). What
/// a limit refused or the language does not have names nothing that was not sent.
pub fn blunt(response: &mut Response) {
    for error in response.errors.iter_mut().filter(|error| is_about_schema(error)) {
        "The document or its variables do not fit the schema.".clone_into(&mut error.message);
        error.path.clear();
    }
}

/// True for an error of a document, or of a value in it, that does not fit the schema.
pub fn is_about_schema(error: &ServerError) -> bool {
    let has_code = error.extensions.as_ref().is_some_and(|values| values.get("code").is_some());
    let is_known = error.message.starts_with(UNREADABLE) || !(error.path.is_empty() || is_about_input(error));
    error.source.is_none() && !has_code && !is_known
}

/// True for what the library says of a value that does not fit, at the field that took it.
fn is_about_input(error: &ServerError) -> bool {
    ABOUT_INPUT.iter().any(|start| error.message.starts_with(start))
}

/// How errors of documents begin that cannot be read.
pub const UNREADABLE: &str = "The document is not GraphQL: ";

/// The parser quotes the line it stumbled over, and a line may hold an address (C-199): only the rule it broke is told, beside
/// its place.
pub fn unquoted(error: ServerError) -> ServerError {
    let rule = error.message.rsplit("\n  = ").next().filter(|rule| !rule.contains('\n'));
    let message = format!("{UNREADABLE}{}.", rule.unwrap_or("it cannot be read"));
    ServerError { message, ..error }
}

/// The library's messages about inputs end with the value that was given, which may be anything (C-199).
pub fn unquote_value(error: &mut ServerError) {
    for mark in [", found ", " does not contain the value ", " does not contain value "] {
        if let Some(at) = error.message.find(mark).filter(|_| error.source.is_none()) {
            error.message.truncate(at);
            error.message.push_str(if mark == ", found " { "." } else { " does not contain the value." });
        }
    }
}

/// True when an error of the response has the code.
pub fn has_code(response: &Response, code: &str) -> bool {
    let code = Value::from(code);
    response.errors.iter().any(|error| error.extensions.as_ref().and_then(|values| values.get("code")) == Some(&code))
}

/// Code, the message to show instead of the error's own, and seconds to wait.
fn judge(error: &ServerError) -> (&'static str, Option<String>, Option<u32>) {
    if let Some(error) = error.source::<Error>() {
        return judge_domain(error);
    }
    let has_code = error.extensions.as_ref().is_some_and(|values| values.get("code").is_some());
    let from_document = error.source.is_none() && error.path.is_empty();
    let about_input = error.source.is_none() && is_about_input(error);
    if has_code || from_document || about_input {
        return ("BAD_REQUEST", None, None);
    }
    tracing::error!(code = INTERNAL, "a resolver failed without a domain error");
    internal()
}

fn judge_domain(error: &Error) -> (&'static str, Option<String>, Option<u32>) {
    let say = |code, message: &str| (code, Some(message.to_owned()), None);
    match error {
        // One with refusals was told apart before.
        Error::Refused(_) => internal(),
        Error::Unauthenticated => say("UNAUTHENTICATED", "Sign in, or send a valid credential."),
        Error::Forbidden => say("FORBIDDEN", "Your role does not allow this."),
        Error::TooMany { retry_after_s } => {
            ("TOO_MANY", Some("Too many requests of this kind.".to_owned()), Some(*retry_after_s))
        }
        Error::Wall(error) if error.may_pass() => {
            tracing::warn!(code = "UNAVAILABLE", %error, "request failed");
            ("UNAVAILABLE", Some("The service is busy or restarting; try again.".to_owned()), Some(1))
        }
        Error::Wall(_) | Error::Fault(_) => {
            tracing::error!(code = INTERNAL, %error, "request failed");
            internal()
        }
    }
}

fn internal() -> (&'static str, Option<String>, Option<u32>) {
    (INTERNAL, Some("Something went wrong on our side.".to_owned()), None)
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, Pos};

    use carillon_domain::error::WallError;

    use super::*;

    fn presented(error: impl Into<async_graphql::Error>) -> serde_json::Value {
        let mut error = error.into().into_server_error(Pos::default());
        error.path = vec![PathSegment::Field("contact".to_owned())];
        let mut response = Response::from_errors(vec![error]);
        present(&mut response, "trace");
        serde_json::to_value(&response.errors[0]).unwrap()
    }

    #[test]
    fn c226_nothing_of_ours_leaves() {
        let database = WallError::Database { code: "42P01".into(), message: "relation \"contacts\" is gone".into() };
        let errors: [async_graphql::Error; 4] = [
            Error::Wall(database).into(),
            Error::fault("contacts row 7").into(),
            std::io::Error::other("/srv/contacts").into(),
            async_graphql::Error::new("contacts: forgotten text"),
        ];
        for error in errors {
            let shown = presented(error);
            assert_eq!(shown["extensions"]["code"], "INTERNAL");
            assert_eq!(shown["extensions"]["traceId"], "trace");
            assert!(!shown["message"].to_string().contains("contacts"), "{shown}");
        }
    }

    #[test]
    fn expected_errors_have_their_codes() {
        let code = |error: Error| presented(error)["extensions"]["code"].clone();
        assert_eq!(code(Error::Unauthenticated), "UNAUTHENTICATED");
        assert_eq!(code(Error::from(WallError::NotFresh)), "UNAUTHENTICATED");
        assert_eq!(code(Error::Forbidden), "FORBIDDEN");
        assert_eq!(code(Refusal::not_found("id").into()), "NOT_FOUND");
        assert_eq!(code(Error::Wall(WallError::Unavailable)), "UNAVAILABLE");
        let told = presented(Error::TooMany { retry_after_s: 7 })["extensions"].clone();
        assert_eq!(
            told,
            serde_json::json!({
                "code": "TOO_MANY", "traceId": "trace", "retryable": true, "retryAfter": 7, "retryAfterMs": 7_000,
            })
        );
        let told = presented(Error::Forbidden)["extensions"].clone();
        assert_eq!(told, serde_json::json!({ "code": "FORBIDDEN", "traceId": "trace", "retryable": false }));
    }

    #[test]
    fn a_conflict_shows_what_there_is_now() {
        let refused = |code| payload_at(Err(Refusal::new(code, "version", "x").into()), 7).unwrap();
        assert_eq!((refused("CONFLICT").0, refused("NOT_FOUND").0), (Some(7), None));
        assert_eq!(payload_at(Ok(1), 7).unwrap(), (Some(1), Vec::new()));
    }

    #[test]
    fn every_refusal_of_a_query_is_told_with_its_field() {
        let refusals = vec![
            Refusal::new("INVALID_FILTER", "filter.tag", "No tag."),
            Refusal::new("INVALID_FILTER", "search", "Too long."),
            Refusal::new("QUOTA", "", "No more."),
        ];
        let mut error = async_graphql::Error::from(Error::Refused(refusals)).into_server_error(Pos::default());
        error.path = vec![PathSegment::Field("contacts".to_owned())];
        let mut response = Response::from_errors(vec![error]);
        present(&mut response, "trace");
        let shown = serde_json::to_value(&response.errors).unwrap();
        let told = |n: usize| (&shown[n]["message"], &shown[n]["extensions"]["field"], &shown[n]["path"]);
        let at = serde_json::json!(["contacts"]);
        assert_eq!(told(0), (&"No tag.".into(), &serde_json::json!(["filter", "tag"]), &at));
        assert_eq!(told(1), (&"Too long.".into(), &serde_json::json!(["search"]), &at));
        assert_eq!(told(2), (&"No more.".into(), &serde_json::Value::Null, &at));
        assert_eq!(shown[2]["extensions"]["code"], "QUOTA");
        assert_eq!(presented(Error::Refused(Vec::new()))["extensions"]["code"], "INTERNAL");
    }

    #[test]
    fn a_callers_own_mistakes_keep_their_message() {
        let shown = presented(async_graphql::Error::new("Failed to parse \"ID\": no"));
        assert_eq!(shown["extensions"]["code"], "BAD_REQUEST");
        assert!(shown["message"].to_string().contains("Failed to parse"));
    }

    #[test]
    fn refusals_become_user_errors_with_a_path() {
        let (value, errors) = payload::<()>(Err(Refusal::new("TAKEN", "contacts.0.email", "Taken.").into())).unwrap();
        assert_eq!(value, None);
        let path = vec!["contacts".to_owned(), "0".to_owned(), "email".to_owned()];
        assert_eq!(errors, [UserError { code: "TAKEN".into(), field: Some(path), message: "Taken.".into() }]);
        assert_eq!(user_errors([Refusal::new("X", "", "x")])[0].field, None);
    }
}
