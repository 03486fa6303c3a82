//! The hand-over (L8): at most sixteen attempts are started and without an outcome. The next are flipped to `started` in
//! the transaction that writes what came of those before.
//!
//! So a crash leaves at most one group unknown, and one recipient's server that is slow to answer holds one place of it. While a hand-over lasts the lease is renewed; once a renewal fails, or
//! the process drains, nothing new is handed over and the rest is given back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use carillon_domain::error::{Error, Result};
use carillon_domain::ids::MessageId;
use carillon_domain::keys::AddressHmac;
use carillon_domain::messaging::reply_class::Operator;
use carillon_domain::messaging::{
    self, AttemptFacts, AttemptRef, ClaimedMessage, Cleared, EmailMessage, GROUP, HandOver, HandOverStep, Lane,
    NotHandedOver, Settled,
};
use carillon_domain::metrics::labels::RelayAnswer;
use carillon_domain::seeded_bugs;
use carillon_domain::tenancy::{Grant, SendMessages};
use futures::StreamExt as _;
use futures::channel::mpsc;
use tokio::time::MissedTickBehavior;

use super::Handlers;
use crate::channels::email::{Moment, PreparedEmail, Relay};

/// What settling needs to know of each message.
pub(super) struct Facts(HashMap<MessageId, (AttemptFacts, AddressHmac, Operator)>);

impl Facts {
    pub(super) fn of(claimed: &[ClaimedMessage]) -> Self {
        let facts = |message: &ClaimedMessage| (message.id, (message.facts(), message.address, Operator::OTHER));
        Self(claimed.iter().map(facts).collect())
    }

    /// The same with whose mailboxes the cleared are for.
    pub(super) fn with_mailboxes(mut self, cleared: &[Cleared<EmailMessage>]) -> Self {
        for mail in cleared {
            if let Some((.., mailbox)) = self.0.get_mut(&mail.attempt().message) {
                *mailbox = mail.message().mailbox();
            }
        }
        self
    }

    fn settled(&self, attempt: AttemptRef, outcome: HandOver) -> Option<Settled> {
        let (facts, address, mailbox) = *self.0.get(&attempt.message)?;
        Some(Settled { attempt, outcome, facts, address, mailbox })
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

    /// Starts what may go and hands it over, at the same time: a slow hand-over holds up nothing but itself.
    async fn groups(&self, rest: VecDeque<Cleared<EmailMessage>>) -> Result<()> {
        let (starts, started) = mpsc::unbounded();
        let (ends, outcomes) = mpsc::unbounded();
        let deliver = started.for_each_concurrent(GROUP, async |mail| {
            // Whoever counts them is there until the last one came.
            let _ = ends.unbounded_send(self.deliver(mail).await);
        });
        let steps = self.steps(rest, &starts, outcomes);
        // The steps end last: they hold the end that keeps the other side going.
        tokio::select! { done = steps => done, () = deliver => Ok(()) }
    }

    /// Writes what came of hand-overs and starts the next, never with more than a group started and without an outcome.
    ///
    /// A whole group is waited for, for a step costs as much for one as for sixteen; but not longer than it takes to tell
    /// that some of them linger. Then what is known is written, the messages that were taken end, and the rest goes on in
    /// the places that are free.
    async fn steps(
        &self,
        mut rest: VecDeque<Cleared<EmailMessage>>,
        starts: &mpsc::UnboundedSender<Cleared<PreparedEmail>>,
        mut outcomes: mpsc::UnboundedReceiver<Option<Settled>>,
    ) -> Result<()> {
        let mut step = HandOverStep::default();
        let (mut ready, mut taken, mut under_way) = (VecDeque::new(), Vec::new(), 0);
        self.sign(&mut rest, &mut ready, &mut step).await;
        loop {
            let group: VecDeque<_> = ready.drain(..ready.len().min(GROUP - under_way)).collect();
            let is_last = group.is_empty() && under_way == 0;
            taken.extend(accepted(&step));
            if is_last || under_way > 0 {
                step.ending = std::mem::take(&mut taken);
            }
            if is_last {
                return if step.is_empty() { Ok(()) } else { self.record(&mut step).await.map(drop) };
            }
            for mail in self.start(group, &mut step).await? {
                under_way += 1;
                let _ = starts.unbounded_send(mail);
            }
            self.sign(&mut rest, &mut ready, &mut step).await;
            let settled = some_of(&mut outcomes, under_way, !ready.is_empty()).await;
            under_way -= settled.len();
            step.outcomes.extend(settled.into_iter().flatten());
            if under_way > 0 {
                self.give_back(&mut ready, &mut step);
                self.give_back(&mut rest, &mut step);
            }
        }
    }

    /// Builds and signs until a group is ready. Mails that cannot be built fail as content (C-24); what may not go any
    /// more is given back unsigned.
    async fn sign(
        &self,
        rest: &mut VecDeque<Cleared<EmailMessage>>,
        ready: &mut VecDeque<Cleared<PreparedEmail>>,
        step: &mut HandOverStep,
    ) {
        while ready.len() < GROUP {
            let Some(mail) = rest.pop_front() else { break };
            let attempt = mail.attempt();
            let prepared = self.may_begin(&mail).and_then(|()| {
                self.handlers.channel.prepare(mail).map_err(|(_, why)| NotHandedOver::Content(why.code()))
            });
            match prepared {
                Ok(prepared) => ready.push_back(prepared),
                Err(why) => step.outcomes.extend(self.facts.settled(attempt, HandOver::NotHandedOver(why))),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Gives back what waits and may not go any more, so that nobody waits for those that linger.
    fn give_back<M>(&self, waiting: &mut VecDeque<Cleared<M>>, step: &mut HandOverStep) {
        for mail in std::mem::take(waiting) {
            match self.may_begin(&mail) {
                Ok(()) => waiting.push_back(mail),
                Err(why) => step.outcomes.extend(self.facts.settled(mail.attempt(), HandOver::NotHandedOver(why))),
            }
        }
    }

    /// Writes the step, and flips to started what of the group may still go; returns what was flipped, and leaves in the
    /// step what is to be written with the next.
    async fn start(
        &self,
        mut group: VecDeque<Cleared<PreparedEmail>>,
        step: &mut HandOverStep,
    ) -> Result<Vec<Cleared<PreparedEmail>>> {
        self.give_back(&mut group, step);
        let going: Vec<_> = group.into();
        if going.is_empty() && step.is_empty() {
            return Ok(going);
        }
        step.starting = going.iter().map(Cleared::attempt).collect();
        if seeded_bugs::on("send_before_attempt_commits") {
            let outcomes = futures::future::join_all(going.into_iter().map(|mail| self.deliver(mail))).await;
            self.record(step).await?;
            *step = HandOverStep { outcomes: outcomes.into_iter().flatten().collect(), ..HandOverStep::default() };
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

    async fn deliver(&self, mail: Cleared<PreparedEmail>) -> Option<Settled> {
        let (attempt, clock) = (mail.attempt(), self.handlers.ports.clock.as_ref());
        let (permit, begun) = (|moment| self.may(moment), clock.monotonic());
        let handed_over = self.handlers.channel.deliver(self.to, mail, clock, permit).await;
        let metrics = &self.handlers.ports.metrics;
        metrics.relay_answers.one((self.to.1, RelayAnswer::from(&handed_over)));
        metrics.relay_times.took((self.to.1,), clock.monotonic().since(begun));
        let mut outcome = handed_over.to_settle();
        let hides = self.to.1 == Lane::Transactional && attempt.number == 1;
        if hides && outcome == HandOver::Accepted && seeded_bugs::on("accepted_is_unknown") {
            outcome = HandOver::Unknown;
        }
        if matches!(outcome, HandOver::NotHandedOver(NotHandedOver::PermitExpired | NotHandedOver::Busy)) {
            self.too_slow.store(true, Ordering::Relaxed);
        }
        self.facts.settled(attempt, outcome)
    }

    /// Whether a mail may begin to go: its permit is fresh, the lease holds, and the process does not stop.
    fn may_begin<M>(&self, mail: &Cleared<M>) -> Result<(), NotHandedOver> {
        let fresh = mail.is_fresh(self.handlers.ports.clock.monotonic());
        let may = if fresh { self.may(Moment::Begin) } else { Err(NotHandedOver::PermitExpired) };
        if may == Err(NotHandedOver::PermitExpired) {
            self.too_slow.store(true, Ordering::Relaxed);
        }
        may
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
    /// A commit without an answer may have flipped its group, be it a COMMIT or that of a step that is one statement. So a step that is repeated starts nothing: its group is
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

/// After this long the rest of a group lingers: steps are then as frequent as this, not one for each that ends.
const LINGERS: Duration = Duration::from_secs(1);

/// The outcomes of so many hand-overs, or of those that ended before the rest began to linger: at least one, unless others
/// wait.
async fn some_of(
    outcomes: &mut mpsc::UnboundedReceiver<Option<Settled>>,
    under_way: usize,
    others_wait: bool,
) -> Vec<Option<Settled>> {
    let mut some = Vec::with_capacity(under_way);
    let waits_for_all = seeded_bugs::on("group_waits_for_its_slowest");
    let lingers = tokio::time::sleep(LINGERS);
    tokio::pin!(lingers);
    while some.len() < under_way {
        tokio::select! {
            biased;
            Some(outcome) = outcomes.next() => some.push(outcome),
            () = &mut lingers, if !waits_for_all && (others_wait || !some.is_empty()) => break,
            else => break,
        }
    }
    some
}

/// What a server took.
fn accepted(step: &HandOverStep) -> impl Iterator<Item = AttemptRef> {
    let taken = step.outcomes.iter().filter(|settled| settled.outcome == HandOver::Accepted);
    taken.map(|settled| settled.attempt)
}
