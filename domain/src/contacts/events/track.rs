//! Taking in what contacts did: each event of a call has a verdict of its own, and the good ones are stored together, in
//! a number of statements that does not depend on how many there are (L5).

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;

use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId, TenantId};
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;
use serde_json::{Map, Value as Json, json};

use super::EventName;
use super::catalogue::Catalogue;
use super::property::bounded;
use super::whose::Named;
use crate::consent::effective_at;
use crate::contacts::EmailAddress;
use crate::contacts::store::events::{event_keys_find, event_keys_insert, events_append};
use crate::contacts::store::subject_keys::history_keys_ensure;
use crate::error::{Error, Refusal, Result};
use crate::idempotency::check_key;
use crate::keys::{Fingerprinter, Place};
use crate::ports::Ports;
use crate::tenancy::{Grant, TrackEvents, WriteContacts};
use crate::time::{Timestamp, to_micros};
use crate::workflows::{Occurred, react_to_events};

/// Events of one call.
pub const TRACK_MAX: usize = 500;
/// Nothing looks farther back, and a time that does is a mistake of units.
const PAST_MAX: TimeDelta = TimeDelta::days(3_653);

/// Whose event it is.
#[derive(Clone, PartialEq, Eq)]
pub enum EventContact {
    /// The contact with this id.
    Id(ContactId),
    /// Whoever has this external id.
    ExternalId(String),
    /// Whoever has this address.
    Email(EmailAddress),
}

/// Something that somebody says a contact did.
#[derive(Clone)]
pub struct TrackEvent {
    /// Unique in its source, for ever.
    pub message_id: String,
    /// Where it comes from.
    pub source: String,
    /// What was done.
    pub name: EventName,
    /// Who did it.
    pub contact: EventContact,
    /// With the permission, an unknown external id or address becomes a contact.
    pub create: Option<Grant<WriteContacts>>,
    /// When; now if nothing is said.
    pub occurred_at: Option<Timestamp>,
    /// More about it.
    pub properties: Map<String, Json>,
}

impl std::fmt::Debug for TrackEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrackEvent({}, ..)", self.name.as_str())
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// The stored event.
    pub event: ContactEventId,
    /// True when its message id had made it before.
    pub duplicate: bool,
}

/// What an event is known by: its source, and its message id there.
pub(crate) type EventKey = (String, String);

/// An event to store.
pub(crate) struct NewEvent {
    pub id: ContactEventId,
    pub contact: ContactId,
    pub event: EventDefinitionId,
    pub at: Timestamp,
    pub sealed: Option<Vec<u8>>,
    pub key: EventKey,
    pub fingerprint: [u8; 32],
}

/// An event that is good as far as it goes.
pub(super) struct Fresh {
    pub item: TrackEvent,
    identity: Vec<u8>,
    at: Timestamp,
    json: Vec<u8>,
    /// Found last.
    pub contact: Option<ContactId>,
}

/// How far an event came.
pub(super) enum Stage {
    Known(ContactEventId),
    Fresh(Box<Fresh>),
}

/// What is to be said of an event.
pub(super) type Verdict = Result<Stage, Refusal>;

/// Stores events, tells workflows of the new ones in the same transaction, and answers in the order of the input. A time
/// up to five minutes ahead counts as now; later ones, and those more than ten years ago, are refused.
///
/// # Errors
/// `BATCH_SIZE` for the whole call; all else is an event's own verdict.
pub async fn track_events(
    grant: &Grant<TrackEvents>,
    tx: &mut TenantTx,
    ports: &Ports,
    events: &[TrackEvent],
) -> Result<Vec<Result<Tracked, Refusal>>> {
    if events.is_empty() || events.len() > TRACK_MAX {
        return Err(Refusal::new("BATCH_SIZE", "events", format!("A call takes 1 to {TRACK_MAX} events.")).into());
    }
    let fingerprints = ports.keys.fingerprinter(grant.tenant());
    let keys: BTreeSet<EventKey> = events.iter().filter(|one| check_event_key(one).is_ok()).map(key_of).collect();
    let made = event_keys_find(tx, keys).await?;
    let now = ports.now();
    let mut verdicts: Vec<Verdict> = events
        .iter()
        .map(|item| match made.get(&key_of(item)) {
            // What was acknowledged stays so, whatever has become of its contact or its kinds since.
            Some((id, stored)) => known(&fingerprints, *id, stored, &identity(item)),
            None => fresh(item, now),
        })
        .collect();
    let names = all_fresh(&verdicts).map(|fresh| fresh.item.name.as_str().to_owned()).collect();
    let mut catalogue = Catalogue::load(tx, names).await?;
    catalogue.check(&mut verdicts);
    let whose = Named::by(&verdicts);
    whose.find(tx, ports).await?.place(&mut verdicts);
    let (answers, new) = settle(ports, &fingerprints, &mut catalogue, verdicts)?;
    store(tx, ports, catalogue, new).await?;
    Ok(answers)
}

fn known(fingerprints: &Fingerprinter, id: ContactEventId, stored: &[u8], identity: &[u8]) -> Verdict {
    if fingerprints.is_of(stored, identity) { Ok(Stage::Known(id)) } else { Err(mismatch()) }
}

fn mismatch() -> Refusal {
    Refusal::new("IDEMPOTENCY_MISMATCH", "messageId", "The source used this message id for something else.")
}

fn key_of(item: &TrackEvent) -> EventKey {
    (item.source.clone(), item.message_id.clone())
}

/// What makes it the same event again.
fn identity(item: &TrackEvent) -> Vec<u8> {
    let contact = match &item.contact {
        EventContact::Id(id) => json!({"id": id}),
        EventContact::ExternalId(id) => json!({"externalId": id}),
        EventContact::Email(email) => json!({"email": email.norm()}),
    };
    let at = item.occurred_at.map(|at| at.timestamp_micros());
    json!([item.name.as_str(), contact, at, item.properties]).to_string().into_bytes()
}

fn check_event_key(item: &TrackEvent) -> Result<(), Refusal> {
    let invalid = |field, message: &str| Refusal::new("INVALID_MESSAGE_ID", field, message);
    check_key(&item.message_id)
        .map_err(|_| invalid("messageId", "A message id is 1 to 255 visible ASCII characters."))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
    if item.source.is_empty() || item.source.len() > 64 || !item.source.bytes().all(plain) {
        return Err(invalid("source", "A source is 1 to 64 letters, digits and . _ - :."));
    }
    Ok(())
}

/// What an event must be whatever the tenant has.
fn fresh(item: &TrackEvent, now: Timestamp) -> Verdict {
    check_event_key(item)?;
    let at = effective_at(to_micros(item.occurred_at.unwrap_or(now)), now, "occurredAt")?;
    if at < now - PAST_MAX {
        return Err(Refusal::new("TIME_TOO_OLD", "occurredAt", "The time is more than ten years ago."));
    }
    let json = bounded(&item.properties)?;
    Ok(Stage::Fresh(Box::new(Fresh { item: item.clone(), identity: identity(item), at, json, contact: None })))
}

/// Those that are good as far as they go.
pub(super) fn all_fresh(verdicts: &[Verdict]) -> impl Iterator<Item = &Fresh> {
    verdicts.iter().filter_map(|verdict| match verdict {
        Ok(Stage::Fresh(fresh)) => Some(&**fresh),
        _ => None,
    })
}

/// An event to store, with what is still needed of it.
struct Settled {
    fresh: Fresh,
    id: ContactEventId,
    contact: ContactId,
    fingerprint: [u8; 32],
}

type Answers = Vec<Result<Tracked, Refusal>>;

/// Gives the good ones their ids; of those with one message id the first is taken.
fn settle(
    ports: &Ports,
    fingerprints: &Fingerprinter,
    catalogue: &mut Catalogue,
    verdicts: Vec<Verdict>,
) -> Result<(Answers, Vec<Settled>)> {
    let mut first: HashMap<EventKey, (ContactEventId, Vec<u8>)> = HashMap::new();
    let (mut answers, mut new) = (Vec::with_capacity(verdicts.len()), Vec::new());
    for verdict in verdicts {
        let fresh = match verdict {
            Err(refusal) => {
                answers.push(Err(refusal));
                continue;
            }
            Ok(Stage::Known(event)) => {
                answers.push(Ok(Tracked { event, duplicate: true }));
                continue;
            }
            Ok(Stage::Fresh(fresh)) => *fresh,
        };
        let key = key_of(&fresh.item);
        if let Some((event, identity)) = first.get(&key) {
            let same = *identity == fresh.identity;
            answers.push(if same { Ok(Tracked { event: *event, duplicate: true }) } else { Err(mismatch()) });
            continue;
        }
        let contact = fresh.contact.ok_or_else(|| Error::fault("an event has no contact"))?;
        let id: ContactEventId = ports.new_id();
        catalogue.learn(fresh.item.name.as_str(), &fresh.item.properties);
        first.insert(key, (id, fresh.identity.clone()));
        answers.push(Ok(Tracked { event: id, duplicate: false }));
        let fingerprint = fingerprints.of(&fresh.identity);
        new.push(Settled { fresh, id, contact, fingerprint });
    }
    Ok((answers, new))
}

/// Writes the new ones and tells workflows of them.
async fn store(tx: &mut TenantTx, ports: &Ports, catalogue: Catalogue, new: Vec<Settled>) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let tenant = tx.tenant();
    let names: BTreeSet<String> = new.iter().map(|one| one.fresh.item.name.as_str().to_owned()).collect();
    let ids = catalogue.store(tx, ports, names).await?;
    let with_properties = new.iter().filter(|one| !one.fresh.item.properties.is_empty());
    let owners: BTreeSet<ContactId> = with_properties.map(|one| one.contact).collect();
    let owners: Vec<ContactId> = owners.into_iter().collect();
    let keys = history_keys_ensure(tx, ports, &owners).await?;
    let (mut rows, mut occurred) = (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
    for Settled { fresh, id, contact, fingerprint } in new {
        let Fresh { item, at, json, .. } = fresh;
        let event = *ids.get(item.name.as_str()).ok_or_else(|| Error::fault("an event has no definition"))?;
        let key = keys.get(&contact).filter(|_| !item.properties.is_empty());
        let sealed = key.map(|key| key.seal(&place(tenant, id), &json, &*ports.entropy));
        rows.push(NewEvent { id, contact, event, at, sealed, key: key_of(&item), fingerprint });
        occurred.push(Occurred { id, contact, event, at, properties: item.properties });
    }
    event_keys_insert(tx, &rows, ports.now()).await?;
    events_append(tx, rows).await?;
    // Behind a pointer: what holds this future need not look into all that may come of events.
    let reaction: Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> =
        Box::pin(react_to_events(tx, ports, &occurred));
    reaction.await
}

/// Where the properties of an event lie.
pub(super) fn place(tenant: TenantId, id: ContactEventId) -> Place {
    Place::new(tenant, "contact_events", "sealed", id)
}
