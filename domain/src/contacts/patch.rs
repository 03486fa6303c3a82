//! What somebody wants to be different about a contact: fields that are not named stay as they are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::definitions::Definitions;
use super::{AttributeName, AttributeValue, Contact, Country, EmailAddress, Locale, PhoneNumber, Tag, Zone};
use crate::error::Refusal;

/// A wish for one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Take the value away.
    Clear,
    /// Make it this.
    Set(T),
}

impl<T> Patch<T> {
    /// The value that is asked for.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Whether there is a value afterwards, given whether there is one now.
    pub(crate) fn leaves_value(&self, now: bool) -> bool {
        match self {
            Self::Keep => now,
            Self::Clear => false,
            Self::Set(_) => true,
        }
    }

    /// What is asked for an optional value: `None` clears.
    pub fn of(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }

    /// A value or nothing to say.
    pub fn known(value: Option<T>) -> Self {
        value.map_or(Self::Keep, Self::Set)
    }
}

impl<T: Clone + PartialEq> Patch<T> {
    /// Does it; true when something changed.
    fn apply(&self, field: &mut Option<T>) -> bool {
        let wanted = match self {
            Self::Keep => return false,
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        };
        let changed = *field != wanted;
        if changed {
            *field = wanted;
        }
        changed
    }
}

/// Wishes for one contact, parsed. Attributes are typed; `None` clears.
#[derive(Debug, Clone, Default)]
pub struct ContactPatch {
    /// The tenant's own id.
    pub external_id: Patch<String>,
    /// The address.
    pub email: Patch<EmailAddress>,
    /// The number.
    pub phone: Patch<PhoneNumber>,
    /// First name.
    pub first_name: Patch<String>,
    /// Last name.
    pub last_name: Patch<String>,
    /// Language and region.
    pub locale: Patch<Locale>,
    /// Time zone.
    pub zone: Patch<Zone>,
    /// Country.
    pub country: Patch<Country>,
    /// Attributes that are named.
    pub attributes: BTreeMap<AttributeName, Option<AttributeValue>>,
}

impl ContactPatch {
    /// Does all of it; returns the names of what changed, in the API's spelling.
    pub(crate) fn apply(&self, contact: &mut Contact) -> Vec<String> {
        let mut changed = Vec::new();
        let mut note = |name: &str, yes: bool| {
            if yes {
                changed.push(name.to_owned());
            }
        };
        note("externalId", self.external_id.apply(&mut contact.external_id));
        note("email", self.email.apply(&mut contact.email));
        note("phone", self.phone.apply(&mut contact.phone));
        note("firstName", self.first_name.apply(&mut contact.first_name));
        note("lastName", self.last_name.apply(&mut contact.last_name));
        note("locale", self.locale.apply(&mut contact.locale));
        note("zone", self.zone.apply(&mut contact.zone));
        note("country", self.country.apply(&mut contact.country));
        for (name, value) in &self.attributes {
            let before = contact.attributes.get(name.as_str());
            let wanted = value.as_ref().map(AttributeValue::to_json);
            if before == wanted.as_ref() {
                continue;
            }
            match wanted {
                Some(value) => contact.attributes.insert(name.as_str().to_owned(), value),
                None => contact.attributes.remove(name.as_str()),
            };
            note(&format!("attributes.{}", name.as_str()), true);
        }
        changed
    }
}

/// A patch as it comes from outside: attributes are JSON whose kinds only the tenant's declarations tell.
#[derive(Debug, Clone, Default)]
pub struct ContactFields {
    /// Everything but the attributes.
    pub patch: ContactPatch,
    /// Attributes by name; `null` clears.
    pub attributes: BTreeMap<String, Value>,
    /// Tags to put on.
    pub tags: Vec<Tag>,
}

impl ContactFields {
    /// Reads the attributes by what the tenant declared; refusals name `{path}attributes.{name}`.
    pub(crate) fn typed(
        mut self,
        definitions: &Definitions,
        path: &str,
    ) -> Result<(ContactPatch, Vec<Tag>), Vec<Refusal>> {
        let mut refusals = Vec::new();
        for (name, value) in &self.attributes {
            match definitions.read_json(name, value) {
                Ok((name, value)) => drop(self.patch.attributes.insert(name, value)),
                Err(refusal) => {
                    let field = format!("{path}attributes.{}", refusal.field);
                    refusals.push(refusal.at(field));
                }
            }
        }
        if refusals.is_empty() { Ok((self.patch, self.tags)) } else { Err(refusals) }
    }
}
