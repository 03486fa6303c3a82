//! The `Authorization` header: who calls.
//!
//! A request without the header is anonymous. A header that does not verify fails the whole request, so that a client
//! with an expired token learns it from the status, whatever it asked for.

use actix_web::HttpRequest;
use actix_web::http::header;

use carillon_domain::error::Error;
use carillon_domain::tenancy::authenticate_key;

use super::{Gateway, Problem};
use crate::graphql::scope::Caller;

/// What API keys start with and no JWT does.
const KEY_PREFIX: &str = "carillon_";

/// Who sent the request.
pub async fn authenticate(gateway: &Gateway, request: &HttpRequest) -> Result<Caller, Problem> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(Caller::Anonymous) };
    if values.next().is_some() {
        return Err(Problem::Unauthenticated);
    }
    verify(gateway, value.to_str().map_err(|_| Problem::Unauthenticated)?).await
}

/// Who says `Bearer` and a credential.
pub async fn verify(gateway: &Gateway, authorization: &str) -> Result<Caller, Problem> {
    let credential = bearer(authorization).ok_or(Problem::Unauthenticated)?;
    let ports = &gateway.process.ports;
    if !credential.starts_with(KEY_PREFIX) {
        let access = gateway.process.desk.tokens.verify(credential, ports.now());
        return access.map(|access| Caller::user(ports, access)).ok_or(Problem::Unauthenticated);
    }
    match authenticate_key(ports, credential).await {
        Ok(context) => Ok(Caller::ApiKey(context)),
        Err(Error::Unauthenticated) => Err(Problem::Unauthenticated),
        Err(error) => {
            tracing::warn!(%error, "an API key could not be looked up");
            Err(Problem::Unavailable)
        }
    }
}

/// The credential of `Bearer <credential>`; the scheme's case does not matter (RFC 9110 s11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credential) = value.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_is_a_credential() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(value), None);
        }
    }
}
