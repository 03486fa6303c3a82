//! What the columns of a file mean: known names in English and German, the import's own mapping, declared attributes.
//!
//! Every column must mean something or be ignored on purpose, and nothing may be meant twice: a column that is silently
//! dropped is data lost. Messages name columns by number, for a file without a header has a person's data there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Field, Record};
use crate::contacts::{AttributeKind, AttributeName};
use crate::error::Refusal;

/// What an import's own mapping says a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A field.
    Field(Field),
    /// A declared attribute.
    Attribute(AttributeName),
    /// Nothing; left out on purpose.
    Ignore,
}

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// A field.
    Field(Field),
    /// An attribute and its kind.
    Attribute(AttributeName, AttributeKind),
    /// Nothing.
    Ignored,
}

/// What an import was told of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The column's name as in the file; letter case and punctuation do not matter.
    pub column: String,
    /// What it is.
    pub target: Target,
    /// The input that says so.
    pub path: String,
}

/// What an import knows about columns before it sees a header.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    /// Each column once.
    pub mapping: Vec<Mapped>,
    /// Attributes the tenant has, and those the import declares.
    pub attributes: BTreeMap<AttributeName, AttributeKind>,
}

/// The columns of a file in order. They are resolved once, when an import starts: what the tenant declares later does not
/// change what a row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Header {
    columns: Vec<Column>,
}

impl Header {
    /// Reads the first record of a file; all refusals at once.
    pub fn read(record: &Record, rules: &HeaderRules) -> Result<Self, Vec<Refusal>> {
        let mapping: BTreeMap<String, &Mapped> =
            rules.mapping.iter().map(|mapped| (simplify(&mapped.column), mapped)).collect();
        let mut refusals = Vec::new();
        let mut columns = Vec::with_capacity(record.len());
        let mut unmatched = mapping.clone();
        for (i, cell) in record.cells().enumerate() {
            let name = simplify(cell);
            unmatched.remove(&name);
            let column = match mapping.get(&name) {
                Some(told) => mapped(&told.target, rules),
                None => named(&name, rules),
            };
            match column {
                Ok(column) if column != Column::Ignored && columns.contains(&column) => {
                    let message = format!("Column {} means the same as an earlier column.", i + 1);
                    refusals.push(Refusal::new("HEADER_DUPLICATE", format!("columns.{i}"), message));
                }
                Ok(column) => columns.push(column),
                Err(why) => {
                    let message = format!("Column {}: {why}", i + 1);
                    refusals.push(Refusal::new("HEADER_UNKNOWN", format!("columns.{i}"), message));
                }
            }
        }
        let mut missing: Vec<_> = unmatched.values().map(|told| format!("{}.column", told.path)).collect();
        missing.sort_unstable();
        let message = "The file has no such column.";
        refusals.extend(missing.into_iter().map(|path| Refusal::new("HEADER_MAPPING", path, message)));
        let identified = [Field::Email, Field::ExternalId].map(Column::Field);
        if refusals.is_empty() && !identified.iter().any(|column| columns.contains(column)) {
            let message = "The first row must name a column for the e-mail address or the external id.";
            refusals.push(Refusal::new("HEADER_NO_IDENTITY", "columns", message));
        }
        if refusals.is_empty() { Ok(Self { columns }) } else { Err(refusals) }
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// True when a column holds the field.
    pub fn has(&self, field: Field) -> bool {
        self.columns.contains(&Column::Field(field))
    }

    /// True when a column says who agreed or not, when or where.
    pub fn speaks_of_consent(&self) -> bool {
        [Field::Subscription, Field::ConsentAt, Field::ConsentSource].into_iter().any(|field| self.has(field))
    }

    /// Attributes the file has values for.
    pub fn attributes(&self) -> impl Iterator<Item = (&AttributeName, AttributeKind)> {
        self.columns.iter().filter_map(|column| match column {
            Column::Attribute(name, kind) => Some((name, *kind)),
            Column::Field(_) | Column::Ignored => None,
        })
    }
}

fn mapped(target: &Target, rules: &HeaderRules) -> Result<Column, &'static str> {
    match target {
        Target::Field(field) => Ok(Column::Field(*field)),
        Target::Ignore => Ok(Column::Ignored),
        Target::Attribute(name) => attribute(name.clone(), rules),
    }
}

fn named(name: &str, rules: &HeaderRules) -> Result<Column, &'static str> {
    if let Some(field) = Field::ALL.into_iter().find(|field| field.aliases().contains(&name)) {
        // An attribute the tenant named like an alias is meant, if it was declared.
        return match AttributeName::parse(name) {
            Ok(name) if field.column() != name.as_str() && rules.attributes.contains_key(&name) => {
                attribute(name, rules)
            }
            _ => Ok(Column::Field(field)),
        };
    }
    let bare = name.strip_prefix("attributes_").or_else(|| name.strip_prefix("attribute_")).unwrap_or(name);
    [name, bare]
        .into_iter()
        .filter_map(|name| AttributeName::parse(name).ok())
        .find(|name| rules.attributes.contains_key(name))
        .map_or(Err(UNKNOWN), |name| attribute(name, rules))
}

const UNKNOWN: &str = "no field and no declared attribute has this name; map it, declare it or ignore it.";

fn attribute(name: AttributeName, rules: &HeaderRules) -> Result<Column, &'static str> {
    let kind = *rules.attributes.get(&name).ok_or("the attribute it is mapped to is not declared.")?;
    Ok(Column::Attribute(name, kind))
}

/// A column's name without what people write differently: letter case, umlauts, spaces and punctuation.
pub(super) fn simplify(name: &str) -> String {
    const NAME_MAX: usize = 200;
    let mut simple = String::new();
    let mut gap = false;
    for c in name.chars().take(NAME_MAX).flat_map(char::to_lowercase) {
        let mut own = [0; 4];
        let part = match c {
            'ä' => "ae",
            'ö' => "oe",
            'ü' => "ue",
            'ß' => "ss",
            c if c.is_alphanumeric() => &*c.encode_utf8(&mut own),
            _ => {
                gap = true;
                continue;
            }
        };
        if gap && !simple.is_empty() {
            simple.push('_');
        }
        gap = false;
        simple.push_str(part);
    }
    simple
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Format, RecordReader};
    use super::*;
    use Field as F;

    fn record(line: &str) -> Record {
        let format = Format::detect(line.as_bytes()).expect("text");
        let mut reader = RecordReader::new(&format, format.start);
        reader.feed(Bytes::from(line.to_owned()));
        reader.finish();
        reader.next_record().expect("one").expect("good")
    }

    fn name(text: &str) -> AttributeName {
        AttributeName::parse(text).expect("a name")
    }

    fn codes(line: &str, rules: &HeaderRules) -> Vec<(&'static str, String)> {
        let refusals = Header::read(&record(line), rules).expect_err("refused");
        refusals.into_iter().map(|refusal| (refusal.code, refusal.field)).collect()
    }

    #[test]
    fn aliases_are_known() {
        let header = Header::read(
            &record("\"E-Mail-Adresse\";Vorname;NACHNAME;Telefon;Kundennummer;Land;Zeitzone;Sprache;Tags;Status;Opt-in date;Quelle"),
            &HeaderRules::default(),
        )
        .expect("known");
        let fields = [
            F::Email,
            F::FirstName,
            F::LastName,
            F::Phone,
            F::ExternalId,
            F::Country,
            F::Zone,
            F::Locale,
            F::Tags,
            F::Subscription,
            F::ConsentAt,
            F::ConsentSource,
        ];
        assert_eq!(header.columns(), fields.map(Column::Field));
    }

    #[test]
    fn every_alias_is_simple_and_means_one_field() {
        let mut all: Vec<_> = Field::ALL.into_iter().flat_map(|field| field.aliases().iter().copied()).collect();
        assert!(all.iter().all(|alias| simplify(alias) == *alias));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(Field::ALL.into_iter().all(|field| field.as_str().parse() == Ok(field)));
    }

    #[test]
    fn unknown_and_doubled_columns_are_refused() {
        let rules = HeaderRules::default();
        assert_eq!(codes("email,shoe size", &rules), [("HEADER_UNKNOWN", "columns.1".to_owned())]);
        assert_eq!(codes("email,E-Mail", &rules), [("HEADER_DUPLICATE", "columns.1".to_owned())]);
        assert_eq!(codes("vorname", &rules), [("HEADER_NO_IDENTITY", "columns".to_owned())]);
        assert_eq!(codes("jane@example.com,Jane,,", &rules).len(), 4, "no header at all");
    }

    #[test]
    fn declared_attributes_and_mappings() {
        let mut rules = HeaderRules::default();
        rules.attributes.insert(name("shoe_size"), AttributeKind::Number);
        rules.attributes.insert(name("source"), AttributeKind::String);
        let told = |column: &str, target, path: &str| Mapped { column: column.into(), target, path: path.into() };
        rules.mapping = vec![
            told("Login", Target::Field(Field::Email), "options.mapping.0"),
            told("junk", Target::Ignore, "options.mapping.1"),
            told("SIZE", Target::Attribute(name("shoe_size")), "options.declare.0"),
        ];
        let header = Header::read(&record("login,Junk,size,source"), &rules).expect("known");
        let size = Column::Attribute(name("shoe_size"), AttributeKind::Number);
        let source = Column::Attribute(name("source"), AttributeKind::String);
        assert_eq!(header.columns(), [Column::Field(Field::Email), Column::Ignored, size, source]);
        let missing = codes("login,attributes.shoe_size,junk", &rules);
        assert_eq!(missing, [("HEADER_MAPPING", "options.declare.0.column".to_owned())]);
        rules.mapping[2].target = Target::Attribute(name("undeclared"));
        assert!(Header::read(&record("login,size,junk"), &rules).is_err());
    }
}
