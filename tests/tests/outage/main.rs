//! What happens to a whole deployment when a service under it goes away, or when it is told to go itself (L4, C-11, C-185).
//!
//! Runs where `tests/services.sh run` gives Postgres and Redis, on Postgres only: production has both. The tests take
//! turns, because the Postgres that one of them stops is everybody's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deployment;
mod drain;
mod postgres;
mod redis;
#[path = "../../../jobs/tests/with_redis/server.rs"]
mod server;

use std::time::Duration;

/// `REDIS_URL`, or nothing where there is no Redis to test with.
fn redis_url() -> Option<String> {
    std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty())
}

/// Asks again until the answer is there. Only for what other processes decide and nothing here can wait on.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}
