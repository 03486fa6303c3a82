//! How much is known of what a recipient does with a mail (C-77, C-78).
//!
//! The stricter of two choices counts: the person's, or where they made none what their country asks for, and the tenant's.
//! So a tenant may track less than it could, and never more. It is decided when a message is accepted, again when it is
//! claimed to be rendered, and again at each hit: what was withdrawn meanwhile is not recorded any more (C-79).

use super::MessageClass;

text_code! {
    /// How mail is tracked, from the strictest on: the stricter of two counts.
    pub enum TrackingMode {
        /// Not at all: links lead straight to where they lead.
        None = "none",
        /// Counted per template and day; nothing names a message or a person.
        Aggregate = "aggregate",
        /// Each mail's opens and clicks are known.
        Individual = "individual",
    }
}

/// Where tracking a person needs an agreement of its own (ePrivacy Art 5(3)): the European Economic Area, with the parts of
/// it that have codes of their own. As of 2026-11.
const NEEDS_AGREEMENT: &[&str] = &[
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", // the European Union
    "IS", "LI", "NO", // the rest of the area
    "AX", "GF", "GP", "MF", "MQ", "RE", "YT", // parts of Finland and France
];

/// Where a pixel needs that agreement whatever is counted of it: France with its parts, and Italy (C-77). Elsewhere, and
/// where no country is known, a pixel that all recipients have counts opens without ids (C-78). As of 2026-11.
const PIXEL_NEEDS_AGREEMENT: &[&str] = &["FR", "GF", "GP", "IT", "MF", "MQ", "RE", "YT"];

/// What was chosen, and where the person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackingFacts<'a> {
    /// The person's country, where it is known.
    pub country: Option<&'a str>,
    /// The person's choice.
    pub own: Option<TrackingMode>,
    /// The tenant's choice.
    pub tenant: Option<TrackingMode>,
}

impl TrackingFacts<'_> {
    /// How the person's marketing mail is tracked now.
    pub fn mode(&self) -> TrackingMode {
        let own = self.own.unwrap_or_else(|| match self.country {
            Some(country) if !NEEDS_AGREEMENT.contains(&country) => TrackingMode::Individual,
            _ => TrackingMode::Aggregate,
        });
        self.tenant.map_or(own, |tenant| tenant.min(own))
    }

    /// Whether a pixel may stand in the person's mail, as far as it is tracked at all: they chose how, or are not where that
    /// must come first.
    pub fn may_have_pixel(&self) -> bool {
        self.own.is_some() || !self.country.is_some_and(|country| PIXEL_NEEDS_AGREEMENT.contains(&country))
    }

    /// How one message is tracked: service messages and tests not at all.
    pub fn mode_of(&self, class: MessageClass, is_test: bool) -> TrackingMode {
        match class {
            MessageClass::Marketing if !is_test => self.mode(),
            MessageClass::Marketing | MessageClass::Transactional => TrackingMode::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TrackingMode::{Aggregate, Individual, None as Not};
    use super::*;

    fn mode(country: Option<&str>, own: Option<TrackingMode>, tenant: Option<TrackingMode>) -> TrackingMode {
        TrackingFacts { country, own, tenant }.mode()
    }

    #[test]
    fn c077_without_a_choice_the_country_decides() {
        for country in ["FR", "IT", "DE", "NO", "LI", "RE"] {
            assert_eq!(mode(Some(country), None, None), Aggregate, "{country}");
        }
        for country in ["US", "CH", "GB", "JP"] {
            assert_eq!(mode(Some(country), None, None), Individual, "{country}");
        }
        assert_eq!(mode(None, None, None), Aggregate, "who is nowhere may be anywhere");
    }

    #[test]
    fn c077_in_france_and_italy_a_pixel_waits_for_the_persons_choice() {
        let may = |country, own| TrackingFacts { country, own, tenant: Some(Individual) }.may_have_pixel();
        for country in ["FR", "RE", "IT"] {
            assert!(!may(Some(country), None) && may(Some(country), Some(Individual)), "{country}");
            assert!(may(Some(country), Some(Aggregate)), "{country}");
        }
        for country in [Some("DE"), Some("US"), None] {
            assert!(may(country, None), "{country:?}");
        }
    }

    #[test]
    fn c078_the_stricter_of_the_persons_and_the_tenants_choice_counts() {
        for (country, own, tenant, expected) in [
            ("FR", None, Some(Individual), Aggregate),
            ("FR", None, Some(Not), Not),
            ("FR", Some(Individual), None, Individual),
            ("FR", Some(Individual), Some(Aggregate), Aggregate),
            ("FR", Some(Not), Some(Individual), Not),
            ("US", None, Some(Aggregate), Aggregate),
            ("US", Some(Aggregate), None, Aggregate),
            ("US", Some(Not), Some(Individual), Not),
            ("US", None, Some(Individual), Individual),
        ] {
            assert_eq!(mode(Some(country), own, tenant), expected, "{country} {own:?} {tenant:?}");
        }
    }

    #[test]
    fn c077_service_messages_and_tests_are_not_tracked() {
        let facts = TrackingFacts { country: Some("US"), ..TrackingFacts::default() };
        assert_eq!(facts.mode_of(MessageClass::Marketing, false), Individual);
        assert_eq!(facts.mode_of(MessageClass::Marketing, true), Not);
        assert_eq!(facts.mode_of(MessageClass::Transactional, false), Not);
    }
}
