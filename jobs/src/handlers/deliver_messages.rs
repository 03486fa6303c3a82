//! `DeliverMessagesV1`: claim, render, pass the gate, hand over, settle (design.md, section 5).

use std::collections::BTreeSet;

use carillon_domain::error::Result;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::{self, Claimed, ClaimedMessage, Cleared, Draft, EmailMessage, Lane, OwnRelayUrl};
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{Grant, SendMessages, enter_for_work};
use carillon_domain::trace;
use tracing::{Instrument as _, Span};

use super::Handlers;
use super::hand_over::{Facts, HandingOver};
use crate::channels::email::Relay;

impl Handlers {
    /// Claims up to `n` due messages of a tenant and brings each to an outcome; returns how many were claimed.
    pub(super) async fn deliver_messages(&self, tenant: TenantId, lane: Lane, n: u32) -> Result<usize> {
        if self.draining.is_cancelled() {
            return Ok(0);
        }
        let grant = enter_for_work(&self.ports.wall, tenant).grant::<SendMessages>();
        let size = (i64::from(self.pace.of(tenant, n)), self.worker.as_str());
        let claiming = tracing::info_span!(target: trace::PARTS, "claim", lane = lane.as_str());
        let claimed = messaging::claim(&grant, &self.ports, &self.cache, lane, size).instrument(claiming).await?;
        let count = claimed.messages.len() + claimed.held;
        if claimed.messages.is_empty() {
            return Ok(count);
        }
        let batch = span_of(lane, &claimed.messages);
        self.deliver_batch(&grant, lane, claimed).instrument(batch).await?;
        Ok(count)
    }

    /// Brings claimed messages to an outcome each.
    async fn deliver_batch(&self, grant: &Grant<SendMessages>, lane: Lane, claimed: Claimed) -> Result<()> {
        let (tenant, count) = (grant.tenant(), claimed.messages.len() + claimed.held);
        let Some(relay) = self.relay_of(claimed.relay) else {
            tracing::error!(tenant.id = %tenant, "the tenant's relay cannot be used; its mail is held");
            return messaging::hold(grant, &self.ports, &claimed.messages, "RELAY_UNUSABLE").await;
        };
        let facts = Facts::of(&claimed.messages);
        let lease_until = claimed.messages.first().map(|message| message.lease_until);
        let gate = tracing::info_span!(target: trace::PARTS, "gate");
        let cleared = self.clear(grant, tenant, claimed.messages).instrument(gate).await?;
        let facts = facts.with_mailboxes(&cleared);
        if lease_until.is_some_and(|until| until <= self.ports.now()) {
            // Rendering alone took longer than a claim holds.
            self.pace.learn(tenant, count, true);
        }
        let hand_over = tracing::info_span!(target: trace::PARTS, "hand_over", cleared = amount(cleared.len()));
        HandingOver::new(self, grant, (&relay, lane), facts).run(cleared).instrument(hand_over).await
    }

    /// The tenant's own relay, or the deployment's; none if the own one cannot be used.
    fn relay_of(&self, own: Option<OwnRelayUrl>) -> Option<Relay> {
        match own {
            None => Some(self.relay.clone()),
            // Nothing leaves the machine in embedded mode, where a tenant's relay may be one's own.
            Some(url) if self.ports.settings.embedded => url.0?.parse().ok(),
            Some(url) => url.0?.parse().ok().map(Relay::of_a_tenant),
        }
    }

    /// Renders and passes the gate; run again when its transaction lost a race, for nothing has left then.
    async fn clear(
        &self,
        grant: &Grant<SendMessages>,
        tenant: TenantId,
        claimed: Vec<ClaimedMessage>,
    ) -> Result<Vec<Cleared<EmailMessage>>> {
        let mut reruns = Reruns::default();
        loop {
            let mut drafts: Vec<Draft> = Vec::with_capacity(claimed.len());
            for claimed in &claimed {
                drafts.push(messaging::prepare(tenant, &self.ports, claimed.clone()));
                // Rendering takes processor time; others on this thread get their turn.
                tokio::task::yield_now().await;
            }
            match messaging::clear(grant, &self.ports, &self.worker, drafts).await {
                Err(error) if reruns.after(&error) => {}
                result => return result,
            }
        }
    }
}

/// The span of a batch: it links to those that queued its messages, for it is the work of all of them.
fn span_of(lane: Lane, messages: &[ClaimedMessage]) -> Span {
    let span = tracing::info_span!(
        target: trace::PARTS, "deliver", lane = lane.as_str(), messages = amount(messages.len()),
    );
    let queued_by: BTreeSet<_> = messages.iter().filter_map(|message| message.trace).collect();
    trace::link(&span, queued_by);
    span
}

/// As a collector takes it.
fn amount(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
