//! Recording a hit: as little as its judgement needs, and nothing that is not allowed any more (C-79).

use std::net::IpAddr;

use carillon_entities::ids::{HitId, MessageId};
use chrono::TimeDelta;

use super::source::source_hash;
use super::{Agent, Hit};
use crate::error::{Error, Result};
use crate::keys::{ClickToken, Tracked, VerifiedClick};
use crate::messaging::{TrackingMode, store};
use crate::ports::Ports;
use crate::tenancy::{Grant, RecordHits};

/// Hits that are kept of a message; what comes after is forgotten, whoever sends it, and an absence says nothing then. A
/// program that asks for each link of a mail twice leaves room for the person behind it.
pub const HITS_MAX: i64 = 1_000;
/// How long a hit waits to be judged, so that what comes with it is known (C-82).
pub const HOLD: TimeDelta = TimeDelta::seconds(10);

/// What a request tells of who made it.
#[derive(Clone, Copy)]
pub struct Visit {
    /// By what kind of program.
    pub agent: Agent,
    /// From where; only a hash of its network is kept, and never with more than the message's id (C-85).
    pub address: Option<IpAddr>,
    /// It asked for the headers alone.
    pub is_head: bool,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Visit({})", self.agent.as_str())
    }
}

/// What became of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is kept and will be judged.
    Kept,
    /// It was added to a count.
    Counted,
    /// Nothing of it is kept.
    Not,
}

/// Records that somebody asked for a pixel or followed a link.
pub async fn record_hit(
    grant: &Grant<RecordHits>,
    ports: &Ports,
    click: &VerifiedClick,
    visit: Visit,
) -> Result<Recorded> {
    if grant.tenant() != click.tenant {
        return Err(Error::Forbidden);
    }
    match &click.tracked {
        Tracked::Message(message) => keep(grant, ports, *message, (click, visit)).await,
        Tracked::Content { version, origin } => {
            // Nothing can be judged later about what has no id: what is surely no person is not counted at all.
            if visit.is_head || !visit.agent.may_be_a_person() {
                return Ok(Recorded::Not);
            }
            let mut tx = grant.begin().await?;
            let day = ports.now().date_naive();
            let counted = store::tracking_count(&mut tx, day, (*version, origin), click.kind()).await?;
            tx.commit().await?;
            Ok(if counted { Recorded::Counted } else { Recorded::Not })
        }
    }
}

async fn keep(
    grant: &Grant<RecordHits>,
    ports: &Ports,
    message: MessageId,
    (click, visit): (&ClickToken, Visit),
) -> Result<Recorded> {
    let mut tx = grant.begin().await?;
    let facts = store::hit_facts(&mut tx, message).await?;
    let allowed = facts.is_some_and(|facts| {
        let now_allowed = facts.contact.facts().mode() == TrackingMode::Individual;
        facts.tracking == TrackingMode::Individual && now_allowed && facts.hits < HITS_MAX
    });
    if !allowed {
        return Ok(Recorded::Not);
    }
    let now = ports.now();
    let hit = Hit {
        id: ports.new_id::<HitId>(),
        message,
        kind: click.kind(),
        link: click.target.as_ref().map(|(place, _)| *place),
        agent: visit.agent,
        is_head: visit.is_head,
        at: now,
    };
    let source = source_hash(&ports.keys, grant.tenant(), visit.address, now);
    store::hit_insert(&mut tx, &hit, source, now + HOLD).await?;
    tx.commit().await?;
    Ok(Recorded::Kept)
}
