//! A contact as it is: one person, found by identities, written to only while active.

use carillon_entities::ids::ContactId;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use super::{Country, EmailAddress, Locale, PhoneNumber, Zone};
use crate::time::Timestamp;

text_code! {
    /// Whether a contact may be written to at all.
    pub enum ContactState {
        /// In use.
        Active = "active",
        /// Put away; can be restored, is never mailed.
        Archived = "archived",
        /// Gone: only its id, its history's outline and the suppressions of its address stay.
        Deleted = "deleted",
    }
}

text_code! {
    /// What a contact is found by; each value belongs to one contact of a tenant.
    pub enum IdentityKind {
        /// The normalised address.
        Email = "email",
        /// The E.164 number.
        Phone = "phone",
        /// The tenant's own id.
        ExternalId = "external_id",
    }
}

impl IdentityKind {
    /// The input field it comes from.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ExternalId => "externalId",
        }
    }
}

/// One identity: its kind and its normalised value.
pub(crate) type Identity = (IdentityKind, String);

/// A person a tenant writes to; redacted `Debug` (L9).
#[derive(Clone, PartialEq)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Whether it is in use.
    pub state: ContactState,
    /// The tenant's own id.
    pub external_id: Option<String>,
    /// Where mail goes.
    pub email: Option<EmailAddress>,
    /// Where mail went before, while it goes nowhere: what the person ended there follows them to the next address (C-126).
    pub(crate) former_email: Option<EmailAddress>,
    /// The telephone number.
    pub phone: Option<PhoneNumber>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Language and region.
    pub locale: Option<Locale>,
    /// Time zone.
    pub zone: Option<Zone>,
    /// Country.
    pub country: Option<Country>,
    /// Declared attributes by name, in their JSON form.
    pub attributes: Map<String, Value>,
    /// Counts changes; a change must name the version it saw.
    pub version: i64,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Contact {
    /// An active contact that nothing is known of yet.
    pub(crate) fn new(id: ContactId, now: Timestamp) -> Self {
        Self {
            id,
            state: ContactState::Active,
            external_id: None,
            email: None,
            former_email: None,
            phone: None,
            first_name: None,
            last_name: None,
            locale: None,
            zone: None,
            country: None,
            attributes: Map::new(),
            version: 1,
            created_at: now,
            updated_at: now,
            archived_at: None,
            deleted_at: None,
        }
    }

    /// What it is found by.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> {
        let email = self.email.as_ref().map(|email| (IdentityKind::Email, email.norm().to_owned()));
        let phone = self.phone.as_ref().map(|phone| (IdentityKind::Phone, phone.as_e164().to_owned()));
        let external = self.external_id.clone().map(|id| (IdentityKind::ExternalId, id));
        [email, phone, external].into_iter().flatten()
    }

    /// The names as they are searched: `last first` in one case, so a prefix of the last name finds it.
    pub(crate) fn name_norm(&self) -> Option<String> {
        let parts: Vec<&str> = [&self.last_name, &self.first_name].into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| fold_name(&parts.join(" ")))
    }
}

/// A name or a part of one in the form it is searched by.
pub(crate) fn fold_name(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase().nfc().collect() }
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contact")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c199_debug_shows_no_personal_data() {
        let mut contact = Contact::new(ContactId(uuid::Uuid::from_u128(1)), Timestamp::UNIX_EPOCH);
        contact.first_name = Some("Ada".into());
        contact.email = EmailAddress::parse("ada@example.org").ok();
        let shown = format!("{contact:?}");
        assert!(!shown.contains("Ada") && !shown.contains("ada@"), "{shown}");
    }

    #[test]
    fn names_are_searched_by_last_name_in_any_case() {
        let mut contact = Contact::new(ContactId(uuid::Uuid::from_u128(1)), Timestamp::UNIX_EPOCH);
        assert_eq!(contact.name_norm(), None);
        contact.first_name = Some("Ada".into());
        contact.last_name = Some("ÄRGER".into());
        assert_eq!(contact.name_norm().as_deref(), Some("ärger ada"));
    }
}
