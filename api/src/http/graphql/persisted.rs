//! Documents that a request names by their ids, and who may run no others.
//!
//! An id is `documentId`, as the appendix on persisted documents of GraphQL over HTTP has it, or what Apollo's clients and
//! urql's send, `extensions.persistedQuery.sha256Hash`; both are the hash of the text, so a request that has the text as well
//! is held against it. What an id stands for is the text that the tenant registered, and is judged, priced and run as that
//! text would be. Nothing is registered by running it: there is no `PersistedQueryNotFound`, at which clients would send text
//! and id together to have it kept.

mod kept;

use async_graphql::{Pos, Response, ServerError};
use carillon_domain::error::{Error, Result as Done};
use carillon_domain::persisted::{DocumentHash, document_text};
use carillon_domain::tenancy::TenantContext;

use super::{Params, Stop};
use crate::graphql::scope::Caller;
use crate::http::{Gateway, Problem};

pub use kept::KeptDocuments;

/// The document that a request names; none where what it says is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named(Option<DocumentHash>);

impl Named {
    /// Which it is.
    pub fn hash(self) -> Option<DocumentHash> {
        self.0
    }
}

/// What a request names its document by, if it does.
pub(super) fn named(params: &Params) -> Result<Option<Named>, Problem> {
    let own = params.document_id.as_deref().map(|id| Named(id.parse().ok()));
    let named = match (own, by_apollo(params)?) {
        (Some(own), Some(other)) if own != other => {
            return Err(Problem::IllFormed("documentId and persistedQuery name different documents."));
        }
        (own, other) => own.or(other),
    };
    match (named, text(params)) {
        (Some(named), Some(text)) if named.0 != Some(DocumentHash::of(text)) => {
            Err(Problem::IllFormed("The query is another document than its id names."))
        }
        _ => Ok(named),
    }
}

fn by_apollo(params: &Params) -> Result<Option<Named>, Problem> {
    let said = params.extensions.as_ref().and_then(|extensions| extensions.get("persistedQuery"));
    match said {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(said) => match said.get("sha256Hash").and_then(serde_json::Value::as_str) {
            // The hashes that graphql-codegen embeds have the prefix.
            Some(hash) => Ok(Some(Named(DocumentHash::parse_bare(hash).or_else(|_| hash.parse()).ok()))),
            None => Err(Problem::IllFormed("The extension persistedQuery has no sha256Hash.")),
        },
    }
}

fn text(params: &Params) -> Option<&str> {
    params.query.as_deref().filter(|query| !query.is_empty())
}

/// Lets through who may run a text that is no document of theirs.
pub(super) fn may_send_texts(caller: Caller) -> Result<Caller, Stop> {
    if caller.document_set().is_some() { Err(Stop::Answer(Box::new(required()))) } else { Ok(caller) }
}

/// Gives a request the text of the document that it names; refuses one that names none, of who has to.
pub(super) async fn resolve(
    gateway: &Gateway,
    caller: &Caller,
    params: &mut Params,
    named: Option<Named>,
) -> Result<(), Stop> {
    let is_held = caller.document_set().is_some();
    match named {
        None if is_held => Err(Stop::Answer(Box::new(required()))),
        None => Ok(()),
        // Whoever may send any text may send this one, registered or not: it has the id that it says.
        Some(_) if !is_held && text(params).is_some() => Ok(()),
        Some(Named(hash)) => {
            let found = match hash {
                Some(hash) => text_of(gateway, caller, hash).await.map_err(failed)?,
                None => None,
            };
            params.query = Some(found.ok_or_else(|| Stop::Answer(Box::new(not_found())))?);
            Ok(())
        }
    }
}

/// The text of a document that the caller may run.
///
/// # Errors
/// When their credential is no longer good, or nobody can say.
pub(super) async fn text_of(gateway: &Gateway, caller: &Caller, hash: DocumentHash) -> Done<Option<String>> {
    let Some(context) = caller.inside() else { return Ok(None) };
    let asked_at = gateway.process.ports.now();
    let key = key_of(context, hash);
    if let Some(text) = gateway.kept.get(&key, asked_at) {
        return Ok(Some(text.to_string()));
    }
    gateway.kept.count_look();
    let found = Box::pin(look_up(context, hash)).await?;
    if let Some(text) = &found {
        gateway.kept.put(key, text, asked_at);
    }
    Ok(found)
}

/// Whether a document that somebody listens with is no longer theirs to run. One of those who ask at the same moment looks
/// it up, as itself, and the others take its answer.
///
/// # Errors
/// When their credential is no longer good, or nobody can say.
pub(super) async fn is_lost(gateway: &Gateway, caller: &Caller, hash: DocumentHash) -> Done<bool> {
    let Some(context) = caller.inside() else { return Ok(true) };
    let key = key_of(context, hash);
    let turn = gateway.kept.turn(key);
    let mut missed_at = turn.lock().await;
    let asked_at = gateway.process.ports.now();
    // What was found since then is there again.
    if gateway.kept.get(&key, asked_at).is_some() {
        return Ok(false);
    }
    if missed_at.is_some_and(|missed_at| kept::is_fresh(missed_at, asked_at)) {
        return Ok(true);
    }
    let is_lost = text_of(gateway, caller, hash).await?.is_none();
    *missed_at = is_lost.then_some(asked_at);
    Ok(is_lost)
}

fn key_of(context: &TenantContext, hash: DocumentHash) -> kept::Key {
    (context.tenant(), context.document_set(), hash)
}

async fn look_up(context: &TenantContext, hash: DocumentHash) -> Done<Option<String>> {
    let grant = context.grant_to_run();
    let mut tx = grant.begin_read().await?;
    let text = document_text(&grant, &mut tx, context.document_set(), hash).await?;
    tx.commit().await?;
    Ok(text)
}

/// An error of the look-up, as one of a resolver's would be told.
fn failed(error: Error) -> Stop {
    let mut error = async_graphql::Error::from(error).into_server_error(Pos::default());
    error.locations.clear();
    Stop::from(error)
}

/// The answer to who names a document that is not registered, or not theirs to run, which is no difference to them.
pub(super) fn not_found() -> Response {
    refused("PERSISTED_DOCUMENT_NOT_FOUND", "No document with this id is registered that you may run.")
}

/// The answer to who sends a text and may not.
fn required() -> Response {
    let message = "This API key runs the documents of its set alone: name one by its id, as documentId.";
    refused("PERSISTED_DOCUMENT_REQUIRED", message)
}

fn refused(code: &str, message: &str) -> Response {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    Response::from_errors(vec![error])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(params: serde_json::Value) -> Result<Option<Named>, Problem> {
        named(&serde_json::from_value(params).unwrap())
    }

    #[test]
    fn a_document_is_named_by_either_protocol_and_they_agree() {
        let hash = DocumentHash::of("{ a }");
        let id = hash.to_string();
        let apollo = |digits: &str| json!({ "persistedQuery": { "version": 1, "sha256Hash": digits } });
        let digits = id.trim_start_matches("sha256:");
        let good = Ok(Some(Named(Some(hash))));
        assert_eq!(read(json!({ "query": "{ a }" })), Ok(None));
        assert_eq!(read(json!({ "query": "{ a }", "extensions": { "persistedQuery": null } })), Ok(None));
        for params in [
            json!({ "documentId": id }),
            json!({ "documentId": id, "query": "{ a }" }),
            json!({ "documentId": id, "query": "" }),
            json!({ "extensions": apollo(digits) }),
            json!({ "extensions": apollo(&id) }),
            json!({ "extensions": apollo(digits), "query": "{ a }", "documentId": id }),
        ] {
            assert_eq!(read(params.clone()), good, "{params}");
        }
        for odd in [json!({ "documentId": "7" }), json!({ "extensions": apollo("7") })] {
            assert_eq!(read(odd), Ok(Some(Named(None))));
        }
        for params in [
            json!({ "documentId": id, "query": "{ b }" }),
            json!({ "documentId": "7", "query": "{ a }" }),
            json!({ "extensions": apollo(digits), "query": "{ a  }" }),
            json!({ "extensions": apollo(digits), "documentId": "7" }),
            json!({ "extensions": { "persistedQuery": {} } }),
            json!({ "extensions": { "persistedQuery": "x" } }),
        ] {
            assert!(matches!(read(params.clone()), Err(Problem::IllFormed(_))), "{params}");
        }
    }
}
