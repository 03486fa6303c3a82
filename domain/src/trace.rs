//! Traces: what was done for whom, span by span, where an operator names a collector.
//!
//! A span that may be exported is one of `tracing` with the target [`PARTS`]. Logs never see it: they have spans of their own,
//! which stay as they are. Without an exporter that target is off, and such a span is a look at a static: nothing is allocated
//! and nothing is asked of the clock. Its fields are codes, counts and ids, as in a log line; no variable, no document, no
//! path and nothing else of which anybody could be known (L9, C-199).
//!
//! How work hangs together:
//!
//! - A request is a trace. Its caller's span is its link, or its parent where the operator believes callers
//!   (`CARILLON_TRACE_CALLERS`): who continues a trace decides whether it is exported, and what it is mixed with.
//! - A subscription over a socket is a trace as well, linked to the request that opened the socket, whose span lasts as long as
//!   the socket; what is read for it is a part of it. As server-sent events it is its own request.
//! - A ticket carries the span that pushed it, and the work on it is that span's child: each is about the other.
//! - A batch is nobody's child. Messages are rows (L4): whoever claims them holds those of many requests, and none of them
//!   waits for it. So a message keeps the span that queued it (`messages.trace`), and the span of the batch it is claimed in
//!   links to that, at each attempt; what a workflow or a campaign queues is linked to like a request. Only exported spans
//!   are kept, so without an exporter, and for what was not sampled, the column is null; and a batch with such a link is
//!   exported, whatever its ticket drew, so that a sampled request is never without its end.
//! - What rang is not told: a ring names no tenant, many rings are one look, and a ticket claims whatever is due by then.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of spans that are for traces and for nothing else.
pub const PARTS: &str = "carillon_span";

/// A header of the first version has so many characters; a later one may say more after them.
const LENGTH: usize = 55;

/// The longest header that is looked at.
const LONGEST: usize = 256;

/// A span as others know it: W3C's `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

impl TraceParent {
    /// Reads a header's value, which may be anything; none unless it is well-formed to the last character.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (head, more) = text.split_at_checked(LENGTH)?;
        let mut fields = head.split('-');
        let mut next = |digits| hex(fields.next()?, digits);
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_known = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }

    /// What log lines and collectors call the trace.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Whether it is exported.
    pub fn is_sampled(self) -> bool {
        self.is_sampled
    }

    /// As a row keeps one that is exported: the trace's sixteen bytes, and the span's eight.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.trace.to_be_bytes()[..], &self.span.to_be_bytes()].concat()
    }

    /// Of a row.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, span) = bytes.split_first_chunk::<16>()?;
        let span = u64::from_be_bytes(span.try_into().ok()?);
        Some(Self { trace: u128::from_be_bytes(*trace), span, is_sampled: true })
    }
}

/// So many digits and nothing else.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a traceparent"))
    }
}

impl From<TraceParent> for SpanContext {
    fn from(parent: TraceParent) -> Self {
        let (trace, span) = (parent.trace.to_be_bytes(), parent.span.to_be_bytes());
        let flags = TraceFlags::default().with_sampled(parent.is_sampled);
        Self::new(TraceId::from_bytes(trace), SpanId::from_bytes(span), flags, true, TraceState::default())
    }
}

/// The span for traces that runs here; none without an exporter.
pub fn part() -> Option<Span> {
    let span = Span::current();
    let is_part = span.metadata().is_some_and(|metadata| metadata.target() == PARTS);
    is_part.then_some(span)
}

/// The span that runs here, for those who take up its work later; none that is not exported.
pub fn current() -> Option<TraceParent> {
    of(&part()?).filter(|parent| parent.is_sampled)
}

/// A span as others will know it; none without an exporter. It has begun then, and its parent is settled.
pub fn of(span: &Span) -> Option<TraceParent> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let begun = context.span();
    let known = begun.span_context();
    known.is_valid().then(|| TraceParent {
        trace: u128::from_be_bytes(known.trace_id().to_bytes()),
        span: u64::from_be_bytes(known.span_id().to_bytes()),
        is_sampled: known.is_sampled(),
    })
}

/// Gives a span the name that only shows in the end.
pub fn rename(span: &Span, name: impl FnOnce() -> String) {
    if !span.is_disabled() {
        span.context().span().update_name(name());
    }
}

/// Makes a span that has not begun the child of another's.
pub fn adopt(span: &Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent.filter(|_| !span.is_disabled()) {
        // Only a span that has begun says no.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.into()));
    }
}

/// Links a span to others.
pub fn link(span: &Span, others: impl IntoIterator<Item = TraceParent>) {
    if !span.is_disabled() {
        others.into_iter().for_each(|other| span.add_link(other.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_is() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.to_string(), GOOD);
        assert_eq!(parent.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parent.is_sampled());
        assert_eq!(TraceParent::from_bytes(&parent.to_bytes()), Some(parent));
        let text = serde_json::to_string(&parent).unwrap();
        assert_eq!(serde_json::from_str::<TraceParent>(&text).unwrap(), parent);
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-02")).unwrap().is_sampled());
        assert!(TraceParent::parse(&GOOD.replace("00-", "cc-")).is_some(), "a later version");
        assert!(TraceParent::parse(&(GOOD.replace("00-", "cc-") + "-what-will-be")).is_some());
        let context = SpanContext::from(parent);
        assert!(context.is_valid() && context.is_remote() && context.is_sampled());
    }

    #[test]
    fn nothing_else_is_a_traceparent() {
        let later = GOOD.replace("00-", "cc-");
        for hostile in [
            "",
            "00",
            "quexalot",
            &GOOD.to_uppercase(),
            &GOOD[1..],
            &format!("{GOOD} "),
            &format!("{GOOD}-00"),
            &format!("{later}00"),
            &format!("{later}-{}", "a".repeat(LONGEST)),
            &GOOD.replace("00-", "ff-"),
            &GOOD.replace("00-0a", "00-+a"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            &GOOD.replacen("0af7", "0aä", 1),
            &"\u{e9}".repeat(40),
        ] {
            assert_eq!(TraceParent::parse(hostile), None, "{hostile}");
        }
        for bytes in [&[][..], &[1; 16], &[1; 23], &[1; 25]] {
            assert_eq!(TraceParent::from_bytes(bytes), None);
        }
    }

    #[test]
    fn without_an_exporter_there_is_nothing_to_tell() {
        let span = tracing::info_span!(target: PARTS, "request");
        adopt(&span, TraceParent::parse(GOOD));
        link(&span, TraceParent::parse(GOOD));
        assert_eq!((of(&span), current()), (None, None));
        assert!(span.is_disabled());
    }
}
