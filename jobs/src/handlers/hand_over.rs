//! The hand-over (L8): groups of at most sixteen are flipped to `started` in the transaction that writes what came of the
//! group before, and handed over.
//!
//! So a crash leaves at most one group unknown. While a hand-over lasts the lease is renewed; once a renewal fails, or
//! the process drains, nothing new is handed over and the rest is given back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use carillon_domain::error::{Error, Result};
use carillon_domain::ids::MessageId;
use carillon_domain::keys::AddressHmac;
use carillon_domain::messaging::{
    self, AttemptRef, ClaimedMessage, Cleared, EmailMessage, GROUP, HandOver, HandOverStep, MessageClass,
    NotHandedOver, RetryWindow, Settled,
};
use carillon_domain::seeded_bugs;
use carillon_domain::tenancy::{Grant, SendMessages};
use futures::StreamExt as _;

use super::Handlers;
use crate::channels::email::{PreparedEmail, Relay};

/// What settling needs to know of each message.
pub(super) struct Facts(HashMap<MessageId, (MessageClass, AddressHmac, RetryWindow)>);

impl Facts {
    pub(super) fn of(claimed: &[ClaimedMessage]) -> Self {
        let fact = |message: &ClaimedMessage| {
            let window = RetryWindow { queued_at: message.created_at, expires_at: message.expires_at };
            (message.id, (message.class, message.address, window))
        };
        Self(claimed.iter().map(fact).collect())
    }

    fn settled(&self, attempt: AttemptRef, outcome: HandOver) -> Option<Settled> {
        let (class, address, window) = *self.0.get(&attempt.message)?;
        Some(Settled { attempt, outcome, class, address, window })
    }
}

/// A cleared batch on its way.
pub(super) struct HandingOver<'a> {
    pub(super) handlers: &'a Handlers,
    pub(super) grant: &'a Grant<SendMessages>,
    pub(super) relay: &'a Relay,
    pub(super) facts: Facts,
}

impl HandingOver<'_> {
    /// Brings every permit to an outcome.
    pub(super) async fn run(&self, cleared: Vec<Cleared<EmailMessage>>) -> Result<()> {
        let held: Vec<AttemptRef> = cleared.iter().map(Cleared::attempt).collect();
        let Some(first) = held.first() else { return Ok(()) };
        let lease = AtomicI64::new(first.lease_until.timestamp_micros());
        let work = self.groups(cleared.into(), &lease);
        tokio::pin!(work);
        let third = self.handlers.ports.settings.lease.to_std().unwrap_or_default() / 3;
        let mut tick = tokio::time::interval(third.max(Duration::from_millis(100)));
        tick.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.renew(&held, &lease).await,
            }
        }
    }

    /// Another lease for what is still held. Ended messages are held no more, so a shortfall alone means nothing; each
    /// step shows its fence anyway.
    async fn renew(&self, held: &[AttemptRef], lease: &AtomicI64) {
        // Otherwise the old lease runs out by itself, and with it the right to hand over.
        if let Ok(Some(until)) = messaging::renew(self.grant, &self.handlers.ports, held).await {
            lease.store(until.timestamp_micros(), Ordering::SeqCst);
        }
    }

    async fn groups(&self, mut rest: VecDeque<Cleared<EmailMessage>>, lease: &AtomicI64) -> Result<()> {
        let mut step = HandOverStep::default();
        let mut taken = Vec::new();
        let mut next = self.sign(&mut rest).await;
        while let Some((group, failed)) = next {
            step.outcomes.extend(failed);
            let going = self.start(group, &mut step, lease).await?;
            taken.extend(
                step.outcomes.iter().filter(|settled| settled.outcome == HandOver::Accepted).map(|s| s.attempt),
            );
            let (outcomes, following) = futures::join!(self.deliver(&going, lease), self.sign(&mut rest));
            step = HandOverStep { outcomes, ..HandOverStep::default() };
            next = following;
        }
        taken.extend(step.outcomes.iter().filter(|settled| settled.outcome == HandOver::Accepted).map(|s| s.attempt));
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
        let now = self.handlers.ports.now();
        let (mut group, mut failed) = (Vec::with_capacity(GROUP), Vec::new());
        while group.len() < GROUP {
            let Some(mail) = rest.pop_front() else { break };
            match self.handlers.channel.prepare(mail, now) {
                Ok(prepared) => group.push(prepared),
                Err((attempt, _)) => {
                    let outcome = HandOver::NotHandedOver(NotHandedOver::Content);
                    failed.extend(self.facts.settled(attempt, outcome));
                }
            }
            tokio::task::yield_now().await;
        }
        Some((group, failed))
    }

    /// Writes the step, and flips to started what of the group may still go; returns what was flipped.
    async fn start(
        &self,
        group: Vec<Cleared<PreparedEmail>>,
        step: &mut HandOverStep,
        lease: &AtomicI64,
    ) -> Result<Vec<Cleared<PreparedEmail>>> {
        let mut going = Vec::with_capacity(group.len());
        for mail in group {
            match self.may_begin(&mail, lease) {
                Ok(()) => going.push(mail),
                Err(why) => step.outcomes.extend(self.facts.settled(mail.attempt(), HandOver::NotHandedOver(why))),
            }
        }
        step.starting = going.iter().map(Cleared::attempt).collect();
        if seeded_bugs::on("send_before_attempt_commits") {
            let outcomes = self.deliver(&going, lease).await;
            self.record(step).await?;
            step.outcomes = outcomes;
            return Ok(Vec::new());
        }
        let started = self.record(step).await?;
        // An attempt that was not flipped belongs to another worker now, and nothing is known about it here.
        let unchecked = seeded_bugs::on("fence_unchecked");
        going.retain(|mail| unchecked || started.contains(&mail.attempt().message));
        Ok(going)
    }

    async fn deliver(&self, going: &[Cleared<PreparedEmail>], lease: &AtomicI64) -> Vec<Settled> {
        let deliver = async |mail: &Cleared<PreparedEmail>| {
            let permit = |_: &PreparedEmail| self.may_begin(mail, lease);
            let clock = self.handlers.ports.clock.as_ref();
            let outcome = self.handlers.channel.deliver(self.relay, mail, clock, permit).await;
            self.facts.settled(mail.attempt(), outcome.to_settle())
        };
        futures::stream::iter(going).map(deliver).buffer_unordered(GROUP).filter_map(std::future::ready).collect().await
    }

    /// Whether a hand-over may begin now: the permit is fresh, the lease holds, the process is not stopping.
    fn may_begin(&self, mail: &Cleared<PreparedEmail>, lease: &AtomicI64) -> Result<(), NotHandedOver> {
        let ports = &self.handlers.ports;
        if self.handlers.draining.is_cancelled() {
            return Err(NotHandedOver::Draining);
        }
        let lease_holds = ports.now().timestamp_micros() < lease.load(Ordering::SeqCst);
        if lease_holds && mail.is_fresh(ports.clock.monotonic()) { Ok(()) } else { Err(NotHandedOver::PermitExpired) }
    }

    /// Writes a step, again and again while the database is away: outcomes are known here and nowhere else.
    ///
    /// A commit without an answer may have flipped its group. So a step that is repeated starts nothing: its group is
    /// given back as not handed over, whether it was flipped or not.
    async fn record(&self, step: &mut HandOverStep) -> Result<HashSet<MessageId>> {
        let mut pause = Duration::from_millis(50);
        let mut left = Duration::from_mins(5);
        loop {
            match messaging::record(self.grant, &self.handlers.ports, step).await {
                Err(Error::Wall(error)) if error.may_pass() && !left.is_zero() => {
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
