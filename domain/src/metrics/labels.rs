//! The labels that metrics have: closed lists, so that no path, tenant, address or e-mail becomes a series (L9).

use crate::consent::{Reason, Verdict};
use crate::messaging::reply_class::FailureClass;
use crate::messaging::{Lane, MessageStatus, ReportEnd};

/// A closed list of the values of a label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;

    /// Every value, in order.
    fn all() -> &'static [Self];

    /// The value's text.
    fn text(self) -> &'static str;

    /// Its place among all.
    fn place(self) -> usize;
}

/// Labels that one metric has together.
pub trait Labels: Copy {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// Every combination of values, in order.
    fn texts() -> Vec<Vec<&'static str>>;

    /// The place among all combinations.
    fn place(self) -> usize;
}

impl<A: Label> Labels for (A,) {
    const NAMES: &'static [&'static str] = &[A::NAME];

    fn texts() -> Vec<Vec<&'static str>> {
        A::all().iter().map(|a| vec![a.text()]).collect()
    }

    fn place(self) -> usize {
        self.0.place()
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const NAMES: &'static [&'static str] = &[A::NAME, B::NAME];

    fn texts() -> Vec<Vec<&'static str>> {
        A::all().iter().flat_map(|a| B::all().iter().map(|b| vec![a.text(), b.text()])).collect()
    }

    fn place(self) -> usize {
        self.0.place() * B::all().len() + self.1.place()
    }
}

impl<A: Label, B: Label, C: Label> Labels for (A, B, C) {
    const NAMES: &'static [&'static str] = &[A::NAME, B::NAME, C::NAME];

    fn texts() -> Vec<Vec<&'static str>> {
        let rest = <(B, C)>::texts();
        A::all().iter().flat_map(|a| rest.iter().map(|rest| [&[a.text()], rest.as_slice()].concat())).collect()
    }

    fn place(self) -> usize {
        (self.0.place() * B::all().len() + self.1.place()) * C::all().len() + self.2.place()
    }
}

macro_rules! labels {
    ($($value:ident = $name:literal;)+) => {$(
        impl Label for $value {
            const NAME: &'static str = $name;

            fn all() -> &'static [Self] {
                Self::ALL
            }

            fn text(self) -> &'static str {
                self.as_str()
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    Route = "route";
    Method = "method";
    Status = "status";
    Operation = "kind";
    Answer = "outcome";
    Work = "lane";
    TicketEnd = "outcome";
    RelayAnswer = "outcome";
    RowEnd = "outcome";
    SweepFind = "outcome";
    SpanEnd = "outcome";
    Lane = "lane";
    MessageStatus = "outcome";
    Verdict = "verdict";
    Reason = "reason";
    FailureClass = "class";
    ReportEnd = "outcome";
}

text_code! {
    /// What was asked for, by the first segment of the path.
    pub enum Route {
        /// The API.
        Graphql = "graphql",
        /// Uploads and lists of errors.
        Files = "files",
        /// One-click and the pages behind links of mails.
        Links = "links",
        /// Clicks and opens.
        Tracking = "tracking",
        /// Everything else: pages of sign-ups and invitations, what does not exist.
        Other = "other",
    }
}

text_code! {
    /// How it was asked for.
    pub enum Method {
        /// Also HEAD.
        Get = "get",
        /// POST.
        Post = "post",
        /// PUT.
        Put = "put",
        /// Any other.
        Other = "other",
    }
}

text_code! {
    /// The class of an answer's status.
    pub enum Status {
        /// A socket was opened.
        Informational = "1xx",
        /// Done.
        Successful = "2xx",
        /// Elsewhere, or unchanged.
        Redirection = "3xx",
        /// The client's fault.
        ClientError = "4xx",
        /// Nobody waited for the answer.
        Dropped = "499",
        /// Ours.
        ServerError = "5xx",
    }
}

impl Status {
    /// The class of a status.
    pub fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Informational,
            200..300 => Self::Successful,
            300..400 => Self::Redirection,
            400..499 => Self::ClientError,
            499 => Self::Dropped,
            500.. => Self::ServerError,
        }
    }
}

text_code! {
    /// The kind of a GraphQL operation.
    pub enum Operation {
        /// A read.
        Query = "query",
        /// A change.
        Mutation = "mutation",
        /// A stream.
        Subscription = "subscription",
        /// It was refused before its kind was known.
        Unknown = "unknown",
    }
}

text_code! {
    /// What became of a GraphQL operation: its first error, by class.
    pub enum Answer {
        /// No error.
        Ok = "ok",
        /// The payload says what the rules do not allow.
        UserError = "user_error",
        /// A refusal in the place of a value: something is not there, or a limit was hit.
        Refused = "refused",
        /// Not a request that can be run.
        BadRequest = "bad_request",
        /// 406: no media type that is accepted can be given.
        NotAcceptable = "not_acceptable",
        /// 415: the body is of a type that is not read.
        UnsupportedMediaType = "unsupported_media_type",
        /// No credential, or none that is good.
        Unauthenticated = "unauthenticated",
        /// A credential that may not do this.
        Forbidden = "forbidden",
        /// Too often.
        TooMany = "too_many",
        /// It took too long.
        Timeout = "timeout",
        /// The database is away or busy.
        Unavailable = "unavailable",
        /// A fault of ours.
        Internal = "internal",
    }
}

impl Answer {
    /// The class of an error's code.
    pub fn of(code: &str) -> Self {
        match code {
            "BAD_REQUEST" | "METHOD_NOT_ALLOWED" | "BODY_TOO_LARGE" | "REQUEST_TIMEOUT" => Self::BadRequest,
            "NOT_ACCEPTABLE" => Self::NotAcceptable,
            "UNSUPPORTED_MEDIA_TYPE" => Self::UnsupportedMediaType,
            "UNAUTHENTICATED" => Self::Unauthenticated,
            "FORBIDDEN" | "FOREIGN_ORIGIN" | "TENANT_SUSPENDED" => Self::Forbidden,
            "TOO_MANY" | "RATE_LIMITED" => Self::TooMany,
            "TIMEOUT" => Self::Timeout,
            "UNAVAILABLE" => Self::Unavailable,
            "INTERNAL" => Self::Internal,
            _ => Self::Refused,
        }
    }
}

text_code! {
    /// A lane of the engine: what is due in it is handed out by one dispatcher (L4).
    pub enum Work {
        /// Messages somebody waits for.
        Transactional = "transactional",
        /// All other messages.
        Bulk = "bulk",
        /// Files being imported.
        Imports = "imports",
        /// People on workflows.
        Workflows = "workflows",
        /// What webhooks are told.
        Webhooks = "webhooks",
        /// Campaigns that are frozen or released.
        Campaigns = "campaigns",
        /// Sweeps.
        Maintenance = "maintenance",
    }
}

impl From<Lane> for Work {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Transactional => Self::Transactional,
            Lane::Bulk => Self::Bulk,
        }
    }
}

text_code! {
    /// What came of a ticket.
    pub enum TicketEnd {
        /// Something was done.
        Worked = "worked",
        /// There was nothing to claim, or the ticket was too old.
        Idle = "idle",
        /// A fault; its rows come back by lease.
        Failed = "failed",
    }
}

text_code! {
    /// What a relay said to a hand-over, or why it said nothing.
    pub enum RelayAnswer {
        /// It took the mail.
        Accepted = "accepted",
        /// Not now.
        Deferred = "deferred",
        /// Never.
        Rejected = "rejected",
        /// It could not be reached, or did not let us in.
        Unreachable = "unreachable",
        /// No connection became free here.
        Busy = "busy",
        /// It cannot carry this mail.
        Incapable = "incapable",
        /// The permit or the lease ran out before the mail went.
        Withheld = "withheld",
        /// It may have the mail (C-168).
        Unknown = "unknown",
    }
}

text_code! {
    /// What became of a row of an imported file.
    pub enum RowEnd {
        /// It made a contact.
        Created = "created",
        /// It changed one.
        Updated = "updated",
        /// It cannot be used.
        Failed = "failed",
    }
}

text_code! {
    /// What a sweep had to do about a message.
    pub enum SweepFind {
        /// Its worker is gone.
        TakenBack = "taken_back",
        /// Its outcome stayed unknown and was decided by class.
        Decided = "decided",
    }
}

text_code! {
    /// What became of a span that was to be exported.
    pub enum SpanEnd {
        /// The collector took it.
        Exported = "exported",
        /// It was away, too slow, or did not want it.
        Failed = "failed",
        /// There was no room to wait.
        Dropped = "dropped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_place_of_its_own() {
        let texts = <(Route, Method, Status)>::texts();
        assert_eq!(texts.len(), Route::ALL.len() * Method::ALL.len() * Status::ALL.len());
        for route in Route::ALL {
            for method in Method::ALL {
                for status in Status::ALL {
                    let at = (*route, *method, *status).place();
                    assert_eq!(texts[at], [route.as_str(), method.as_str(), status.as_str()]);
                }
            }
        }
    }

    #[test]
    fn a_status_has_the_class_of_its_hundred() {
        let classes = [101, 204, 302, 404, 499, 500, 503].map(|status| Status::of(status).as_str());
        assert_eq!(classes, ["1xx", "2xx", "3xx", "4xx", "499", "5xx", "5xx"]);
    }
}
