//! Recording that somebody agreed.

use carillon_entities::ids::{ContactId, TopicId};
use carillon_entities::wall::TenantTx;

use super::evidence::Evidence;
use super::ledger::{NewConsentEvent, Wording, append};
use super::store::addressees::contact_email;
use super::{Basis, ConsentAction, ConsentView, Recipient, SourceKind, consent_topic, effective_at};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, RecordConsent};
use crate::time::Timestamp;
use crate::workflows::react_to_contacts;

/// What `record_opt_in` needs.
#[derive(Debug, Clone)]
pub struct RecordOptIn {
    /// Who agreed.
    pub contact: ContactId,
    /// To what.
    pub topic: TopicId,
    /// On which ground.
    pub basis: Basis,
    /// When they agreed; now if not said.
    pub effective_at: Option<Timestamp>,
    /// Where the record comes from, if not simply from the caller; never the person themselves, who speaks through
    /// links and pages of ours only (C-128).
    pub source: Option<SourceKind>,
    /// Which words they saw.
    pub wording: Wording,
    /// What proves it.
    pub evidence: Option<Evidence>,
}

/// Records that a contact agreed to a topic.
///
/// # Errors
/// `CONSENT_WITHDRAWN` when the person ended it themselves: nobody else's word brings it back (C-128), so nothing is
/// recorded. `TIME_IN_FUTURE`, `NOT_FOUND`, `NO_ADDRESS`, `INVALID_SOURCE`.
pub async fn record_opt_in(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: RecordOptIn,
) -> Result<ConsentView> {
    let now = ports.now();
    let at = effective_at(command.effective_at.unwrap_or(now), now, "effectiveAt")?;
    let topic = consent_topic(tx, command.topic).await?.ok_or_else(|| Refusal::not_found("topicId"))?;
    let email = contact_email(tx, command.contact).await?.ok_or_else(super::no_address)?;
    let recipient = Recipient::of_email(&ports.keys, tx.tenant(), &email);
    let mut new = NewConsentEvent::new(recipient.clone(), topic, ConsentAction::Grant, at, grant.actor());
    if let Some(kind) = command.source {
        if !matches!(kind, SourceKind::Agent | SourceKind::Api | SourceKind::Import | SourceKind::Provider) {
            let message = "Only AGENT, API, IMPORT and PROVIDER can be recorded for somebody else.";
            return Err(Refusal::new("INVALID_SOURCE", "source", message).into());
        }
        new.source.kind = kind;
    }
    new.basis = command.basis;
    new.wording = command.wording;
    new.evidence = command.evidence;
    let appended = append(tx, ports, vec![new]).await?;
    let appended = appended.first().ok_or_else(|| Error::fault("an entry got lost"))?;
    if appended.is_kept_out() {
        let message = "The person ended this themselves; only a newer act of their own brings it back.";
        return Err(Refusal::new("CONSENT_WITHDRAWN", "contactId", message).into());
    }
    react_to_contacts(tx, ports, &[command.contact]).await?;
    Ok(ConsentView::new(&recipient, topic, appended.standing, now))
}
