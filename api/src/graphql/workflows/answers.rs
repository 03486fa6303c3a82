//! Numbers of nodes and variants, as the API shows them.

use std::collections::BTreeMap;

use async_graphql::{Enum, SimpleObject};
use carillon_domain::error::Error;
use carillon_domain::messaging::MessageStatus;
use carillon_domain::workflows as domain;

use crate::graphql::messaging::types::MessageState;

/// What happened at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::workflows::StepOutcome")]
pub enum WorkflowOutcome {
    /// Came in; said of the first node.
    Enrolled,
    /// A mail was asked for; the gate has the last word.
    Queued,
    /// No mail could be asked for; the reason says why, and the person goes on.
    Refused,
    /// A wait was over.
    Waited,
    /// A branch's condition held.
    Then,
    /// It did not.
    Otherwise,
    /// Nobody can know: the person is not tracked.
    Unknown,
    /// A split chose a variant.
    Split,
    /// The contact was changed.
    Updated,
    /// An exit was reached.
    Completed,
    /// The goal was met.
    Goal,
    /// Something else ended the way.
    Exited,
    /// The program does not know how to go on; nothing is lost.
    Parked,
}

/// People at a node, for one reason.
#[derive(Debug, SimpleObject)]
pub struct WorkflowReasonCount {
    /// The reason; a stable code.
    reason: String,
    /// How many.
    count: i64,
}

/// People at a node, with one outcome.
#[derive(Debug, SimpleObject)]
pub struct WorkflowOutcomeCount {
    /// The outcome.
    outcome: WorkflowOutcome,
    /// How many.
    count: i64,
}

/// Mails of a node, in one state.
#[derive(Debug, SimpleObject)]
pub struct WorkflowMailCount {
    /// The state.
    state: MessageState,
    /// How many.
    count: i64,
}

/// Numbers of one node, for one variant or for those in none.
#[derive(Debug, SimpleObject)]
pub struct WorkflowNodeAnswer {
    /// The node.
    node: String,
    /// The variant people were in, as `node/label`; null for those in none.
    variant: Option<String>,
    /// Who came to it: passed, left there, or still there.
    entered: i64,
    /// Who is there now.
    waiting: i64,
    /// Who went on.
    passed: i64,
    /// Mails of it that a server took.
    sent: i64,
    /// Mails that were not sent, by reason.
    refused: Vec<WorkflowReasonCount>,
    /// Whose way ended there, by reason.
    exited: Vec<WorkflowReasonCount>,
    /// Which way they took.
    outcomes: Vec<WorkflowOutcomeCount>,
    /// Its mails by state; states without a mail are left out.
    mails: Vec<WorkflowMailCount>,
}

impl TryFrom<domain::NodeAnswer> for WorkflowNodeAnswer {
    type Error = Error;

    fn try_from(answer: domain::NodeAnswer) -> Result<Self, Error> {
        let mail = |(state, count): (String, i64)| {
            let state: MessageStatus = state.parse().map_err(Error::fault)?;
            Ok(WorkflowMailCount { state: state.into(), count })
        };
        let outcome =
            |(outcome, count): (domain::StepOutcome, i64)| WorkflowOutcomeCount { outcome: outcome.into(), count };
        Ok(Self {
            node: answer.node,
            variant: answer.variant,
            entered: answer.entered,
            waiting: answer.waiting,
            passed: answer.passed,
            sent: answer.sent,
            refused: by_reason(answer.refused),
            exited: by_reason(answer.exited),
            outcomes: answer.by_outcome.into_iter().map(outcome).collect(),
            mails: answer.mails.into_iter().map(mail).collect::<Result<_, Error>>()?,
        })
    }
}

fn by_reason(counts: BTreeMap<String, i64>) -> Vec<WorkflowReasonCount> {
    counts.into_iter().map(|(reason, count)| WorkflowReasonCount { reason, count }).collect()
}

/// Some of so many, and where the true share lies in 95 of 100 such intervals (Wilson's score interval, for one look).
#[derive(Debug, SimpleObject)]
pub struct Proportion {
    /// How many did.
    count: i64,
    /// Of how many.
    of: i64,
    /// The share; null of nobody.
    share: Option<f64>,
    /// The interval's lower end; null of nobody.
    low: Option<f64>,
    /// The interval's upper end; null of nobody.
    high: Option<f64>,
}

impl From<domain::Proportion> for Proportion {
    fn from(one: domain::Proportion) -> Self {
        let (low, high) = one.interval.unzip();
        Self { count: one.count, of: one.of, share: one.share, low, high }
    }
}

/// What the people of a variant did.
#[derive(Debug, SimpleObject)]
pub struct VariantAnswer {
    /// The split.
    node: String,
    /// The variant.
    label: String,
    /// Its share in basis points.
    weight_bp: i64,
    /// Addresses that were put into it.
    exposed: i64,
    /// Of these, whoever opened a mail of it; opens of machines do not count. A mail behind a later split counts for that
    /// split's variant only, one before this split for none of its variants. Of those whose mail was sent and is tracked
    /// individually: of others nobody can know.
    opened: Proportion,
    /// Whoever clicked in a mail of it, of the same; clicks of machines do not count.
    clicked: Proportion,
    /// Whoever did what counts as success, in time, of all exposed; null for a split without a conversion.
    converted: Option<Proportion>,
}

impl From<domain::VariantAnswer> for VariantAnswer {
    fn from(answer: domain::VariantAnswer) -> Self {
        Self {
            node: answer.node,
            label: answer.label,
            weight_bp: answer.weight_bp.into(),
            exposed: answer.exposed,
            opened: answer.opened.into(),
            clicked: answer.clicked.into(),
            converted: answer.converted.map(Proportion::from),
        }
    }
}
