//! Country, locale and time zone of a contact: codes from closed or well-formed sets, never free text.

/// A text that is none of the codes asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCode(&'static str);

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Parses two letters in any case.
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        let refused = InvalidCode("A country is a two-letter ISO 3166 code, such as DE.");
        let &[a, b] = text.as_bytes() else { return Err(refused) };
        let country = Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]);
        // The numbering plans know exactly the countries and territories there are.
        country.as_str().parse::<phonenumber::country::Id>().map_err(|_| refused)?;
        Ok(country)
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

/// A language tag of BCP 47, such as `de` or `pt-BR`: well-formed, with the usual letter case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locale(String);

impl Locale {
    /// Parses a tag; an underscore stands for a hyphen (`de_AT`).
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        const TAG_MAX: usize = 35;
        let refused = InvalidCode("A locale is a language tag, such as de or pt-BR.");
        let mut tag = String::with_capacity(text.len());
        if text.len() > TAG_MAX {
            return Err(refused);
        }
        for (i, part) in text.split(['-', '_']).enumerate() {
            let well_formed = part.bytes().all(|b| b.is_ascii_alphanumeric())
                && if i == 0 {
                    matches!(part.len(), 2 | 3) && part.bytes().all(|b| b.is_ascii_alphabetic())
                } else {
                    (1..=8).contains(&part.len())
                };
            if !well_formed {
                return Err(refused);
            }
            if i > 0 {
                tag.push('-');
            }
            tag.push_str(&with_usual_case(i, part));
        }
        Ok(Self(tag))
    }

    /// A tag that was parsed before it was stored.
    pub(super) fn stored(tag: String) -> Self {
        Self(tag)
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5646 s2.1.1: regions in upper case, scripts in title case, everything else in lower case.
fn with_usual_case(place: usize, part: &str) -> String {
    match (place, part.len()) {
        (1.., 2) => part.to_ascii_uppercase(),
        (1.., 4) if part.bytes().all(|b| b.is_ascii_alphabetic()) => {
            let mut title = part.to_ascii_lowercase();
            title[..1].make_ascii_uppercase();
            title
        }
        _ => part.to_ascii_lowercase(),
    }
}

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(String);

impl Zone {
    /// Parses a zone's name.
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        let refused = InvalidCode("A zone is a name of the IANA database, such as Europe/Berlin.");
        let zone = jiff::tz::db().get(text).map_err(|_| refused)?;
        zone.iana_name().map(|name| Self(name.to_owned())).ok_or(refused)
    }

    /// A name that was parsed before it was stored.
    pub(super) fn stored(name: String) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries() {
        assert_eq!(Country::parse("de").expect("valid").as_str(), "DE");
        for text in ["", "D", "DEU", "XX", "ÄÖ", "D\0", "1A"] {
            assert!(Country::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn locales() {
        for (text, tag) in [("DE", "de"), ("pt_br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("de-1996", "de-1996")] {
            assert_eq!(Locale::parse(text).expect(text).as_str(), tag);
        }
        for text in ["", "d", "german", "de-", "de--AT", "de AT", "dé", "en-\r\n", &"de-".repeat(20)] {
            assert!(Locale::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones() {
        assert_eq!(Zone::parse("Europe/Berlin").expect("valid").as_str(), "Europe/Berlin");
        assert_eq!(Zone::parse("UTC").expect("valid").as_str(), "UTC");
        for text in ["", "Europe", "../../etc/passwd", "Europe/Berlin\0", "Mars/Olympus"] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
    }
}
