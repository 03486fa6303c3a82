//! What a template is built with: the tenant's partials, its declared attributes, and the properties of one event.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::EventDefinitionId;
use carillon_entities::wall::TenantTx;

use super::template::{Built, INCLUDE_DEPTH, Known, Partials, TemplateProblem, Written, build, included};
use super::{MessageClass, store};
use crate::error::{Error, Refusal, Result};

/// All of it, read once.
pub(super) struct Materials {
    partials: Partials,
    known: Known,
    /// The event that was named.
    pub event: Option<EventDefinitionId>,
    /// The kind of each attribute and of each property of the event, for samples.
    pub kinds: [BTreeMap<String, String>; 2],
}

impl Materials {
    /// Reads what a template needs: one statement for each level of partials.
    pub(super) async fn load(tx: &mut TenantTx, written: &Written, event_name: Option<&str>) -> Result<Self> {
        let mut partials = Partials::default();
        let mut names: BTreeSet<String> = included(&written.html);
        names.extend(written.text.as_deref().map(included).unwrap_or_default());
        // One level more than there may be, so that the refusal says what is wrong.
        for _ in 0..=INCLUDE_DEPTH {
            names.retain(|name| !partials.0.contains_key(name));
            if names.is_empty() {
                break;
            }
            let found = store::partials_named(tx, std::mem::take(&mut names)).await?;
            for partial in found {
                names.extend(included(&partial.html));
                names.extend(included(&partial.text));
                partials.0.insert(partial.name, (partial.html, partial.text));
            }
        }
        let attributes = store::attribute_kinds(tx).await?;
        let (event, properties) = match event_name {
            Some(name) => {
                let event = store::event_find(tx, name).await?.ok_or_else(|| Refusal::not_found("eventName"))?;
                (Some(event), store::event_properties(tx, event).await?)
            }
            None => (None, BTreeMap::new()),
        };
        let known = Known {
            attributes: attributes.keys().cloned().collect(),
            event: event.map(|_| properties.keys().cloned().collect()),
        };
        Ok(Self { partials, known, event, kinds: [attributes, properties] })
    }

    /// Builds off the threads that serve, and gives what was written back.
    pub(super) async fn build(
        self,
        written: Written,
        class: MessageClass,
    ) -> Result<(Written, std::result::Result<Built, Vec<TemplateProblem>>)> {
        let Self { partials, known, .. } = self;
        let work = move || {
            let built = build(&written, class, &partials, &known);
            (written, built)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::fault)
    }
}
