//! Keeps the process' clock on the database's time (C-180).

use std::sync::Arc;
use std::time::Duration;

use carillon_domain::ports::Wall;
use carillon_domain::time::{Clock, DatabaseClock, host_time};
use chrono::TimeDelta;
use tokio::task::JoinHandle;

use crate::http::{Check, Probe};

/// How often the offset is measured.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is tried while nothing is known.
const EVERY_WITHOUT: Duration = Duration::from_secs(1);
/// An answer that took longer tells too little.
const SLOWEST: TimeDelta = TimeDelta::seconds(1);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures until dropped.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Measures once, and from then on in the background.
    pub async fn start(wall: Wall, clock: Arc<DatabaseClock>) -> Self {
        measure(&wall, &clock).await;
        Self(tokio::spawn(async move {
            loop {
                let pause = if clock.is_trustworthy() { EVERY } else { EVERY_WITHOUT };
                tokio::time::sleep(pause).await;
                measure(&wall, &clock).await;
            }
        }))
    }
}

/// This host's clock agrees with the database's. Without that everything goes on up to a point, from which this process
/// leaves the work to others.
pub fn check(clock: Arc<DatabaseClock>) -> Check {
    let probe: Probe = Arc::new(move || {
        let right = clock.host_skew().abs() <= DatabaseClock::HOST_ALARM;
        let answer = if right { Ok(()) } else { Err("this host's clock is off by more than a second".to_owned()) };
        Box::pin(std::future::ready(answer))
    });
    Check { name: "clock", required: false, probe }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn measure(wall: &Wall, clock: &DatabaseClock) {
    let before = clock.monotonic();
    let Ok(answer) = tokio::time::timeout(PATIENCE, wall.database_now()).await else {
        tracing::warn!("the database does not tell its time");
        return;
    };
    let after = clock.monotonic();
    match answer {
        Ok(_) if after.since(before) > SLOWEST => tracing::warn!("the database answered too late to tell its time"),
        Ok(now) => {
            let moved = clock.measured(now, before, after);
            if moved.abs() > DatabaseClock::HOST_ALARM {
                tracing::error!(skew_ms = moved.num_milliseconds(), "the clock was off by more than a second");
            }
            let ahead = clock.compare_host(host_time());
            if ahead.abs() > DatabaseClock::HOST_ALARM {
                tracing::error!(skew_ms = ahead.num_milliseconds(), "this host's clock is wrong, or the database's");
            }
        }
        Err(error) => tracing::warn!(%error, "the database's time is not known"),
    }
}
