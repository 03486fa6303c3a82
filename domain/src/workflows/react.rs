//! What events, changes and clicks mean for people in workflows, in the transaction in which they happen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use carillon_entities::ids::{
    ContactEventId, ContactId, EnrollmentId, EventDefinitionId, WorkflowId, WorkflowVersionId,
};
use carillon_entities::seeded_bugs;
use carillon_entities::wall::{TenantTx, WallError};
use serde_json::{Map, Value as Json, json};

use super::advance::{ended_by, next_end};
use super::entry::{self, Entry, Listening};
use super::facts::{answers, mails_of};
use super::store::enrollments::{NewWay, Stand, ways_begin, ways_end, ways_last, ways_open, ways_wake};
use super::store::events::{occurred_since, occurrences_since};
use super::store::pauses::pauses_of;
use super::store::steps::{NewStep, steps_append};
use super::store::workflows::{listeners_of_contacts, listeners_of_events};
use super::versions::Definitions;
use super::{Definition, End, Listener, PropertyFilter, Reentry, StepOutcome, WayState};
use crate::contacts::contacts_hold;
use crate::contacts::events::properties_of_events;
use crate::error::Result;
use crate::messaging::cancel_of_ways;
use crate::ports::Ports;
use crate::segments::{Needs, load_facts};
use crate::time::Timestamp;
use crate::webhooks::{self, Happening, WorkflowFinished};

/// Something a contact did, as it was just stored.
#[derive(Debug, Clone)]
pub struct Occurred<'a> {
    /// The stored event.
    pub id: ContactEventId,
    /// Who.
    pub contact: ContactId,
    /// What.
    pub event: EventDefinitionId,
    /// When, as its source says; never later than now.
    pub at: Timestamp,
    /// Its properties.
    pub properties: &'a Map<String, Json>,
}

/// Starts people on the workflows that listen to these events, and ends the ways whose goal or exit they are. Statements
/// do not grow with the number of events, nor with workflows that do not listen.
pub async fn react_to_events(tx: &mut TenantTx, ports: &Ports, events: &[Occurred<'_>]) -> Result<()> {
    let kinds: BTreeSet<EventDefinitionId> = events.iter().map(|event| event.event).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let listeners = listeners_of_events(tx, &kinds).await?;
    if listeners.is_empty() {
        return Ok(());
    }
    let definitions = definitions_of(tx, ports, &listeners).await?;
    let heard: HashSet<Option<EventDefinitionId>> =
        listeners.iter().filter(|one| !is_plain(one, &definitions)).map(|one| one.watch.event).collect();
    let heard = events.iter().filter(|event| heard.contains(&Some(event.event)));
    let contacts: BTreeSet<ContactId> = heard.map(|event| event.contact).collect();
    // One call at a time for each person, or an order would not see the cart that is told beside it, nor that the order.
    if !contacts.is_empty() && !seeded_bugs::on("events_side_by_side") {
        contacts_hold(tx, contacts.clone()).await?;
    }
    let stands = stands(tx, events, (&listeners, &definitions), &contacts).await?;
    let (new, ends) = taken(ports, events, &listening(&listeners, &definitions), &stands);
    begin(tx, ports, &definitions, new).await?;
    end(tx, ports, ends).await?;
    // What people have done may make a condition true that ends a way.
    let watching = listeners.into_iter().filter(|one| !one.watch.starts).map(|one| one.version);
    end_by_conditions(tx, ports, (&definitions, watching.collect()), &contacts).await
}

/// Whether all that an event can mean to somebody who listens is one entry, ever: what was before does not matter then, nor
/// what is told beside it, and the entry's key decides.
fn is_plain(listener: &Listener, definitions: &Definitions) -> bool {
    listener.watch.starts && definitions.get(&listener.version).is_some_and(|definition| enters_once(definition))
}

fn enters_once(definition: &Definition) -> bool {
    definition.reentry == Reentry::Never && definition.goal.is_none() && definition.exits.is_empty()
}

/// Ends the ways of these contacts whose goal or exit condition their change made true. To be called after the change is
/// written, with the contacts it really changed (A3.7).
pub(crate) async fn react_to_contacts(tx: &mut TenantTx, ports: &Ports, contacts: &[ContactId]) -> Result<()> {
    if contacts.is_empty() {
        return Ok(());
    }
    let listeners = listeners_of_contacts(tx).await?;
    if listeners.is_empty() {
        return Ok(());
    }
    let definitions = definitions_of(tx, ports, &listeners).await?;
    let watching = definitions.keys().copied().collect();
    end_by_conditions(tx, ports, (&definitions, watching), &contacts.iter().copied().collect()).await
}

/// Has people looked at who did something with a mail: a branch may wait for it, a goal may be met by it.
pub(crate) async fn react_to_engagement(tx: &mut TenantTx, ports: &Ports, ways: &[EnrollmentId]) -> Result<()> {
    ways_wake(tx, ways.iter().map(|way| (*way, ports.now()))).await
}

async fn definitions_of(tx: &mut TenantTx, ports: &Ports, listeners: &[Listener]) -> Result<Definitions> {
    ports.versions.load(tx, listeners.iter().map(|one| one.version).collect()).await
}

/// Each version once, though it may listen to several things.
fn listening<'a>(listeners: &[Listener], definitions: &'a Definitions) -> Vec<Listening<'a>> {
    let live: HashSet<WorkflowVersionId> =
        listeners.iter().filter(|one| one.watch.starts).map(|one| one.version).collect();
    let versions: BTreeMap<WorkflowVersionId, WorkflowId> =
        listeners.iter().map(|one| (one.version, one.workflow)).collect();
    let one = |(version, workflow): (WorkflowVersionId, WorkflowId)| {
        let definition = definitions.get(&version)?;
        Some(Listening { version, workflow, definition, is_live: live.contains(&version) })
    };
    versions.into_iter().filter_map(one).collect()
}

/// The ways that events begin, and those that they end.
fn taken(
    ports: &Ports,
    events: &[Occurred<'_>],
    listening: &[Listening<'_>],
    stands: &HashMap<EnrollmentId, Stand>,
) -> (Vec<Entry>, Vec<WayEnd>) {
    let ways = stands.values().map(|stand| stand.entry.clone()).collect();
    let after = entry::take(events, listening, ways, ports.now(), || ports.new_id());
    let (new, old): (Vec<Entry>, Vec<Entry>) = after.into_iter().partition(|way| way.is_new);
    let end = |way: Entry| {
        let stand = stands.get(&way.id).filter(|stand| stand.entry.ended != way.ended)?;
        let (state, reason, at) = way.ended?;
        Some(WayEnd { stand: stand.clone(), state, reason, at })
    };
    (new, old.into_iter().filter_map(end).collect())
}

/// The ways that events may end, and the last ones of the keys under which they may begin another.
async fn stands(
    tx: &mut TenantTx,
    events: &[Occurred<'_>],
    (listeners, definitions): (&[Listener], &Definitions),
    contacts: &BTreeSet<ContactId>,
) -> Result<HashMap<EnrollmentId, Stand>> {
    let ending: BTreeSet<WorkflowVersionId> =
        listeners.iter().filter(|one| !one.watch.starts).map(|one| one.version).collect();
    let pairs: Vec<_> = contacts.iter().flat_map(|contact| ending.iter().map(|version| (*contact, *version))).collect();
    let mut stands = if ending.is_empty() { Vec::new() } else { ways_open(tx, pairs).await? };
    let mut keys = BTreeSet::new();
    for listener in listeners.iter().filter(|one| one.watch.starts) {
        let Some(definition) = definitions.get(&listener.version).filter(|one| !enters_once(one)) else { continue };
        let begins = events.iter().filter(|event| entry::may_begin(definition, event));
        let named = begins.filter_map(|event| entry::entry_key(definition, event));
        keys.extend(named.map(|key| (listener.workflow, key)));
    }
    if !keys.is_empty() {
        stands.extend(ways_last(tx, keys).await?);
    }
    // Those that can be ended were locked, and come last.
    Ok(stands.into_iter().rev().map(|stand| (stand.entry.id, stand)).collect())
}

/// Begins ways: of a contact that is held they begin held.
async fn begin(tx: &mut TenantTx, ports: &Ports, definitions: &Definitions, mut new: Vec<Entry>) -> Result<()> {
    let enters_once = |entry: &Entry| definitions.get(&entry.version).is_some_and(|one| enters_once(one));
    let entries = ports.versions.entries();
    new.retain(|entry| !(enters_once(entry) && entries.has(entry)));
    if new.is_empty() {
        return Ok(());
    }
    met_already(tx, ports, definitions, &mut new).await?;
    let now = ports.now();
    let people: BTreeSet<_> = new.iter().map(|way| way.contact.0).collect();
    let held = pauses_of(tx, people).await?;
    let begun = |entry: &Entry| {
        let definition = definitions.get(&entry.version)?;
        let state = if held.contains(&entry.contact.0) { WayState::Paused } else { WayState::Active };
        Some(NewWay { entry: entry.clone(), start: definition.start.clone(), state, due_at: now })
    };
    let mut ways: Vec<NewWay> = new.iter().filter_map(begun).collect();
    // In one order everywhere, so that two calls wait for each other instead of deadlocking.
    ways.sort_by(|one, other| key_of(&one.entry).cmp(&key_of(&other.entry)));
    let begun = ways_begin(tx, &ways).await?;
    let is_taken = |way: &NewWay| !begun.contains(&way.entry.id);
    for way in ways.iter().filter(|way| is_taken(way)) {
        if !enters_once(&way.entry) {
            // Somebody else began the same way just now: then all of it is looked at anew.
            return Err(WallError::Retry.into());
        }
        // Whoever was waited for has committed.
        entries.put(&way.entry);
    }
    ways.retain(|way| !is_taken(way));
    let mut steps: Vec<NewStep> = Vec::with_capacity(ways.len());
    for way in &ways {
        let entry = &way.entry;
        let facts = json!({ "event": entry.event, "entry": entry.number });
        let enrolled = step(entry, (&way.start, None), (StepOutcome::Enrolled, None, None), entry.entered_at);
        steps.push(NewStep { facts, ..enrolled });
        if let Some((state, reason, at)) = &entry.ended {
            let what = (outcome_of(*state), Some(reason.clone()), None);
            steps.push(step(entry, (&way.start, Some(0)), what, *at));
        }
    }
    steps_append(tx, ports, steps).await?;
    let over = ways.iter().filter_map(|way| {
        let (state, reason, _) = way.entry.ended.clone()?;
        Some(finished(&way.entry, state, reason))
    });
    webhooks::tell(tx, ports, over.collect()).await
}

fn key_of(entry: &Entry) -> (WorkflowId, &str, i32) {
    (entry.workflow, &entry.key, entry.number)
}

/// Events need not arrive in their order: whoever met the goal since their way began, has met it.
async fn met_already(tx: &mut TenantTx, ports: &Ports, definitions: &Definitions, new: &mut [Entry]) -> Result<()> {
    let ends_of = |way: &Entry| definitions.get(&way.version).map(|one| event_ends(one)).unwrap_or_default();
    let (mut plain, mut filtered) = (Vec::new(), Vec::new());
    for way in new.iter().filter(|way| way.ended.is_none()) {
        for end in ends_of(way) {
            let wanted = if end.filter.is_empty() { &mut plain } else { &mut filtered };
            wanted.push((way.contact, end.event, way.entered_at));
        }
    }
    let met = if plain.is_empty() { HashMap::new() } else { occurred_since(tx, &plain).await? };
    let occurrences = if filtered.is_empty() { HashMap::new() } else { occurrences_since(tx, &filtered).await? };
    let events: Vec<ContactEventId> = occurrences.values().flatten().map(|(event, _)| *event).collect();
    let properties = if events.is_empty() { HashMap::new() } else { properties_of_events(tx, ports, &events).await? };
    let none = Map::new();
    for way in new.iter_mut().filter(|way| way.ended.is_none()) {
        way.ended = ends_of(way).into_iter().find_map(|end| {
            let since = (way.contact, end.event, way.entered_at);
            let passes = |event: &ContactEventId| entry::passes(end.filter, properties.get(event).unwrap_or(&none));
            let at = match end.filter {
                [] => *met.get(&since)?,
                _ => occurrences.get(&since)?.iter().find(|(event, _)| passes(event))?.1,
            };
            Some((end.state, end.reason, at))
        });
    }
    Ok(())
}

/// A goal or an exit that is an event.
struct EventEnd<'a> {
    event: EventDefinitionId,
    filter: &'a [PropertyFilter],
    state: WayState,
    reason: String,
}

fn event_ends(definition: &Definition) -> Vec<EventEnd<'_>> {
    let goal = definition.goal.iter().map(|end| (end, WayState::Goal, "goal".to_owned()));
    let exits = definition.exits.iter().enumerate();
    let exits = exits.map(|(place, end)| (end, WayState::Exited, format!("exit_{}", place + 1)));
    let ends = goal.chain(exits);
    ends.filter_map(|(end, state, reason)| match end {
        End::Event { event_id: Some(event), filter, .. } => Some(EventEnd { event: *event, filter, state, reason }),
        _ => None,
    })
    .collect()
}

/// A way that ends, and where the person was on it.
struct WayEnd {
    stand: Stand,
    state: WayState,
    reason: String,
    at: Timestamp,
}

/// Ends ways, says so in their history, and takes back what is queued of them (C-184).
async fn end(tx: &mut TenantTx, ports: &Ports, mut ends: Vec<WayEnd>) -> Result<()> {
    if ends.is_empty() || seeded_bugs::on("goal_only_at_wake") {
        return Ok(());
    }
    ends.sort_by_key(|end| end.stand.entry.id);
    let rows: Vec<_> = ends.iter().map(|end| (end.stand.entry.id, end.state, end.reason.clone(), end.at)).collect();
    let ended: HashSet<EnrollmentId> = ways_end(tx, rows).await?.into_iter().collect();
    let steps = ends.iter().filter(|end| ended.contains(&end.stand.entry.id)).map(|end| {
        let what = (outcome_of(end.state), Some(end.reason.clone()), end.stand.variant.clone());
        step(&end.stand.entry, (&end.stand.node, Some(end.stand.visit)), what, end.at)
    });
    steps_append(tx, ports, steps.collect()).await?;
    let over = ends.iter().filter(|end| ended.contains(&end.stand.entry.id));
    let over = over.map(|end| finished(&end.stand.entry, end.state, end.reason.clone()));
    webhooks::tell(tx, ports, over.collect()).await?;
    let mut ended: Vec<EnrollmentId> = ended.into_iter().collect();
    ended.sort_unstable();
    cancel_of_ways(tx, ports, &ended).await
}

/// Ends the ways of contacts on versions whose goal or exit condition holds now.
async fn end_by_conditions(
    tx: &mut TenantTx,
    ports: &Ports,
    (definitions, watching): (&Definitions, BTreeSet<WorkflowVersionId>),
    contacts: &BTreeSet<ContactId>,
) -> Result<()> {
    let asking: HashMap<WorkflowVersionId, (&Definition, Needs)> = watching
        .into_iter()
        .filter_map(|version| {
            let definition = definitions.get(&version)?.as_ref();
            let needs = definition.needs_of_ends();
            (needs != Needs::default()).then_some((version, (definition, needs)))
        })
        .collect();
    if asking.is_empty() {
        return Ok(());
    }
    let pairs = contacts.iter().flat_map(|contact| asking.keys().map(|version| (*contact, *version)));
    let stands = ways_open(tx, pairs.collect::<BTreeSet<_>>()).await?;
    if stands.is_empty() {
        return Ok(());
    }
    let needs = asking.values().fold(Needs::default(), |all, (_, needs)| all.union(needs.clone()));
    let people: BTreeSet<ContactId> = stands.iter().map(|stand| stand.entry.contact).collect();
    let now = ports.now();
    let facts = load_facts(tx, ports, &people.into_iter().collect::<Vec<_>>(), &needs, now).await?;
    let mails = stands.iter().filter_map(|stand| Some((stand.entry.id, &asking.get(&stand.entry.version)?.1.mails)));
    let mails = mails_of(tx, mails).await?;
    let (mut ends, mut wakes) = (Vec::new(), Vec::new());
    for stand in stands {
        let Some(((definition, needs), facts)) = asking.get(&stand.entry.version).zip(facts.get(&stand.entry.contact))
        else {
            continue;
        };
        let mut facts = facts.clone();
        facts.mails.extend(answers(&mails, stand.entry.id, &needs.mails));
        match ended_by(definition, &facts, now) {
            Some((state, reason)) => ends.push(WayEnd { stand, state, reason, at: now }),
            None => wakes.extend(next_end(definition, &facts, now).map(|at| (stand.entry.id, at))),
        }
    }
    // What time alone makes true from here on must not be missed (A3.2).
    ways_wake(tx, wakes).await?;
    end(tx, ports, ends).await
}

/// What webhooks are told of a way that ended.
fn finished(way: &Entry, state: WayState, reason: String) -> Happening {
    Happening::WorkflowFinished(WorkflowFinished {
        enrollment_id: way.id,
        workflow_id: way.workflow,
        contact_id: way.contact,
        state: state.as_str(),
        reason,
    })
}

fn outcome_of(state: WayState) -> StepOutcome {
    if state == WayState::Goal { StepOutcome::Goal } else { StepOutcome::Exited }
}

type What = (StepOutcome, Option<String>, Option<String>);

fn step(entry: &Entry, (node, visit): (&str, Option<i32>), (outcome, reason, variant): What, at: Timestamp) -> NewStep {
    let (enrollment, version, node, facts) = (entry.id, entry.version, node.to_owned(), Json::Null);
    NewStep { enrollment, version, node, visit, outcome, reason, variant, facts, at }
}
