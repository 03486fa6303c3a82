//! What many workflows, versions and enrollments of one answer need, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::ids::{ContactId, EnrollmentId, StepId, WorkflowId, WorkflowVersionId};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::ReadWorkflows;
use carillon_domain::workflows::{self, Enrollment, Finding, NodeAnswer, StepRecord, VariantAnswer, Version, Workflow};

use crate::graphql::loader::{LoadError, Rows, by_page};

/// What stands against publishing a workflow's draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FindingsOf(pub WorkflowId);

/// A page of a workflow's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionsOf(pub WorkflowId, pub Ahead<WorkflowVersionId>);

/// Numbers of a version's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodesOf(pub WorkflowVersionId);

/// Numbers of a version's variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VariantsOf(pub WorkflowVersionId);

/// A page of a contact's enrollments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnrollmentsOf(pub ContactId, pub Ahead<EnrollmentId>);

/// Whether a contact is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldOf(pub ContactId);

/// A page of an enrollment's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepsOf(pub EnrollmentId, pub Ahead<StepId>);

impl Loader<WorkflowId> for Rows {
    type Value = Workflow;
    type Error = LoadError;

    async fn load(&self, keys: &[WorkflowId]) -> Result<HashMap<WorkflowId, Workflow>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let found = workflows::find_workflows(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|workflow| (workflow.id, workflow)).collect())
    }
}

impl Loader<WorkflowVersionId> for Rows {
    type Value = Version;
    type Error = LoadError;

    async fn load(&self, keys: &[WorkflowVersionId]) -> Result<HashMap<WorkflowVersionId, Version>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let found = workflows::find_workflow_versions(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|version| (version.id, version)).collect())
    }
}

impl Loader<EnrollmentId> for Rows {
    type Value = Enrollment;
    type Error = LoadError;

    async fn load(&self, keys: &[EnrollmentId]) -> Result<HashMap<EnrollmentId, Enrollment>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let found = workflows::find_enrollments(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|enrollment| (enrollment.id, enrollment)).collect())
    }
}

impl Loader<FindingsOf> for Rows {
    type Value = Vec<Finding>;
    type Error = LoadError;

    async fn load(&self, keys: &[FindingsOf]) -> Result<HashMap<FindingsOf, Vec<Finding>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let ids: Vec<WorkflowId> = keys.iter().map(|key| key.0).collect();
        let found = workflows::find_workflows(&grant, &mut tx, ids).await?;
        let findings = workflows::check_workflows(&grant, &mut tx, &found).await?;
        Ok(found.iter().map(|workflow| FindingsOf(workflow.id)).zip(findings).collect())
    }
}

impl Loader<VersionsOf> for Rows {
    type Value = Paged<Version>;
    type Error = LoadError;

    async fn load(&self, keys: &[VersionsOf]) -> Result<HashMap<VersionsOf, Paged<Version>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let mut found = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = workflows::workflow_versions(&grant, &mut tx, &ids, page).await?;
            found.extend(pages.into_iter().map(|(workflow, versions)| (VersionsOf(workflow, page), versions)));
        }
        Ok(found)
    }
}

impl Loader<NodesOf> for Rows {
    type Value = Vec<NodeAnswer>;
    type Error = LoadError;

    async fn load(&self, keys: &[NodesOf]) -> Result<HashMap<NodesOf, Vec<NodeAnswer>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let ids: Vec<WorkflowVersionId> = keys.iter().map(|key| key.0).collect();
        let found = workflows::node_answers(&grant, &mut tx, &ids).await?;
        Ok(found.into_iter().map(|(version, nodes)| (NodesOf(version), nodes)).collect())
    }
}

impl Loader<VariantsOf> for Rows {
    type Value = Vec<VariantAnswer>;
    type Error = LoadError;

    async fn load(&self, keys: &[VariantsOf]) -> Result<HashMap<VariantsOf, Vec<VariantAnswer>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let ids: Vec<WorkflowVersionId> = keys.iter().map(|key| key.0).collect();
        let found = workflows::variant_answers(&grant, &mut tx, &ids).await?;
        Ok(found.into_iter().map(|(version, variants)| (VariantsOf(version), variants)).collect())
    }
}

impl Loader<EnrollmentsOf> for Rows {
    type Value = Paged<Enrollment>;
    type Error = LoadError;

    async fn load(&self, keys: &[EnrollmentsOf]) -> Result<HashMap<EnrollmentsOf, Paged<Enrollment>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let mut found = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = workflows::enrollments(&grant, &mut tx, &ids, page).await?;
            found.extend(pages.into_iter().map(|(contact, ways)| (EnrollmentsOf(contact, page), ways)));
        }
        Ok(found)
    }
}

impl Loader<HeldOf> for Rows {
    type Value = bool;
    type Error = LoadError;

    async fn load(&self, keys: &[HeldOf]) -> Result<HashMap<HeldOf, bool>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let ids: Vec<ContactId> = keys.iter().map(|key| key.0).collect();
        let held = workflows::held_contacts(&grant, &mut tx, &ids).await?;
        Ok(keys.iter().map(|key| (*key, held.contains(&key.0))).collect())
    }
}

impl Loader<StepsOf> for Rows {
    type Value = Paged<StepRecord>;
    type Error = LoadError;

    async fn load(&self, keys: &[StepsOf]) -> Result<HashMap<StepsOf, Paged<StepRecord>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWorkflows>().await?;
        let mut found = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = workflows::paths(&grant, &mut tx, &ids, page).await?;
            found.extend(pages.into_iter().map(|(way, steps)| (StepsOf(way, page), steps)));
        }
        Ok(found)
    }
}
