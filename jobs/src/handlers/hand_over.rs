//! The hand-over (L8): groups of at most sixteen are flipped to `started` in the transaction that writes what came of the
//! group before, and handed over.
//!
//! So a crash leaves at most one group unknown. While a hand-over lasts the lease is renewed; once a renewal fails, or
//! the process drains, nothing new is handed over and the rest is given back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use carillon_domain::error::{Error, Result};
use carillon_domain::ids::MessageId;
use carillon_domain::keys::AddressHmac;
use carillon_domain::messaging::{
    self, AttemptFacts, AttemptRef, ClaimedMessage, Cleared, EmailMessage, GROUP, HandOver, HandOverStep, Lane,
    NotHandedOver, Settled,
};
use carillon_domain::seeded_bugs;
use carillon_domain::tenancy::{Grant, SendMessages};
use futures::StreamExt as _;
use tokio::time::MissedTickBehavior;

use super::Handlers;
use crate::channels::email::{Moment, PreparedEmail, Relay};

/// What settling needs to know of each message.
pub(super) struct Facts(HashMap<MessageId, (AttemptFacts, AddressHmac)>);

impl Facts {
    pub(super) fn of(claimed: &[ClaimedMessage]) -> Self {
        Self(claimed.iter().map(|message| (message.id, (message.facts(), message.address))).collect())
    }

    fn settled(&self, attempt: AttemptRef, outcome: HandOver) -> Option<Settled> {
        let (facts, address) = *self.0.get(&attempt.message)?;
        Some(Settled { attempt, outcome, facts, address })
    }
}

/// A cleared batch on its way.
pub(super) struct HandingOver<'a> {
    handlers: &'a Handlers,
    grant: &'a Grant<SendMessages>,
    to: (&'a Relay, Lane),
    facts: Facts,
    /// Until when the claim holds, in microseconds.
    lease: AtomicI64,
    /// Steps and renewals change the same rows; one after the other they never wait for each other's locks.
    rows: tokio::sync::Mutex<()>,
    /// Set when a permit ran out before its mail was handed over.
    too_slow: AtomicBool,
}

impl<'a> HandingOver<'a> {
    pub(super) fn new(
        handlers: &'a Handlers,
        grant: &'a Grant<SendMessages>,
        to: (&'a Relay, Lane),
        facts: Facts,
    ) -> Self {
        let (lease, rows, too_slow) = (AtomicI64::default(), tokio::sync::Mutex::default(), AtomicBool::default());
        Self { handlers, grant, to, facts, lease, rows, too_slow }
    }

    /// Brings every permit to an outcome.
    pub(super) async fn run(&self, cleared: Vec<Cleared<EmailMessage>>) -> Result<()> {
        let held: Vec<AttemptRef> = cleared.iter().map(Cleared::attempt).collect();
        let Some(first) = held.first() else { return Ok(()) };
        self.lease.store(first.lease_until.timestamp_micros(), Ordering::SeqCst);
        let size = held.len();
        // Both go on at the same time: a renewal must not wait for the work, nor the work for a renewal.
        let done = tokio::select! {
            done = self.groups(cleared.into()) => done,
            never = self.keep(&held) => match never {},
        };
        self.handlers.pace.learn(self.grant.tenant(), size, self.too_slow.load(Ordering::Relaxed));
        done
    }

    /// Renews the lease for as long as it is polled. Ended messages are held no more, so a shortfall alone means
    /// nothing; each step shows its fence anyway.
    async fn keep(&self, held: &[AttemptRef]) -> Infallible {
        let third = self.handlers.ports.settings.lease.to_std().unwrap_or_default() / 3;
        let mut tick = tokio::time::interval(third.max(Duration::from_millis(100)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tick.tick().await;
            let _rows = self.rows.lock().await;
            // Otherwise the old lease runs out by itself, and with it the right to hand over.
            if let Ok(Some(until)) = messaging::renew(self.grant, &self.handlers.ports, held).await {
                self.lease.store(until.timestamp_micros(), Ordering::SeqCst);
            }
        }
    }

    async fn groups(&self, mut rest: VecDeque<Cleared<EmailMessage>>) -> Result<()> {
        let mut step = HandOverStep::default();
        let mut taken = Vec::new();
        let mut next = self.sign(&mut rest).await;
        while let Some((group, failed)) = next {
            step.outcomes.extend(failed);
            taken.extend(accepted(&step));
            let going = self.start(group, &mut step).await?;
            let (outcomes, following) = futures::join!(self.deliver(going), self.sign(&mut rest));
            step.outcomes.extend(outcomes);
            next = following;
        }
        taken.extend(accepted(&step));
        step.ending = taken;
        self.record(&mut step).await.map(drop)
    }

    /// Builds and signs the next group; mails that cannot be built fail as content (C-24).
    async fn sign(
        &self,
        rest: &mut VecDeque<Cleared<EmailMessage>>,
    ) -> Option<(Vec<Cleared<PreparedEmail>>, Vec<Settled>)> {
        if rest.is_empty() {
            return None;
        }
        let (mut group, mut failed) = (Vec::with_capacity(GROUP), Vec::new());
        while group.len() < GROUP {
            let Some(mail) = rest.pop_front() else { break };
            match self.handlers.channel.prepare(mail) {
                Ok(prepared) => group.push(prepared),
                Err((attempt, why)) => {
                    let outcome = HandOver::NotHandedOver(NotHandedOver::Content(why.code()));
                    failed.extend(self.facts.settled(attempt, outcome));
                }
            }
            tokio::task::yield_now().await;
        }
        Some((group, failed))
    }

    /// Writes the step, and flips to started what of the group may still go; returns what was flipped, and leaves in the
    /// step what is to be written with the next.
    async fn start(
        &self,
        group: Vec<Cleared<PreparedEmail>>,
        step: &mut HandOverStep,
    ) -> Result<Vec<Cleared<PreparedEmail>>> {
        let mut going = Vec::with_capacity(group.len());
        for mail in group {
            let fresh = mail.is_fresh(self.handlers.ports.clock.monotonic());
            let may = if fresh { self.may(Moment::Begin) } else { Err(NotHandedOver::PermitExpired) };
            match may {
                Ok(()) => going.push(mail),
                Err(why) => {
                    self.too_slow.fetch_or(why == NotHandedOver::PermitExpired, Ordering::Relaxed);
                    step.outcomes.extend(self.facts.settled(mail.attempt(), HandOver::NotHandedOver(why)));
                }
            }
        }
        step.starting = going.iter().map(Cleared::attempt).collect();
        if seeded_bugs::on("send_before_attempt_commits") {
            let outcomes = self.deliver(going).await;
            self.record(step).await?;
            step.outcomes = outcomes;
            return Ok(Vec::new());
        }
        let started = self.record(step).await?;
        *step = HandOverStep::default();
        // An attempt that was not flipped belongs to another worker now; if it is still cleared, it lapses.
        let unchecked = seeded_bugs::on("fence_unchecked");
        let (going, lost): (Vec<_>, Vec<_>) =
            going.into_iter().partition(|mail| unchecked || started.contains(&mail.attempt().message));
        let lapse = |mail: &Cleared<_>| {
            self.facts.settled(mail.attempt(), HandOver::NotHandedOver(NotHandedOver::PermitExpired))
        };
        step.outcomes.extend(lost.iter().filter_map(lapse));
        Ok(going)
    }

    async fn deliver(&self, going: Vec<Cleared<PreparedEmail>>) -> Vec<Settled> {
        let deliver = async |mail: Cleared<PreparedEmail>| {
            let (attempt, clock) = (mail.attempt(), self.handlers.ports.clock.as_ref());
            let permit = |moment| self.may(moment);
            let mut outcome = self.handlers.channel.deliver(self.to, mail, clock, permit).await.to_settle();
            let hides = self.to.1 == Lane::Transactional && attempt.number == 1;
            if hides && outcome == HandOver::Accepted && seeded_bugs::on("accepted_is_unknown") {
                outcome = HandOver::Unknown;
            }
            if matches!(outcome, HandOver::NotHandedOver(NotHandedOver::PermitExpired | NotHandedOver::Busy)) {
                self.too_slow.store(true, Ordering::Relaxed);
            }
            self.facts.settled(attempt, outcome)
        };
        futures::stream::iter(going).map(deliver).buffer_unordered(GROUP).filter_map(std::future::ready).collect().await
    }

    /// Whether hand-overs may begin or end now, beside their permits: the lease holds, and nothing begins in a process
    /// that stops.
    fn may(&self, moment: Moment) -> Result<(), NotHandedOver> {
        if moment == Moment::Begin && self.handlers.draining.is_cancelled() {
            return Err(NotHandedOver::Draining);
        }
        let lease_holds = self.handlers.ports.now().timestamp_micros() < self.lease.load(Ordering::SeqCst);
        if lease_holds { Ok(()) } else { Err(NotHandedOver::PermitExpired) }
    }

    /// Writes a step, again and again for minutes whatever the database says: outcomes are known here and nowhere else,
    /// and one that is lost may cost a second copy (C-168).
    ///
    /// A commit without an answer may have flipped its group. So a step that is repeated starts nothing: its group is
    /// given back as not handed over, whether it was flipped or not.
    async fn record(&self, step: &mut HandOverStep) -> Result<HashSet<MessageId>> {
        let mut pause = Duration::from_millis(50);
        let mut left = Duration::from_mins(5);
        loop {
            let rows = self.rows.lock().await;
            let written = messaging::record(self.grant, &self.handlers.ports, step).await;
            drop(rows);
            match written {
                Err(Error::Wall(error)) if !left.is_zero() => {
                    tracing::warn!(%error, "what came of a group could not be written; trying again");
                    let given_back = HandOver::NotHandedOver(NotHandedOver::PermitExpired);
                    let starting = std::mem::take(&mut step.starting);
                    let given_back =
                        starting.into_iter().filter_map(|attempt| self.facts.settled(attempt, given_back.clone()));
                    step.outcomes.extend(given_back);
                    tokio::time::sleep(pause).await;
                    left = left.saturating_sub(pause);
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                result => return result,
            }
        }
    }
}

/// What a server took.
fn accepted(step: &HandOverStep) -> impl Iterator<Item = AttemptRef> {
    let taken = step.outcomes.iter().filter(|settled| settled.outcome == HandOver::Accepted);
    taken.map(|settled| settled.attempt)
}
