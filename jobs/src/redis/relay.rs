//! The two tasks that carry signals to and from Redis.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{Client, RedisResult};
use carillon_domain::messaging::Lane;
use futures::StreamExt;
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use super::Signal;
use super::signal::Envelope;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Subscribing, or the answer to a ping, takes no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After so long without a signal the connection is asked whether it still lives.
const QUIET: Duration = Duration::from_secs(5);
/// Signals published at once.
const BATCH: usize = 256;

/// The channel of a deployment, and this process on it.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) channel: String,
    pub(super) process: Uuid,
}

/// Publishes what waits; equal signals that wait together are one. What Redis does not take is dropped.
pub(super) async fn publish(mut connection: ConnectionManager, wire: Wire, mut waiting: mpsc::Receiver<Signal>) {
    let mut signals = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut signals, BATCH).await > 0 {
        let mut pipe = ::redis::pipe();
        let mut seen = HashSet::with_capacity(signals.len());
        signals.retain(|signal| seen.insert(*signal));
        for signal in signals.drain(..) {
            if let Ok(text) = serde_json::to_string(&Envelope { from: wire.process, signal }) {
                pipe.publish(&wire.channel, text).ignore();
            }
        }
        if pipe.exec_async(&mut connection).await.is_err() {
            tracing::debug!("signals to other processes were dropped: Redis does not take them");
        }
    }
}

/// Hears what other processes say.
pub(super) struct Listening {
    pub(super) client: Client,
    pub(super) wire: Wire,
    pub(super) local: broadcast::Sender<Signal>,
    pub(super) connected: Arc<AtomicBool>,
}

impl Listening {
    /// Listens for ever, connecting again whenever the connection is lost.
    pub(super) async fn keep_on(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let result = self.listen().await;
            let was_connected = self.connected.swap(false, Ordering::Relaxed);
            if was_connected {
                wait = FIRST_WAIT;
                tracing::warn!(lost = result.is_err(), "signals of other processes are not heard: Redis is away");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Listens on one connection until it is lost.
    async fn listen(&self) -> RedisResult<()> {
        let subscribing = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.subscribe(&self.wire.channel).await?;
            RedisResult::Ok(pubsub)
        };
        let (mut sink, mut messages) = in_time(subscribing).await?.split();
        self.connected.store(true, Ordering::Relaxed);
        self.catch_up();
        loop {
            match tokio::time::timeout(QUIET, messages.next()).await {
                Ok(Some(message)) => self.hear(message.get_payload_bytes()),
                Ok(None) => return Ok(()),
                // A dead peer would otherwise look like silence.
                Err(_) => in_time(sink.ping::<::redis::Value>()).await.map(drop)?,
            }
        }
    }

    /// What was said meanwhile is unknown, so everything is rung once.
    fn catch_up(&self) {
        for lane in Lane::ALL {
            let _ = self.local.send(Signal::Ring(*lane));
        }
        let _ = self.local.send(Signal::RingImports);
        let _ = self.local.send(Signal::RingWorkflows);
        let _ = self.local.send(Signal::RingWebhooks);
        let _ = self.local.send(Signal::RingCampaigns);
    }

    fn hear(&self, payload: &[u8]) {
        match serde_json::from_slice::<Envelope>(payload) {
            Ok(envelope) if envelope.from == self.wire.process => {}
            Ok(envelope) => {
                let _ = self.local.send(envelope.signal);
            }
            Err(_) => tracing::debug!("heard a signal of an unknown version"),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| ::redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(late)?
}
