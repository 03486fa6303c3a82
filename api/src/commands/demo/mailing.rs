//! Sending: one intent per contact under a key of its own, five hundred a call, and waiting until all are settled.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{self, Api, until};
use super::tenant::Tenant;

/// Intents of one call.
const BATCH: usize = 500;

/// Which of the two mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// The first.
    First,
    /// The second.
    Second,
}

impl Round {
    /// How its intents' keys begin.
    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    /// The key of its intent for a contact.
    pub fn intent(self, contact: &str) -> String {
        format!("{}:{contact}", self.name())
    }

    /// Round and contact of an intent's key.
    pub fn of_intent(key: &str) -> Option<(Self, &str)> {
        let (name, contact) = key.split_once(':')?;
        [Self::First, Self::Second].into_iter().find(|round| round.name() == name).map(|round| (round, contact))
    }
}

/// A contact.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Its id.
    pub id: String,
    /// Its address, if it has one.
    pub email: Option<String>,
    /// The tenant's own number of it.
    pub external_id: Option<String>,
}

/// A tenant's counts of messages.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// By state.
    pub states: BTreeMap<String, u64>,
    /// Refused by the gate, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Which needed more than one attempt.
    pub retried: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStats {
    by_state: Vec<StateCount>,
    refused: Vec<ReasonCount>,
    retried: u64,
}

#[derive(Debug, Deserialize)]
struct StateCount {
    state: String,
    messages: u64,
}

#[derive(Debug, Deserialize)]
struct ReasonCount {
    reason: String,
    messages: u64,
}

impl Stats {
    /// Messages in a state.
    pub fn in_state(&self, state: &str) -> u64 {
        self.states.get(state).copied().unwrap_or_default()
    }

    /// Messages refused for a reason.
    pub fn refused_for(&self, reason: &str) -> u64 {
        self.refusals.get(reason).copied().unwrap_or_default()
    }

    /// Messages that are over, one way or another.
    pub fn settled(&self) -> u64 {
        self.states.values().sum::<u64>() - self.in_state("QUEUED") - self.in_state("CLAIMED")
    }
}

/// All contacts of a tenant.
pub async fn contacts(api: &Api) -> Result<Vec<Contact>> {
    api.all(client::CONTACTS_PAGE, json!({})).await
}

/// Asks for a mail to everybody who has an address; whether it may be sent is the gate's business.
///
/// Every call is made twice, as a program does that lost the first answer: keys keep it from sending twice.
pub async fn send_all(tenant: &Tenant, contacts: &[Contact], round: Round) -> Result<u64> {
    let version = &tenant.versions[usize::from(round == Round::Second)];
    let message = |contact: &Contact| {
        let key = round.intent(&contact.id);
        json!({
            "idempotencyKey": key, "class": "MARKETING", "topicId": tenant.topic, "senderId": tenant.sender,
            "templateVersionId": version, "to": { "contactId": contact.id }, "variables": { "intent": key },
        })
    };
    let messages: Vec<Json> = contacts.iter().filter(|contact| contact.email.is_some()).map(message).collect();
    let (mut created, mut known) = (0, 0);
    for batch in messages.chunks(BATCH) {
        for _ in 0..2 {
            let results: Vec<Json> = tenant.api.mutate(client::SEND_MESSAGES, json!({ "messages": batch })).await?;
            let refused = results.iter().find(|result| result["messageId"].is_null());
            ensure!(refused.is_none(), "an intent was refused: {}", refused.unwrap_or(&Json::Null)["userErrors"]);
            let new = results.iter().filter(|result| result["created"] == true).count();
            created += new;
            known += results.len() - new;
        }
    }
    ensure!(created == messages.len() && known == created, "of {created} intents {known} were known the second time");
    Ok(messages.len() as u64)
}

/// Waits until every message since an instant is settled; the counts since then.
pub async fn settle(tenant: &Tenant, since: &str, intents: u64, progress: &ProgressBar) -> Result<Stats> {
    progress.set_length(intents);
    until("the mails", async || {
        let stats = stats(&tenant.api, Some(since)).await?;
        progress.set_position(stats.settled());
        Ok((stats.settled() >= intents).then_some(stats))
    })
    .await
    .inspect(|_| progress.finish())
}

/// A tenant's counts.
pub async fn stats(api: &Api, since: Option<&str>) -> Result<Stats> {
    let wire: WireStats = api.call(client::MESSAGE_STATS, json!({ "since": since })).await?;
    Ok(Stats {
        states: wire.by_state.into_iter().map(|row| (row.state, row.messages)).collect(),
        refusals: wire.refused.into_iter().map(|row| (row.reason, row.messages)).collect(),
        retried: wire.retried,
    })
}

/// Sends a round to everybody in both tenants at once; the counts of the round, tenant by tenant.
pub async fn run(
    tenants: &[Tenant],
    contacts: &[Vec<Contact>],
    round: Round,
    bars: &[ProgressBar],
) -> Result<Vec<(u64, Stats)>> {
    let each = tenants.iter().zip(contacts).zip(bars);
    try_join_all(each.map(|((tenant, contacts), bar)| async move {
        let since: String = tenant.api.call(client::SERVER_TIME, json!({})).await?;
        let intents = send_all(tenant, contacts, round).await?;
        Ok((intents, settle(tenant, &since, intents, bar).await?))
    }))
    .await
}
