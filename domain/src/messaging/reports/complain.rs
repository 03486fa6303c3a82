//! Complaints (C-59, C-60): which mail they are about is what was signed here and came back, never whom they name.

use carillon_entities::ids::{BrandId, MessageId};
use serde_json::json;

use super::address::{ReportAddress, report_address};
use super::receive::ReportEnd;
use super::{Feedback, FeedbackKind, apply};
use crate::consent::{self, Channel, Evidence, Recipient, RecordComplaint};
use crate::error::{Result, WallError};
use crate::keys::{AddressHmac, LinkPurpose, LinkToken, NoLink, VerifiedBounce, VerifiedLink};
use crate::messaging::state::{Ending, ProviderFact};
use crate::messaging::store;
use crate::messaging::tell::tell_ends;
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, ReceiveReports, enter_by_bounce, enter_by_returned_link};

/// Return paths and links that are tried; a mail has one of each.
const TRIED_MAX: usize = 10;

/// What a complaint can be traced by.
enum Trace {
    /// A return path, in the headers that came back or as the address that it came to.
    Path(VerifiedBounce),
    /// A link to unsubscribe, which says whose mail it was and to whom.
    Link(VerifiedLink),
}

impl Trace {
    fn grant(&self, ports: &Ports) -> Grant<ReceiveReports> {
        match self {
            Self::Path(path) => enter_by_bounce(&ports.wall, path),
            Self::Link(link) => enter_by_returned_link(&ports.wall, link),
        }
    }

    fn message(&self) -> MessageId {
        match self {
            Self::Path(path) => path.message,
            Self::Link(link) => link.message,
        }
    }
}

/// Takes a feedback report.
pub(super) async fn complain(ports: &Ports, to: ReportAddress, feedback: &Feedback) -> Result<ReportEnd> {
    if feedback.kind == FeedbackKind::Authentication {
        return Ok(ReportEnd::Unrecognised);
    }
    let Some(trace) = trace(ports, to, feedback)? else { return Ok(ReportEnd::Untraced) };
    let grant = trace.grant(ports);
    if feedback.kind == FeedbackKind::NotSpam {
        return apply::not_spam(&grant, ports, trace.message()).await;
    }
    let mut reruns = Reruns::default();
    loop {
        match Box::pin(complain_once(&grant, ports, &trace, feedback)).await {
            Err(error) if reruns.after(&error) => {}
            result => return result,
        }
    }
}

/// What of it was signed here. One under a key that is not here may be known elsewhere: then it is to be sent again.
fn trace(ports: &Ports, to: ReportAddress, feedback: &Feedback) -> Result<Option<Trace>> {
    let mut elsewhere = false;
    for path in feedback.return_paths.iter().take(TRIED_MAX) {
        match report_address(ports, path) {
            Ok(ReportAddress::ReturnPath(path)) => return Ok(Some(Trace::Path(path))),
            Err(NoLink::OtherKey(_)) => elsewhere = true,
            Ok(ReportAddress::Role) | Err(NoLink::Unknown) => {}
        }
    }
    for links in feedback.links.iter().take(TRIED_MAX) {
        match one_click(ports, links) {
            Some(Ok(link)) => return Ok(Some(Trace::Link(link))),
            Some(Err(NoLink::OtherKey(_))) => elsewhere = true,
            Some(Err(NoLink::Unknown)) | None => {}
        }
    }
    match to {
        ReportAddress::ReturnPath(path) => Ok(Some(Trace::Path(path))),
        ReportAddress::Role if elsewhere => Err(WallError::Unavailable.into()),
        ReportAddress::Role => Ok(None),
    }
}

/// The one-click link in a List-Unsubscribe header that came back.
fn one_click(ports: &Ports, links: &str) -> Option<Result<VerifiedLink, NoLink>> {
    let (_, rest) = links.split_once("/u/")?;
    let token = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next()?;
    Some(LinkToken::decode(&ports.keys, LinkPurpose::OneClick, token))
}

async fn complain_once(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    trace: &Trace,
    feedback: &Feedback,
) -> Result<ReportEnd> {
    let mut tx = grant.begin().await?;
    let known = store::message_reported(&mut tx, trace.message()).await?;
    let Some((address, brand)) = whose(trace, known.as_ref().map(|message| (message.address, message.brand))) else {
        return Ok(ReportEnd::Untraced);
    };
    let command = RecordComplaint {
        recipient: Recipient::of_hash(Channel::Email, address),
        brand,
        message: trace.message(),
        evidence: Evidence { text: Some(feedback.text.clone()), ..Evidence::default() },
    };
    // Lock order: endpoints, then messages.
    let first = consent::record_complaint(grant, &mut tx, ports, command).await?;
    let mut is_new = first;
    if let Some(message) = store::message_reported_locked(&mut tx, trace.message()).await? {
        let told = store::report_events(&mut tx, message.id).await?;
        let is_told = told.iter().any(|(kind, _)| kind == "complained");
        is_new |= !is_told;
        let now = ports.now();
        // Who complains has it.
        let next = message.state.report(ProviderFact::Taken, now).status();
        let has_moved = next != message.state.status();
        let complained = (!is_told).then(|| (message.id, "complained", json!({ "rule": "feedback" })));
        let settled = has_moved.then(|| (message.id, "reconciled", json!({ "rule": "feedback", "state": next })));
        store::message_events_append(&mut tx, ports, complained.into_iter().chain(settled), now).await?;
        if has_moved {
            store::message_end_reported(&mut tx, &message, next, None, now).await?;
            tell_ends(&mut tx, ports, vec![(message.id, Ending::Sent, None)]).await?;
        }
    }
    tx.commit().await?;
    Ok(if is_new { ReportEnd::Complained } else { ReportEnd::Repeated })
}

/// The address and the brand of the mail: of its row, or as its link says where the row is gone.
fn whose(trace: &Trace, message: Option<(AddressHmac, BrandId)>) -> Option<(AddressHmac, BrandId)> {
    match (message, trace) {
        (Some(known), _) => Some(known),
        (None, Trace::Link(link)) => Some((link.address, link.brand)),
        (None, Trace::Path(_)) => None,
    }
}
