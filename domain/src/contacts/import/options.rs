//! What an import was told: how to read the columns, what to do with people who are there, and what consent rests on.

use std::collections::BTreeSet;

use carillon_entities::ids::TopicId;
use serde::{Deserialize, Serialize};

use super::header::simplify;
use super::{HeaderRules, Mapped, Target};
use crate::consent::Basis;
use crate::contacts::{AttributeKind, AttributeName, Country, Definitions, one_line};
use crate::error::Refusal;
use crate::time::Timestamp;

text_code! {
    /// What happens to a contact that is there already.
    pub enum OnExisting {
        /// It takes what the file says.
        Update = "update",
        /// It stays as it is; only an unsubscription is recorded.
        Skip = "skip",
    }
}

/// What the consent of subscribed people rests on (C-155).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportConsent {
    /// The ground.
    pub basis: Basis,
    /// Where it was collected; a row's own source comes before it.
    pub source: Option<String>,
    /// When it was collected; a row's own date comes before it.
    pub collected_at: Option<Timestamp>,
    /// The uploader's own words that it was.
    pub attestation: String,
}

impl ImportConsent {
    /// Octets of a source or an attestation.
    pub const TEXT_MAX: usize = 2_000;

    /// Checks what a caller says; refusals are under `options.consent`.
    pub fn parse(
        basis: Basis,
        source: Option<&str>,
        collected_at: Option<Timestamp>,
        attestation: &str,
    ) -> Result<Self, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mut line = |field: &str, text: &str| {
            one_line(text, Self::TEXT_MAX)
                .map_err(|invalid| {
                    let field = format!("options.consent.{field}");
                    refusals.push(Refusal::new("INVALID_TEXT", field, invalid.to_string()));
                })
                .ok()
        };
        let source = source.map(|source| line("source", source));
        let attestation = line("attestation", attestation);
        if matches!(basis, Basis::Unknown | Basis::Unconfirmed) {
            let message = "A file's consent rests on a ground, or nothing is said about it.";
            refusals.push(Refusal::new("INVALID_BASIS", "options.consent.basis", message));
        }
        match attestation {
            Some(attestation) if refusals.is_empty() => {
                Ok(Self { basis, source: source.flatten(), collected_at, attestation })
            }
            _ => Err(refusals),
        }
    }
}

/// A column and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapColumn {
    /// The column's name in the file.
    pub column: String,
    /// A field's name, `attributes.NAME`, or `ignore`.
    pub field: String,
}

/// A column that holds an attribute which the import declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclareColumn {
    /// The column's name in the file.
    pub column: String,
    /// The attribute's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
}

/// What an import was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// What columns hold.
    pub mapping: Vec<MapColumn>,
    /// Attributes that it declares.
    pub declare: Vec<DeclareColumn>,
    /// What happens to contacts that are there.
    pub on_existing: OnExisting,
    /// What people are subscribed to.
    pub topic: Option<TopicId>,
    /// What their consent rests on.
    pub consent: Option<ImportConsent>,
    /// Reads national telephone numbers.
    pub default_country: Option<String>,
    /// What separates cells, where it should not be detected.
    pub delimiter: Option<char>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            mapping: Vec::new(),
            declare: Vec::new(),
            on_existing: OnExisting::Update,
            topic: None,
            consent: None,
            default_country: None,
            delimiter: None,
        }
    }
}

impl ImportOptions {
    /// Columns a mapping may name.
    const COLUMNS_MAX: usize = 500;

    /// Refusals of what can be checked without the file.
    pub(super) fn check(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.mapping.len() + self.declare.len() > Self::COLUMNS_MAX {
            let message = format!("At most {} columns.", Self::COLUMNS_MAX);
            refusals.push(Refusal::new("TOO_MANY_COLUMNS", "options.mapping", message));
        }
        let mut named = BTreeSet::new();
        for (column, path) in self.columns() {
            if !named.insert(simplify(column)) {
                let message = "The column is named before, in this or another spelling.";
                refusals.push(Refusal::new("GIVEN_TWICE", format!("{path}.column"), message));
            }
        }
        for (i, MapColumn { field, .. }) in self.mapping.iter().enumerate() {
            if parse_target(field).is_none() {
                let message = "A column holds a field, attributes.NAME or ignore.";
                refusals.push(Refusal::new("INVALID_FIELD", format!("options.mapping.{i}.field"), message));
            }
        }
        for (i, declared) in self.declare.iter().enumerate() {
            if let Err(invalid) = AttributeName::parse(&declared.name) {
                let field = format!("options.declare.{i}.name");
                refusals.push(Refusal::new("INVALID_ATTRIBUTE_NAME", field, invalid.to_string()));
            }
            if declared.kind.parse::<AttributeKind>().is_err() {
                let message = "The kind is string, number, boolean or date.";
                refusals.push(Refusal::new("INVALID_KIND", format!("options.declare.{i}.kind"), message));
            }
        }
        if self.default_country.as_deref().is_some_and(|country| Country::parse(country).is_err()) {
            let message = "A country is a two-letter ISO 3166 code, such as DE.";
            refusals.push(Refusal::new("INVALID_COUNTRY", "options.defaultCountry", message));
        }
        if self.delimiter.is_some_and(|delimiter| !matches!(delimiter, ',' | ';' | '\t' | '|')) {
            let message = "Cells are separated by a comma, a semicolon, a tab or a vertical bar.";
            refusals.push(Refusal::new("INVALID_DELIMITER", "options.delimiter", message));
        }
        if self.consent.is_some() && self.topic.is_none() {
            let message = "Consent is about a topic.";
            refusals.push(Refusal::new("TOPIC_REQUIRED", "options.topicId", message));
        }
        refusals
    }

    /// How the header is read, given what the tenant has declared.
    pub(super) fn header_rules(&self, definitions: &Definitions) -> HeaderRules {
        let targets = self.mapping.iter().map(|one| parse_target(&one.field));
        let declared = |one: &DeclareColumn| AttributeName::parse(&one.name).ok().map(Target::Attribute);
        let targets = targets.chain(self.declare.iter().map(declared));
        let mapped = |((column, path), target): ((&str, String), Option<Target>)| {
            Some(Mapped { column: column.to_owned(), target: target?, path })
        };
        let mapping = self.columns().zip(targets).filter_map(mapped).collect();
        HeaderRules { mapping, attributes: definitions.kinds().collect() }
    }

    /// The columns that are named, each with the input that names it.
    fn columns(&self) -> impl Iterator<Item = (&str, String)> {
        let mapping = self.mapping.iter().enumerate();
        let mapping = mapping.map(|(i, one)| (one.column.as_str(), format!("options.mapping.{i}")));
        let declare = self.declare.iter().enumerate();
        mapping.chain(declare.map(|(i, one)| (one.column.as_str(), format!("options.declare.{i}"))))
    }
}

fn parse_target(text: &str) -> Option<Target> {
    if text == "ignore" {
        return Some(Target::Ignore);
    }
    if let Some(name) = text.strip_prefix("attributes.") {
        return AttributeName::parse(name).ok().map(Target::Attribute);
    }
    text.parse().ok().map(Target::Field)
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::*;

    #[test]
    fn targets_are_fields_attributes_or_nothing() {
        assert_eq!(parse_target("firstName"), Some(Target::Field(Field::FirstName)));
        assert_eq!(parse_target("external_id"), Some(Target::Field(Field::ExternalId)));
        assert_eq!(parse_target("ignore"), Some(Target::Ignore));
        assert!(matches!(parse_target("attributes.plan"), Some(Target::Attribute(_))));
        for bad in ["", "attributes.", "attributes.A b", "nonsense"] {
            assert_eq!(parse_target(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_fault_of_the_options_is_told_at_once() {
        let options = ImportOptions {
            mapping: vec![MapColumn { column: "a".into(), field: "b".into() }],
            declare: vec![DeclareColumn { column: "A ".into(), name: "C".into(), kind: "blob".into() }],
            default_country: Some("XX".into()),
            delimiter: Some('#'),
            ..Default::default()
        };
        let told: Vec<_> = options.check().into_iter().map(|refusal| (refusal.code, refusal.field)).collect();
        let expected = [
            ("GIVEN_TWICE", "options.declare.0.column"),
            ("INVALID_FIELD", "options.mapping.0.field"),
            ("INVALID_ATTRIBUTE_NAME", "options.declare.0.name"),
            ("INVALID_KIND", "options.declare.0.kind"),
            ("INVALID_COUNTRY", "options.defaultCountry"),
            ("INVALID_DELIMITER", "options.delimiter"),
        ];
        assert_eq!(told, expected.map(|(code, field)| (code, field.to_owned())));
        assert_eq!(ImportOptions::default().check(), []);
    }

    #[test]
    fn c155_consent_needs_a_ground_and_an_attestation() {
        assert!(ImportConsent::parse(Basis::Consent, Some("fair"), None, "I have their forms").is_ok());
        assert_eq!(ImportConsent::parse(Basis::Unknown, Some("a\nb"), None, " ").map_err(|all| all.len()), Err(3));
    }
}
