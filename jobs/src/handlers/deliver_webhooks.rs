//! `DeliverWebhooksV1`: delivers to one endpoint of a tenant what is due to it, a batch at a time.

use carillon_domain::error::Result;
use carillon_domain::ids::TenantId;
use carillon_domain::tenancy::enter_to_tell;
use carillon_domain::time::Monotonic;
use carillon_domain::webhooks::{self, Answer, Attempted, Claimed, DueDelivery, WebhookOutcome};
use chrono::TimeDelta;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::{Handlers, unless_suspended};
use crate::channels::webhook::Letter;
use crate::redis::Signal;

/// Deliveries that are under way to an endpoint at the same time.
const AT_ONCE: usize = 16;
/// None begins later than this after the claim: with the longest wait for an answer it is well within the lease.
const SLICE: TimeDelta = TimeDelta::seconds(20);

impl Handlers {
    /// Claims an endpoint and delivers what is due to it; returns how many deliveries were tried.
    pub(super) async fn deliver_webhooks(&self, tenant: TenantId) -> Result<usize> {
        if self.draining.is_cancelled() {
            return Ok(0);
        }
        let grant = enter_to_tell(&self.ports.wall, tenant);
        let claimed = unless_suspended(webhooks::claim_deliveries(&grant, &self.ports).await)?.flatten();
        let Some(claimed) = claimed else { return Ok(0) };
        let attempted = self.tell(&claimed).await;
        if unless_suspended(webhooks::settle(&grant, &self.ports, &claimed, &attempted).await)?.is_none() {
            // It was suspended meanwhile: what was tried is tried again, which is what at least once means.
            return Ok(0);
        }
        if !attempted.is_empty() {
            // There may be more, for this endpoint or another.
            self.signals.send(Signal::RingWebhooks);
        }
        Ok(attempted.len())
    }

    /// Tries what a claim holds, some at once, for a slice of time; until somebody answers, no more than the first few.
    async fn tell(&self, claimed: &Claimed) -> Vec<Attempted> {
        let until = self.ports.clock.monotonic().0.saturating_add(SLICE.num_microseconds().unwrap_or(0));
        let (mut waiting, mut attempted) = (claimed.deliveries.iter(), Vec::with_capacity(claimed.deliveries.len()));
        let mut under_way = FuturesUnordered::new();
        let (mut silent, mut is_answered) = (0, false);
        loop {
            while under_way.len() + silent < AT_ONCE && !self.must_stop(Monotonic(until)) {
                let Some(delivery) = waiting.next() else { break };
                under_way.push(self.try_once(claimed, delivery));
            }
            match under_way.next().await {
                Some(one) => {
                    is_answered |= one.answer.status.is_some();
                    silent = if is_answered { 0 } else { silent + usize::from(one.answer.outcome.is_silence()) };
                    attempted.push(one);
                }
                None => return attempted,
            }
        }
    }

    fn must_stop(&self, until: Monotonic) -> bool {
        self.draining.is_cancelled() || self.ports.clock.monotonic() >= until
    }

    async fn try_once(&self, claimed: &Claimed, delivery: &DueDelivery) -> Attempted {
        let number = delivery.attempts.saturating_add(1);
        let answer = match &delivery.body {
            Some(body) => {
                let id = if carillon_domain::seeded_bugs::on("webhook_id_anew") {
                    self.ports.new_id()
                } else {
                    delivery.event
                };
                let (at, began) = (self.ports.now(), self.ports.clock.monotonic());
                let signature = claimed.secrets.sign(id, at, body);
                let letter = Letter { url: &claimed.url, id, at, signature, body };
                let answer = self.webhooks.post(letter).await;
                Answer { duration: self.ports.clock.monotonic().since(began), ..answer }
            }
            None => Answer::without(WebhookOutcome::Forgotten, TimeDelta::zero()),
        };
        Attempted { delivery: delivery.id, number, answer }
    }
}
