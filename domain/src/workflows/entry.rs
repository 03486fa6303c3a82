//! Who enters and whose way ends when something happens: events in their order, pure.
//!
//! Events of one call are taken in the order in which they occurred, so that an order that follows a cart in one batch
//! ends what the cart began.

use std::collections::HashMap;

use carillon_entities::ids::{ContactEventId, ContactId, EnrollmentId, WorkflowId, WorkflowVersionId};
use chrono::TimeDelta;
use serde_json::{Map, Value as Json};

use super::advance::WayState;
use super::react::Occurred;
use super::{Definition, End, PropertyFilter, Reentry};
use crate::time::Timestamp;

/// Events that arrive later than this start nobody, unless the trigger says so.
pub const LATE: TimeDelta = TimeDelta::hours(72);
/// The longest entry key.
pub const ENTRY_KEY_MAX: usize = 200;

/// A version that listens to some of the events.
#[derive(Debug, Clone)]
pub struct Listening<'a> {
    /// Which.
    pub version: WorkflowVersionId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// What it says.
    pub definition: &'a Definition,
    /// It is the live one, whose trigger starts people.
    pub is_live: bool,
}

/// Somebody's way as it was, or as it is begun here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The way.
    pub id: EnrollmentId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// On which version.
    pub version: WorkflowVersionId,
    /// Who.
    pub contact: ContactId,
    /// What tells it from the person's others.
    pub key: String,
    /// The how manieth under this key, from 1.
    pub number: i32,
    /// The event that began it.
    pub event: Option<ContactEventId>,
    /// When it began.
    pub entered_at: Timestamp,
    /// How it ended, why, and when.
    pub ended: Option<(WayState, String, Timestamp)>,
    /// It came to an exit, but a mail of it has not left: a goal takes that back (C-184).
    pub has_mail: bool,
    /// It is begun by this call.
    pub is_new: bool,
}

/// Takes events in their order; `ways` are the last ones of each key and all that are under way, and come back with what
/// changed.
pub fn take(
    events: &[Occurred<'_>],
    listening: &[Listening<'_>],
    ways: Vec<Entry>,
    now: Timestamp,
    mut new_id: impl FnMut() -> EnrollmentId,
) -> Vec<Entry> {
    let mut book = Book::new(ways);
    let mut events: Vec<&Occurred<'_>> = events.iter().collect();
    events.sort_by_key(|event| (event.at, event.id));
    for event in events {
        for version in listening {
            end_ways(&mut book, event, version);
        }
        for version in listening.iter().filter(|version| version.is_live) {
            enter(&mut book, event, version, now, &mut new_id);
        }
    }
    book.ways
}

/// Ways by whom and where they are.
struct Book {
    ways: Vec<Entry>,
    of: HashMap<(ContactId, WorkflowVersionId), Vec<usize>>,
    last: HashMap<(WorkflowId, String), usize>,
}

impl Book {
    fn new(mut ways: Vec<Entry>) -> Self {
        ways.sort_by_key(|way| (way.number, way.id));
        let mut book = Self { ways: Vec::new(), of: HashMap::new(), last: HashMap::new() };
        for way in ways {
            book.add(way);
        }
        book
    }

    fn add(&mut self, way: Entry) {
        let place = self.ways.len();
        self.of.entry((way.contact, way.version)).or_default().push(place);
        self.last.insert((way.workflow, way.key.clone()), place);
        self.ways.push(way);
    }
}

/// Ends the contact's ways on a version whose goal or exit the event is, at the event's time (A3.1).
fn end_ways(book: &mut Book, event: &Occurred<'_>, version: &Listening<'_>) {
    let Some(places) = book.of.get(&(event.contact, version.version)) else { return };
    let Some((state, reason)) = ends(version.definition, event) else { return };
    for place in places {
        let way = &mut book.ways[*place];
        if (way.ended.is_none() || way.has_mail) && event.at >= way.entered_at {
            way.has_mail = false;
            way.ended = Some((state, reason.clone(), event.at));
        }
    }
}

/// What of a version an event is: its goal, one of its exits, or nothing.
pub fn ends(definition: &Definition, event: &Occurred<'_>) -> Option<(WayState, String)> {
    let is = |end: &End| match end {
        End::Event { event_id, filter, .. } => *event_id == Some(event.event) && passes(filter, event.properties),
        End::Condition { .. } => false,
    };
    if definition.goal.as_ref().is_some_and(is) {
        return Some((WayState::Goal, "goal".to_owned()));
    }
    let exit = definition.exits.iter().position(is)?;
    Some((WayState::Exited, format!("exit_{}", exit + 1)))
}

/// Whether properties pass all tests.
pub fn passes(filter: &[PropertyFilter], properties: &Map<String, Json>) -> bool {
    filter.iter().all(|one| one.test.passes_json(properties.get(&one.property)))
}

fn enter(
    book: &mut Book,
    event: &Occurred<'_>,
    version: &Listening<'_>,
    now: Timestamp,
    new_id: &mut impl FnMut() -> EnrollmentId,
) {
    let is_late = now - event.at > LATE && !version.definition.trigger.accept_late;
    if is_late || !may_begin(version.definition, event) {
        return;
    }
    let Some(key) = entry_key(version.definition, event) else { return };
    let last = book.last.get(&(version.workflow, key.clone())).map(|place| &book.ways[*place]);
    let number = match last {
        None => 1,
        Some(last) if may_enter_again(version.definition.reentry, last, event.at) => last.number.saturating_add(1),
        Some(_) => return,
    };
    book.add(Entry {
        id: new_id(),
        workflow: version.workflow,
        version: version.version,
        contact: event.contact,
        key,
        number,
        event: Some(event.id),
        entered_at: event.at,
        ended: None,
        has_mail: false,
        is_new: true,
    });
}

/// Whether an event is the trigger's, as far as the event alone tells.
pub fn may_begin(definition: &Definition, event: &Occurred<'_>) -> bool {
    let trigger = &definition.trigger;
    trigger.event_id == Some(event.event) && passes(&trigger.filter, event.properties)
}

/// What tells one entry from another: the contact, and the property's value if the trigger names one. Without a value of
/// one line of text, a number or a boolean nobody enters.
pub fn entry_key(definition: &Definition, event: &Occurred<'_>) -> Option<String> {
    let Some(property) = &definition.trigger.entry_key else { return Some(event.contact.to_string()) };
    let value = match event.properties.get(property)? {
        Json::String(text) if !text.is_empty() && text.len() <= ENTRY_KEY_MAX && !text.contains(char::is_control) => {
            text.clone()
        }
        value @ (Json::Number(_) | Json::Bool(_)) => value.to_string(),
        _ => return None,
    };
    Some(format!("{}:{value}", event.contact))
}

fn may_enter_again(reentry: Reentry, last: &Entry, at: Timestamp) -> bool {
    let is_out = last.ended.is_some();
    match reentry {
        Reentry::Never => false,
        Reentry::AfterExit => is_out,
        Reentry::AfterInterval { seconds } => {
            let interval = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
            is_out && at - last.entered_at >= interval
        }
    }
}
