//! Ledger entries to projection, purely: the same for the live path and for a rebuild (C-152).

use std::collections::BTreeMap;

use carillon_entities::ids::{BrandId, ConsentEventId, TopicId};

use super::ledger::ConsentEvent;
use super::{Channel, ConsentState};
use crate::keys::AddressHash;
use crate::time::Timestamp;

/// What one state is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The address.
    pub address: AddressHash,
    /// The channel.
    pub channel: Channel,
    /// The brand.
    pub brand: BrandId,
    /// The topic, or the reserved topic of all marketing.
    pub topic: TopicId,
}

/// A row of the projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projected {
    /// All the entries, folded.
    pub state: ConsentState,
    /// The entry the standing rests on.
    pub event: ConsentEventId,
    /// When the last entry was recorded.
    pub updated_at: Timestamp,
}

/// The projection of some addresses.
pub type Projection = BTreeMap<StateKey, Projected>;

/// Takes one more entry; entries may come in any order.
pub fn project(projection: &mut Projection, event: &ConsentEvent) {
    let recorded = event.recorded_at;
    let fresh = Projected { state: ConsentState::default(), event: event.id, updated_at: recorded };
    let row = projection.entry(event.key()).or_insert(fresh);
    row.state.apply(&event.entry());
    row.event = row.state.standing().event.unwrap_or(event.id);
    row.updated_at = row.updated_at.max(recorded);
}
