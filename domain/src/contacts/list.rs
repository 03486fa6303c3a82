//! Lists of contacts: filters, prefix search, and the way each list is walked.

use carillon_entities::ids::{AttributeId, ContactId};
use carillon_entities::wall::TenantTx;
use chrono::NaiveDate;

use super::contact::fold_name;
use super::store::attributes::{definitions_find, definitions_load, definitions_page};
use super::store::contacts::{contact_find, contacts_get};
use super::store::identities::identity_owners;
use super::store::list::contacts_page;
use super::store::tags::tags_of;
use super::{AttributeDefinition, AttributeKind, Contact, ContactState, EmailAddress, IdentityKind, PhoneNumber, Tag};
use crate::error::{Refusal, Result};
use crate::paging::{Page, Paged};
use crate::tenancy::{Grant, ReadContacts};
use crate::time::Timestamp;

/// What an attribute's value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeTest {
    /// This text.
    Text(String),
    /// From one number to another, both included.
    Number(f64, f64),
    /// This.
    Boolean(bool),
    /// From one day to another, both included.
    Date(NaiveDate, NaiveDate),
}

impl AttributeTest {
    fn kind(&self) -> AttributeKind {
        match self {
            Self::Text(_) => AttributeKind::String,
            Self::Number(..) => AttributeKind::Number,
            Self::Boolean(_) => AttributeKind::Boolean,
            Self::Date(..) => AttributeKind::Date,
        }
    }
}

/// Which contacts are wanted; all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct ContactFilter {
    /// In this state; without one, all but deleted ones.
    pub state: Option<ContactState>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// With this address.
    pub email: Option<EmailAddress>,
    /// With this external id.
    pub external_id: Option<String>,
    /// With such a value of the attribute of this name.
    pub attribute: Option<(String, AttributeTest)>,
    /// Whose address, external id or name starts with this.
    pub search: Option<String>,
}

/// How much a list is to show of each contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Who it is: id, state, address and name.
    Few,
    /// [`CardMore`] as well.
    More,
}

/// What a list shows of a contact; the rest is read when it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactCard {
    /// Its id.
    pub id: ContactId,
    /// Whether it is in use.
    pub state: ContactState,
    /// Where mail goes, as it was given.
    pub email: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// With [`Shown::More`].
    pub more: Option<CardMore>,
}

/// What only some lists show of a contact.
#[derive(Debug, Clone, PartialEq)]
pub struct CardMore {
    /// The tenant's own id.
    pub external_id: Option<String>,
    /// Where mail goes.
    pub address: Option<EmailAddress>,
    /// The telephone number.
    pub phone: Option<PhoneNumber>,
    /// Counts changes; a change must name the version it saw.
    pub version: i64,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl From<&Contact> for ContactCard {
    fn from(contact: &Contact) -> Self {
        Self {
            id: contact.id,
            state: contact.state,
            email: contact.email.as_ref().map(|email| email.as_sent().to_owned()),
            first_name: contact.first_name.clone(),
            last_name: contact.last_name.clone(),
            more: Some(CardMore {
                external_id: contact.external_id.clone(),
                address: contact.email.clone(),
                phone: contact.phone.clone(),
                version: contact.version,
                created_at: contact.created_at,
                updated_at: contact.updated_at,
            }),
        }
    }
}

/// The prefixes a search text stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    pub email: String,
    pub external_id: String,
    pub name: String,
}

impl Search {
    /// None for nothing but space, which every contact starts with.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        // A whole address is found in every spelling; a part of one only in its own letters.
        let email = EmailAddress::parse(text).map_or_else(|_| text.to_lowercase(), |email| email.norm().to_owned());
        (!text.is_empty()).then(|| Self { email, external_id: text.to_owned(), name: fold_name(text) })
    }
}

/// A filter with its attribute resolved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub state: Option<ContactState>,
    pub tag: Option<String>,
    pub attribute: Option<(AttributeId, AttributeTest)>,
    pub search: Option<Search>,
}

/// What a list is walked along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Everybody; only where nothing is asked for.
    Id,
    /// Everybody, each seen to pass the filter.
    Walk,
    Search,
    State,
    Tag,
    Text,
    Number,
    Boolean,
    Date,
}

impl Filter {
    /// Ways to walk it, those with the fewest contacts, as a rule, first.
    pub fn drivers(&self) -> Vec<Driver> {
        let attribute = self.attribute.as_ref().map(|(_, test)| match test {
            AttributeTest::Text(_) => Driver::Text,
            AttributeTest::Number(..) => Driver::Number,
            AttributeTest::Date(..) => Driver::Date,
            AttributeTest::Boolean(_) => Driver::Boolean,
        });
        let yes_or_no = attribute.filter(|driver| *driver == Driver::Boolean);
        let ways = [
            // A search has indexes of its own, which a walk along something else would not use.
            self.search.as_ref().map(|_| Driver::Search),
            attribute.filter(|_| yes_or_no.is_none()),
            self.tag.as_ref().map(|_| Driver::Tag),
            yes_or_no,
            self.state.map(|_| Driver::State),
        ];
        let ways: Vec<Driver> = ways.into_iter().flatten().collect();
        if ways.is_empty() { vec![Driver::Id] } else { ways }
    }
}

/// A contact, deleted ones too.
pub async fn get_contact(_grant: &Grant<ReadContacts>, tx: &mut TenantTx, id: ContactId) -> Result<Option<Contact>> {
    contact_find(tx, id).await
}

/// Contacts by id, in no order; what is not there is left out.
pub async fn get_contacts(_grant: &Grant<ReadContacts>, tx: &mut TenantTx, ids: &[ContactId]) -> Result<Vec<Contact>> {
    contacts_get(tx, ids).await
}

/// The tags of contacts, each contact's in order.
pub async fn contact_tags(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    ids: &[ContactId],
) -> Result<std::collections::HashMap<ContactId, Vec<String>>> {
    Ok(tags_of(tx, ids).await?)
}

/// A page of the contacts that are wanted, in the order of their ids.
pub async fn list_contacts(
    grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    wanted: ContactFilter,
    page: Page<ContactId>,
    shown: Shown,
) -> Result<Paged<ContactCard>> {
    let attribute = match &wanted.attribute {
        None => None,
        Some((name, test)) => Some((attribute(tx, name, test).await?, test.clone())),
    };
    let filter = Filter {
        state: wanted.state,
        tag: wanted.tag.as_ref().map(|tag| tag.as_str().to_owned()),
        attribute,
        search: wanted.search.as_deref().and_then(Search::of),
    };
    if wanted.email.is_some() || wanted.external_id.is_some() {
        return list_one(grant, tx, &wanted, (filter, shown), page).await;
    }
    contacts_page(tx, &filter, page, shown).await
}

async fn attribute(tx: &mut TenantTx, name: &str, test: &AttributeTest) -> Result<AttributeId> {
    let definitions = definitions_load(tx).await?;
    let Some(definition) = definitions.get(name) else {
        let message = "No attribute of this name is declared.";
        return Err(Refusal::new("UNDECLARED_ATTRIBUTE", "filter.attribute.name", message).into());
    };
    if definition.kind != test.kind() {
        let message = format!("The attribute is a {}.", definition.kind.as_str());
        return Err(Refusal::new("INVALID_ATTRIBUTE", "filter.attribute", message).into());
    }
    Ok(definition.id)
}

/// At most one contact has an identity: it is looked up, then seen to pass the rest of the filter.
async fn list_one(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    wanted: &ContactFilter,
    (filter, shown): (Filter, Shown),
    page: Page<ContactId>,
) -> Result<Paged<ContactCard>> {
    let email = wanted.email.as_ref().map(|email| (IdentityKind::Email, email.norm().to_owned()));
    let external = wanted.external_id.clone().map(|id| (IdentityKind::ExternalId, id));
    let identities: Vec<_> = [email, external].into_iter().flatten().collect();
    let owners = identity_owners(tx, identities.iter().collect()).await?;
    let mut ids: Vec<ContactId> = owners.values().copied().collect();
    ids.dedup();
    let nobody = Paged { items: Vec::new(), has_next: false, has_previous: false };
    let [id] = ids[..] else { return Ok(nobody) };
    let beyond = page.cursor.is_some_and(|cursor| if page.forward { id <= cursor } else { id >= cursor });
    if owners.len() < identities.len() || beyond {
        return Ok(nobody);
    }
    // The page that begins just before the contact holds it if it passes the filter.
    let before = ContactId(uuid::Uuid::from_u128(id.0.as_u128().saturating_sub(1)));
    let one = Page { forward: true, cursor: Some(before), size: 1 };
    let found = contacts_page(tx, &filter, one, shown).await?;
    let items: Vec<ContactCard> = found.items.into_iter().filter(|contact| contact.id == id).collect();
    Ok(Paged { items, ..nobody })
}

/// Declared attributes; unknown ids are left out.
pub async fn find_attributes(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    ids: &[AttributeId],
) -> Result<Vec<AttributeDefinition>> {
    definitions_find(tx, ids).await
}

/// A page of the attributes a tenant has declared.
pub async fn list_attributes(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    page: Page<AttributeId>,
) -> Result<Paged<AttributeDefinition>> {
    definitions_page(tx, page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_is_a_prefix_of_each_in_its_own_form() {
        let search = Search::of(" Ärger ").expect("something");
        assert_eq!((search.external_id.as_str(), search.name.as_str()), ("Ärger", "ärger"));
        assert_eq!(Search::of("A@EXÄMPLE.de").expect("something").email, "a@xn--exmple-cua.de");
        assert_eq!(Search::of("  "), None);
    }

    #[test]
    fn the_most_selective_way_is_walked() {
        let of = |filter: &Filter| filter.drivers();
        let mut filter = Filter::default();
        assert_eq!(of(&filter), [Driver::Id]);
        let attribute = |test| Some((AttributeId(uuid::Uuid::nil()), test));
        filter.attribute = attribute(AttributeTest::Boolean(true));
        assert_eq!(of(&filter), [Driver::Boolean], "everybody is not walked for a few");
        filter.state = Some(ContactState::Active);
        filter.tag = Some("vip".into());
        assert_eq!(of(&filter), [Driver::Tag, Driver::Boolean, Driver::State]);
        filter.attribute = attribute(AttributeTest::Number(1.0, 2.0));
        filter.search = Search::of("a");
        assert_eq!(of(&filter), [Driver::Search, Driver::Number, Driver::Tag, Driver::State]);
    }
}
