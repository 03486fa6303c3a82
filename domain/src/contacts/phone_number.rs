//! A telephone number, parsed to E.164; its identity is that form.

use std::borrow::Cow;

use phonenumber::Mode;

use super::Country;

/// Octets of input that are looked at.
const INPUT_MAX: usize = 40;
/// Digits of an E.164 number (ITU-T E.164 s6.1), and the fewest that can reach anybody.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number in E.164 form; redacted `Debug`, no `Display` (L9).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// A text that is no telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// Letters, too many or too few digits, or nothing at all.
    #[error("This is not a telephone number.")]
    NotANumber,
    /// A national number and no country to read it by.
    #[error("The number needs its country code, such as +49, or a default country.")]
    NoCountry,
    /// A country code nobody has.
    #[error("There is no such country code.")]
    CountryCode,
}

impl InvalidPhone {
    /// The code of all of them.
    pub const CODE: &'static str = "INVALID_PHONE";
}

impl PhoneNumber {
    /// Parses a number as people write it; a national number is read by `default_country`.
    pub fn parse(text: &str, default_country: Option<Country>) -> Result<Self, InvalidPhone> {
        let text = text.trim();
        // What is not digits and the usual punctuation is refused here: the parser would guess letters and extensions.
        let usual = |c: char| c.is_ascii_digit() || "+-./() \u{a0}".contains(c);
        if text.len() > INPUT_MAX || !text.chars().all(usual) || !text.contains(|c: char| c.is_ascii_digit()) {
            return Err(InvalidPhone::NotANumber);
        }
        let international = text.starts_with('+') || text.starts_with("00");
        if !international && default_country.is_none() {
            return Err(InvalidPhone::NoCountry);
        }
        let text = text.strip_prefix("00").map_or_else(|| Cow::Borrowed(text), |rest| Cow::Owned(format!("+{rest}")));
        if is_plain_e164(&text) {
            return Ok(Self(text.into_owned()));
        }
        // A country would strip its own trunk prefix from the numbers of others: Italy's zero by Germany's rule.
        let country = if international { None } else { default_country };
        let country = country.and_then(|country| country.as_str().parse().ok());
        let number = phonenumber::parse(country, text).map_err(|error| match error {
            phonenumber::ParseError::InvalidCountryCode => InvalidPhone::CountryCode,
            _ => InvalidPhone::NotANumber,
        })?;
        let e164 = number.format().mode(Mode::E164).to_string();
        let digits = e164.strip_prefix('+').ok_or(InvalidPhone::NotANumber)?;
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPhone::NotANumber);
        }
        Ok(Self(e164))
    }

    /// A number that was parsed before it was stored.
    pub(super) fn stored(e164: String) -> Self {
        Self(e164)
    }

    /// `+` and up to 15 digits.
    pub fn as_e164(&self) -> &str {
        &self.0
    }
}

/// Country codes whose numbers, if they are written without punctuation and begin with 2 to 9 behind the code, are in
/// E.164 form already. The parser takes many times as long to find that out, which shows in an import.
const PLAIN: &[&str] = &["+1", "+31", "+32", "+33", "+34", "+41", "+43", "+44", "+45", "+46", "+47", "+48", "+49"];

fn is_plain_e164(text: &str) -> bool {
    const NATIONAL: std::ops::RangeInclusive<usize> = 8..=11;
    PLAIN.iter().filter_map(|code| text.strip_prefix(code)).any(|national| {
        NATIONAL.contains(&national.len())
            && national.starts_with(|c: char| ('2'..='9').contains(&c))
            && national.bytes().all(|b| b.is_ascii_digit())
    })
}

impl std::fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PhoneNumber(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, country: &str) -> Result<String, InvalidPhone> {
        PhoneNumber::parse(text, Country::parse(country).ok()).map(|number| number.as_e164().to_owned())
    }

    #[test]
    fn one_number_in_every_spelling() {
        for text in ["0171 1234567", "0171/1234567", "+49 171 1234567", "0049-171-1234567", "+49 (0) 171 1234567"] {
            assert_eq!(parse(text, "DE").as_deref(), Ok("+491711234567"), "{text}");
        }
        assert_eq!(parse("+12025550123", "DE").as_deref(), Ok("+12025550123"));
        assert_eq!(parse("(202) 555-0123", "US").as_deref(), Ok("+12025550123"));
        assert_eq!(parse("+390612345678", "DE").as_deref(), Ok("+390612345678"), "Italy keeps its zero");
        assert_eq!(parse("+44 (0)20 7946 0958", "DE").as_deref(), Ok("+442079460958"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "+", "12", "call me", "0171 CALLME", "+4917112345671234567", "+49171\r\n1234567", "٠١٢٣٤٥٦٧٨"]
        {
            assert!(parse(text, "DE").is_err(), "{text}");
        }
        assert_eq!(parse("0171 1234567", ""), Err(InvalidPhone::NoCountry));
        assert_eq!(parse("+999 1234567", ""), Err(InvalidPhone::CountryCode));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", PhoneNumber::parse("+491711234567", None)), "Ok(PhoneNumber(..))");
    }

    proptest! {
        #[test]
        fn e164_is_its_own_e164(text in "[+0-9 ().-]{0,20}", country in prop::sample::select(vec!["DE", "US", "IT", ""])) {
            if let Ok(e164) = parse(&text, country) {
                prop_assert_eq!(parse(&e164, country), Ok(e164));
            }
        }

        #[test]
        fn the_short_way_leads_to_the_same_number(code in prop::sample::select(PLAIN.to_vec()), rest in "[2-9][0-9]{7,10}") {
            let text = format!("{code}{rest}");
            prop_assert!(is_plain_e164(&text));
            let parsed = phonenumber::parse(None, &text).expect("a number");
            prop_assert_eq!(parsed.format().mode(Mode::E164).to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,50}") {
            let _ = parse(&text, "DE");
        }
    }
}
