//! What the engine asks of contacts' events and of contacts.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};

use crate::error::Result;
use crate::time::Timestamp;

statements! {
    /// The first time that contacts did something since an instant.
    EVENTS_SINCE() [contact_id: Uuid, event_id: Uuid, since: Time] =
        "SELECT b.contact_id, b.event_id, b.since, MIN(e.occurred_at) AS first_at FROM ({batch}) AS b \
         JOIN contact_events e ON e.tenant_id = $1 AND e.contact_id = b.contact_id AND e.event_id = b.event_id \
         AND e.occurred_at >= b.since GROUP BY b.contact_id, b.event_id, b.since";
    /// The first few times that contacts did something since an instant.
    EVENTS_EACH_SINCE(BigInt) [contact_id: Uuid, event_id: Uuid, since: Time] =
        "SELECT contact_id, event_id, since, id, occurred_at FROM (SELECT b.contact_id, b.event_id, b.since, e.id, \
         e.occurred_at, ROW_NUMBER() OVER (PARTITION BY b.contact_id, b.event_id, b.since ORDER BY e.occurred_at, e.id) AS nth \
         FROM ({batch}) AS b JOIN contact_events e ON e.tenant_id = $1 AND e.contact_id = b.contact_id \
         AND e.event_id = b.event_id AND e.occurred_at >= b.since) AS numbered WHERE nth <= $2 ORDER BY occurred_at, id";
    /// Events by name.
    EVENTS_NAMED() [name: Text] =
        "SELECT d.id, d.name FROM ({batch}) AS b JOIN event_definitions d ON d.tenant_id = $1 AND d.name = b.name";
    /// The tenant's own zone and locale.
    TENANT_DEFAULTS() = "SELECT default_zone, default_locale FROM tenants WHERE id = $1";
}

type Since = (ContactId, EventDefinitionId, Timestamp);

/// The first time, since an instant, that contacts did something.
pub(in crate::workflows) async fn occurred_since(
    tx: &mut TenantTx,
    wanted: &[Since],
) -> Result<HashMap<Since, Timestamp>> {
    #[derive(FromQueryResult)]
    struct Row {
        contact_id: ContactId,
        event_id: EventDefinitionId,
        since: Timestamp,
        first_at: Timestamp,
    }
    let wanted: BTreeSet<Since> = wanted.iter().copied().collect();
    let batch: Vec<Vec<Value>> =
        wanted.into_iter().map(|(contact, event, since)| vec![contact.into(), event.into(), since.into()]).collect();
    let mut first = HashMap::new();
    for chunk in batch.chunks(tx.max_batch(&EVENTS_SINCE)) {
        let rows: Vec<Row> = tx.sql(&EVENTS_SINCE, Args::batch(chunk.to_vec()))?.all().await?;
        first.extend(rows.into_iter().map(|row| ((row.contact_id, row.event_id, row.since), row.first_at)));
    }
    Ok(first)
}

/// So many of somebody's events are read for one that passes a test.
const OCCURRENCES_MAX: i64 = 100;

/// The first times, since an instant, that contacts did something.
pub(in crate::workflows) async fn occurrences_since(
    tx: &mut TenantTx,
    wanted: &[Since],
) -> Result<HashMap<Since, Vec<(ContactEventId, Timestamp)>>> {
    #[derive(FromQueryResult)]
    struct Row {
        contact_id: ContactId,
        event_id: EventDefinitionId,
        since: Timestamp,
        id: ContactEventId,
        occurred_at: Timestamp,
    }
    let wanted: BTreeSet<Since> = wanted.iter().copied().collect();
    let batch: Vec<Vec<Value>> =
        wanted.into_iter().map(|(contact, event, since)| vec![contact.into(), event.into(), since.into()]).collect();
    let mut times: HashMap<Since, Vec<_>> = HashMap::new();
    for chunk in batch.chunks(tx.max_batch(&EVENTS_EACH_SINCE)) {
        let args = Args::of([OCCURRENCES_MAX.into()]).with_batch(chunk.to_vec());
        let rows: Vec<Row> = tx.sql(&EVENTS_EACH_SINCE, args)?.all().await?;
        for row in rows {
            times.entry((row.contact_id, row.event_id, row.since)).or_default().push((row.id, row.occurred_at));
        }
    }
    Ok(times)
}

/// The ids of events by name; unknown names are left out.
pub(in crate::workflows) async fn events_named(
    tx: &mut TenantTx,
    names: impl IntoIterator<Item = String>,
) -> Result<HashMap<String, EventDefinitionId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: EventDefinitionId,
        name: String,
    }
    let batch: Vec<Vec<Value>> = names.into_iter().map(|name| vec![Value::from(name)]).collect();
    let mut found = HashMap::new();
    for chunk in batch.chunks(tx.max_batch(&EVENTS_NAMED)) {
        let rows: Vec<Row> = tx.sql(&EVENTS_NAMED, Args::batch(chunk.to_vec()))?.all().await?;
        found.extend(rows.into_iter().map(|row| (row.name, row.id)));
    }
    Ok(found)
}

/// What holds for contacts of which it is not known.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct TenantDefaults {
    pub default_zone: String,
    pub default_locale: String,
}

/// The tenant's own zone and locale.
pub(crate) async fn tenant_defaults(tx: &mut TenantTx) -> Result<Option<TenantDefaults>> {
    Ok(tx.sql(&TENANT_DEFAULTS, Args::default())?.one().await?)
}
