//! What a document is, and its id: `sha256:` and the hash of its text in lower-case hexadecimal digits, as the appendix on
//! persisted documents of GraphQL over HTTP writes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use carillon_entities::ids::PersistedDocumentId;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::time::Timestamp;

/// Octets of a document; one with as many tokens as may be is hardly longer.
pub const DOCUMENT_MAX: usize = 32_768;
const PREFIX: &str = "sha256:";

/// The SHA-256 of a document's text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentHash([u8; 32]);

/// Not the id of any document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a document")]
pub struct InvalidHash;

impl DocumentHash {
    /// That of a text.
    pub fn of(text: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }

    /// The hash that was written without the prefix, as Apollo's protocol has it.
    ///
    /// # Errors
    /// When these are no 64 hexadecimal digits in lower case.
    pub fn parse_bare(digits: &str) -> Result<Self, InvalidHash> {
        let mut hash = [0; 32];
        let is_lower = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode_to_slice(digits, &mut hash).ok().filter(|()| is_lower).map(|()| Self(hash)).ok_or(InvalidHash)
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for DocumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for DocumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DocumentHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        text.strip_prefix(PREFIX).ok_or(InvalidHash).and_then(Self::parse_bare)
    }
}

impl Serialize for DocumentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that may be registered as far as its form goes; whether it is a document of the schema is judged where the schema
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentText {
    hash: DocumentHash,
    text: String,
}

impl DocumentText {
    /// Takes a text, and holds it against the id it is believed to have.
    ///
    /// # Errors
    /// `INVALID_TEXT`, `DOCUMENT_TOO_LARGE` beyond [`DOCUMENT_MAX`], `DOCUMENT_MISMATCH`.
    pub fn parse(text: &str, believed: Option<&str>) -> Result<Self, Refusal> {
        if text.trim().is_empty() || text.contains('\0') {
            return Err(Refusal::new("INVALID_TEXT", "text", "A document is not empty and has no NUL."));
        }
        if text.len() > DOCUMENT_MAX {
            let message = format!("The document has more than {DOCUMENT_MAX} octets.");
            return Err(Refusal::new("DOCUMENT_TOO_LARGE", "text", message));
        }
        let hash = DocumentHash::of(text);
        if believed.is_some_and(|believed| believed.parse::<DocumentHash>() != Ok(hash)) {
            let message = format!("The text has the id {hash}.");
            return Err(Refusal::new("DOCUMENT_MISMATCH", "documentId", message));
        }
        Ok(Self { hash, text: text.to_owned() })
    }

    /// Its hash.
    pub fn hash(&self) -> DocumentHash {
        self.hash
    }

    /// The text, to the octet.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A registered document.
#[derive(Debug, Clone)]
pub struct PersistedDocument {
    /// Its id as a row.
    pub id: PersistedDocumentId,
    /// What it is run by.
    pub hash: DocumentHash,
    /// Its text.
    pub text: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_the_sha256_of_the_text() {
        // As `printf '{ serverTime }' | sha256sum` has it.
        let known = "sha256:2c75d364a9467ad4c5eb7843bc312f213c97322ac8be34a2c8e3ceb1361000b9";
        assert_eq!(DocumentHash::of("{ serverTime }").to_string(), known);
        assert_eq!(
            DocumentHash::of("").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let hash = DocumentHash::of("{ a }");
        let id = hash.to_string();
        let digits = id.trim_start_matches("sha256:").to_owned();
        assert_eq!((id.parse(), DocumentHash::parse_bare(&digits)), (Ok(hash), Ok(hash)));
        let forged = [
            digits.clone(),
            id.to_uppercase(),
            format!("sha256:{}", digits.to_uppercase()),
            format!("sha1:{digits}"),
            format!("{id}0"),
            id[..70].to_owned(),
            format!("sha256: {}", &digits[1..]),
            String::new(),
            "sha256:".to_owned(),
        ];
        for text in forged {
            assert_eq!(text.parse::<DocumentHash>(), Err(InvalidHash), "{text}");
        }
    }

    #[test]
    fn a_text_is_held_against_the_id_it_is_believed_to_have() {
        let code = |text: &str, believed: Option<&str>| DocumentText::parse(text, believed).map_err(|why| why.code);
        let id = DocumentHash::of("{ a }").to_string();
        assert!(code("{ a }", None).is_ok() && code("{ a }", Some(&id)).is_ok());
        assert_eq!(code("{ b }", Some(&id)), Err("DOCUMENT_MISMATCH"));
        assert_eq!(code("{ a }", Some("a")), Err("DOCUMENT_MISMATCH"));
        assert_eq!(code(" \n", None), Err("INVALID_TEXT"));
        assert_eq!(code("{ a } # \0", None), Err("INVALID_TEXT"));
        assert_eq!(code(&"a".repeat(DOCUMENT_MAX + 1), None), Err("DOCUMENT_TOO_LARGE"));
    }

    proptest! {
        #[test]
        fn hostile_ids_never_panic(text in "(sha256:)?\\PC{0,80}") {
            let parsed = text.parse::<DocumentHash>();
            prop_assert!(parsed.is_err() || parsed.unwrap().to_string() == text);
        }
    }
}
