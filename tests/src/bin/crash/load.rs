//! What goes on meanwhile: intents through the API in waves, repeated under the same key until acknowledged, and people
//! who unsubscribe by the one-click link of a mail they got, just when the next one for them is queued.
//!
//! A wave goes with each fault, so that the fault strikes a system at work; what a wave leaves open is counted.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::messaging::MessageClass;
use carillon_entities::ids::{ContactId, TenantId};
use carillon_jobs::catcher::Catcher;
use carillon_tests::stage::{Cast, Stage};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::journeys::Journeys;
use super::links::Links;
use super::processes::Processes;

/// Intents of one call.
const BATCH: usize = 50;
/// Between two calls of a tenant, so that a wave lasts into its fault.
const PACE: Duration = Duration::from_millis(150);
/// An unsubscribe begins within this time of the call that queued a mail to the same person: about when the gate asks.
const TOGETHER_MS: u64 = 200;
/// One in so many messages is transactional.
const RECEIPT_EVERY: usize = 5;
/// One in so many of those who could unsubscribe does.
const LEAVE_EVERY: u32 = 16;

/// An acknowledged intent.
#[derive(Debug)]
pub struct Accepted {
    pub tenant: TenantId,
    pub address: String,
    pub class: MessageClass,
    /// When it was first posted.
    pub posted: Instant,
}

/// What the load did.
#[derive(Debug, Default)]
pub struct Done {
    /// Acknowledged intents by message.
    pub accepted: HashMap<String, Accepted>,
    /// Keys posted; each is acknowledged in the end.
    pub keys: usize,
    /// Whoever began to unsubscribe, acknowledged or not.
    pub leaving: HashSet<String>,
    /// When the 200 to an unsubscribe had arrived.
    pub left: HashMap<String, Instant>,
    /// Whoever joined by an acknowledged event, and their addresses.
    pub joined: HashMap<ContactId, String>,
    /// Whose purchase was acknowledged.
    pub bought: HashSet<ContactId>,
}

/// The load of a run.
pub struct Load {
    done: Arc<Mutex<Done>>,
    sink: Arc<Catcher>,
    released: watch::Sender<usize>,
    senders: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Makes ready to send `intents` in all, in waves, while people of each tenant join its workflow.
    pub async fn start(
        (processes, stage): (&Arc<Processes>, &Stage),
        sink: &Arc<Catcher>,
        cast: &[Cast],
        intents: usize,
        seed: u64,
    ) -> Result<Self> {
        let done = Arc::new(Mutex::new(Done::default()));
        let share = intents.div_ceil(cast.len());
        let (released, waves) = watch::channel(0);
        let mut load = Self { done, sink: Arc::clone(sink), released, senders: Vec::new() };
        for (cast, number) in cast.iter().zip(0..) {
            let sender = Sender::new(processes, cast, &load, seed ^ (0x5eed << number));
            load.senders.push(tokio::spawn(sender.run(share, waves.clone())));
            let journeys = Journeys::prepare(stage, cast, load.done(), seed ^ (0x90a1 << number)).await?;
            load.senders.push(journeys.start(share, waves.clone()));
        }
        Ok(load)
    }

    /// What is done so far.
    pub fn done(&self) -> Arc<Mutex<Done>> {
        Arc::clone(&self.done)
    }

    /// Lets the next wave go, of so many intents for each tenant.
    pub fn wave(&self, size: usize) {
        self.released.send_modify(|released| *released += size);
    }

    /// Lets everything go and waits until it is acknowledged.
    pub async fn all_acknowledged(&mut self) -> Result<()> {
        self.wave(usize::MAX / 2);
        for sender in self.senders.drain(..) {
            sender.await??;
        }
        Ok(())
    }
}

/// A client that follows no redirect.
pub fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20));
    client.redirect(reqwest::redirect::Policy::none()).build().expect("a client without special wishes")
}

/// What one tenant sends, and its people do.
pub struct Sender {
    processes: Arc<Processes>,
    cast: Cast,
    done: Arc<Mutex<Done>>,
    links: Links,
    random: StdRng,
    client: reqwest::Client,
}

const SEND: &str = "mutation ($input: SendMessagesInput!) { sendMessages(input: $input) { \
    results { message { id } userErrors { code } } userErrors { code } } }";

impl Sender {
    pub fn new(processes: &Arc<Processes>, cast: &Cast, load: &Load, seed: u64) -> Self {
        Self {
            processes: Arc::clone(processes),
            cast: cast.clone(),
            done: Arc::clone(&load.done),
            links: Links::new(Arc::clone(&load.sink)),
            random: StdRng::seed_from_u64(seed),
            client: client(),
        }
    }

    async fn run(mut self, intents: usize, mut waves: watch::Receiver<usize>) -> Result<()> {
        let mut leaving = JoinSet::new();
        let mut first = 0;
        while first < intents {
            let released = *waves.wait_for(|released| *released > first).await.context("the waves ended")?;
            let batch = first..intents.min(first + BATCH).min(released);
            first = batch.end;
            self.post(batch.clone(), class).await?;
            self.leave(batch, &mut leaving).await;
            tokio::time::sleep(PACE).await;
        }
        while leaving.join_next().await.is_some() {}
        Ok(())
    }

    /// Queues marketing for people of these numbers; returns messages and addresses.
    pub async fn post_all_marketing(&self, batch: Range<usize>) -> Result<Vec<(String, String)>> {
        self.post(batch, |_| MessageClass::Marketing).await
    }

    /// Posts intents until they are acknowledged, by one gateway or the other; returns messages and addresses.
    async fn post(&self, batch: Range<usize>, class: impl Fn(usize) -> MessageClass) -> Result<Vec<(String, String)>> {
        let messages: Vec<Json> = batch.clone().map(|number| self.intent(number, class(self.round(number)))).collect();
        let body = json!({ "query": SEND, "variables": { "input": { "messages": messages } } });
        let posted = Instant::now();
        let mut turn = batch.start / BATCH;
        let results = loop {
            turn += 1;
            match self.call(&format!("{}/graphql", self.processes.gateway(turn)), &body).await {
                Some(results) => break results,
                None => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        };
        let mut done = self.done.lock().await;
        done.keys += batch.len();
        let mut made = Vec::with_capacity(batch.len());
        for (number, result) in batch.zip(results) {
            let id = result["message"]["id"].as_str();
            let id = id.with_context(|| format!("an intent was refused: {}", result["userErrors"]))?;
            let (tenant, address) = (self.cast.tenant, self.person(number).1.clone());
            made.push((id.to_owned(), address.clone()));
            done.accepted.insert(id.to_owned(), Accepted { tenant, address, class: class(self.round(number)), posted });
        }
        Ok(made)
    }

    /// The verdicts of a call; none when it was not acknowledged, or not all of it.
    async fn call(&self, url: &str, body: &Json) -> Option<Vec<Json>> {
        let answer = match self.answer(url, body).await {
            Ok(answer) => answer,
            Err(error) => {
                self.processes.fail(format!("sendMessages: {error:?}"));
                return None;
            }
        };
        if let Some(errors) = answer["errors"].as_array() {
            let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
            self.processes.fail(format!("sendMessages: {code}"));
            if !matches!(code, "UNAVAILABLE" | "INTERNAL") {
                eprintln!("crash: sendMessages answered {errors:?}");
            }
            return None;
        }
        answer["data"]["sendMessages"]["results"].as_array().cloned()
    }

    async fn answer(&self, url: &str, body: &Json) -> reqwest::Result<Json> {
        self.client.post(url).bearer_auth(&self.cast.token).json(body).send().await?.json().await
    }

    /// Some of those who just had a mail queued, and got one before, unsubscribe.
    async fn leave(&mut self, batch: Range<usize>, leaving: &mut JoinSet<()>) {
        self.links.read();
        for number in batch {
            let address = self.person(number).1.clone();
            let Some(path) = self.links.of(&address) else { continue };
            let goes = class(self.round(number)) == MessageClass::Marketing && self.random.random_ratio(1, LEAVE_EVERY);
            if !goes || !self.done.lock().await.leaving.insert(address.clone()) {
                continue;
            }
            let after = Duration::from_millis(self.random.random_range(0..TOGETHER_MS));
            let gateway = self.random.random_range(0..2);
            let (processes, done, client) = (Arc::clone(&self.processes), Arc::clone(&self.done), self.client.clone());
            leaving.spawn(async move {
                tokio::time::sleep(after).await;
                let acknowledged = unsubscribe(&client, &processes, gateway, &path).await;
                if let Some(at) = acknowledged {
                    done.lock().await.left.insert(address, at);
                }
            });
        }
    }

    fn intent(&self, number: usize, class: MessageClass) -> Json {
        let marketing = class == MessageClass::Marketing;
        let (class, version) =
            if marketing { ("MARKETING", self.cast.version) } else { ("TRANSACTIONAL", self.cast.receipt) };
        json!({
            "idempotencyKey": format!("intent-{number}"),
            "class": class,
            "topicId": marketing.then(|| self.cast.topic.to_string()),
            "senderId": self.cast.sender.to_string(),
            "templateVersionId": version.to_string(),
            "to": { "contactId": self.person(number).0.to_string() },
        })
    }

    fn person(&self, number: usize) -> &(ContactId, String) {
        &self.cast.people[number % self.cast.people.len()]
    }

    /// So that the same people do not get all the receipts.
    fn round(&self, number: usize) -> usize {
        number + number / self.cast.people.len()
    }
}

fn class(round: usize) -> MessageClass {
    if round.is_multiple_of(RECEIPT_EVERY) { MessageClass::Transactional } else { MessageClass::Marketing }
}

/// A mail provider tries again when it gets no 200; returns when it got one.
pub async fn unsubscribe(
    client: &reqwest::Client,
    processes: &Processes,
    gateway: usize,
    path: &str,
) -> Option<Instant> {
    for turn in 0..50 {
        let url = format!("{}{path}", processes.gateway(gateway + turn));
        match client.post(&url).body("List-Unsubscribe=One-Click").send().await {
            Ok(answer) if answer.status().is_success() => return Some(Instant::now()),
            Ok(answer) => processes.fail(format!("one-click: {}", answer.status())),
            // The address of the request holds a token.
            Err(error) => processes.fail(format!("one-click: {:?}", error.without_url())),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    None
}
