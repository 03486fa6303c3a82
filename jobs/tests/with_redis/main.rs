//! Queues and signals over a real Redis, through kills, restarts and flushes.
//!
//! Runs where `REDIS_URL` is set (`tests/services.sh run -- ..`) and says so otherwise. Tests that kill or measure start
//! a server of their own, because the one in `REDIS_URL` is shared.

#![expect(clippy::unwrap_used, reason = "tests")]

mod limits;
mod probe;
mod queue;
mod server;
mod signals;
mod tls;

use std::time::Duration;

/// `REDIS_URL`, or nothing where there is no Redis to test with.
fn redis_url() -> Option<String> {
    let url = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: REDIS_URL is not set");
    }
    url
}

/// Asks again until the answer is there. Only for what another process decides and nothing here can wait on.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// A prefix nobody else uses on a shared server.
fn prefix() -> String {
    use carillon_domain::entropy::{Entropy, SystemEntropy};
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    format!("test-{}", hex::encode(random))
}
