//! An e-mail address, parsed (C-24, C-29, C-30).
//!
//! Two spellings are one address exactly when their [`EmailAddress::norm`] is equal: the domain is compared as lower-case
//! A-labels (UTS-46, non-transitional), the local part case-folded in NFC, and nothing else is folded away: no dots, no
//! `+tag`, so two people never become one. What is parsed can stand in a header and in an SMTP command as it is: no
//! control characters, no white space, no quotes, no comments, no address literals.

use icu_casemap::CaseMapper;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use crate::error::Refusal;

/// Octets of a local part (RFC 5321 s4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// Octets of a whole address (RFC 5321 s4.5.3.1.3 less the angle brackets).
const ADDRESS_MAX: usize = 254;
/// Octets of input that are looked at; an address as A-labels can be shorter than as typed, but never by this much.
const INPUT_MAX: usize = 1024;

/// A parsed address; has no `Display` and a redacted `Debug` so that it cannot reach a log (L9).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    /// Local part as typed, `@`, domain as typed when it is ASCII, else its A-labels.
    sent: String,
    /// The identity key.
    norm: String,
}

/// Why a text is not an address Carillon can write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Nothing there.
    #[error("The address is empty.")]
    Empty,
    /// No `@`, or nothing before it.
    #[error("The address needs a local part, an @ and a domain.")]
    NoParts,
    /// More than 64 octets before the `@`.
    #[error("The part before the @ is longer than 64 octets.")]
    LocalTooLong,
    /// More than 254 octets.
    #[error("The address is longer than 254 octets.")]
    TooLong,
    /// A line break, NUL or another control character (C-24).
    #[error("The address has a line break or another control character.")]
    Control,
    /// A character a local part may not have unquoted, or a dot at an end or next to another.
    #[error("The part before the @ has characters or dots where they may not stand.")]
    Local,
    /// Not a name in the public DNS.
    #[error("The part after the @ is not a valid internet domain name.")]
    Domain,
}

impl InvalidEmail {
    /// The code of all of them.
    pub const CODE: &'static str = "INVALID_EMAIL";
}

impl From<InvalidEmail> for Refusal {
    fn from(invalid: InvalidEmail) -> Self {
        Self::new(InvalidEmail::CODE, "email", invalid.to_string())
    }
}

impl EmailAddress {
    /// Parses a bare address; surrounding white space is an error, trimming is the caller's choice.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        if text.is_empty() {
            return Err(InvalidEmail::Empty);
        }
        if text.len() > INPUT_MAX {
            return Err(InvalidEmail::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidEmail::Control);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail::NoParts)?;
        if local.is_empty() || domain.is_empty() {
            return Err(InvalidEmail::NoParts);
        }
        let folded = fold_local(local)?;
        let ascii_domain = domain_to_ascii(domain)?;
        if local.len() + 1 + ascii_domain.len() > ADDRESS_MAX || folded.len() + 1 + ascii_domain.len() > ADDRESS_MAX {
            return Err(InvalidEmail::TooLong);
        }
        let sent = if domain.is_ascii() { text.to_owned() } else { format!("{local}@{ascii_domain}") };
        let mut norm = folded;
        norm.push('@');
        norm.push_str(&ascii_domain);
        Ok(Self { sent, norm })
    }

    /// An address that was parsed before it was stored.
    pub(super) fn stored(sent: String, norm: String) -> Self {
        Self { sent, norm }
    }

    /// The address for the envelope and headers: case as typed, domain in ASCII.
    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// The part before the `@`, as typed.
    pub fn local_part(&self) -> &str {
        split(&self.sent).0
    }

    /// The domain in lower-case A-labels, for DNS and SMTP.
    pub fn domain_ascii(&self) -> &str {
        split(&self.norm).1
    }

    /// The identity key: equal for all spellings of one address (C-29).
    pub fn norm(&self) -> &str {
        &self.norm
    }

    /// False when sending needs SMTPUTF8 (C-22).
    pub fn is_ascii_local(&self) -> bool {
        self.local_part().is_ascii()
    }
}

impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        Self::parse(text)
    }
}

/// Both parts of an address that has an `@`.
fn split(address: &str) -> (&str, &str) {
    address.rsplit_once('@').unwrap_or((address, ""))
}

/// Checks a local part and gives its comparison form.
fn fold_local(local: &str) -> Result<String, InvalidEmail> {
    check_local(local)?;
    if local.is_ascii() {
        return Ok(local.to_ascii_lowercase());
    }
    let folded = fold_unicode(local);
    // Normalising can bring forth what was refused as typed (U+037E becomes a semicolon) or need more octets.
    check_local(&folded)?;
    Ok(folded)
}

/// NFC and simple case folding until neither changes anything: one pass is not always enough (U+0345).
///
/// Simple, not full, folding: `ß` and `ss` are different mailboxes, as they are different domains.
fn fold_unicode(local: &str) -> String {
    const PASSES: usize = 4;
    let mapper = CaseMapper::new();
    let mut folded: String = local.nfc().collect();
    for _ in 0..PASSES {
        let next: String = folded.chars().map(|c| mapper.simple_fold(c)).nfc().collect();
        if next == folded {
            break;
        }
        folded = next;
    }
    folded
}

/// Dot-atom of RFC 5322 with UTF-8 as RFC 6531 allows it, in at most 64 octets.
fn check_local(local: &str) -> Result<(), InvalidEmail> {
    if local.len() > LOCAL_MAX {
        return Err(InvalidEmail::LocalTooLong);
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") || !local.chars().all(is_local_char) {
        return Err(InvalidEmail::Local);
    }
    Ok(())
}

/// A character of a dot-atom, or a visible character beyond ASCII.
fn is_local_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    }
    !(c.is_control() || c.is_whitespace() || is_invisible(c))
}

/// Format, private-use and non-characters: they look like nothing and make two addresses look like one.
fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00AD
            | 0x061C
            | 0x180E
            | 0x200B..=0x200F
            | 0x2028..=0x202E
            | 0x2060..=0x206F
            | 0xE000..=0xF8FF
            | 0xFDD0..=0xFDEF
            | 0xFEFF
            | 0xFFF0..=0xFFFF
            | 0xE0000..=0x0010_FFFF
    ) || u32::from(c) & 0xFFFE == 0xFFFE
}

/// The lower-case A-labels of a domain with at least two labels and a top label that is not a number.
fn domain_to_ascii(domain: &str) -> Result<String, InvalidEmail> {
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| InvalidEmail::Domain)?;
    let (_, top) = ascii.rsplit_once('.').ok_or(InvalidEmail::Domain)?;
    if top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidEmail::Domain);
    }
    Ok(ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn norm(text: &str) -> String {
        EmailAddress::parse(text).expect(text).norm().to_owned()
    }

    #[test]
    fn c029_one_person_in_every_spelling() {
        assert_eq!(norm("User@EXÄMPLE.de"), norm("user@xn--exmple-cua.de"));
        assert_eq!(norm("user@exa\u{0308}mple.DE"), norm("USER@XN--EXMPLE-CUA.DE"));
        assert_eq!(norm("JÖRG@example.com"), norm("jo\u{0308}rg@Example.COM"));
        assert_eq!(norm("a@münchen。de"), "a@xn--mnchen-3ya.de");
    }

    #[test]
    fn c029_different_people_stay_different() {
        assert_ne!(norm("a.b@gmail.com"), norm("ab@gmail.com"));
        assert_ne!(norm("a+x@gmail.com"), norm("a@gmail.com"));
        assert_ne!(norm("a@straße.de"), norm("a@strasse.de"));
        assert_ne!(norm("straße@example.com"), norm("strasse@example.com"));
    }

    #[test]
    fn c029_case_is_kept_for_sending() {
        let address = EmailAddress::parse("Jane.Doe@Bücher.example").expect("valid");
        assert_eq!(address.as_sent(), "Jane.Doe@xn--bcher-kva.example");
        assert_eq!(address.local_part(), "Jane.Doe");
        assert_eq!(address.domain_ascii(), "xn--bcher-kva.example");
        assert!(address.is_ascii_local());
        assert!(!EmailAddress::parse("jörg@example.com").expect("valid").is_ascii_local());
    }

    #[test]
    fn c030_limits_count_octets() {
        let local = |n: usize| "a".repeat(n);
        assert!(EmailAddress::parse(&format!("{}@example.com", local(64))).is_ok());
        assert_eq!(EmailAddress::parse(&format!("{}@example.com", local(65))), Err(InvalidEmail::LocalTooLong));
        assert_eq!(
            EmailAddress::parse(&format!("{}@example.com", "ö".repeat(33))),
            Err(InvalidEmail::LocalTooLong),
            "33 characters of two octets"
        );
        let domain = format!("{0}.{0}.{0}.example.com", local(57));
        assert_eq!(domain.len(), 185);
        assert!(EmailAddress::parse(&format!("{}@{domain}", local(64))).is_ok(), "250 octets");
        assert_eq!(EmailAddress::parse(&format!("{}@abcde.{domain}", local(64))), Err(InvalidEmail::TooLong));
        assert_eq!(EmailAddress::parse(&format!("a@{}.com", local(64))), Err(InvalidEmail::Domain));
        assert_eq!(EmailAddress::parse(&"a".repeat(1 << 20)), Err(InvalidEmail::TooLong));
    }

    #[test]
    fn c024_what_could_break_a_header_is_refused() {
        for text in ["a\r\nBcc: v@example.com", "a@example.com\n", "a\0@example.com", "a@exam\rple.com", "\u{85}a@b.de"]
        {
            assert_eq!(EmailAddress::parse(text), Err(InvalidEmail::Control), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in ["", " ", "a", "@", "a@", "@b.de", "a b@c.de", "a@b.de ", " a@b.de", "<a@b.de>", "\"a b\"@c.de"] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
        for text in
            [".a@b.de", "a.@b.de", "a..b@c.de", "a@b@c.de", "a,b@c.de", "a;b@c.de", "a(c)@b.de", "a\u{37e}@b.de"]
        {
            assert_eq!(EmailAddress::parse(text), Err(InvalidEmail::Local), "{text:?}");
        }
        for text in [
            "a@localhost",
            "a@b..de",
            "a@.de",
            "a@b.de.",
            "a@-b.de",
            "a@b-.de",
            "a@b_c.de",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@b c.de",
            "a@xn--a.de",
            "a@b\u{200d}.de",
        ] {
            assert_eq!(EmailAddress::parse(text), Err(InvalidEmail::Domain), "{text:?}");
        }
        for text in ["a\u{202e}b@c.de", "a\u{200b}@c.de", "a\u{a0}@c.de", "a\u{feff}@c.de", "a\u{e0041}@c.de"] {
            assert_eq!(EmailAddress::parse(text), Err(InvalidEmail::Local), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", EmailAddress::parse("jane@example.com")), "Ok(EmailAddress(..))");
    }

    proptest! {
        #[test]
        fn c029_norm_is_its_own_norm(text in "[\\PC]{1,20}@[a-zäöüßÄÖςΣ]{1,12}\\.(de|com|香港)") {
            if let Ok(address) = EmailAddress::parse(&text) {
                let again = EmailAddress::parse(address.norm()).expect("an identity key is an address");
                prop_assert_eq!(again.norm(), address.norm());
                prop_assert_eq!(again.as_sent(), address.norm());
                let sent = EmailAddress::parse(address.as_sent()).expect("what is sent is an address");
                prop_assert_eq!(&sent, &address);
            }
        }

        #[test]
        fn c029_letter_case_is_not_identity(local in "[a-z0-9._+-]{1,20}", domain in "[a-z0-9]{1,10}\\.[a-z]{2,6}") {
            let text = format!("{local}@{domain}");
            if let Ok(address) = EmailAddress::parse(&text) {
                let upper = EmailAddress::parse(&text.to_uppercase()).expect("same in upper case");
                prop_assert_eq!(upper.norm(), address.norm());
                prop_assert_eq!(upper.as_sent(), text.to_uppercase());
            }
        }

        #[test]
        fn c024_never_panics_and_never_lets_controls_through(text in "\\PC{0,10}[\\x00-\\x20]?.{0,30}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(!address.as_sent().chars().any(|c| c.is_control() || c.is_whitespace()));
                prop_assert!(address.as_sent().len() <= ADDRESS_MAX && address.norm().len() <= ADDRESS_MAX);
            }
        }
    }
}
