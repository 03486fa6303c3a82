//! The hand-over (L8): groups of at most sixteen are flipped to `started`, handed over, and settled before the next.
//!
//! So a crash leaves at most one group unknown. While a hand-over lasts the lease is renewed; once a renewal fails, or
//! the process drains, nothing new is handed over and the rest is given back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use carillon_domain::error::{Error, Result};
use carillon_domain::ids::MessageId;
use carillon_domain::keys::AddressHmac;
use carillon_domain::messaging::{
    self, AttemptRef, ClaimedMessage, Cleared, EmailMessage, GROUP, HandOver, MessageClass, NotHandedOver, RetryWindow,
    Settled,
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

    fn settled(&self, attempt: AttemptRef, started: bool, outcome: HandOver) -> Option<Settled> {
        let (class, address, window) = *self.0.get(&attempt.message)?;
        Some(Settled { attempt, started, outcome, class, address, window })
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

    /// Another lease for what is still held. Settled messages are held no more, so a shortfall alone means nothing;
    /// each start and settlement shows its fence anyway.
    async fn renew(&self, held: &[AttemptRef], lease: &AtomicI64) {
        // Otherwise the old lease runs out by itself, and with it the right to hand over.
        if let Ok(Some(until)) = messaging::renew(self.grant, &self.handlers.ports, held).await {
            lease.store(until.timestamp_micros(), Ordering::SeqCst);
        }
    }

    async fn groups(&self, mut rest: VecDeque<Cleared<EmailMessage>>, lease: &AtomicI64) -> Result<()> {
        let mut next = self.sign(&mut rest).await;
        while let Some((group, failed)) = next {
            let (settled, following) = futures::join!(self.hand_over(group, lease), self.sign(&mut rest));
            let mut settled = settled?;
            settled.extend(failed);
            self.settle(&settled).await?;
            next = following;
        }
        Ok(())
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
                    failed.extend(self.facts.settled(attempt, false, outcome));
                }
            }
            tokio::task::yield_now().await;
        }
        Some((group, failed))
    }

    /// Flips a group to started and hands over those that were flipped.
    async fn hand_over(&self, group: Vec<Cleared<PreparedEmail>>, lease: &AtomicI64) -> Result<Vec<Settled>> {
        let ports = &self.handlers.ports;
        let may_start = |mail: &Cleared<PreparedEmail>| self.may_begin(mail, lease);
        let (going, held_back): (Vec<_>, Vec<_>) = group.into_iter().partition(|mail| may_start(mail).is_ok());
        let mut settled: Vec<Settled> = held_back
            .iter()
            .filter_map(|mail| {
                let why = may_start(mail).err().unwrap_or(NotHandedOver::PermitExpired);
                self.facts.settled(mail.attempt(), false, HandOver::NotHandedOver(why))
            })
            .collect();
        if going.is_empty() {
            return Ok(settled);
        }
        let attempts: Vec<AttemptRef> = going.iter().map(Cleared::attempt).collect();
        let early = seeded_bugs::on("send_before_attempt_commits");
        if early {
            settled.extend(self.deliver(&going, lease).await);
        }
        let started = messaging::start(self.grant, ports, &attempts).await?;
        if !early {
            // An attempt that was not flipped belongs to another worker now, and nothing is known about it here.
            let unchecked = seeded_bugs::on("fence_unchecked");
            let is_ours = |mail: &Cleared<PreparedEmail>| unchecked || started.contains(&mail.attempt().message);
            let going: Vec<_> = going.into_iter().filter(is_ours).collect();
            settled.extend(self.deliver(&going, lease).await);
        }
        Ok(settled)
    }

    async fn deliver(&self, going: &[Cleared<PreparedEmail>], lease: &AtomicI64) -> Vec<Settled> {
        let deliver = async |mail: &Cleared<PreparedEmail>| {
            let permit = |_: &PreparedEmail| self.may_begin(mail, lease);
            let clock = self.handlers.ports.clock.as_ref();
            let outcome = self.handlers.channel.deliver(self.relay, mail, clock, permit).await;
            self.facts.settled(mail.attempt(), true, outcome.to_settle())
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

    /// Writes outcomes, again and again while the database is away: they are known here and nowhere else.
    async fn settle(&self, settled: &[Settled]) -> Result<()> {
        let mut pause = Duration::from_millis(50);
        let mut left = Duration::from_mins(5);
        loop {
            match messaging::settle(self.grant, &self.handlers.ports, settled).await {
                Err(Error::Wall(error)) if error.may_pass() && !left.is_zero() => {
                    tokio::time::sleep(pause).await;
                    left = left.saturating_sub(pause);
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                result => return result,
            }
        }
    }
}
