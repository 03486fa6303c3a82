//! Rows of `event_definitions`, `event_properties`, `contact_events` and `event_keys`.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId};
use carillon_entities::rows::contacts::{event_definitions, event_properties};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, Value, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{read, run};
use crate::contacts::events::{
    ContactEvent, EventDefinition, EventKey, EventName, EventProperty, KnownProperties, NewEvent, PropertyName,
};
use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::time::Timestamp;
use crate::workflows::Occurred;

statements! {
    /// Definitions by name.
    EVENT_NAMED() [name: Text] =
        "SELECT d.tenant_id, d.id, d.name, d.is_declared, d.created_at FROM event_definitions AS d \
         WHERE d.tenant_id = $1 AND d.name IN (SELECT b.name FROM ({batch}) AS b)";
    /// Makes definitions, declares those that are to be, and tells the ids of all, whoever made them.
    EVENT_PUT(Bool, Time) [id: Uuid, name: Text] =
        "INSERT INTO event_definitions (tenant_id, id, name, is_declared, created_at) \
         SELECT $1, b.id, b.name, $2, $3 FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, name) DO UPDATE \
            SET is_declared = event_definitions.is_declared OR excluded.is_declared \
         RETURNING id, name";
    /// Properties of events.
    EVENT_PROPERTIES() [event_id: Uuid] =
        "SELECT p.tenant_id, p.event_id, p.name, p.kind, p.is_declared, p.created_at FROM event_properties AS p \
         WHERE p.tenant_id = $1 AND p.event_id IN (SELECT b.event_id FROM ({batch}) AS b) ORDER BY p.event_id, p.name";
    /// A declared kind is written over whatever was there; what was learned never over what is declared, and two that
    /// learn different kinds at the same time leave a mixed one.
    EVENT_PROPERTY_PUT(Time) [event_id: Uuid, name: Text, kind: Text, is_declared: Bool] =
        "INSERT INTO event_properties (tenant_id, event_id, name, kind, is_declared, created_at) \
         SELECT $1, b.event_id, b.name, b.kind, b.is_declared, $2 FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, event_id, name) DO UPDATE \
            SET kind = CASE WHEN excluded.is_declared THEN excluded.kind \
                    WHEN event_properties.is_declared OR event_properties.kind = excluded.kind \
                    THEN event_properties.kind ELSE 'mixed' END, \
                is_declared = event_properties.is_declared OR excluded.is_declared";
    /// Which message ids are known.
    EVENT_KEY_FIND() [source: Text, message_key: Text] =
        "SELECT k.source AS source, k.message_key AS message_key, k.fingerprint AS fingerprint, k.event_id AS event_id \
         FROM ({batch}) AS b JOIN event_keys AS k ON k.tenant_id = $1 AND k.source = b.source \
            AND k.message_key = b.message_key";
    /// Takes message ids that nobody has.
    EVENT_KEY_TAKE(Time) [source: Text, message_key: Text, fingerprint: Bytes, event_id: Uuid] =
        "INSERT INTO event_keys (tenant_id, source, message_key, fingerprint, event_id, created_at) \
         SELECT $1, b.source, b.message_key, b.fingerprint, b.event_id, $2 FROM ({batch}) AS b WHERE true \
         ON CONFLICT DO NOTHING";
    /// Appends what happened.
    EVENT_APPEND() [id: Uuid, contact_id: Uuid, event_id: Uuid, occurred_at: Time, sealed: Bytes] =
        "INSERT INTO contact_events (tenant_id, id, contact_id, event_id, occurred_at, sealed) \
         SELECT $1, b.id, b.contact_id, b.event_id, b.occurred_at, b.sealed FROM ({batch}) AS b WHERE true";
    /// What contacts did, so many of each, before one.
    EVENTS_OF(Uuid, BigInt) [contact_id: Uuid] =
        "SELECT id, contact_id, name, occurred_at, sealed FROM ( \
            SELECT e.id AS id, e.contact_id AS contact_id, d.name AS name, e.occurred_at AS occurred_at, \
                e.sealed AS sealed, ROW_NUMBER() OVER (PARTITION BY e.contact_id ORDER BY e.id DESC) AS nth \
            FROM ({batch}) AS b JOIN contact_events AS e ON e.tenant_id = $1 AND e.contact_id = b.contact_id \
            JOIN event_definitions AS d ON d.tenant_id = $1 AND d.id = e.event_id WHERE e.id < $2) AS numbered \
         WHERE nth <= $3 ORDER BY contact_id, id DESC";
}

/// Definitions by name; names that are not known are left out.
pub(in crate::contacts) async fn event_definitions_named(
    tx: &mut TenantTx,
    names: &BTreeSet<String>,
) -> Result<HashMap<String, EventDefinition>> {
    let rows = names.iter().map(|name| vec![name.as_str().into()]).collect();
    let found: Vec<event_definitions::Model> = read(tx, &EVENT_NAMED, rows).await?;
    found.iter().map(|row| Ok((row.name.clone(), definition(row)?))).collect()
}

pub(in crate::contacts) async fn definitions_count(tx: &mut TenantTx) -> Result<usize, WallError> {
    let rows = tx.select::<event_definitions::Entity>().count().await?;
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

pub(in crate::contacts) async fn definitions_find(
    tx: &mut TenantTx,
    ids: &[EventDefinitionId],
) -> Result<Vec<EventDefinition>> {
    let select = tx.select::<event_definitions::Entity>();
    let rows = select.is_in(event_definitions::Column::Id, ids.iter().copied()).all().await?;
    rows.iter().map(definition).collect()
}

pub(in crate::contacts) async fn definitions_page(
    tx: &mut TenantTx,
    page: Page<EventDefinitionId>,
) -> Result<Paged<EventDefinition>> {
    let select = tx.select::<event_definitions::Entity>();
    let rows = page.keyset(select, event_definitions::Column::Id).all().await?;
    Ok(page.finish(rows.iter().map(definition).collect::<Result<Vec<_>>>()?))
}

fn definition(row: &event_definitions::Model) -> Result<EventDefinition> {
    let name = EventName::parse(&row.name).map_err(Error::fault)?;
    Ok(EventDefinition { id: row.id, name, is_declared: row.is_declared, created_at: row.created_at })
}

/// Makes what is missing; returns the id of each name.
pub(in crate::contacts) async fn definitions_put(
    tx: &mut TenantTx,
    mut wanted: Vec<(String, EventDefinitionId)>,
    is_declared: bool,
    now: Timestamp,
) -> Result<HashMap<String, EventDefinitionId>, WallError> {
    #[derive(FromQueryResult)]
    struct Put {
        id: Uuid,
        name: String,
    }
    // In one order everywhere, so that two calls wait for each other instead of deadlocking.
    wanted.sort_unstable();
    let mut ids = HashMap::with_capacity(wanted.len());
    for chunk in wanted.chunks(tx.max_batch(&EVENT_PUT)) {
        let rows = chunk.iter().map(|(name, id)| vec![id.0.into(), name.as_str().into()]);
        let args = Args::of([is_declared.into(), now.into()]).with_batch(rows);
        let put: Vec<Put> = tx.sql(&EVENT_PUT, args)?.all().await?;
        ids.extend(put.into_iter().map(|row| (row.name, EventDefinitionId(row.id))));
    }
    Ok(ids)
}

/// The kinds of what is known of events' properties, by event and name.
pub(crate) async fn properties_of(
    tx: &mut TenantTx,
    events: &[EventDefinitionId],
) -> Result<HashMap<EventDefinitionId, KnownProperties>> {
    let rows = events.iter().map(|id| vec![id.0.into()]).collect();
    let found: Vec<event_properties::Model> = read(tx, &EVENT_PROPERTIES, rows).await?;
    let mut known: HashMap<EventDefinitionId, KnownProperties> = HashMap::new();
    for row in found {
        let name = PropertyName::parse(&row.name).map_err(Error::fault)?;
        let kind = row.kind.parse().map_err(Error::fault)?;
        let property = EventProperty { name, kind, is_declared: row.is_declared };
        known.entry(row.event_id).or_default().insert(row.name, property);
    }
    Ok(known)
}

pub(in crate::contacts) async fn properties_put(
    tx: &mut TenantTx,
    mut rows: Vec<(EventDefinitionId, EventProperty)>,
    now: Timestamp,
) -> Result<(), WallError> {
    rows.sort_unstable_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    let cells = |(event, property): (EventDefinitionId, EventProperty)| {
        let EventProperty { name, kind, is_declared } = property;
        vec![event.0.into(), name.as_str().into(), kind.as_str().into(), is_declared.into()]
    };
    run(tx, &EVENT_PROPERTY_PUT, &[now.into()], rows.into_iter().map(cells).collect()).await.map(drop)
}

/// Which message ids have made which events, with their fingerprints.
pub(in crate::contacts) async fn event_keys_find(
    tx: &mut TenantTx,
    keys: BTreeSet<EventKey<'_>>,
) -> Result<HashMap<(String, String), (ContactEventId, Vec<u8>)>, WallError> {
    #[derive(FromQueryResult)]
    struct Taken {
        source: String,
        message_key: String,
        fingerprint: Vec<u8>,
        event_id: Uuid,
    }
    let rows = keys.into_iter().map(|(source, message)| vec![source.into(), message.into()]).collect();
    let found: Vec<Taken> = read(tx, &EVENT_KEY_FIND, rows).await?;
    let key = |row: Taken| ((row.source, row.message_key), (ContactEventId(row.event_id), row.fingerprint));
    Ok(found.into_iter().map(key).collect())
}

/// Takes the message ids of events, and waits for whoever takes one at the same time; false when somebody has one of them.
pub(in crate::contacts) async fn event_keys_take(
    tx: &mut TenantTx,
    events: &[NewEvent<'_>],
    now: Timestamp,
) -> Result<bool, WallError> {
    // In one order everywhere, so that two calls wait for each other instead of deadlocking.
    let mut events: Vec<&NewEvent<'_>> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.key);
    let cells = |event: &&NewEvent<'_>| {
        let (source, message) = event.key;
        vec![source.into(), message.into(), event.fingerprint.to_vec().into(), event.id.0.into()]
    };
    let rows = events.iter().map(cells).collect();
    let taken = run(tx, &EVENT_KEY_TAKE, &[now.into()], rows).await?;
    Ok(usize::try_from(taken).is_ok_and(|taken| taken == events.len()))
}

pub(in crate::contacts) async fn events_append(
    tx: &mut TenantTx,
    events: Vec<(Occurred<'_>, Option<Vec<u8>>)>,
) -> Result<(), WallError> {
    let cells = |(event, sealed): (Occurred<'_>, Option<Vec<u8>>)| {
        vec![event.id.0.into(), event.contact.0.into(), event.event.0.into(), event.at.into(), Value::Bytes(sealed)]
    };
    run(tx, &EVENT_APPEND, &[], events.into_iter().map(cells).collect()).await.map(drop)
}

/// A page of what each contact did, with the properties as they are stored.
pub(in crate::contacts) async fn events_of(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<ContactEventId>,
) -> Result<HashMap<ContactId, Paged<(ContactEvent, Option<Vec<u8>>)>>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        contact_id: Uuid,
        name: String,
        occurred_at: Timestamp,
        sealed: Option<Vec<u8>>,
    }
    let before = page.after.map_or(Uuid::max(), |id| id.0);
    let batch = contacts.iter().map(|id| vec![id.0.into()]);
    let args = Args::of([before.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<Row> = tx.sql(&EVENTS_OF, args)?.all().await?;
    let event = |row: Row| {
        let event =
            ContactEvent { id: ContactEventId(row.id), name: row.name, occurred_at: row.occurred_at, properties: None };
        (ContactId(row.contact_id), (event, row.sealed))
    };
    Ok(page.finish(rows.into_iter().map(event)))
}
