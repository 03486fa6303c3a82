//! DKIM signing (C-02, C-34): rsa-sha256, relaxed/relaxed, no `l=`, every field that matters over-signed.
//!
//! A key is parsed once and kept; signing is the only costly step of a mail (about 0.25 ms for RSA-2048).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_domain::messaging::DkimKey;
use carillon_domain::time::Timestamp;
use encodify::base64::STANDARD;
use mail_auth::common::crypto::{RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::canonicalize::CanonicalHeaders;
use mail_auth::dkim::{Canonicalization, Signature};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::content::ContentError;
use super::mime::Mime;

/// What is signed and over-signed: each name stands once more in `h=` than the mail has such fields, so that a second
/// From or Subject, or a List-Unsubscribe put into a transactional mail, breaks the signature.
const SIGNED: [&str; 15] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-ID",
    "Feedback-ID",
];

/// Keys are per sender, each under a selector of its own; past this many the cache starts anew.
const CACHED: usize = 4096;

/// A parsed signing key with its domain and selector.
pub struct DkimSigner {
    key: RsaKey<Sha256>,
    der: Arc<[u8]>,
    template: Signature,
}

impl std::fmt::Debug for DkimSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DkimSigner({}, {})", self.template.d, self.template.s)
    }
}

impl DkimSigner {
    /// Parses a key; anything but RSA-2048 or stronger in PKCS#8 is refused (C-34, RFC 8301).
    pub fn new(key: &DkimKey) -> Result<Self, ContentError> {
        if !is_name(&key.domain) || !is_name(&key.selector) {
            return Err(ContentError::Key);
        }
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&*key.private_key_der));
        let parsed = RsaKey::from_key_der(der).map_err(|_| ContentError::Key)?;
        // The public half of RSA-2048 in PKCS#1 is 270 octets: 256 of modulus, and the rest.
        if parsed.public_key().len() < 270 {
            return Err(ContentError::Key);
        }
        let template = Signature {
            v: 1,
            a: parsed.algorithm(),
            d: key.domain.clone(),
            s: key.selector.clone(),
            ch: Canonicalization::Relaxed,
            cb: Canonicalization::Relaxed,
            ..Signature::default()
        };
        Ok(Self { key: parsed, der: Arc::clone(&key.private_key_der), template })
    }

    /// The DKIM-Signature field for a mail, line end included. Nothing may change in the mail after this (C-02).
    pub(super) fn sign(&self, mail: &Mime, at: Timestamp) -> Result<Vec<u8>, ContentError> {
        let (headers, body) = mail.bytes.split_at(mail.body_at);
        let fields: Vec<_> = fields(headers).filter(|(name, _)| SIGNED.iter().any(|signed| is(signed, name))).collect();
        let mut signature = self.template.clone();
        signature.h = fields.iter().rev().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        signature.h.extend(SIGNED.iter().map(|&name| name.to_owned()));
        signature.t = u64::try_from(at.timestamp()).unwrap_or(0);

        // Flattened first: mail-auth feeds a hash octet by octet, which costs as much as the signature.
        let mut flat = Vec::with_capacity(body.len());
        Canonicalization::Relaxed.canonical_body(body, 0).write(&mut flat);
        signature.bh = STANDARD.encode(self.key.hash(flat.as_slice())).into_bytes();
        let headers = Canonicalization::Relaxed.canonical_headers(fields);
        let input = ToSign { headers, signature: &signature };
        signature.b = STANDARD.encode(self.key.sign(input).map_err(|_| ContentError::Key)?).into_bytes();

        let mut field = Vec::with_capacity(1024 + mail.bytes.len());
        signature.write(&mut field, true);
        Ok(field)
    }
}

/// What the key signs: the canonical fields, then the signature field without its `b=`.
struct ToSign<'a> {
    headers: CanonicalHeaders<'a>,
    signature: &'a Signature,
}

impl Writable for ToSign<'_> {
    fn write(self, writer: &mut impl Writer) {
        self.headers.write(writer);
        self.signature.write(writer, false);
    }
}

/// Name and value (line end and folded lines included) of each field of a header block that ends with an empty line.
fn fields(headers: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = headers;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += rest[end..].windows(2).position(|pair| pair == b"\r\n")? + 2;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        let colon = field.iter().position(|byte| *byte == b':')?;
        Some((&field[..colon], &field[colon + 1..]))
    })
}

fn is(signed: &str, name: &[u8]) -> bool {
    signed.as_bytes().eq_ignore_ascii_case(name)
}

/// A domain or selector that can stand in a tag of the signature.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// The parsed keys of this process.
#[derive(Debug, Default)]
pub struct DkimSigners(Mutex<HashMap<(String, String), Arc<DkimSigner>>>);

impl DkimSigners {
    /// The signer of a key, parsed at its first use; another key under the same name is parsed anew.
    pub fn get(&self, key: &DkimKey) -> Result<Arc<DkimSigner>, ContentError> {
        let name = (key.domain.clone(), key.selector.clone());
        if let Some(signer) = self.lock().get(&name).filter(|signer| signer.der == key.private_key_der) {
            return Ok(Arc::clone(signer));
        }
        let signer = Arc::new(DkimSigner::new(key)?);
        let mut cache = self.lock();
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(name, Arc::clone(&signer));
        Ok(signer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<DkimSigner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
