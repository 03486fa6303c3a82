//! Workflows and their versions, as the API shows them.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::ids::{WorkflowId, WorkflowVersionId};
use carillon_domain::workflows as domain;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answers::{VariantAnswer, WorkflowNodeAnswer};
use super::loaders::{FindingsOf, NodesOf, VariantsOf, VersionsOf};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::loader;
use crate::graphql::node::named;

/// Where a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::workflows::WorkflowState")]
pub enum WorkflowState {
    /// Nothing is published.
    Draft,
    /// Its trigger starts people.
    Live,
    /// People enter and stay where they are until it is resumed.
    Paused,
    /// Over: nobody enters, none of its mails leaves, and whoever is on it is being taken out.
    Archived,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[graphql(remote = "carillon_domain::workflows::Severity")]
pub enum WorkflowFindingSeverity {
    /// It cannot be published like this.
    Error,
    /// It can, and may not be what was meant.
    Warning,
}

/// Something wrong with, or doubtful in, a definition.
#[derive(Debug, Clone, SimpleObject, Serialize, Deserialize)]
pub struct WorkflowFinding {
    /// The node; null where it concerns the whole.
    node: Option<String>,
    /// How bad.
    severity: WorkflowFindingSeverity,
    /// Stable code in upper case, for programs.
    code: String,
    /// What is wrong.
    message: String,
    /// What to do about it.
    fix: String,
}

impl From<domain::Finding> for WorkflowFinding {
    fn from(finding: domain::Finding) -> Self {
        Self {
            node: finding.node,
            severity: finding.severity.into(),
            code: finding.code.to_owned(),
            message: finding.message,
            fix: finding.fix.to_owned(),
        }
    }
}

/// A workflow: a draft, and the versions that were published of it.
#[derive(Debug, Clone)]
pub struct Workflow(pub domain::Workflow);

impl Workflow {
    /// The workflow with this id.
    pub async fn find(ctx: &Context<'_>, id: WorkflowId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// What happens to people after an event: a draft, and the versions that were published of it.
#[Object]
impl Workflow {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name, unique in the tenant.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it stands.
    async fn state(&self) -> WorkflowState {
        self.0.state.into()
    }

    /// The draft; what is published is in the versions.
    async fn definition(&self) -> Value {
        self.0.draft.clone()
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// The version that people enter; null before the first is published and after the end.
    async fn live_version(&self, ctx: &Context<'_>) -> Result<Option<WorkflowVersion>> {
        named(self.0.live_version, |id| WorkflowVersion::find(ctx, id)).await
    }

    /// Its versions, oldest first.
    async fn versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<WorkflowVersion>> {
        let page = PageArgs::ahead(first, after)?;
        let found = loader::of(ctx).load_one(VersionsOf(self.0.id, page)).await?;
        Ok(list(found.unwrap_or_else(|| page.empty()), |version| version.id, WorkflowVersion))
    }

    /// What stands against publishing the draft, and what its author should know; errors first.
    async fn findings(&self, ctx: &Context<'_>) -> Result<Vec<WorkflowFinding>> {
        let findings = loader::of(ctx).load_one(FindingsOf(self.0.id)).await?;
        Ok(findings.unwrap_or_default().into_iter().map(WorkflowFinding::from).collect())
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// A published version; it never changes.
#[derive(Debug, Clone)]
pub struct WorkflowVersion(pub domain::Version);

impl WorkflowVersion {
    /// The version with this id.
    pub async fn find(ctx: &Context<'_>, id: WorkflowVersionId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// A version of a workflow, as it was published; it never changes.
#[Object]
impl WorkflowVersion {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Of which workflow.
    async fn workflow_id(&self) -> ID {
        self.0.workflow.into()
    }

    /// From 1.
    async fn number(&self) -> i32 {
        self.0.number
    }

    /// What it says, with what its names stood for when it was published.
    async fn definition(&self) -> Value {
        self.0.json.clone()
    }

    /// SHA-256 of the canonical definition, in hexadecimal.
    async fn content_hash(&self) -> String {
        hex::encode(&self.0.content_hash)
    }

    /// When it was published.
    async fn published_at(&self) -> DateTime<Utc> {
        self.0.published_at
    }

    /// How many came to what at its nodes, by node and variant; nodes that nobody came to are left out.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<WorkflowNodeAnswer>> {
        let nodes = loader::of(ctx).load_one(NodesOf(self.0.id)).await?;
        let answers = nodes.unwrap_or_default().into_iter().map(WorkflowNodeAnswer::try_from);
        Ok(answers.collect::<carillon_domain::error::Result<_>>()?)
    }

    /// What the people of its splits' variants did, over all versions of the workflow: an address stays in its variant when
    /// the workflow changes.
    async fn variants(&self, ctx: &Context<'_>) -> Result<Vec<VariantAnswer>> {
        let variants = loader::of(ctx).load_one(VariantsOf(self.0.id)).await?;
        Ok(variants.unwrap_or_default().into_iter().map(VariantAnswer::from).collect())
    }
}
