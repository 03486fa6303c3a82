//! What the API answers about workflows: numbers of nodes and variants, and people's ways.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use super::cast::Person;
use super::client::{self, Api};

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// The numbers of a workflow's live version.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Numbers {
    /// Of its nodes, by variant.
    pub nodes: Vec<NodeNumbers>,
    /// Of its variants.
    pub variants: Vec<VariantNumbers>,
}

/// The numbers of a node, of one variant.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NodeNumbers {
    /// Which.
    pub node: String,
    /// Who came.
    pub entered: u64,
    /// Who is there.
    pub waiting: u64,
    /// Mails that a server took.
    pub sent: u64,
    /// Mails that were not sent.
    pub refused: Vec<Reason>,
    /// Whose way ended.
    pub exited: Vec<Reason>,
    /// What became of whom.
    pub outcomes: Vec<Outcome>,
    /// Mails by their state.
    pub mails: Vec<MailState>,
}

/// So many, for a reason.
#[derive(Debug, Clone, Deserialize)]
pub struct Reason {
    reason: String,
    count: u64,
}

/// So many, with what happened to them.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    outcome: String,
    count: u64,
}

/// So many mails in a state.
#[derive(Debug, Clone, Deserialize)]
pub struct MailState {
    state: String,
    count: u64,
}

/// The numbers of a variant.
#[derive(Debug, Clone, Deserialize)]
pub struct VariantNumbers {
    /// Its label.
    pub label: String,
    /// Who was put into it.
    pub exposed: u64,
    /// Of these, who opened.
    pub opened: Share,
    /// Who clicked.
    pub clicked: Share,
    /// Who did what it is compared by.
    pub converted: Option<Share>,
}

/// So many of them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Share {
    /// How many.
    pub count: u64,
}

/// Somebody's way.
#[derive(Debug, Clone, Deserialize)]
pub struct Way {
    /// How it stands.
    pub state: String,
    /// The variant they got, as `node/label`.
    pub variant: Option<String>,
    path: Nodes<Step>,
}

#[derive(Debug, Clone, Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    node: String,
    outcome: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    live_version: Numbers,
}

#[derive(Debug, Deserialize)]
struct OnWorkflows {
    enrollments: Nodes<Way>,
}

impl Numbers {
    /// The numbers of a live workflow.
    pub async fn of(api: &Api, workflow: &str) -> Result<Self> {
        let found: Workflow = api.call(client::WORKFLOW_NUMBERS, json!({ "id": workflow })).await?;
        Ok(found.live_version)
    }

    /// A sum over what is known of a node, all variants together.
    pub fn of_node(&self, node: &str, count: impl Fn(&NodeNumbers) -> u64) -> u64 {
        self.nodes.iter().filter(|one| one.node == node).map(count).sum()
    }

    /// To how many something happened, at any node.
    pub fn outcome(&self, what: &str) -> u64 {
        self.nodes.iter().map(|node| node.outcome(what)).sum()
    }

    /// Mails of a node that are over, one way or another.
    pub fn settled(&self, node: &str) -> u64 {
        self.of_node(node, |one| one.mails.iter().filter(|mail| !mail.is_open()).map(|mail| mail.count).sum())
    }

    /// True when nobody is under way and no mail either.
    pub fn is_over(&self) -> bool {
        let at_rest = |node: &NodeNumbers| node.waiting == 0 && !node.mails.iter().any(MailState::is_open);
        !self.nodes.is_empty() && self.nodes.iter().all(at_rest)
    }

    /// Mails that were not sent, by reason.
    pub fn refused(&self) -> BTreeMap<&str, u64> {
        by_reason(self.nodes.iter().flat_map(|node| &node.refused))
    }

    /// Whose way ended, by reason.
    pub fn exited(&self) -> BTreeMap<&str, u64> {
        by_reason(self.nodes.iter().flat_map(|node| &node.exited))
    }
}

impl NodeNumbers {
    /// Mails that were not sent.
    pub fn refused_mails(&self) -> u64 {
        self.refused.iter().map(|one| one.count).sum()
    }

    /// To how many something happened.
    pub fn outcome(&self, what: &str) -> u64 {
        self.outcomes.iter().filter(|one| one.outcome == what).map(|one| one.count).sum()
    }
}

impl MailState {
    fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "QUEUED" | "CLAIMED")
    }
}

fn by_reason<'a>(reasons: impl Iterator<Item = &'a Reason>) -> BTreeMap<&'a str, u64> {
    reasons.fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one.reason.as_str()).or_default() += one.count;
        counts
    })
}

impl Way {
    /// What happened at a node, the last time.
    pub fn at(&self, node: &str) -> Option<&str> {
        self.path.nodes.iter().rev().find(|step| step.node == node).map(|step| step.outcome.as_str())
    }

    /// A way through these nodes.
    #[cfg(test)]
    pub fn of(variant: Option<&str>, steps: &[(&str, &str)]) -> Self {
        let step = |(node, outcome): &(&str, &str)| Step { node: (*node).into(), outcome: (*outcome).into() };
        let path = Nodes { nodes: steps.iter().map(step).collect() };
        Self { state: "COMPLETED".into(), variant: variant.map(str::to_owned), path }
    }
}

/// Everybody's ways, by contact.
pub async fn of_people(api: &Api, people: &[Person]) -> Result<HashMap<String, Vec<Way>>> {
    let ways = people.iter().map(|person| async move {
        let found: OnWorkflows = api.call(client::CONTACT_WAYS, json!({ "id": person.id })).await?;
        anyhow::Ok((person.id.clone(), found.enrollments.nodes))
    });
    stream::iter(ways).buffer_unordered(AT_ONCE).try_collect().await
}
