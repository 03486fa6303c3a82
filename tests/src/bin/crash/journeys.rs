//! People who go through their tenant's workflow meanwhile: an event brings them in, some buy on the way, which is its goal.
//!
//! Events are told through the use case until they are acknowledged, under the same message ids; some are told once more
//! after that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use carillon_domain::contacts::events::{EventContact, EventName, TrackEvent, track_events};
use carillon_domain::error::Error;
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{Grant, TrackEvents};
use carillon_entities::ids::ContactId;
use carillon_tests::stage::{Cast, Stage};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Map, json};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::load::Done;

/// The event that brings people in.
const JOINED: &str = "joined";
/// The workflow's goal.
pub const BOUGHT: &str = "bought";
/// Events of one call.
const BATCH: usize = 10;
/// One in so many people joins.
const JOIN_EVERY: usize = 2;
/// One in so many who joined buys.
const BUY_EVERY: u32 = 3;
/// Between the two mails of the workflow.
const WAIT_S: u64 = 2;
/// A purchase comes within this time of the acknowledged event that brought somebody in: before, in or after the wait.
const BUY_WITHIN_MS: u64 = 4_000;

/// What one tenant's people do.
pub struct Journeys {
    teller: Teller,
    people: Vec<(ContactId, String)>,
    done: Arc<Mutex<Done>>,
    random: StdRng,
}

#[derive(Clone)]
struct Teller {
    grant: Grant<TrackEvents>,
    ports: Ports,
}

impl Journeys {
    /// Makes the tenant's workflow live: a mail, a short wait, another mail.
    pub async fn prepare(stage: &Stage, cast: &Cast, done: Arc<Mutex<Done>>, seed: u64) -> Result<Self> {
        stage.declare(cast, &[JOINED, BOUGHT]).await?;
        let definition = json!({
            "trigger": { "event": JOINED },
            "goal": { "kind": "event", "event": BOUGHT },
            "start": "first",
            "nodes": {
                "first": stage.mail_node(cast, "pause").await?,
                "pause": { "kind": "wait_for", "seconds": WAIT_S, "next": "second" },
                "second": stage.mail_node(cast, "bye").await?,
                "bye": { "kind": "exit" },
            },
        });
        stage.live(cast, "Welcome", definition).await?;
        let teller = Teller { grant: stage.enter(cast.tenant)?.grant()?, ports: stage.ports.clone() };
        let people = cast.people.iter().step_by(JOIN_EVERY).cloned().collect();
        Ok(Self { teller, people, done, random: StdRng::seed_from_u64(seed) })
    }

    /// Lets people join as the waves of intents go, so that faults strike workflows at work, too.
    pub fn start(self, intents: usize, waves: watch::Receiver<usize>) -> JoinHandle<Result<()>> {
        tokio::spawn(self.run(intents, waves))
    }

    async fn run(mut self, intents: usize, mut waves: watch::Receiver<usize>) -> Result<()> {
        let mut buying = JoinSet::new();
        let groups: Vec<Vec<(ContactId, String)>> = self.people.chunks(BATCH).map(<[_]>::to_vec).collect();
        for (number, group) in groups.iter().enumerate() {
            let turn = number * intents / groups.len();
            waves.wait_for(|released| *released > turn).await.context("the waves ended")?;
            let joining: Vec<ContactId> = group.iter().map(|(contact, _)| *contact).collect();
            self.teller.tell(JOINED, &joining).await?;
            self.done.lock().await.joined.extend(group.iter().cloned());
            if number.is_multiple_of(4) {
                self.teller.tell(JOINED, &joining).await?;
            }
            for contact in joining {
                if !self.random.random_ratio(1, BUY_EVERY) {
                    continue;
                }
                let after = Duration::from_millis(self.random.random_range(0..BUY_WITHIN_MS));
                let (teller, done) = (self.teller.clone(), Arc::clone(&self.done));
                buying.spawn(async move {
                    tokio::time::sleep(after).await;
                    teller.tell(BOUGHT, &[contact]).await?;
                    done.lock().await.bought.insert(contact);
                    anyhow::Ok(())
                });
            }
        }
        while let Some(bought) = buying.join_next().await {
            bought??;
        }
        Ok(())
    }
}

impl Teller {
    /// Tells that these people did something, again and again until it is acknowledged.
    async fn tell(&self, what: &str, who: &[ContactId]) -> Result<()> {
        let name = EventName::parse(what).map_err(|error| anyhow!("{error}"))?;
        let event = |contact: &ContactId| TrackEvent {
            message_id: format!("{what}-{contact}"),
            source: "crash".to_owned(),
            name: name.clone(),
            contact: EventContact::Id(*contact),
            create: None,
            occurred_at: None,
            properties: Map::new(),
        };
        let events: Vec<TrackEvent> = who.iter().map(event).collect();
        loop {
            match self.once(&events).await {
                Ok(()) => return Ok(()),
                // The database is away, or was: whether the events are there is not known.
                Err(Error::Wall(_)) => tokio::time::sleep(Duration::from_millis(300)).await,
                Err(other) => bail!("events were not taken: {other}"),
            }
        }
    }

    async fn once(&self, events: &[TrackEvent]) -> carillon_domain::error::Result<()> {
        let mut tx = self.grant.begin().await?;
        let verdicts = track_events(&self.grant, &mut tx, &self.ports, events).await?;
        tx.commit().await?;
        match verdicts.into_iter().find_map(Result::err) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }
}
