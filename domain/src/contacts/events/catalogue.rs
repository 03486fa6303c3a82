//! The names of events and the kinds of their properties, as one call finds and leaves them.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::EventDefinitionId;
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json};

use super::property::{Known, check_kinds, learn};
use super::track::{Stage, Verdict};
use super::{EVENTS_MAX, EventProperty};
use crate::contacts::store::events::{
    definitions_count, definitions_put, event_definitions_named, properties_of, properties_put,
};
use crate::error::{Refusal, Result};
use crate::ports::Ports;

/// What is known of the events that a call names, and what it adds to that.
pub(super) struct Catalogue {
    ids: HashMap<String, EventDefinitionId>,
    known: HashMap<String, Known>,
    /// The names that are not known would be too many.
    is_full: bool,
    learned: BTreeSet<(String, String)>,
}

impl Catalogue {
    /// What is there of these names.
    pub async fn load(tx: &mut TenantTx, names: BTreeSet<String>) -> Result<Self> {
        let definitions = event_definitions_named(tx, &names).await?;
        let ids: HashMap<String, EventDefinitionId> =
            definitions.into_iter().map(|(name, definition)| (name, definition.id)).collect();
        let wanted: Vec<EventDefinitionId> = ids.values().copied().collect();
        let mut properties = if wanted.is_empty() { HashMap::new() } else { properties_of(tx, &wanted).await? };
        let of = |name: String| {
            let known = ids.get(&name).and_then(|id| properties.remove(id)).unwrap_or_default();
            (name, known)
        };
        let known: HashMap<String, Known> = names.into_iter().map(of).collect();
        let unknown = known.len() - ids.len();
        let is_full = unknown > 0 && definitions_count(tx).await? + unknown > EVENTS_MAX;
        Ok(Self { ids, known, is_full, learned: BTreeSet::new() })
    }

    /// Refuses values of wrong kinds, and names that would be too many.
    pub fn check(&self, verdicts: &mut [Verdict<'_>]) {
        for verdict in verdicts {
            let Ok(Stage::Fresh(fresh)) = verdict else { continue };
            let name = fresh.item.name.as_str();
            let known = self.known.get(name).map_or(Ok(()), |known| check_kinds(known, &fresh.item.properties));
            if self.is_full && !self.ids.contains_key(name) {
                let message = format!("A tenant has at most {EVENTS_MAX} events, and this would be one more.");
                *verdict = Err(Refusal::new("TOO_MANY_EVENTS", "name", message));
            } else if let Err(refusal) = known {
                *verdict = Err(refusal);
            }
        }
    }

    /// Takes in what the properties of one event tell.
    pub fn learn(&mut self, name: &str, properties: &Map<String, Json>) {
        let known = self.known.entry(name.to_owned()).or_default();
        self.learned.extend(learn(known, properties).into_iter().map(|property| (name.to_owned(), property)));
    }

    /// Writes what is new; where nothing is, this costs nothing. Returns the id of each name.
    pub async fn store(
        mut self,
        tx: &mut TenantTx,
        ports: &Ports,
        used: BTreeSet<String>,
    ) -> Result<HashMap<String, EventDefinitionId>> {
        let new = used.into_iter().filter(|name| !self.ids.contains_key(name));
        let new: Vec<(String, EventDefinitionId)> = new.map(|name| (name, ports.new_id())).collect();
        let ids = definitions_put(tx, new, false, ports.now()).await?;
        self.ids.extend(ids);
        let rows: Vec<(EventDefinitionId, EventProperty)> = self
            .learned
            .iter()
            .filter_map(|(event, name)| Some((*self.ids.get(event)?, self.known.get(event)?.get(name)?.clone())))
            .collect();
        properties_put(tx, rows, ports.now()).await?;
        Ok(self.ids)
    }
}
