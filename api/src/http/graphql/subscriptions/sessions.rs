//! Who listens with what: credentials are asked about together, whoever holds them (C-224).
//!
//! One of those who are due asks for all, in one statement, and the others take its answer: ten thousand who listen cost
//! three round trips in [`SocketSettings::check_every`](super::SocketSettings), as one does. All are due at the same
//! moments, so that an answer is as fresh for each of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_domain::ports::Ports;
use carillon_domain::seeded_bugs;
use carillon_domain::tenancy::{HeldCredential, ended_credentials};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The sessions of a process.
#[derive(Debug, Clone)]
pub(super) struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// Held by who asks for all; when that was last.
    asked: tokio::sync::Mutex<Option<Instant>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    count: u64,
    sessions: HashMap<u64, (HeldCredential, CancellationToken)>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Arc::new(Inner { began: Instant::now(), asked: tokio::sync::Mutex::default(), held: Mutex::default() }))
    }
}

impl Sessions {
    /// Somebody listens with a credential from now on.
    pub fn begin(&self, credential: HeldCredential) -> Session {
        let ended = CancellationToken::new();
        let mut held = self.0.held();
        held.count += 1;
        let number = held.count;
        held.sessions.insert(number, (credential, ended.clone()));
        Session { sessions: self.clone(), number, ended }
    }

    /// How long until credentials are asked about next.
    pub fn next_check(&self, every: Duration) -> Duration {
        let every_us = every.as_micros().max(1);
        let past = self.0.began.elapsed().as_micros() % every_us;
        Duration::from_micros(u64::try_from(every_us - past).unwrap_or(u64::MAX))
    }

    /// Asks which credentials have ended, unless somebody just did. While nobody can say, they are taken for good: nothing
    /// is read then either.
    pub async fn check(&self, ports: &Ports, every: Duration) {
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < every / 3) {
            return;
        }
        let now = Instant::now();
        let held: Vec<HeldCredential> = self.0.distinct().into_iter().collect();
        let ended = ended_credentials(ports, &held).await;
        *asked = Some(now);
        match ended {
            Ok(ended) if seeded_bugs::on("revocation_unnoticed") => drop(ended),
            Ok(ended) => self.0.end(&ended),
            Err(error) => tracing::warn!(%error, "nobody can say which credentials of subscriptions have ended"),
        }
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn distinct(&self) -> HashSet<HeldCredential> {
        self.held().sessions.values().map(|(credential, _)| *credential).collect()
    }

    fn end(&self, ended: &HashSet<HeldCredential>) {
        for (_, end) in self.held().sessions.values().filter(|(credential, _)| ended.contains(credential)) {
            end.cancel();
        }
    }
}

/// One who listens; forgotten when dropped.
#[derive(Debug)]
pub(super) struct Session {
    sessions: Sessions,
    number: u64,
    ended: CancellationToken,
}

impl Session {
    /// Until its credential is known to have ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether its credential is known to have ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.0.held().sessions.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_are_due_at_the_same_moments() {
        let sessions = Sessions::default();
        let every = Duration::from_hours(1);
        let due = [(); 3].map(|()| Instant::now() + sessions.next_check(every));
        let (first, last) = (due.iter().min().unwrap(), due.iter().max().unwrap());
        assert!(*last - *first < Duration::from_mins(1), "within what it takes to ask");
        assert!(sessions.next_check(every) <= every && sessions.next_check(Duration::ZERO) > Duration::ZERO);
    }
}
