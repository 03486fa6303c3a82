//! The addresses that reports come to: return paths that were signed here, and a few names for complaints.

use carillon_entities::ids::{MessageId, TenantId};

use super::ReportEnd;
use crate::contacts::EmailAddress;
use crate::keys::{BounceToken, NoLink, VerifiedBounce};
use crate::ports::Ports;

/// Names at the bounce domain that take feedback reports; what those are about is signed in them (C-59).
const ROLES: [&str; 4] = ["abuse", "complaints", "fbl", "postmaster"];

/// An address that reports come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportAddress {
    /// The return path of one attempt.
    ReturnPath(VerifiedBounce),
    /// A name for complaints.
    Role,
}

impl ReportAddress {
    /// The return path with this local part, wherever it was sent to.
    ///
    /// # Errors
    /// As [`report_address`].
    pub fn of_local_part(ports: &Ports, local: &str) -> Result<Self, NoLink> {
        let read = BounceToken::decode(&ports.keys, local);
        if read == Err(NoLink::Unknown) {
            ports.metrics.reports.one((ReportEnd::Forged,));
        }
        read.map(Self::ReturnPath)
    }
}

/// The address of a mail that came in.
///
/// # Errors
/// [`NoLink::Unknown`] for everything that was not signed here, which is counted; [`NoLink::OtherKey`] where another process may
/// know better: it is to be sent again.
pub fn report_address(ports: &Ports, address: &str) -> Result<ReportAddress, NoLink> {
    let (local, domain) = address.rsplit_once('@').ok_or(NoLink::Unknown)?;
    let ours = ports.settings.bounce_domain.as_deref();
    if ours.is_none_or(|ours| !ours.eq_ignore_ascii_case(domain.trim_end_matches('.'))) {
        ports.metrics.reports.one((ReportEnd::Forged,));
        return Err(NoLink::Unknown);
    }
    if ROLES.iter().any(|role| role.eq_ignore_ascii_case(local)) {
        return Ok(ReportAddress::Role);
    }
    ReportAddress::of_local_part(ports, local)
}

/// The envelope sender of an attempt; none where no domain for it is set.
pub(in crate::messaging) fn return_path(
    ports: &Ports,
    tenant: TenantId,
    message: MessageId,
    attempt: i32,
) -> Option<EmailAddress> {
    let domain = ports.settings.bounce_domain.as_deref()?;
    let local = BounceToken::new(tenant, message, attempt).encode(&ports.keys)?;
    EmailAddress::parse(&format!("{local}@{domain}")).ok()
}
