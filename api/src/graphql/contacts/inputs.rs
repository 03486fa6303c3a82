//! Inputs about contacts, and how they become what use cases take; every refusal names its field.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use async_graphql::{Enum, ID, InputObject, MaybeUndefined, OneofObject};
use carillon_domain::contacts::{
    self as domain, AttributeName, AttributeTest, ContactFields, ContactFilter, ContactPatch, Country,
    DeclareAttribute, EmailAddress, InvalidEmail, InvalidPhone, Locale, Patch, PhoneNumber, Tag, UpsertBy,
    UpsertContact, Zone, external_id, person_name,
};
use carillon_domain::error::Refusal;
use chrono::NaiveDate;
use serde_json::Value;

use super::types::{AttributeKind, ContactState};
use crate::graphql::time::Day;

/// What is known of a contact. A field left out stays as it is, null takes its value away.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ContactFieldsInput {
    /// The tenant's own id.
    pub external_id: MaybeUndefined<String>,
    /// Where mail goes.
    pub email: MaybeUndefined<String>,
    /// The telephone number: with its country code, or as it is written in `country`.
    pub phone: MaybeUndefined<String>,
    /// First name.
    pub first_name: MaybeUndefined<String>,
    /// Last name.
    pub last_name: MaybeUndefined<String>,
    /// Language tag, such as `de-AT`.
    pub locale: MaybeUndefined<String>,
    /// IANA time zone.
    pub zone: MaybeUndefined<String>,
    /// ISO 3166 country code.
    pub country: MaybeUndefined<String>,
    /// Declared attributes by name; null takes a value away, what is left out stays.
    pub attributes: Option<Value>,
    /// Tags to put on.
    pub tags: Option<Vec<String>>,
}

/// Gathers refusals while fields are read.
struct Reader<'a> {
    path: &'a str,
    refusals: Vec<Refusal>,
}

impl Reader<'_> {
    fn refuse(&mut self, code: &'static str, field: &str, why: impl std::fmt::Display) {
        self.refusals.push(Refusal::new(code, format!("{}{field}", self.path), why.to_string()));
    }

    fn field<T, E: std::fmt::Display>(
        &mut self,
        (code, field): (&'static str, &str),
        given: &MaybeUndefined<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Patch<T> {
        match given {
            MaybeUndefined::Undefined => Patch::Keep,
            MaybeUndefined::Null => Patch::Clear,
            MaybeUndefined::Value(text) => match parse(text) {
                Ok(value) => Patch::Set(value),
                Err(why) => {
                    self.refuse(code, field, why);
                    Patch::Keep
                }
            },
        }
    }

    fn tags(&mut self, field: &str, tags: &[String]) -> Vec<Tag> {
        if tags.len() > Tag::MAX_PER_CONTACT {
            self.refuse("TOO_MANY_TAGS", field, format!("At most {} tags.", Tag::MAX_PER_CONTACT));
            return Vec::new();
        }
        let read = |(i, text): (usize, &String)| {
            Tag::parse(text).map_err(|why| self.refuse("INVALID_TAG", &format!("{field}.{i}"), why)).ok()
        };
        tags.iter().enumerate().filter_map(read).collect()
    }

    fn attributes(&mut self, given: Option<&Value>) -> BTreeMap<String, Value> {
        match given {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(values)) if values.len() <= domain::MAX_ATTRIBUTES => {
                values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            Some(_) => {
                self.refuse(
                    "INVALID_ATTRIBUTES",
                    "attributes",
                    "Attributes are one JSON object of at most 500 values.",
                );
                BTreeMap::new()
            }
        }
    }
}

impl ContactFieldsInput {
    /// Parses the fields; refusals are under `path`.
    pub fn parse(&self, path: &str) -> Result<ContactFields, Vec<Refusal>> {
        const TEXT: &str = "INVALID_TEXT";
        let mut read = Reader { path, refusals: Vec::new() };
        let country = read.field(("INVALID_COUNTRY", "country"), &self.country, Country::parse);
        let wishes = ContactPatch {
            external_id: read.field((TEXT, "externalId"), &self.external_id, external_id),
            email: read.field((InvalidEmail::CODE, "email"), &self.email, EmailAddress::parse),
            phone: read.field((InvalidPhone::CODE, "phone"), &self.phone, |text| {
                PhoneNumber::parse(text, country.value().copied())
            }),
            first_name: read.field((TEXT, "firstName"), &self.first_name, person_name),
            last_name: read.field((TEXT, "lastName"), &self.last_name, person_name),
            locale: read.field(("INVALID_LOCALE", "locale"), &self.locale, Locale::parse),
            zone: read.field(("INVALID_ZONE", "zone"), &self.zone, Zone::parse),
            country,
            attributes: BTreeMap::new(),
        };
        let attributes = read.attributes(self.attributes.as_ref());
        let tags = read.tags("tags", self.tags.as_deref().unwrap_or_default());
        if read.refusals.is_empty() {
            Ok(ContactFields { patch: wishes, attributes, tags })
        } else {
            Err(read.refusals)
        }
    }
}

/// Input of `createContact`.
#[derive(Debug, Clone, InputObject)]
pub struct CreateContactInput {
    /// What is known of the contact; at least an e-mail address, a telephone number or an external id.
    #[graphql(flatten)]
    pub fields: ContactFieldsInput,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
}

/// Input of `updateContact`.
#[derive(Debug, Clone, InputObject)]
pub struct UpdateContactInput {
    /// Of whom.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// What is to be different.
    #[graphql(flatten)]
    pub fields: ContactFieldsInput,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
}

/// What a contact is found by.
#[derive(Debug, Clone, OneofObject)]
pub enum UpsertByInput {
    /// The tenant's own id.
    ExternalId(String),
    /// The address.
    Email(String),
}

/// One contact of `upsertContacts`.
#[derive(Debug, Clone, InputObject)]
pub struct UpsertContactInput {
    /// What it is found by; one that is not there is made.
    pub by: UpsertByInput,
    /// What is known of it.
    pub fields: Option<ContactFieldsInput>,
}

impl UpsertContactInput {
    /// Parses it; refusals are relative to it.
    pub fn parse(&self) -> Result<UpsertContact, Vec<Refusal>> {
        let mut fields = self.fields.clone().unwrap_or_default();
        let (by, key, field, given) = match &self.by {
            UpsertByInput::ExternalId(id) => (UpsertBy::ExternalId, "externalId", &mut fields.external_id, id),
            UpsertByInput::Email(email) => (UpsertBy::Email, "email", &mut fields.email, email),
        };
        if !field.is_undefined() {
            let message = "What a contact is found by is not among its fields.";
            return Err(vec![Refusal::new("GIVEN_TWICE", format!("fields.{key}"), message)]);
        }
        *field = MaybeUndefined::Value(given.clone());
        let parsed = fields.parse("fields.");
        let place = format!("fields.{key}");
        let at = |refusal: Refusal| {
            if refusal.field == place { refusal.at(format!("by.{key}")) } else { refusal }
        };
        parsed.map(|fields| UpsertContact { by, fields }).map_err(|refusals| refusals.into_iter().map(at).collect())
    }
}

/// Input of `upsertContacts`.
#[derive(Debug, Clone, InputObject)]
pub struct UpsertContactsInput {
    /// At most 500; each is done or refused by itself.
    pub contacts: Vec<UpsertContactInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// Names of mutations of one contact, for the inputs and payloads they have apart although they are alike.
macro_rules! mutations {
    ($($name:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "` of a contact.")]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
    )+};
}
mutations! { Create Update Archive Restore Delete }

/// A contact at the version that you saw.
#[derive(Debug, Clone, InputObject)]
#[graphql(
    concrete(name = "ArchiveContactInput", params(Archive)),
    concrete(name = "RestoreContactInput", params(Restore)),
    concrete(name = "DeleteContactInput", params(Delete))
)]
pub struct ContactVersionInput<Of: Send + Sync> {
    /// Which contact.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

/// Input of `tagContacts`.
#[derive(Debug, Clone, InputObject)]
pub struct TagContactsInput {
    /// At most 500; all or none are changed.
    pub contact_ids: Vec<ID>,
    /// Tags to put on.
    pub add: Option<Vec<String>>,
    /// Tags to take off.
    pub remove: Option<Vec<String>>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl TagContactsInput {
    /// The tags to put on and to take off.
    pub fn tags(&self) -> Result<(Vec<Tag>, Vec<Tag>), Vec<Refusal>> {
        let mut read = Reader { path: "", refusals: Vec::new() };
        let add = read.tags("add", self.add.as_deref().unwrap_or_default());
        let remove = read.tags("remove", self.remove.as_deref().unwrap_or_default());
        if read.refusals.is_empty() { Ok((add, remove)) } else { Err(read.refusals) }
    }
}

/// One attribute to declare.
#[derive(Debug, Clone, InputObject)]
pub struct DeclareAttributeInput {
    /// Its name: at most 63 of a-z, 0-9 and _, a letter first.
    pub name: String,
    /// Its kind.
    pub kind: AttributeKind,
}

/// Input of `declareAttributes`.
#[derive(Debug, Clone, InputObject)]
pub struct DeclareAttributesInput {
    /// Attributes; one that is declared with the same kind already is a success.
    pub attributes: Vec<DeclareAttributeInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl DeclareAttributesInput {
    /// Parses the names.
    pub fn parse(&self) -> Result<Vec<DeclareAttribute>, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let read = |(i, one): (usize, &DeclareAttributeInput)| match AttributeName::parse(&one.name) {
            Ok(name) => Some(DeclareAttribute { name, kind: one.kind.into() }),
            Err(why) => {
                let field = format!("attributes.{i}.name");
                refusals.push(Refusal::new("INVALID_ATTRIBUTE_NAME", field, why.to_string()));
                None
            }
        };
        let parsed = self.attributes.iter().take(domain::MAX_ATTRIBUTES + 1).enumerate().filter_map(read).collect();
        if refusals.is_empty() { Ok(parsed) } else { Err(refusals) }
    }
}

/// From one number to another, both included.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct NumberRange {
    /// The least; none means any.
    pub min: Option<f64>,
    /// The greatest; none means any.
    pub max: Option<f64>,
}

/// From one day to another, both included.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct DateRange {
    /// The first; none means any.
    pub from: Option<Day>,
    /// The last; none means any.
    pub to: Option<Day>,
}

/// What an attribute is compared with.
#[derive(Debug, Clone, OneofObject)]
pub enum AttributeValueInput {
    /// This text.
    String(String),
    /// This number.
    Number(f64),
    /// This.
    Boolean(bool),
    /// This day.
    Date(Day),
    /// A number in the range.
    NumberRange(NumberRange),
    /// A day in the range.
    DateRange(DateRange),
}

/// A condition on an attribute.
#[derive(Debug, Clone, InputObject)]
pub struct AttributeFilterInput {
    /// The attribute's name.
    pub name: String,
    /// What its value must be.
    pub value: AttributeValueInput,
}

impl AttributeValueInput {
    fn test(&self) -> AttributeTest {
        match self {
            Self::String(text) => AttributeTest::Text(text.clone()),
            Self::Number(number) => AttributeTest::Number(*number, *number),
            Self::Boolean(yes) => AttributeTest::Boolean(*yes),
            Self::Date(day) => AttributeTest::Date(day.get(), day.get()),
            Self::NumberRange(range) => {
                AttributeTest::Number(range.min.unwrap_or(f64::MIN), range.max.unwrap_or(f64::MAX))
            }
            Self::DateRange(range) => {
                // The days an attribute can hold.
                let first =
                    range.from.map(Day::get).or_else(|| NaiveDate::from_ymd_opt(1000, 1, 1)).unwrap_or_default();
                let last = range.to.map(Day::get).or_else(|| NaiveDate::from_ymd_opt(9999, 12, 31)).unwrap_or_default();
                AttributeTest::Date(first, last)
            }
        }
    }
}

/// Which contacts are wanted; all that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ContactFilterInput {
    /// In this state; without one, all but deleted ones.
    pub state: Option<ContactState>,
    /// With this tag.
    pub tag: Option<String>,
    /// With this address, however it is spelled.
    pub email: Option<String>,
    /// With this external id.
    pub external_id: Option<String>,
    /// With such a value of an attribute.
    pub attribute: Option<AttributeFilterInput>,
}

impl ContactFilterInput {
    /// True when its answer tells something about people beyond their number.
    pub fn is_personal(&self) -> bool {
        self.email.is_some() || self.attribute.is_some()
    }

    /// Parses it, with a search text; tells everything that is wrong with it.
    pub fn parse(self, search: Option<String>) -> Result<ContactFilter, Vec<Refusal>> {
        /// Octets of a search text.
        const SEARCH_MAX: usize = 255;
        let mut refusals = Vec::new();
        let mut refuse = |field: &str, why: String| {
            refusals.push(Refusal::new("INVALID_FILTER", field, why));
        };
        if search.as_ref().is_some_and(|text| text.len() > SEARCH_MAX || text.contains('\0')) {
            refuse("search", format!("A search text has at most {SEARCH_MAX} octets and no control characters."));
        }
        let tag = self.tag.and_then(|tag| Tag::parse(&tag).map_err(|why| refuse("filter.tag", why.to_string())).ok());
        let email = self
            .email
            .and_then(|email| EmailAddress::parse(&email).map_err(|why| refuse("filter.email", why.to_string())).ok());
        let external_id = self
            .external_id
            .and_then(|id| external_id(&id).map_err(|why| refuse("filter.externalId", why.to_string())).ok());
        if let Some(AttributeFilterInput { value: AttributeValueInput::String(text), .. }) = &self.attribute
            && text.contains('\0')
        {
            refuse("filter.attribute", "The text has a control character.".to_owned());
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let attribute = self.attribute.map(|one| (one.name, one.value.test()));
        Ok(ContactFilter { state: self.state.map(Into::into), tag, email, external_id, attribute, search })
    }
}

/// What happens to a contact that an import finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::import::OnExisting")]
pub enum OnExisting {
    /// It takes what the file says.
    Update,
    /// It stays as it is; only an unsubscription is recorded.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let text = |text: &str| MaybeUndefined::Value(text.to_owned());
        let input = ContactFieldsInput {
            email: text("nobody"),
            phone: text("0171 1234567"),
            first_name: text("a\r\nb"),
            zone: MaybeUndefined::Null,
            attributes: Some(Value::from(1)),
            tags: Some(vec!["a,b".into()]),
            ..Default::default()
        };
        let refusals = input.parse("contacts.3.").unwrap_err();
        let fields: Vec<_> = refusals.iter().map(|refusal| refusal.field.as_str()).collect();
        let names = ["email", "phone", "firstName", "attributes", "tags.0"];
        assert_eq!(fields, names.map(|name| format!("contacts.3.{name}")));
    }

    #[test]
    fn null_clears_and_silence_keeps() {
        let input = ContactFieldsInput { zone: MaybeUndefined::Null, ..Default::default() };
        let fields = input.parse("").unwrap();
        assert_eq!((fields.patch.zone, fields.patch.locale), (Patch::Clear, Patch::Keep));
    }

    #[test]
    fn what_a_contact_is_found_by_is_given_once() {
        let fields = ContactFieldsInput { email: MaybeUndefined::Null, ..Default::default() };
        let twice = UpsertContactInput { by: UpsertByInput::Email("a@b.de".into()), fields: Some(fields) };
        assert_eq!(twice.parse().unwrap_err()[0].code, "GIVEN_TWICE");
        let wrong = UpsertContactInput { by: UpsertByInput::Email("a".into()), fields: None };
        assert_eq!(wrong.parse().unwrap_err()[0].field, "by.email");
    }
}
