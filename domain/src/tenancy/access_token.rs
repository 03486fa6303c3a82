//! Access tokens (C-211): short-lived JWTs, one algorithm (Ed25519), signed by keys of the keyring.
//!
//! A token says who the caller is and, once they entered a tenant, which role they have there. It is believed for at
//! most [`AccessTokens::LIFETIME`], and only while the user is still at the token's `auth_version`: that is checked by
//! the wall in the same round trip in which a transaction begins (C-213).

use std::collections::{HashMap, HashSet};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use carillon_entities::ids::{TenantId, UserId};
use chrono::{DateTime, TimeDelta};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Role;
use super::verified_cache::VerifiedCache;
use crate::error::{Error, Result};
use crate::keys::{Keyring, Purpose};
use crate::time::Timestamp;

/// RFC 9068: keeps other kinds of JWT (ID tokens) from being taken for an access token.
const TYP: &str = "at+jwt";
const AUDIENCE: &str = "carillon-api";
const MAX_LEN: usize = 2048;
/// Processes follow the database's clock within a second or so of each other (C-180).
const NOT_BEFORE_LEEWAY_S: i64 = 5;

/// Whom a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessSubject {
    /// The user.
    pub user: UserId,
    /// The version of the user's credentials; any change of password, role or state raises it (C-213).
    pub auth_version: i64,
    /// The tenant the user entered, and as what.
    pub entered: Option<(TenantId, Role)>,
}

/// A token's content after its signature held; only [`AccessTokens::verify`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedAccess {
    subject: AccessSubject,
    expires_at: Timestamp,
}

impl VerifiedAccess {
    /// Who calls.
    pub fn subject(&self) -> AccessSubject {
        self.subject
    }

    /// Until when the token is believed; a subscription ends then (C-224).
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// `auth_version`.
    av: i64,
    /// Tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tid: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

/// Issues and verifies access tokens; one per process.
pub struct AccessTokens {
    issuer: String,
    header: Header,
    signing: EncodingKey,
    /// By `kid`: keys come from here and from nowhere else.
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
    /// Checking a signature costs more than most queries, and clients send the same token for minutes.
    verified: VerifiedCache<VerifiedAccess>,
}

impl AccessTokens {
    /// How long a token is believed.
    pub const LIFETIME: TimeDelta = TimeDelta::minutes(15);

    /// Keys from the keyring (the active one signs, all verify); the issuer is the public URL.
    ///
    /// # Errors
    /// A fault if the crypto library refuses a derived key.
    pub fn new(keyring: &Keyring, issuer: impl Into<String>) -> Result<Self> {
        let issuer = issuer.into();
        let mut verifying = HashMap::new();
        for id in keyring.ids() {
            let pair = key_pair(keyring, id)?;
            verifying.insert(id.to_string(), DecodingKey::from_ed_der(pair.public_key().as_ref()));
        }
        let signing = key_pair(keyring, keyring.active())?.to_pkcs8v1().map_err(Error::fault)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYP.to_owned());
        header.kid = Some(keyring.active().to_string());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.required_spec_claims = HashSet::from(["exp", "nbf", "iss", "aud", "sub"].map(str::to_owned));
        // The library asks the system for the time; ours comes from the Clock (L6), so both are checked below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let signing = EncodingKey::from_ed_der(signing.as_ref());
        Ok(Self { issuer, header, signing, verifying, validation, verified: VerifiedCache::new(10_000) })
    }

    /// A fresh token and its end.
    ///
    /// # Errors
    /// A fault if signing fails.
    pub fn issue(&self, subject: &AccessSubject, now: Timestamp) -> Result<(String, Timestamp)> {
        let issued = now.timestamp();
        let exp = issued + Self::LIFETIME.num_seconds();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user,
            iat: issued,
            nbf: issued,
            exp,
            av: subject.auth_version,
            tid: subject.entered.map(|(tenant, _)| tenant),
            role: subject.entered.map(|(_, role)| role),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing).map_err(Error::fault)?;
        Ok((token, DateTime::from_timestamp(exp, 0).unwrap_or(now)))
    }

    /// What the token says, if it is one of ours and of now; otherwise none, without saying why.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedAccess> {
        if token.len() > MAX_LEN {
            return None;
        }
        let verified = if let Some(verified) = self.verified.get(token) {
            verified
        } else {
            let verified = self.check(token, now)?;
            self.verified.put(token, verified);
            verified
        };
        (now < verified.expires_at).then_some(verified)
    }

    fn check(&self, token: &str, now: Timestamp) -> Option<VerifiedAccess> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // `jku`, `x5u` and `jwk` are ignored; `crit` demands that we understand what we do not (RFC 7515 s4.1.11).
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYP) || header.crit.is_some() {
            return None;
        }
        let key = self.verifying.get(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?.claims;
        let lifetime = claims.exp.checked_sub(claims.iat)?;
        let in_time = claims.nbf <= now.timestamp() + NOT_BEFORE_LEEWAY_S
            && claims.exp > now.timestamp()
            && (0..=Self::LIFETIME.num_seconds()).contains(&lifetime);
        let entered = match (claims.tid, claims.role) {
            (Some(tenant), Some(role)) => Some((tenant, role)),
            (None, None) => None,
            _ => return None,
        };
        let expires_at = DateTime::from_timestamp(claims.exp, 0).filter(|_| in_time)?;
        let subject = AccessSubject { user: claims.sub, auth_version: claims.av, entered };
        Some(VerifiedAccess { subject, expires_at })
    }
}

fn key_pair(keyring: &Keyring, id: crate::keys::KeyId) -> Result<Ed25519KeyPair> {
    let seed = keyring.derive(id, Purpose::AccessToken, None).ok_or_else(|| Error::fault("a key left the keyring"))?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(Error::fault)
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
