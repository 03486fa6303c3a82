//! Workflows on a stage: declared events, and versions that are live, through the use cases.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use carillon_domain::contacts::events::{DeclareEvent, EventName, declare_events};
use carillon_domain::messaging::template_versions;
use carillon_domain::tenancy::{PublishWorkflows, TrackEvents, WriteWorkflows};
use carillon_domain::workflows::{Version, create_workflow, publish_workflow};
use serde_json::{Value as Json, json};

use super::{Cast, Stage};

impl Stage {
    /// Declares events, so that workflows may name them.
    pub async fn declare(&self, cast: &Cast, names: &[&str]) -> Result<()> {
        let grant = self.enter(cast.tenant)?.grant::<TrackEvents>()?;
        let event = |name: &&str| {
            let name = EventName::parse(name).map_err(|error| anyhow!("{error}"))?;
            Ok(DeclareEvent { name, properties: BTreeMap::new() })
        };
        let events = names.iter().map(event).collect::<Result<Vec<_>>>()?;
        let mut tx = grant.begin().await?;
        declare_events(&grant, &mut tx, &self.ports, events).await?;
        Ok(tx.commit().await?)
    }

    /// Makes a workflow that is live.
    pub async fn live(&self, cast: &Cast, name: &str, definition: Json) -> Result<Version> {
        let context = self.enter(cast.tenant)?;
        let (write, publish) = (context.grant::<WriteWorkflows>()?, context.grant::<PublishWorkflows>()?);
        let mut tx = write.begin().await?;
        let workflow = create_workflow(&write, &mut tx, &self.ports, name, definition).await?;
        let seen = (workflow.id, workflow.version);
        let published = publish_workflow(&publish, &mut tx, &self.ports, seen).await?;
        tx.commit().await?;
        Ok(published.version)
    }

    /// A node that sends the cast's advertisement.
    pub async fn mail_node(&self, cast: &Cast, next: &str) -> Result<Json> {
        let grant = self.enter(cast.tenant)?.grant()?;
        let mut tx = grant.begin_read().await?;
        let version = template_versions(&grant, &mut tx, [cast.version]).await?.pop().context("the cast's version")?;
        tx.commit().await?;
        let (template, sender, topic) = (version.template, cast.sender, cast.topic);
        Ok(json!({ "kind": "send", "template": template, "sender": sender, "topic": topic, "next": next }))
    }
}
