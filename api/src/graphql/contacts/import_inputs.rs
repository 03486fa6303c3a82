//! Inputs of uploads and imports.

use async_graphql::{Enum, ID, InputObject};
use carillon_domain::consent::Basis;
use carillon_domain::contacts::import::{self as domain, ImportConsent, ImportOptions};
use carillon_domain::error::Refusal;
use carillon_domain::ids::TopicId;

use super::inputs::OnExisting;
use super::types::AttributeKind;
use crate::graphql::node::parse_id;
use crate::graphql::time::Instant;

/// Input of `createUpload`.
#[derive(Debug, Clone, InputObject)]
pub struct CreateUploadInput {
    /// What the file is called.
    pub file_name: String,
    /// Its bytes.
    pub size: i64,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, InputObject)]
pub struct ColumnMappingInput {
    /// The column's name in the file.
    pub column: String,
    /// `email`, `externalId`, `firstName`, `lastName`, `phone`, `country`, `zone`, `locale`, `tags`, `subscription`,
    /// `consentAt`, `consentSource`, `attributes.NAME` of a declared attribute, or `ignore`.
    pub field: String,
}

/// A column whose attribute the import declares.
#[derive(Debug, Clone, InputObject)]
pub struct DeclareColumnInput {
    /// The column's name in the file.
    pub column: String,
    /// The attribute's name.
    pub name: String,
    /// Its kind.
    pub kind: AttributeKind,
}

/// A ground that a file can claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ImportBasis {
    /// They agreed.
    Consent,
    /// Existing customers, similar goods.
    SoftOptIn,
    /// Legitimate interest.
    LegitimateInterest,
    /// Needed for a contract; carries no marketing.
    Contract,
    /// Legal duty; carries no marketing.
    LegalDuty,
}

impl From<ImportBasis> for Basis {
    fn from(basis: ImportBasis) -> Self {
        match basis {
            ImportBasis::Consent => Self::Consent,
            ImportBasis::SoftOptIn => Self::SoftOptIn,
            ImportBasis::LegitimateInterest => Self::LegitimateInterest,
            ImportBasis::Contract => Self::Contract,
            ImportBasis::LegalDuty => Self::LegalDuty,
        }
    }
}

/// What the consent of the file's subscribed people rests on. Without a date and a source, here or in the row, the
/// ground counts as unknown, and marketing is denied. A file never lifts what a person withdrew.
#[derive(Debug, Clone, InputObject)]
pub struct ImportConsentInput {
    /// The ground.
    pub basis: ImportBasis,
    /// Where it was collected; a row's own source comes before it.
    pub source: Option<String>,
    /// When it was collected; a row's own date comes before it.
    pub collected_at: Option<Instant>,
    /// Your own words that it was.
    pub attestation: String,
}

/// How a file is imported.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ImportOptionsInput {
    /// What columns hold whose names do not say it.
    pub mapping: Option<Vec<ColumnMappingInput>>,
    /// Attributes that the import declares.
    pub declare: Option<Vec<DeclareColumnInput>>,
    /// What happens to contacts that are there; they are updated unless said otherwise.
    pub on_existing: Option<OnExisting>,
    /// What subscribed people are subscribed to. A row that says unsubscribed withdraws from this topic only; without one,
    /// from all marketing.
    pub topic_id: Option<ID>,
    /// What their consent rests on.
    pub consent: Option<ImportConsentInput>,
    /// Reads telephone numbers without a country code.
    pub default_country: Option<String>,
    /// What separates cells, where it should not be detected: `,` `;` `|` or a tab.
    pub delimiter: Option<String>,
}

impl ImportOptionsInput {
    /// Parses what can be told without the tenant; the use case checks the rest.
    pub fn parse(&self) -> Result<ImportOptions, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let map = |one: &ColumnMappingInput| domain::MapColumn { column: one.column.clone(), field: one.field.clone() };
        let declare = |one: &DeclareColumnInput| domain::DeclareColumn {
            column: one.column.clone(),
            name: one.name.clone(),
            kind: carillon_domain::contacts::AttributeKind::from(one.kind).as_str().to_owned(),
        };
        let topic = self.topic_id.as_ref().map(|topic| parse_id::<TopicId>(topic, "options.topicId"));
        let topic = topic.transpose().map_err(|refusal| refusals.push(refusal)).unwrap_or_default();
        let consent = self.consent.as_ref().map(|one| {
            let collected_at = one.collected_at.map(Instant::get);
            ImportConsent::parse(one.basis.into(), one.source.as_deref(), collected_at, &one.attestation)
        });
        let consent = consent.transpose().map_err(|all| refusals.extend(all)).unwrap_or_default();
        let mut delimiter = self.delimiter.iter().flat_map(|text| text.chars());
        let (delimiter, more) = (delimiter.next(), delimiter.next());
        if more.is_some() {
            let message = "One character separates cells.";
            refusals.push(Refusal::new("INVALID_DELIMITER", "options.delimiter", message));
        }
        let options = ImportOptions {
            mapping: self.mapping.iter().flatten().map(map).collect(),
            declare: self.declare.iter().flatten().map(declare).collect(),
            on_existing: self.on_existing.map_or(domain::OnExisting::Update, Into::into),
            topic,
            consent,
            default_country: self.default_country.clone(),
            delimiter,
        };
        if refusals.is_empty() { Ok(options) } else { Err(refusals) }
    }
}

/// Input of `startImport`.
#[derive(Debug, Clone, InputObject)]
pub struct StartImportInput {
    /// The file, whole.
    pub upload_id: ID,
    /// How it is imported.
    pub options: Option<ImportOptionsInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_whole() {
        let consent = ImportConsentInput {
            basis: ImportBasis::Consent,
            source: None,
            collected_at: None,
            attestation: " ".into(),
        };
        let input = ImportOptionsInput {
            topic_id: Some("nonsense".into()),
            consent: Some(consent),
            delimiter: Some(";;".into()),
            ..Default::default()
        };
        let codes: Vec<_> = input.parse().unwrap_err().iter().map(|refusal| refusal.code).collect();
        assert_eq!(codes, ["NOT_FOUND", "INVALID_TEXT", "INVALID_DELIMITER"]);
        assert!(ImportOptionsInput::default().parse().is_ok());
    }
}
