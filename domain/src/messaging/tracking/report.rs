//! What people see of opens and clicks: of a message by class, of content by day.

use std::collections::HashMap;

use carillon_entities::ids::{MessageId, TemplateVersionId};
use carillon_entities::wall::TenantTx;
use chrono::NaiveDate;

use super::HitClass;
use crate::error::{Refusal, Result};
use crate::keys::HitKind;
use crate::messaging::store;
use crate::tenancy::{Grant, ReadMessages};
use crate::time::Timestamp;

/// Hits of one kind on one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HitCounts {
    /// By class; classes without any are left out.
    pub by_class: Vec<(HitClass, i64)>,
    /// The first that a person made.
    pub first_human_at: Option<Timestamp>,
}

/// The hits on messages, by message and kind.
pub async fn hit_counts(
    _grant: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    messages: &[MessageId],
) -> Result<HashMap<(MessageId, HitKind), HitCounts>> {
    let mut counts: HashMap<_, HitCounts> = HashMap::new();
    for (message, kind, class, hits, first_at) in store::hits_counted(tx, messages).await? {
        let of = counts.entry((message, kind)).or_default();
        of.by_class.push((class, hits));
        if class == HitClass::Human {
            of.first_human_at = Some(first_at);
        }
    }
    Ok(counts)
}

/// What was counted on one day of mail whose recipients are tracked in aggregate (C-78).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingCount {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The step of a workflow the mail was for, as `version/node/variant`; empty if none.
    pub origin: String,
    /// Opens.
    pub opens: i64,
    /// Clicks.
    pub clicks: i64,
}

/// Counts of the days from `since` until before `until`, of one content or of all.
pub async fn tracking_counts(
    _grant: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    version: Option<TemplateVersionId>,
    (since, until): (NaiveDate, NaiveDate),
) -> Result<Vec<TrackingCount>> {
    let counts = store::tracking_counts_of(tx, version, (since, until)).await?;
    if let (Some(version), true) = (version, counts.is_empty())
        && store::template_versions_find(tx, [version]).await?.is_empty()
    {
        return Err(Refusal::not_found("templateVersionId").into());
    }
    Ok(counts)
}
