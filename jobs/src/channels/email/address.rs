//! Addresses as they stand on the wire: original local part, domain as A-labels (C-28, C-29).

use carillon_domain::contacts::EmailAddress;

use super::content::ContentError;

/// `local@domain` for the envelope and the headers.
///
/// Holds nothing that could end a command or a header: no control character, white space, bracket or quote.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WireAddress(String);

impl WireAddress {
    /// The wire form of a parsed address; `field` names it in the error.
    pub fn new(address: &EmailAddress, field: &'static str) -> Result<Self, ContentError> {
        let (local, domain) = (address.local_part(), address.domain_ascii());
        if local.bytes().chain(domain.bytes()).any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(ContentError::LineBreak(field));
        }
        let local_holds = !local.is_empty() && local.len() <= 64 && local.chars().all(is_local);
        let domain_holds = !domain.is_empty() && domain.len() <= 255 && domain.chars().all(is_domain);
        if !local_holds || !domain_holds {
            return Err(ContentError::Malformed(field));
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The address between the brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// True when only a hop with SMTPUTF8 can carry it (C-28).
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl std::fmt::Debug for WireAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireAddress(..)")
    }
}

/// Characters of a dot-atom (RFC 5322 s3.2.3), and anything beyond ASCII that is not a control (RFC 6531 s3.3).
fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// Letters, digits, hyphens and dots, plus what an address literal needs.
fn is_domain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._[]:".contains(c)
}
