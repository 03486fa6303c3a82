//! Taking in what contacts did: each event of a call has a verdict of its own, and the good ones are stored together, in
//! a number of statements that does not depend on how many there are (L5).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::Pin;

use carillon_entities::ids::{ContactEventId, ContactId, TenantId};
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::EventName;
use super::catalogue::Catalogue;
use super::property::bounded;
use super::whose::{Named, make};
use crate::consent::effective_at;
use crate::contacts::EmailAddress;
use crate::contacts::store::events::{event_keys_find, event_keys_take, events_append};
use crate::contacts::store::subject_keys::history_keys_ensure;
use crate::error::{Error, Refusal, Result};
use crate::idempotency::check_key;
use crate::keys::{Fingerprinter, Place, SubjectKey};
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
pub(crate) type EventKey<'a> = (&'a str, &'a str);

/// An event to store.
pub(crate) struct NewEvent<'a> {
    pub id: ContactEventId,
    pub contact: ContactId,
    pub at: Timestamp,
    pub key: EventKey<'a>,
    pub fingerprint: [u8; 32],
    name: &'a str,
    properties: &'a Map<String, Json>,
    json: Vec<u8>,
    place: usize,
}

/// An event that is good as far as it goes.
pub(super) struct Fresh<'a> {
    pub item: &'a TrackEvent,
    fingerprint: [u8; 32],
    at: Timestamp,
    json: Vec<u8>,
    /// Found last.
    pub contact: Option<ContactId>,
}

/// How far an event came.
pub(super) enum Stage<'a> {
    Known(ContactEventId),
    Fresh(Fresh<'a>),
}

/// What is to be said of an event.
pub(super) type Verdict<'a> = Result<Stage<'a>, Refusal>;

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
    let now = ports.now();
    let mut verdicts: Vec<Verdict<'_>> = events.iter().map(|item| fresh(item, &fingerprints, now)).collect();
    let names = all_fresh(&verdicts).map(|fresh| fresh.item.name.as_str().to_owned()).collect();
    let mut catalogue = Catalogue::load(tx, names).await?;
    catalogue.check(&mut verdicts);
    let found = Named::by(&verdicts).find(tx, ports).await?;
    found.place(&mut verdicts);
    recall(tx, &fingerprints, events, &mut verdicts).await?;
    make(tx, ports, &mut verdicts).await?;
    let new = take(tx, ports, &fingerprints, events, &mut verdicts).await?;
    let answers = answers(events, &new, &verdicts)?;
    for event in &new {
        catalogue.learn(event.name, event.properties);
    }
    store(tx, ports, catalogue, (new, found.into_keys())).await?;
    Ok(answers)
}

fn mismatch() -> Refusal {
    Refusal::new("IDEMPOTENCY_MISMATCH", "messageId", "The source used this message id for something else.")
}

fn key_of(item: &TrackEvent) -> EventKey<'_> {
    (&item.source, &item.message_id)
}

/// What makes it the same event again.
fn identity(item: &TrackEvent, properties: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    enum Who<'a> {
        Id(ContactId),
        ExternalId(&'a str),
        Email(&'a str),
    }
    let who = match &item.contact {
        EventContact::Id(id) => Who::Id(*id),
        EventContact::ExternalId(id) => Who::ExternalId(id),
        EventContact::Email(email) => Who::Email(email.norm()),
    };
    let at = item.occurred_at.map(|at| at.timestamp_micros());
    let mut identity = serde_json::to_vec(&(item.name.as_str(), who, at)).unwrap_or_default();
    identity.extend(properties);
    identity
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
fn fresh<'a>(item: &'a TrackEvent, fingerprints: &Fingerprinter, now: Timestamp) -> Verdict<'a> {
    check_event_key(item)?;
    let at = effective_at(to_micros(item.occurred_at.unwrap_or(now)), now, "occurredAt")?;
    if at < now - PAST_MAX {
        return Err(Refusal::new("TIME_TOO_OLD", "occurredAt", "The time is more than ten years ago."));
    }
    let json = bounded(&item.properties)?;
    let fingerprint = fingerprints.of(&identity(item, &json));
    Ok(Stage::Fresh(Fresh { item, fingerprint, at, json, contact: None }))
}

/// Those that are good as far as they go.
pub(super) fn all_fresh<'v, 'a>(verdicts: &'v [Verdict<'a>]) -> impl Iterator<Item = &'v Fresh<'a>> {
    verdicts.iter().filter_map(|verdict| match verdict {
        Ok(Stage::Fresh(fresh)) => Some(fresh),
        _ => None,
    })
}

/// What was acknowledged stays so, whatever has become of its contact or its kinds since: those that would be refused, or
/// would make a contact, are looked for among what is known.
async fn recall(
    tx: &mut TenantTx,
    fingerprints: &Fingerprinter,
    events: &[TrackEvent],
    verdicts: &mut [Verdict<'_>],
) -> Result<()> {
    let is_doubtful = |place: &usize| match &verdicts[*place] {
        Ok(Stage::Fresh(fresh)) => fresh.contact.is_none(),
        Ok(Stage::Known(_)) => false,
        Err(_) => check_event_key(&events[*place]).is_ok(),
    };
    let doubtful: Vec<usize> = (0..events.len()).filter(is_doubtful).collect();
    remember(tx, fingerprints, events, (verdicts, &doubtful)).await
}

/// Gives the events in some places the verdict that their message ids have, if they have one.
async fn remember(
    tx: &mut TenantTx,
    fingerprints: &Fingerprinter,
    events: &[TrackEvent],
    (verdicts, places): (&mut [Verdict<'_>], &[usize]),
) -> Result<()> {
    let keys: BTreeSet<EventKey<'_>> = places.iter().map(|place| key_of(&events[*place])).collect();
    let stored = event_keys_find(tx, keys).await?;
    for place in places {
        let item = &events[*place];
        let Some((id, fingerprint)) = stored.get(&(item.source.clone(), item.message_id.clone())) else { continue };
        let json = serde_json::to_vec(&item.properties).unwrap_or_default();
        let is_same = fingerprints.is_of(fingerprint, &identity(item, &json));
        verdicts[*place] = if is_same { Ok(Stage::Known(*id)) } else { Err(mismatch()) };
    }
    Ok(())
}

/// Gives the good ones their ids and takes their message ids; of those with one message id the first is taken. Those that
/// somebody told before become known ones.
async fn take<'a>(
    tx: &mut TenantTx,
    ports: &Ports,
    fingerprints: &Fingerprinter,
    events: &'a [TrackEvent],
    verdicts: &mut [Verdict<'a>],
) -> Result<Vec<NewEvent<'a>>> {
    let mut keys = HashSet::with_capacity(events.len());
    let mut new = Vec::with_capacity(events.len());
    for (place, verdict) in verdicts.iter_mut().enumerate() {
        let Ok(Stage::Fresh(fresh)) = verdict else { continue };
        let item = fresh.item;
        if !keys.insert(key_of(item)) {
            continue;
        }
        let contact = fresh.contact.ok_or_else(|| Error::fault("an event has no contact"))?;
        let json = std::mem::take(&mut fresh.json);
        let (key, name, properties) = (key_of(item), item.name.as_str(), &item.properties);
        let (id, fingerprint, at) = (ports.new_id(), fresh.fingerprint, fresh.at);
        new.push(NewEvent { id, contact, at, key, fingerprint, name, properties, json, place });
    }
    if event_keys_take(tx, &new, ports.now()).await? {
        return Ok(new);
    }
    let told: Vec<usize> = (0..events.len()).filter(|place| verdicts[*place].is_ok()).collect();
    remember(tx, fingerprints, events, (verdicts, &told)).await?;
    // Our own ids are among what is known now.
    new.retain(|event| matches!(verdicts[event.place], Ok(Stage::Known(id)) if id == event.id));
    Ok(new)
}

/// The answers in the order of the input.
fn answers(
    events: &[TrackEvent],
    new: &[NewEvent<'_>],
    verdicts: &[Verdict<'_>],
) -> Result<Vec<Result<Tracked, Refusal>>> {
    let first: HashMap<EventKey<'_>, &NewEvent<'_>> = new.iter().map(|event| (event.key, event)).collect();
    let answer = |(place, verdict): (usize, &Verdict<'_>)| {
        let own = first.get(&key_of(&events[place]));
        Ok(match (verdict, own) {
            (Err(refusal), _) => Err(refusal.clone()),
            (Ok(_), Some(own)) if own.place == place => Ok(Tracked { event: own.id, duplicate: false }),
            (Ok(Stage::Known(event)), _) => Ok(Tracked { event: *event, duplicate: true }),
            (Ok(Stage::Fresh(fresh)), Some(own)) if fresh.fingerprint == own.fingerprint => {
                Ok(Tracked { event: own.id, duplicate: true })
            }
            (Ok(Stage::Fresh(_)), Some(_)) => Err(mismatch()),
            (Ok(Stage::Fresh(_)), None) => return Err(Error::fault("an event was neither new nor known")),
        })
    };
    verdicts.iter().enumerate().map(answer).collect()
}

/// Writes the new ones and tells workflows of them.
async fn store(
    tx: &mut TenantTx,
    ports: &Ports,
    catalogue: Catalogue,
    (new, mut keys): (Vec<NewEvent<'_>>, HashMap<ContactId, SubjectKey>),
) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let tenant = tx.tenant();
    let names: BTreeSet<String> = new.iter().map(|event| event.name.to_owned()).collect();
    let ids = catalogue.store(tx, ports, names).await?;
    let with_properties = new.iter().filter(|event| !event.properties.is_empty());
    let lacking = with_properties.map(|event| event.contact).filter(|contact| !keys.contains_key(contact));
    let lacking: BTreeSet<ContactId> = lacking.collect();
    if !lacking.is_empty() {
        keys.extend(history_keys_ensure(tx, ports, &lacking.into_iter().collect::<Vec<_>>()).await?);
    }
    let (mut rows, mut occurred) = (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
    for NewEvent { id, contact, at, name, properties, json, .. } in new {
        let event = *ids.get(name).ok_or_else(|| Error::fault("an event has no definition"))?;
        let key = keys.get(&contact).filter(|_| !properties.is_empty());
        let sealed = key.map(|key| key.seal(&place(tenant, id), &json, &*ports.entropy));
        let event = Occurred { id, contact, event, at, properties };
        rows.push((event.clone(), sealed));
        occurred.push(event);
    }
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
