//! Rows of `contacts`.

use std::collections::{BTreeSet, HashSet};

use carillon_entities::ids::{ContactId, ImportId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::statements;
use carillon_entities::wall::{Alone, Args, Sql, TenantTx, TxMode, Value, WallError};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{read, run};
use crate::contacts::{Contact, Country, EmailAddress, Locale, PhoneNumber, Zone};
use crate::error::{Error, Result};

/// All that a contact is, of a table called `c`.
macro_rules! contact_columns {
    () => {
        "c.tenant_id, c.id, c.state, c.external_id, c.email, c.email_norm, c.former_email, c.phone_norm, c.first_name, \
         c.last_name, c.name_norm, c.locale, c.zone, c.country, c.attributes, c.version, c.import_id, c.created_at, \
         c.updated_at, c.archived_at, c.deleted_at"
    };
}

statements! {
    /// Contacts by id, locked in the order of their ids; others may still refer to them.
    CONTACT_LOCK() [id: Uuid] = concat!("SELECT ", contact_columns!(), " FROM contacts AS c WHERE c.tenant_id = $1 \
        AND c.id IN (SELECT b.id FROM ({batch}) AS b) ORDER BY c.id {no_key_update}");
    /// Locks contacts, of which nothing else is wanted.
    CONTACT_HOLD() [id: Uuid] = "SELECT c.id AS id FROM contacts AS c WHERE c.tenant_id = $1 \
        AND c.id IN (SELECT b.id FROM ({batch}) AS b) ORDER BY c.id {no_key_update}";
    /// Locks those that nobody else has.
    CONTACT_HOLD_FREE() [id: Uuid] = "SELECT c.id AS id FROM contacts AS c WHERE c.tenant_id = $1 \
        AND c.id IN (SELECT b.id FROM ({batch}) AS b) ORDER BY c.id {skip_locked}";
    /// Contacts by id.
    CONTACT_GET() [id: Uuid] = concat!("SELECT ", contact_columns!(), " FROM contacts AS c WHERE c.tenant_id = $1 \
        AND c.id IN (SELECT b.id FROM ({batch}) AS b)");
    /// New contacts.
    CONTACT_INSERT(Uuid) [id: Uuid, state: Text, external_id: Text, email: Text, email_norm: Text, former_email: Text,
        phone_norm: Text, first_name: Text, last_name: Text, name_norm: Text, locale: Text, zone: Text, country: Text,
        attributes: Json, version: BigInt, created_at: Time, updated_at: Time, archived_at: Time, deleted_at: Time] =
        "INSERT INTO contacts (tenant_id, import_id, id, state, external_id, email, email_norm, former_email, \
            phone_norm, first_name, last_name, name_norm, locale, zone, country, attributes, version, created_at, \
            updated_at, archived_at, deleted_at) \
         SELECT $1, $2, b.id, b.state, b.external_id, b.email, b.email_norm, b.former_email, b.phone_norm, b.first_name, \
            b.last_name, b.name_norm, b.locale, b.zone, b.country, b.attributes, b.version, b.created_at, b.updated_at, \
            b.archived_at, b.deleted_at FROM ({batch}) AS b WHERE true";
    /// Contacts as they are now.
    CONTACT_CHANGE() [id: Uuid, state: Text, external_id: Text, email: Text, email_norm: Text, former_email: Text,
        phone_norm: Text, first_name: Text, last_name: Text, name_norm: Text, locale: Text, zone: Text, country: Text,
        attributes: Json, version: BigInt, created_at: Time, updated_at: Time, archived_at: Time, deleted_at: Time] =
        "WITH b AS ({batch}) UPDATE contacts SET state = b.state, external_id = b.external_id, email = b.email, \
            email_norm = b.email_norm, former_email = b.former_email, phone_norm = b.phone_norm, \
            first_name = b.first_name, last_name = b.last_name, name_norm = b.name_norm, locale = b.locale, zone = b.zone, \
            country = b.country, attributes = b.attributes, version = b.version, updated_at = b.updated_at, \
            archived_at = b.archived_at, deleted_at = b.deleted_at \
         FROM b WHERE contacts.tenant_id = $1 AND contacts.id = b.id";
}

/// What most requests read and nothing else.
pub(super) static GET_ALONE: Alone =
    Alone { sql: &CONTACT_GET, function: "carillon_alone_contact_get", mode: TxMode::Read };

pub(in crate::contacts) async fn contact_find(tx: &mut TenantTx, id: ContactId) -> Result<Option<Contact>> {
    let row = tx.select::<contacts::Entity>().eq(contacts::Column::Id, id).one().await?;
    row.map(Contact::try_from).transpose()
}

pub(crate) async fn contacts_get(tx: &mut TenantTx, ids: &[ContactId]) -> Result<Vec<Contact>> {
    if !(1..=tx.max_batch(&CONTACT_GET)).contains(&ids.len()) {
        let rows: Vec<contacts::Model> = read(tx, &CONTACT_GET, id_rows(ids)).await?;
        return rows.into_iter().map(Contact::try_from).collect();
    }
    let rows = tx.sql_alone(&GET_ALONE, Args::batch(id_rows(ids))).await?;
    rows.read::<contacts::Model>()?.into_iter().map(Contact::try_from).collect()
}

async fn ids_of(
    tx: &mut TenantTx,
    sql: &'static Sql,
    ids: BTreeSet<ContactId>,
) -> Result<HashSet<ContactId>, WallError> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let rows: Vec<Row> = read(tx, sql, ids.into_iter().map(|id| vec![id.0.into()]).collect()).await?;
    Ok(rows.into_iter().map(|row| ContactId(row.id)).collect())
}

/// Makes others that write these contacts, or take in what they did, wait until the transaction ends.
pub(crate) async fn contacts_hold(tx: &mut TenantTx, ids: BTreeSet<ContactId>) -> Result<(), WallError> {
    ids_of(tx, &CONTACT_HOLD, ids).await.map(drop)
}

/// The same, and waits for nobody; returns those that were free.
pub(crate) async fn contacts_hold_free(
    tx: &mut TenantTx,
    ids: BTreeSet<ContactId>,
) -> Result<HashSet<ContactId>, WallError> {
    ids_of(tx, &CONTACT_HOLD_FREE, ids).await
}

pub(in crate::contacts) async fn contacts_lock(tx: &mut TenantTx, ids: &[ContactId]) -> Result<Vec<Contact>> {
    let mut ids = ids.to_vec();
    // Sorted across batches as well: the order of locks is the same everywhere.
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<contacts::Model> = read(tx, &CONTACT_LOCK, id_rows(&ids)).await?;
    rows.into_iter().map(Contact::try_from).collect()
}

pub(in crate::contacts) async fn contacts_insert(
    tx: &mut TenantTx,
    import: Option<ImportId>,
    new: Vec<&Contact>,
) -> Result<(), WallError> {
    let import = Value::Uuid(import.map(|import| import.0));
    run(tx, &CONTACT_INSERT, &[import], new.into_iter().map(cells).collect()).await.map(drop)
}

pub(in crate::contacts) async fn contacts_change(tx: &mut TenantTx, changed: Vec<&Contact>) -> Result<(), WallError> {
    run(tx, &CONTACT_CHANGE, &[], changed.into_iter().map(cells).collect()).await.map(drop)
}

fn id_rows(ids: &[ContactId]) -> Vec<Vec<Value>> {
    ids.iter().map(|id| vec![id.0.into()]).collect()
}

fn cells(contact: &Contact) -> Vec<Value> {
    let text = |text: Option<&str>| Value::String(text.map(str::to_owned));
    let email = contact.email.as_ref();
    vec![
        contact.id.0.into(),
        contact.state.as_str().into(),
        contact.external_id.clone().into(),
        text(email.map(EmailAddress::as_sent)),
        text(email.map(EmailAddress::norm)),
        text(contact.former_email.as_ref().map(EmailAddress::norm)),
        text(contact.phone.as_ref().map(PhoneNumber::as_e164)),
        contact.first_name.clone().into(),
        contact.last_name.clone().into(),
        contact.name_norm().into(),
        text(contact.locale.as_ref().map(Locale::as_str)),
        text(contact.zone.as_ref().map(Zone::as_str)),
        text(contact.country.as_ref().map(Country::as_str)),
        Json::Object(contact.attributes.clone()).into(),
        contact.version.into(),
        contact.created_at.into(),
        contact.updated_at.into(),
        contact.archived_at.into(),
        contact.deleted_at.into(),
    ]
}

impl TryFrom<contacts::Model> for Contact {
    type Error = Error;

    fn try_from(row: contacts::Model) -> Result<Self> {
        let Json::Object(attributes) = row.attributes else { return Err(Error::fault("attributes are no object")) };
        let country = row.country.map(|country| Country::parse(&country)).transpose();
        Ok(Self {
            id: row.id,
            state: row.state.parse().map_err(Error::fault)?,
            external_id: row.external_id,
            email: row.email.zip(row.email_norm).map(|(sent, norm)| EmailAddress::stored(sent, norm)),
            former_email: row.former_email.map(|norm| EmailAddress::stored(norm.clone(), norm)),
            phone: row.phone_norm.map(PhoneNumber::stored),
            first_name: row.first_name,
            last_name: row.last_name,
            locale: row.locale.map(Locale::stored),
            zone: row.zone.map(Zone::stored),
            country: country.map_err(Error::fault)?,
            attributes,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            archived_at: row.archived_at,
            deleted_at: row.deleted_at,
        })
    }
}
