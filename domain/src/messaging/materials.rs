//! What a template is built with: the tenant's partials, its declared attributes, and the properties of one event.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::EventDefinitionId;
use carillon_entities::wall::TenantTx;

use super::template::{
    Built, INCLUDE_DEPTH, INCLUDES_MAX, Known, PART_MAX, Part, Partials, TemplateProblem, Written, build, included,
};
use super::{MessageClass, store};
use crate::contacts::events::EventName;
use crate::error::{Error, Refusal, Result};

/// Partials that are read at once.
const AT_ONCE: usize = 20;

/// All of it, read once.
pub(super) struct Materials {
    /// What the parts include; a problem where that is more than a mail may have.
    partials: std::result::Result<Partials, TemplateProblem>,
    known: Known,
    /// The event that was named.
    pub event: Option<EventDefinitionId>,
    /// The kind of each attribute and of each property of the event, for samples.
    pub kinds: [BTreeMap<String, String>; 2],
}

impl Materials {
    /// Reads what a template needs.
    pub(super) async fn load(tx: &mut TenantTx, written: &Written, event_name: Option<&str>) -> Result<Self> {
        let partials = gather(tx, written).await?;
        let attributes = store::attribute_kinds(tx).await?;
        let (event, properties) = match event_name {
            Some(name) => {
                let name = EventName::parse(name).map_err(|_| Refusal::not_found("eventName"))?;
                let event = store::event_find(tx, name.as_str()).await?;
                let event = event.ok_or_else(|| Refusal::not_found("eventName"))?;
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
        let partials = match partials {
            Ok(partials) => partials,
            Err(problem) => return Ok((written, Err(vec![problem]))),
        };
        let work = move || {
            let built = build(&written, class, &partials, &known);
            (written, built)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::fault)
    }
}

/// The partials that the parts include, level by level. No more is read than two parts may have: whoever writes templates
/// decides what they name.
async fn gather(tx: &mut TenantTx, written: &Written) -> Result<std::result::Result<Partials, TemplateProblem>> {
    let too_large = |part, what: &str| {
        let message = format!("{what} more than {PART_MAX} octets or {INCLUDES_MAX} partials.");
        Ok(Err(TemplateProblem::new("TEMPLATE_TOO_LARGE", part, None, message)))
    };
    let mut names = BTreeSet::new();
    for (part, source) in [(Part::Html, Some(&written.html)), (Part::Text, written.text.as_ref())] {
        let source = source.map_or("", String::as_str);
        if source.len() > PART_MAX {
            return too_large(part, "This part has");
        }
        names.extend(included(source));
    }
    let (mut partials, mut octets) = (Partials::default(), 0);
    // One level more than there may be, so that the refusal says what is wrong.
    for _ in 0..=INCLUDE_DEPTH {
        names.retain(|name| !partials.0.contains_key(name));
        if partials.0.len() + names.len() > 2 * INCLUDES_MAX {
            return too_large(Part::Html, "With its partials a part has");
        }
        let level: Vec<String> = std::mem::take(&mut names).into_iter().collect();
        for some in level.chunks(AT_ONCE) {
            for partial in store::partials_named(tx, some.iter().cloned()).await? {
                octets += partial.html.len() + partial.text.len();
                names.extend(included(&partial.html));
                names.extend(included(&partial.text));
                partials.0.insert(partial.name, (partial.html, partial.text));
            }
            if octets > 2 * PART_MAX {
                return too_large(Part::Html, "With its partials a part has");
            }
        }
    }
    Ok(Ok(partials))
}
