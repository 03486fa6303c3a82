//! A no is the person's, not the address's: it follows them to a new one (C-126, C-128).
//!
//! What is taken over keeps its time, so at the new address, too, only a newer act of the person's own lifts it. A yes
//! never follows, nor does what is known of the old address itself: bounces, and what the tenant suppressed by hand.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::{BrandId, TopicId};
use carillon_entities::wall::TenantTx;

use super::fold::Mark;
use super::ledger::{NewConsentEvent, Source, append_locked};
use super::store::endpoints::{EndpointKey, Endpoints, locked_address};
use super::store::{states, suppressions, topics};
use super::{Basis, ConsentAction, ConsentState, ConsentTopic, LedgerEntry, Recipient, SourceKind, Suppression};
use crate::error::Result;
use crate::keys::AddressHmac;
use crate::ports::Ports;
use crate::tenancy::Actor;

/// What is known at addresses, under whichever of their keys their rows are kept.
type Known = BTreeMap<EndpointKey, BTreeMap<(BrandId, TopicId), ConsentState>>;

/// Somebody goes from one address to another.
struct Step<'a> {
    from: &'a Recipient,
    to: &'a Recipient,
    /// What the rows of both are kept under.
    homes: [AddressHmac; 2],
}

impl Step<'_> {
    fn left(&self) -> EndpointKey {
        (self.homes[0].hash, self.from.channel())
    }

    fn reached(&self) -> EndpointKey {
        (self.homes[1].hash, self.to.channel())
    }
}

/// An end that somebody takes along.
struct Followed<'a> {
    step: &'a Step<'a>,
    brand: BrandId,
    topic: TopicId,
    end: Mark<ConsentAction>,
}

/// Takes over at new addresses what people had ended at their old ones, complaints and legal suppressions included: in
/// the order of the moves, and in a constant number of statements. The caller has locked the endpoints of all of them
/// for change.
pub(crate) async fn follow(
    tx: &mut TenantTx,
    ports: &Ports,
    by: Actor,
    moves: &[(Recipient, Recipient)],
    endpoints: &mut Endpoints,
) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let steps = steps(moves, endpoints)?;
    let homes = homes(&steps);
    follow_suppressions(tx, ports, (&steps, &homes)).await?;
    let followed = followed(&steps, known(tx, &homes).await?);
    if followed.is_empty() {
        return Ok(());
    }
    let about: BTreeSet<TopicId> = followed.iter().map(|one| one.topic).collect();
    let about: Vec<TopicId> = about.into_iter().collect();
    let topics = topics::topics_of(tx, &about).await?;
    let reserved: BTreeSet<TopicId> =
        topics.iter().filter(|topic| topic.is_all_marketing()).map(|topic| topic.id).collect();
    let events = followed.iter().map(|one| (event(by, one, &reserved), one.step.homes[1]));
    append_locked(tx, ports, events.collect(), endpoints).await?;
    for one in &followed {
        // What is appended next in this transaction finds a state there.
        endpoints.entry(one.step.reached()).and_modify(|endpoint| endpoint.consent_version += 1);
    }
    Ok(())
}

fn steps<'a>(moves: &'a [(Recipient, Recipient)], endpoints: &Endpoints) -> Result<Vec<Step<'a>>> {
    let step = |(from, to): &'a (Recipient, Recipient)| {
        Ok(Step { from, to, homes: [locked_address(endpoints, from)?, locked_address(endpoints, to)?] })
    };
    moves.iter().map(step).collect()
}

/// Every key that the addresses have, and the one that their rows are kept under (C-157).
type Homes = BTreeMap<EndpointKey, EndpointKey>;

fn homes(steps: &[Step<'_>]) -> Homes {
    let of = |step: &Step<'_>| {
        let (left, reached) = (step.left(), step.reached());
        let keys = step.from.keys().map(move |key| (key, left)).chain(step.to.keys().map(move |key| (key, reached)));
        keys.collect::<Vec<_>>()
    };
    steps.iter().flat_map(of).collect()
}

/// No act of the person's lifts these (C-235), so they are taken over as they are.
async fn follow_suppressions(tx: &mut TenantTx, ports: &Ports, (steps, homes): (&[Step<'_>], &Homes)) -> Result<()> {
    let mut kept: BTreeMap<EndpointKey, Vec<Suppression>> = BTreeMap::new();
    for found in suppressions::suppressions_of(tx, homes.keys().map(|(hash, _)| *hash)).await? {
        if let Some(home) = homes.get(&(found.address.hash, found.channel))
            && found.reason.is_beyond_the_tenant()
        {
            kept.entry(*home).or_default().push(found);
        }
    }
    let mut new = Vec::new();
    for step in steps {
        for old in kept.get(&step.left()).cloned().unwrap_or_default() {
            let there = kept.entry(step.reached()).or_default();
            if !there.iter().any(|own| (own.scope, own.reason) == (old.scope, old.reason)) {
                let own = Suppression { id: ports.new_id(), address: step.homes[1], ..old };
                there.push(own.clone());
                new.push(own);
            }
        }
    }
    Ok(suppressions::suppressions_put(tx, &new).await?)
}

async fn known(tx: &mut TenantTx, homes: &Homes) -> Result<Known> {
    let mut known = Known::new();
    for (key, row) in states::states_of(tx, homes.keys().map(|(hash, _)| *hash)).await? {
        if let Some(home) = homes.get(&(key.address, key.channel)) {
            let state = known.entry(*home).or_default().entry((key.brand, key.topic)).or_default();
            *state = state.join(row.state);
        }
    }
    Ok(known)
}

/// What each takes along, of what those before them took along too.
fn followed<'a>(steps: &'a [Step<'a>], mut known: Known) -> Vec<Followed<'a>> {
    let mut followed = Vec::new();
    for step in steps {
        for ((brand, topic), state) in known.get(&step.left()).cloned().unwrap_or_default() {
            let there = known.entry(step.reached()).or_default().entry((brand, topic)).or_default();
            for end in state.ends() {
                if !there.has_end(&end) {
                    let (id, action, effective_at) = (end.event, end.what, end.at);
                    let source = SourceKind::System;
                    there.apply(&LedgerEntry { id, action, basis: Basis::Unknown, effective_at, source });
                    followed.push(Followed { step, brand, topic, end });
                }
            }
        }
    }
    followed
}

/// The entry leads back to the one at the old address.
fn event(by: Actor, one: &Followed<'_>, reserved: &BTreeSet<TopicId>) -> NewConsentEvent {
    let all_marketing = Some(one.topic).filter(|topic| reserved.contains(topic));
    let topic = ConsentTopic { brand: one.brand, topic: one.topic, all_marketing };
    let mut event = NewConsentEvent::new(one.step.to.clone(), topic, one.end.what, one.end.at, by);
    event.source = Source { kind: SourceKind::System, id: None, line: None };
    event.supersedes = Some(one.end.event);
    event
}
