//! What goes on meanwhile: intents through the API, repeated under the same key until acknowledged, and people who
//! unsubscribe by the one-click link in the header of a mail they got.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use carillon_jobs::catcher::Catcher;
use carillon_tests::stage::Cast;
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::processes::Processes;

/// What the load did.
#[derive(Debug, Default)]
pub struct Done {
    /// Acknowledged intents: message id, and the address it is for.
    pub accepted: HashMap<String, String>,
    /// Acknowledged unsubscribes: address and when the 200 had arrived.
    pub unsubscribed: HashMap<String, DateTime<Utc>>,
}

/// The load of a run.
pub struct Load {
    done: Arc<Mutex<Done>>,
    senders: Vec<JoinHandle<Result<()>>>,
    leaver: JoinHandle<()>,
}

const SEND: &str = "mutation ($input: SendMessagesInput!) { sendMessages(input: $input) { \
    results { message { id } userErrors { code } } userErrors { code } } }";

impl Load {
    /// Starts sending for every tenant, and leaving.
    pub fn start(
        processes: &Arc<Processes>,
        sink: &Arc<Catcher>,
        cast: &[Cast],
        intents: usize,
        seed: u64,
        over: CancellationToken,
    ) -> Self {
        let done = Arc::new(Mutex::new(Done::default()));
        let share = intents.div_ceil(cast.len());
        let senders = cast
            .iter()
            .map(|cast| {
                let (processes, cast, done) = (Arc::clone(processes), cast.clone(), Arc::clone(&done));
                tokio::spawn(async move { send(&processes, &cast, share, &done).await })
            })
            .collect();
        let leaver = tokio::spawn(leave(Arc::clone(processes), Arc::clone(sink), Arc::clone(&done), seed, over));
        Self { done, senders, leaver }
    }

    /// Waits until all intents are acknowledged, then ends the unsubscribing.
    pub async fn finish(self, over: CancellationToken) -> Result<Done> {
        for sender in self.senders {
            sender.await??;
        }
        over.cancel();
        self.leaver.await?;
        Ok(std::mem::take(&mut *self.done.lock().await))
    }
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

async fn send(processes: &Processes, cast: &Cast, intents: usize, done: &Mutex<Done>) -> Result<()> {
    let client = client()?;
    for first in (0..intents).step_by(50) {
        let batch: Vec<usize> = (first..intents.min(first + 50)).collect();
        let messages: Vec<Json> = batch.iter().map(|number| intent(cast, *number)).collect();
        let body = json!({ "query": SEND, "variables": { "input": { "messages": messages } } });
        let mut turn = first / 50;
        let results = loop {
            turn += 1;
            let url = format!("{}/graphql", processes.gateway(turn));
            match post(&client, &url, &cast.token, &body).await {
                Some(results) => break results,
                None => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        };
        let mut done = done.lock().await;
        for (number, result) in batch.iter().zip(results) {
            if let Some(id) = result["message"]["id"].as_str() {
                done.accepted.insert(id.to_owned(), cast.people[number % cast.people.len()].1.clone());
            } else {
                anyhow::bail!("an intent was refused: {}", result["userErrors"]);
            }
        }
    }
    Ok(())
}

fn intent(cast: &Cast, number: usize) -> Json {
    json!({
        "idempotencyKey": format!("intent-{number}"),
        "class": "MARKETING",
        "topicId": cast.topic.to_string(),
        "senderId": cast.sender.to_string(),
        "templateVersionId": cast.version.to_string(),
        "to": { "contactId": cast.people[number % cast.people.len()].0.to_string() },
    })
}

/// The verdicts of a call; none when it was not acknowledged.
async fn post(client: &reqwest::Client, url: &str, token: &str, body: &Json) -> Option<Vec<Json>> {
    let answer = client.post(url).bearer_auth(token).json(body).send().await.ok()?;
    let answer: Json = answer.json().await.ok()?;
    if let Some(errors) = answer["errors"].as_array() {
        let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default();
        if !matches!(code, "UNAVAILABLE" | "INTERNAL") {
            eprintln!("crash: sendMessages answered {errors:?}");
        }
    }
    answer["data"]["sendMessages"]["results"].as_array().cloned()
}

async fn leave(
    processes: Arc<Processes>,
    sink: Arc<Catcher>,
    done: Arc<Mutex<Done>>,
    seed: u64,
    over: CancellationToken,
) {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    let Ok(client) = client() else { return };
    let mut left: HashSet<String> = HashSet::new();
    let mut read_to = 0;
    while !over.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let mails = sink.mails(read_to, 100);
        let Some(last) = mails.last() else { continue };
        read_to = last.seq;
        for mail in &mails {
            if !random.random_ratio(1, 40) {
                continue;
            }
            let Some(address) = mail.recipients.first().filter(|address| !left.contains(*address)) else { continue };
            let Some(path) = one_click_path(&mail.raw) else { continue };
            let url = format!("{}{path}", processes.gateway(random.random_range(0..2)));
            // A mail provider tries again when it gets no 200.
            for _ in 0..50 {
                let answer = client.post(&url).body("List-Unsubscribe=One-Click").send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    left.insert(address.clone());
                    done.lock().await.unsubscribed.insert(address.clone(), now());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the harness compares its own time with the database's on one machine")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The path of the one-click URL in the List-Unsubscribe field.
fn one_click_path(raw: &[u8]) -> Option<String> {
    let message = mail_parser::MessageParser::default().parse(raw)?;
    let field = message.header_raw("List-Unsubscribe")?.replace(['\r', '\n', ' ', '\t'], "");
    let url = field.trim_start_matches('<').split('>').next()?.to_owned();
    let rest = url.split_once("://")?.1;
    Some(rest[rest.find('/')?..].to_owned())
}
