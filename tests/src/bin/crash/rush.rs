//! C-10 and C-12 at their size: everybody of a tenant unsubscribes within a minute, from one address, while a mail to each
//! of them is queued and on its way. What comes of the mails is judged with all the others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::consent::Channel;
use carillon_domain::contacts::EmailAddress;
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_entities::ids::MessageId;
use carillon_tests::stage::{Cast, Stage};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::load::{Load, Sender, client, unsubscribe};
use super::processes::Processes;

/// Requests at the same time.
const TOGETHER: usize = 48;
/// All of them must be answered within this time (C-10).
pub const WITHIN: Duration = Duration::from_mins(1);

/// What came of it.
pub struct Rush {
    pub people: usize,
    pub answered: usize,
    pub took: Duration,
}

/// Queues a mail to everybody, and everybody leaves.
pub async fn run(processes: &Arc<Processes>, stage: &Stage, cast: &Cast, load: &Load) -> Result<Rush> {
    let sender = Sender::new(processes, cast, load, 0);
    let mut paths = Vec::with_capacity(cast.people.len());
    for first in (0..cast.people.len()).step_by(500) {
        let batch = first..cast.people.len().min(first + 500);
        for (id, address) in sender.post_all_marketing(batch).await? {
            paths.push((link(stage, cast, &id, &address)?, address));
        }
    }
    let (client, done, began) = (client(), load.done(), Instant::now());
    let leave = |(path, address): (String, String)| {
        let (client, processes, done) = (client.clone(), Arc::clone(processes), Arc::clone(&done));
        async move {
            done.lock().await.leaving.insert(address.clone());
            let at = unsubscribe(&client, &processes, address.len(), &path).await?;
            done.lock().await.left.insert(address, at);
            Some(())
        }
    };
    let answers = futures::stream::iter(paths).map(leave).buffer_unordered(TOGETHER);
    let answered = answers.filter(|answer| std::future::ready(answer.is_some())).count().await;
    Ok(Rush { people: cast.people.len(), answered, took: began.elapsed() })
}

fn link(stage: &Stage, cast: &Cast, message: &str, address: &str) -> Result<String> {
    let email = EmailAddress::parse(address).map_err(|error| anyhow::anyhow!("{error}"))?;
    let message: MessageId = message.parse().ok().context("a message's id")?;
    let keys = &stage.ports.keys;
    let token = LinkToken {
        purpose: LinkPurpose::OneClick,
        tenant: cast.tenant,
        message,
        address: keys.address_hmac(cast.tenant, Channel::Email, email.norm()),
        channel: Channel::Email,
        brand: cast.brand,
        topic: cast.topic,
    };
    Ok(format!("/u/{}", token.encode(keys)))
}

impl Rush {
    /// What is wrong with it.
    pub fn complaint(&self) -> Option<String> {
        let late = self.answered < self.people || self.took > WITHIN;
        late.then(|| format!("{} of {} unsubscribes answered in {:?}", self.answered, self.people, self.took))
    }
}
