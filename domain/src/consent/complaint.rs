//! A complaint ends all marketing to an address, at once and beyond the tenant's reach (C-13, C-60, C-235).

use carillon_entities::ids::{BrandId, MessageId};
use carillon_entities::wall::TenantTx;

use super::ledger::{NewConsentEvent, Source, append_locked};
use super::store::addressees::message_contact;
use super::store::endpoints::{endpoints_lock_for_change, endpoints_resolve};
use super::store::suppressions;
use super::{
    ConsentAction, Evidence, Recipient, SourceKind, Suppression, SuppressionReason, SuppressionScope, all_marketing,
};
use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReceiveReports};
use crate::workflows::react_to_contacts;

/// What `record_complaint` needs.
#[derive(Debug, Clone)]
pub struct RecordComplaint {
    /// Who complained.
    pub recipient: Recipient,
    /// About a mail of this brand.
    pub brand: BrandId,
    /// About which.
    pub message: MessageId,
    /// The report; kept under the key of whoever complained (C-151).
    pub evidence: Evidence,
}

/// Records a complaint: an objection in the ledger, with the report as its evidence, and a suppression of all marketing. Returns
/// false where the address had complained before.
pub async fn record_complaint(
    grant: &Grant<ReceiveReports>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: RecordComplaint,
) -> Result<bool> {
    let RecordComplaint { recipient, brand, message, evidence } = command;
    let topic = all_marketing(tx, Some(brand)).await?;
    let address = endpoints_resolve(tx, std::slice::from_ref(&recipient)).await?;
    let address = *address.first().ok_or_else(|| Error::fault("a recipient without a hash"))?;
    let channel = recipient.channel();
    let endpoints = endpoints_lock_for_change(tx, ports, &[(address, channel)]).await?;
    let known = suppressions::suppressions_of(tx, [address.hash]).await?.into_iter().any(|known| {
        let same = known.channel == channel && known.scope == SuppressionScope::Marketing;
        same && known.reason == SuppressionReason::Complaint
    });
    if known {
        return Ok(false);
    }
    let since = ports.now();
    let mut source_event = None;
    // A brand that is gone has no topic to object to; the suppression holds without it.
    if let Some(topic) = topic {
        let mut new = NewConsentEvent::new(recipient, topic, ConsentAction::Object, since, grant.actor());
        new.source = Source { kind: SourceKind::Provider, id: Some(message.0), line: None };
        new.evidence = Some(evidence);
        let appended = append_locked(tx, ports, vec![(new, address)], &endpoints).await?;
        source_event = appended.first().map(|appended| appended.event);
    }
    let (id, scope, reason) = (ports.new_id(), SuppressionScope::Marketing, SuppressionReason::Complaint);
    let complaint = Suppression { id, channel, address, scope, reason, since, source_event };
    suppressions::suppressions_put(tx, &[complaint]).await?;
    if let Some(contact) = message_contact(tx, message).await? {
        react_to_contacts(tx, ports, &[contact]).await?;
    }
    Ok(true)
}
