//! A record becomes a row of an import: a contact's fields and what the file says about their consent, or every error in
//! it at once. An empty cell says nothing; it never clears a field.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};

use super::{Column, Field, Header, Record, unguard_cell};
use crate::contacts::{
    AttributeValue, Attributes, Country, EmailAddress, InvalidAttribute, InvalidEmail, InvalidPhone, Locale,
    PhoneNumber, Tag, Zone, external_id, one_line, person_name,
};
use crate::time::Timestamp;

/// What a file says about a person's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Subscription {
    /// The person wants mail.
    Subscribed,
    /// The person does not want mail.
    Unsubscribed,
    /// Nothing is said, or it is not settled.
    #[default]
    Unspecified,
}

/// One row; redacted `Debug` through its types, and names are left out.
#[derive(Clone, Default, PartialEq)]
pub struct ImportRow {
    /// The physical line it starts on.
    pub line: u64,
    /// E-mail address; this or the external id is there.
    pub email: Option<EmailAddress>,
    /// The tenant's own id.
    pub external_id: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Telephone number.
    pub phone: Option<PhoneNumber>,
    /// Country.
    pub country: Option<Country>,
    /// Time zone.
    pub zone: Option<Zone>,
    /// Language.
    pub locale: Option<Locale>,
    /// Tags to add, each once.
    pub tags: Vec<Tag>,
    /// Attributes with a value.
    pub attributes: Attributes,
    /// What the file says about the subscription.
    pub subscription: Subscription,
    /// When consent was given.
    pub consent_at: Option<Timestamp>,
    /// Where consent was given; at most [`ImportRow::SOURCE_MAX`] octets.
    pub consent_source: Option<String>,
    /// True where the row was refused and only what it takes back is heard.
    pub is_refused: bool,
}

impl ImportRow {
    /// Octets of a consent's source.
    pub const SOURCE_MAX: usize = 500;
}

impl std::fmt::Debug for ImportRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImportRow(line {})", self.line)
    }
}

/// An error in a row, without the row's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The physical line the row starts on.
    pub line: u64,
    /// A field's name, `attributes.name`, or empty for the whole row.
    pub field: String,
    /// Stable upper-case code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A row that is not imported.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedRow {
    /// Everything that is wrong with it.
    pub errors: Vec<RowError>,
    /// Who takes consent back in it: a no is heard however the rest is written.
    pub withdrawal: Option<Box<ImportRow>>,
}

impl From<super::RecordError> for RefusedRow {
    fn from(error: super::RecordError) -> Self {
        Self { errors: vec![error.into()], withdrawal: None }
    }
}

impl From<super::RecordError> for RowError {
    fn from(error: super::RecordError) -> Self {
        Self { line: error.line, field: String::new(), code: error.kind.code(), message: error.kind.to_string() }
    }
}

/// What rows are read by.
#[derive(Debug, Clone, Copy)]
pub struct RowRules {
    /// Reads national telephone numbers where the row has no country.
    pub default_country: Option<Country>,
    /// Consent cannot have been given later.
    pub now: Timestamp,
}

impl Header {
    /// Reads a record behind the header; `None` for a row of empty cells.
    pub fn read_row(&self, record: &Record, rules: &RowRules) -> Result<Option<ImportRow>, RefusedRow> {
        if record.cells().all(|cell| cell.trim().is_empty()) {
            return Ok(None);
        }
        let mut draft = Draft::new(record.line);
        let (width, cells) = (self.columns().len(), record.len());
        if cells < width || record.cells().skip(width).any(|cell| !cell.trim().is_empty()) {
            let message = format!("The row has {cells} cells, the header has {width}.");
            draft.errors.push(RowError { line: record.line, field: String::new(), code: "ROW_WIDTH", message });
            return Err(RefusedRow { errors: draft.errors, withdrawal: None });
        }
        let mut phone = None;
        for (column, cell) in self.columns().iter().zip(record.cells()) {
            let cell = unguard_cell(cell.trim()).trim();
            match column {
                _ if cell.is_empty() => {}
                Column::Ignored => {}
                // A national number needs the country, which may stand behind it.
                Column::Field(Field::Phone) => phone = Some(cell),
                Column::Field(field) => draft.take_field(*field, cell, rules),
                Column::Attribute(name, kind) => match AttributeValue::from_text(*kind, cell) {
                    Ok(Some(value)) => _ = draft.row.attributes.insert(name.clone(), value),
                    Ok(None) => {}
                    Err(error) => {
                        draft.refuse(format!("attributes.{}", name.as_str()), InvalidAttribute::CODE, &error);
                    }
                },
            }
        }
        if let Some(phone) = phone {
            let parsed = PhoneNumber::parse(phone, draft.row.country.or(rules.default_country));
            draft.row.phone = draft.keep(Field::Phone, InvalidPhone::CODE, parsed);
        }
        draft.finish().map(Some)
    }
}

/// A row being read, with what is wrong so far.
struct Draft {
    row: ImportRow,
    errors: Vec<RowError>,
}

impl Draft {
    fn new(line: u64) -> Self {
        Self { row: ImportRow { line, ..ImportRow::default() }, errors: Vec::new() }
    }

    fn take_field(&mut self, field: Field, cell: &str, rules: &RowRules) {
        const TEXT: &str = "INVALID_TEXT";
        match field {
            Field::Email => self.row.email = self.keep(field, InvalidEmail::CODE, EmailAddress::parse(cell)),
            Field::ExternalId => self.row.external_id = self.keep(field, TEXT, external_id(cell)),
            Field::FirstName => self.row.first_name = self.keep(field, TEXT, person_name(cell)),
            Field::LastName => self.row.last_name = self.keep(field, TEXT, person_name(cell)),
            Field::Phone => {}
            Field::Country => self.row.country = self.keep(field, "INVALID_COUNTRY", Country::parse(cell)),
            Field::Zone => self.row.zone = self.keep(field, "INVALID_ZONE", Zone::parse(cell)),
            Field::Locale => self.row.locale = self.keep(field, "INVALID_LOCALE", Locale::parse(cell)),
            Field::Tags => self.row.tags = self.keep(field, "INVALID_TAG", tags(cell)).unwrap_or_default(),
            Field::Subscription => {
                self.row.subscription = self.keep(field, "INVALID_STATUS", subscription(cell)).unwrap_or_default();
            }
            Field::ConsentAt => {
                self.row.consent_at = self.keep(field, "INVALID_DATE", consent_time(cell, rules.now));
            }
            Field::ConsentSource => {
                self.row.consent_source = self.keep(field, TEXT, one_line(cell, ImportRow::SOURCE_MAX));
            }
        }
    }

    fn keep<T, E: std::fmt::Display>(&mut self, field: Field, code: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.refuse(field.as_str(), code, &error)).ok()
    }

    fn refuse(&mut self, field: impl Into<String>, code: &'static str, why: &dyn std::fmt::Display) {
        self.errors.push(RowError { line: self.row.line, field: field.into(), code, message: why.to_string() });
    }

    fn finish(mut self) -> Result<ImportRow, RefusedRow> {
        let is_nobody = self.row.email.is_none() && self.row.external_id.is_none();
        if self.errors.is_empty() && is_nobody {
            self.refuse("", "ROW_NO_IDENTITY", &"The row has neither an e-mail address nor an external id.");
        }
        if self.errors.is_empty() {
            return Ok(self.row);
        }
        let ImportRow { line, email, external_id, country, subscription, .. } = self.row;
        let heard =
            ImportRow { line, email, external_id, country, subscription, is_refused: true, ..Default::default() };
        let withdrawal = (subscription == Subscription::Unsubscribed && !is_nobody).then(|| Box::new(heard));
        Err(RefusedRow { errors: self.errors, withdrawal })
    }
}

fn tags(cell: &str) -> Result<Vec<Tag>, String> {
    let mut tags = Vec::new();
    for text in cell.split(Tag::SEPARATORS).map(str::trim).filter(|text| !text.is_empty()) {
        let tag = Tag::parse(text).map_err(|error| error.to_string())?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > Tag::MAX_PER_CONTACT {
            return Err(format!("A contact has at most {} tags.", Tag::MAX_PER_CONTACT));
        }
    }
    Ok(tags)
}

fn subscription(cell: &str) -> Result<Subscription, &'static str> {
    match cell.to_lowercase().replace(['-', '_', ' '], "").as_str() {
        "subscribed" | "subscribe" | "active" | "aktiv" | "true" | "yes" | "y" | "1" | "ja" | "j" | "wahr"
        | "optin" | "optedin" | "doubleoptin" | "confirmed" | "bestätigt" | "angemeldet" | "abonniert" => {
            Ok(Subscription::Subscribed)
        }
        "unsubscribed" | "unsubscribe" | "inactive" | "inaktiv" | "false" | "no" | "n" | "0" | "nein" | "falsch"
        | "optout" | "optedout" | "abgemeldet" | "complained" | "bounced" | "cleaned" => Ok(Subscription::Unsubscribed),
        "pending" | "unconfirmed" | "nonsubscribed" | "unspecified" | "unknown" | "unbekannt" => {
            Ok(Subscription::Unspecified)
        }
        _ => Err("The value is neither subscribed nor unsubscribed."),
    }
}

/// A day or a moment, in UTC where no offset is given; clocks may differ by a day, no more.
fn consent_time(cell: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    const MOMENTS: [&str; 6] = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
        "%d.%m.%Y %H:%M:%S",
        "%d.%m.%Y %H:%M",
    ];
    let with_offset = || DateTime::parse_from_rfc3339(cell).ok().map(|at| at.to_utc());
    let moment = || MOMENTS.iter().find_map(|format| NaiveDateTime::parse_from_str(cell, format).ok());
    let day = || ["%Y-%m-%d", "%d.%m.%Y"].iter().find_map(|format| NaiveDate::parse_from_str(cell, format).ok());
    let at = with_offset()
        .or_else(|| moment().map(|at| at.and_utc()))
        .or_else(|| day().and_then(|day| day.and_hms_opt(0, 0, 0)).map(|at| at.and_utc()))
        .ok_or("The date is not written like 2026-12-31 or 2026-12-31T10:00:00Z.")?;
    let earliest = NaiveDate::from_ymd_opt(1990, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0));
    if earliest.is_some_and(|earliest| at < earliest.and_utc()) || at > now + TimeDelta::days(1) {
        return Err("The date is before 1990 or in the future.");
    }
    Ok(crate::time::to_micros(at))
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
