//! People on workflows, and what happened on their ways.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::ids::{ContactId, EnrollmentId};
use carillon_domain::workflows as domain;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::answers::WorkflowOutcome;
use super::loaders::{EnrollmentsOf, HeldOf, StepsOf};
use super::types::{Workflow, WorkflowVersion};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::contacts::Contact;
use crate::graphql::loader;

/// How somebody stands on a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::workflows::WayState")]
pub enum EnrollmentState {
    /// Under way.
    Active,
    /// Held; goes on where it was when it is resumed.
    Paused,
    /// At a node that the running program does not know; nothing is lost.
    Parked,
    /// Came to an exit.
    Completed,
    /// Met the goal.
    Goal,
    /// Ended by an exit condition, or because the contact or the workflow is gone.
    Exited,
    /// Cannot go on.
    Failed,
}

/// Somebody on a workflow.
#[derive(Debug)]
pub struct Enrollment(pub domain::Enrollment);

impl Enrollment {
    /// The enrollment with this id.
    pub async fn find(ctx: &Context<'_>, id: EnrollmentId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }

    fn is_over(&self) -> bool {
        use domain::WayState::{Active, Parked, Paused};
        !matches!(self.0.state, Active | Paused | Parked)
    }
}

/// Somebody on a workflow, from the event that began it to its end.
#[Object]
impl Enrollment {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The workflow.
    async fn workflow(&self, ctx: &Context<'_>) -> Result<Option<Workflow>> {
        Workflow::find(ctx, self.0.way.workflow).await
    }

    /// The version they entered, and stay on.
    async fn version(&self, ctx: &Context<'_>) -> Result<Option<WorkflowVersion>> {
        WorkflowVersion::find(ctx, self.0.version).await
    }

    /// Who. Needs the right to see contacts.
    async fn contact(&self, ctx: &Context<'_>) -> Option<Result<Contact>> {
        Box::pin(Contact::find(ctx, self.0.contact)).await.transpose()
    }

    /// The contact's id, without looking it up.
    async fn contact_id(&self) -> ID {
        self.0.contact.into()
    }

    /// How it stands.
    async fn state(&self) -> EnrollmentState {
        self.0.state.into()
    }

    /// The node they are at, or left from.
    async fn node(&self) -> &str {
        &self.0.way.node
    }

    /// When they are looked at next; null after the end.
    async fn due_at(&self) -> Option<DateTime<Utc>> {
        (!self.is_over()).then_some(self.0.due_at)
    }

    /// When it began.
    async fn entered_at(&self) -> DateTime<Utc> {
        self.0.entered_at
    }

    /// When it ended.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.0.ended_at
    }

    /// Why it ended; a stable code.
    async fn end_reason(&self) -> Option<&str> {
        self.0.end_reason.as_deref()
    }

    /// The variant they got last, as `node/label`.
    async fn variant(&self) -> Option<&str> {
        self.0.way.variant.as_deref()
    }

    /// What happened, oldest first.
    async fn path(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<EnrollmentStep>> {
        let page = PageArgs::ahead(first, after)?;
        let found = loader::of(ctx).load_one(StepsOf(self.0.id, page)).await?;
        Ok(list(found.unwrap_or_else(|| page.empty()), |step| step.id, EnrollmentStep::from))
    }
}

/// Something that happened on somebody's way.
#[derive(Debug, SimpleObject)]
pub struct EnrollmentStep {
    /// Where.
    node: String,
    /// What.
    outcome: WorkflowOutcome,
    /// Why; a stable code.
    reason: Option<String>,
    /// The variant they were in, as `node/label`.
    variant: Option<String>,
    /// What it was decided from, without personal values.
    facts: Value,
    /// When.
    at: DateTime<Utc>,
}

impl From<domain::StepRecord> for EnrollmentStep {
    fn from(step: domain::StepRecord) -> Self {
        Self {
            node: step.node,
            outcome: step.outcome.into(),
            reason: step.reason,
            variant: step.variant,
            facts: step.facts,
            at: step.at,
        }
    }
}

/// A page of a contact's enrollments, in the order in which they began.
pub async fn enrollments(
    ctx: &Context<'_>,
    contact: ContactId,
    (first, after): (Option<i32>, Option<String>),
) -> Result<List<Enrollment>> {
    let page = PageArgs::ahead(first, after)?;
    let found = loader::of(ctx).load_one(EnrollmentsOf(contact, page)).await?;
    Ok(list(found.unwrap_or_else(|| page.empty()), |enrollment| enrollment.id, Enrollment))
}

/// Whether a contact is held on all workflows.
pub async fn is_held(ctx: &Context<'_>, contact: ContactId) -> Result<bool> {
    Ok(loader::of(ctx).load_one(HeldOf(contact)).await?.unwrap_or_default())
}
