//! What many contacts or imports of one answer need, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::contacts::events::{
    ContactEvent, EventDefinition, EventProperty, contact_events, event_properties, find_event_definitions,
};
use carillon_domain::contacts::import::{self, ImportError, list_import_errors};
use carillon_domain::contacts::{
    AttributeDefinition, Change, Contact, contact_histories, contact_tags, find_attributes, get_contacts,
};
use carillon_domain::files::{Upload, find_uploads};
use carillon_domain::ids::{
    AttributeId, ContactChangeId, ContactEventId, ContactId, EventDefinitionId, ImportId, UploadId,
};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{ImportContacts, ReadContacts, ReadPersonalData};

use crate::graphql::loader::{LoadError, Rows, by_page};

/// The tags of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagsOf(pub ContactId);

/// A page of a contact's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangesOf(pub ContactId, pub Ahead<ContactChangeId>);

/// A page of what a contact did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventsOf(pub ContactId, pub Ahead<ContactEventId>);

/// The properties of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PropertiesOf(pub EventDefinitionId);

/// A page of an import's errors, by line and number on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorsOf(pub ImportId, pub Ahead<(i64, i32)>);

impl Loader<ContactId> for Rows {
    type Value = Contact;
    type Error = LoadError;

    async fn load(&self, keys: &[ContactId]) -> Result<HashMap<ContactId, Contact>, LoadError> {
        let (grant, mut tx) = self.0.read_one::<ReadContacts>().await?;
        let found = get_contacts(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|contact| (contact.id, contact)).collect())
    }
}

impl Loader<TagsOf> for Rows {
    type Value = Vec<String>;
    type Error = LoadError;

    async fn load(&self, keys: &[TagsOf]) -> Result<HashMap<TagsOf, Vec<String>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let contacts: Vec<ContactId> = keys.iter().map(|key| key.0).collect();
        let found = contact_tags(&grant, &mut tx, &contacts).await?;
        Ok(found.into_iter().map(|(contact, tags)| (TagsOf(contact), tags)).collect())
    }
}

impl Loader<ChangesOf> for Rows {
    type Value = Paged<Change>;
    type Error = LoadError;

    async fn load(&self, keys: &[ChangesOf]) -> Result<HashMap<ChangesOf, Paged<Change>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadPersonalData>().await?;
        let mut found = HashMap::new();
        for (page, contacts) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = contact_histories(&grant, &mut tx, self.0.ports(), &contacts, page).await?;
            found.extend(pages.into_iter().map(|(contact, changes)| (ChangesOf(contact, page), changes)));
        }
        Ok(found)
    }
}

impl Loader<EventsOf> for Rows {
    type Value = Paged<ContactEvent>;
    type Error = LoadError;

    async fn load(&self, keys: &[EventsOf]) -> Result<HashMap<EventsOf, Paged<ContactEvent>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadPersonalData>().await?;
        let mut found = HashMap::new();
        for (page, contacts) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = contact_events(&grant, &mut tx, self.0.ports(), &contacts, page).await?;
            found.extend(pages.into_iter().map(|(contact, events)| (EventsOf(contact, page), events)));
        }
        Ok(found)
    }
}

impl Loader<PropertiesOf> for Rows {
    type Value = Vec<EventProperty>;
    type Error = LoadError;

    async fn load(&self, keys: &[PropertiesOf]) -> Result<HashMap<PropertiesOf, Vec<EventProperty>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let events: Vec<EventDefinitionId> = keys.iter().map(|key| key.0).collect();
        let found = event_properties(&grant, &mut tx, &events).await?;
        Ok(found.into_iter().map(|(event, properties)| (PropertiesOf(event), properties)).collect())
    }
}

impl Loader<ImportId> for Rows {
    type Value = import::Import;
    type Error = LoadError;

    async fn load(&self, keys: &[ImportId]) -> Result<HashMap<ImportId, import::Import>, LoadError> {
        let (grant, mut tx) = self.0.read::<ImportContacts>().await?;
        let found = import::get_imports(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|import| (import.id, import)).collect())
    }
}

impl Loader<UploadId> for Rows {
    type Value = Upload;
    type Error = LoadError;

    async fn load(&self, keys: &[UploadId]) -> Result<HashMap<UploadId, Upload>, LoadError> {
        let (grant, mut tx) = self.0.read::<ImportContacts>().await?;
        let found = find_uploads(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|upload| (upload.id, upload)).collect())
    }
}

impl Loader<ErrorsOf> for Rows {
    type Value = Paged<ImportError>;
    type Error = LoadError;

    async fn load(&self, keys: &[ErrorsOf]) -> Result<HashMap<ErrorsOf, Paged<ImportError>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ImportContacts>().await?;
        let mut found = HashMap::new();
        for (page, imports) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = list_import_errors(&grant, &mut tx, &imports, page).await?;
            found.extend(pages.into_iter().map(|(import, errors)| (ErrorsOf(import, page), errors)));
        }
        Ok(found)
    }
}

impl Loader<AttributeId> for Rows {
    type Value = AttributeDefinition;
    type Error = LoadError;

    async fn load(&self, keys: &[AttributeId]) -> Result<HashMap<AttributeId, AttributeDefinition>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let found = find_attributes(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|one| (one.id, one)).collect())
    }
}

impl Loader<EventDefinitionId> for Rows {
    type Value = EventDefinition;
    type Error = LoadError;

    async fn load(&self, keys: &[EventDefinitionId]) -> Result<HashMap<EventDefinitionId, EventDefinition>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let found = find_event_definitions(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|one| (one.id, one)).collect())
    }
}
