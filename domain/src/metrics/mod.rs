//! What a process counts of itself, for operators: rates, errors, durations, backlogs. One list, here.
//!
//! A series is made of closed lists of labels and is there from the start, so that an alert on its increase misses
//! nothing. No label holds anything personal (L9), and none a tenant unless the operator asks for that.

mod family;
pub mod labels;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use carillon_entities::ids::TenantId;
pub use carillon_entities::wall::PoolState;
use prometheus::{
    Counter, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
};

use crate::consent::{Reason, Verdict};
use crate::messaging::reply_class::FailureClass;
use crate::messaging::{Lane, MessageStatus, ReportEnd};
use family::Making;
pub use family::{Counts, Times};
use labels::{
    Answer, Label as _, Method, Operation, RelayAnswer, Route, RowEnd, SpanEnd, Status, SweepFind, TicketEnd, Work,
};

/// Tenants that have series of their own, if they have any; those who come later are counted together.
const TENANTS_MAX: usize = 500;

/// The metrics of one process.
pub struct Metrics {
    /// Requests, without those of probes.
    pub requests: Counts<(Route, Method, Status)>,
    /// From a request's arrival to the head of its answer.
    pub request_times: Times<(Route,)>,
    /// Operations, also those that were refused.
    pub operations: Counts<(Operation, Answer)>,
    deprecated: IntCounterVec,
    /// Open sockets.
    pub sockets: IntGauge,
    /// Running subscriptions.
    pub subscriptions: IntGauge,
    /// What the gate said.
    pub decisions: Counts<(Verdict,)>,
    /// Why it did not let a message through.
    pub refusals: Counts<(Reason,)>,
    /// Hand-overs.
    pub relay_answers: Counts<(Lane, RelayAnswer)>,
    /// How long they took.
    pub relay_times: Times<(Lane,)>,
    /// People moved along workflows.
    pub moves: IntCounter,
    /// Rows of imported files.
    pub import_rows: Counts<(RowEnd,)>,
    /// Tickets.
    pub tickets: Counts<(Work, TicketEnd)>,
    /// What sweeps had to do.
    pub sweeps: Counts<(SweepFind,)>,
    spans: Counts<(SpanEnd,)>,
    /// Mails that did not arrive, said at once or reported later.
    pub bounces: Counts<(FailureClass,)>,
    /// What came of mails to addresses for reports.
    pub reports: Counts<(ReportEnd,)>,
    messages: Counts<(Lane, MessageStatus)>,
    tenant_messages: Option<Tenants>,
    due: IntGaugeVec,
    due_oldest: GaugeVec,
    /// Whether what readiness looks at is there.
    pub checks: IntGaugeVec,
    connections: IntGaugeVec,
    connection_waits: IntCounterVec,
    begins_refused: IntCounterVec,
    /// When the process began, in seconds since 1970.
    pub started_at: IntGauge,
    /// Memory that is in use.
    pub memory: IntGauge,
    /// Open files and sockets.
    pub files: IntGauge,
    cpu: Counter,
    scraping: Mutex<()>,
    names: Vec<&'static str>,
    registry: Registry,
}

/// Message counts by tenant.
struct Tenants {
    counts: IntCounterVec,
    known: Mutex<HashSet<TenantId>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(false)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Everything at its start; with a count of messages by tenant, if that is asked for.
    #[expect(clippy::too_many_lines, reason = "it is the list")]
    pub fn new(by_tenant: bool) -> Self {
        let mut make = Making::default();
        let all = &mut make;
        let requests = all.counts("carillon_http_requests_total", "HTTP requests; 499: the client was gone.");
        let request_times =
            all.times("carillon_http_request_seconds", "From a request's arrival to the head of its answer.");
        let operations = all.counts("carillon_graphql_operations_total", "GraphQL operations by their first error.");
        let name = "carillon_graphql_deprecated_total";
        let options = Opts::new(name, "Operations that asked for a deprecated field, by the field.");
        let deprecated = all.add(name, IntCounterVec::new(options, &["field"]));
        let sockets = gauge(all, "carillon_sockets", "Open sockets of subscriptions.");
        let subscriptions = gauge(all, "carillon_subscriptions", "Running subscriptions.");
        let messages = all.counts("carillon_messages_total", "Messages by what became of them; queued: put off.");
        let decisions = all.counts("carillon_gate_decisions_total", "What the gate said.");
        let refusals = all.counts("carillon_gate_refusals_total", "Messages that the gate refused or held, by reason.");
        let relay_answers = all.counts("carillon_relay_attempts_total", "Hand-overs to a relay.");
        let relay_times = all.times("carillon_relay_seconds", "How long hand-overs to a relay took.");
        let name = "carillon_workflow_moves_total";
        let moves = all.add(name, IntCounter::new(name, "People moved along workflows."));
        let import_rows = all.counts("carillon_import_rows_total", "Rows of imported files.");
        let tickets = all.counts("carillon_tickets_total", "Tickets of the engine; failed: a fault of ours.");
        let sweeps =
            all.counts("carillon_swept_messages_total", "Messages of workers that are gone, or of unknown end.");
        let spans = all.counts("carillon_trace_spans_total", "Spans for traces; failed and dropped ones are lost.");
        let bounces =
            all.counts("carillon_bounces_total", "Mails given up, at the hand-over or reported later, by class.");
        let reports = all.counts("carillon_reports_total", "Mails to addresses for bounces and complaints.");
        let due = gauges(all, "carillon_due", "Work that is due, counted to 1000; by the elected process.", &["lane"]);
        let name = "carillon_due_oldest_seconds";
        let help = "For how long the oldest row has been due; by the elected process.";
        let due_oldest = all.add(name, GaugeVec::new(Opts::new(name, help), &[Work::NAME]));
        let checks = gauges(all, "carillon_check_ok", "1 while what readiness looks at is there.", &["check"]);
        let connections = gauges(all, "carillon_database_connections", "Connections by pool.", &["pool", "state"]);
        let connection_waits =
            counters(all, "carillon_database_waits_total", "Transactions that found no connection free.");
        let begins_refused =
            counters(all, "carillon_database_begins_refused_total", "Transactions that could not be begun.");
        let started_at = gauge(all, "process_start_time_seconds", "When the process began, in seconds since 1970.");
        let memory = gauge(all, "process_resident_memory_bytes", "Memory in use.");
        let files = gauge(all, "process_open_fds", "Open files and sockets.");
        let name = "process_cpu_seconds_total";
        let cpu = all.add(name, Counter::new(name, "Processor time."));
        let tenant_messages = by_tenant.then(|| {
            let name = "carillon_tenant_messages_total";
            let options = Opts::new(name, "Messages of each tenant; other: of those beyond the first 500.");
            let counts = all.add(name, IntCounterVec::new(options, &["tenant", MessageStatus::NAME]));
            Tenants { counts, known: Mutex::default() }
        });
        let Making { registry, names } = make;
        let scraping = Mutex::default();
        Self {
            requests,
            request_times,
            operations,
            deprecated,
            sockets,
            subscriptions,
            decisions,
            refusals,
            relay_answers,
            relay_times,
            moves,
            import_rows,
            tickets,
            sweeps,
            spans,
            bounces,
            reports,
            messages,
            tenant_messages,
            due,
            due_oldest,
            checks,
            connections,
            connection_waits,
            begins_refused,
            started_at,
            memory,
            files,
            cpu,
            scraping,
            names,
            registry,
        }
    }

    /// The name of every metric.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// An operation asked for a deprecated field, such as `Query.example`: one of the schema's, so there are few.
    pub fn deprecated_use(&self, field: &str) {
        self.deprecated.with_label_values(&[field]).inc();
    }

    /// A message got a status.
    pub fn message(&self, tenant: TenantId, lane: Lane, status: MessageStatus) {
        self.messages.one((lane, status));
        let Some(tenants) = &self.tenant_messages else { return };
        let mut known = tenants.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = known.contains(&tenant) || (known.len() < TENANTS_MAX && known.insert(tenant));
        drop(known);
        let name = if is_named { tenant.to_string() } else { "other".to_owned() };
        tenants.counts.with_label_values(&[name.as_str(), status.as_str()]).inc();
    }

    /// How many messages got a status.
    pub fn messages(&self, lane: Lane, status: MessageStatus) -> u64 {
        self.messages.get((lane, status))
    }

    /// What is due in a lane, as the process that hands it out sees it; none from one that does not.
    pub fn set_due(&self, lane: Work, due: Option<Due>) {
        let lane = [lane.as_str()];
        if let Some(due) = due {
            self.due.with_label_values(&lane).set(due.rows);
            self.due_oldest.with_label_values(&lane).set(due.oldest.to_std().unwrap_or_default().as_secs_f64());
        } else {
            // It may never have been there.
            let _ = (self.due.remove_label_values(&lane), self.due_oldest.remove_label_values(&lane));
        }
    }

    /// Everything in the format of a scrape, after `refresh` set what is looked at only then. One scrape at a time.
    pub fn scrape(&self, refresh: impl FnOnce(&Fresh<'_>)) -> String {
        let _one = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        refresh(&Fresh(self));
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// The media type of a scrape.
    pub const fn media_type() -> &'static str {
        TEXT_FORMAT
    }
}

/// What is due in a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// How many rows, counted to a limit.
    pub rows: i64,
    /// For how long the oldest has been.
    pub oldest: chrono::TimeDelta,
}

/// Metrics during a scrape: sets what others count.
pub struct Fresh<'a>(&'a Metrics);

impl Fresh<'_> {
    /// The database's pools.
    pub fn pools(&self, pools: &[PoolState]) {
        for pool in pools {
            let set = |state, count: u32| {
                self.0.connections.with_label_values(&[pool.name, state]).set(count.into());
            };
            set("in_use", pool.in_use);
            set("idle", pool.idle);
            let raise = |counters: &IntCounterVec, to: u64| {
                let counter = counters.with_label_values(&[pool.name]);
                counter.inc_by(to.saturating_sub(counter.get()));
            };
            raise(&self.0.connection_waits, pool.waits);
            raise(&self.0.begins_refused, pool.refused);
        }
    }

    /// What became of spans since the process began.
    pub fn spans(&self, count: impl Fn(SpanEnd) -> u64) {
        for end in SpanEnd::ALL {
            let known = self.0.spans.get((*end,));
            self.0.spans.add((*end,), count(*end).saturating_sub(known));
        }
    }

    /// Processor time since the process began.
    pub fn cpu(&self, time: std::time::Duration) {
        self.0.cpu.inc_by((time.as_secs_f64() - self.0.cpu.get()).max(0.0));
    }
}

fn gauge(make: &mut Making, name: &'static str, help: &str) -> IntGauge {
    make.add(name, IntGauge::new(name, help))
}

fn gauges(make: &mut Making, name: &'static str, help: &str, labels: &[&str]) -> IntGaugeVec {
    make.add(name, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn counters(make: &mut Making, name: &'static str, help: &str) -> IntCounterVec {
    make.add(name, IntCounterVec::new(Opts::new(name, help), &["pool"]))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn line<'a>(scrape: &'a str, series: &str) -> Option<&'a str> {
        scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }

    #[test]
    fn what_alerts_look_at_is_there_before_it_happens() {
        let scrape = Metrics::default().scrape(|_| {});
        for series in [
            "carillon_tickets_total{lane=\"imports\",outcome=\"failed\"}",
            "carillon_relay_attempts_total{lane=\"bulk\",outcome=\"unreachable\"}",
            "carillon_gate_refusals_total{reason=\"no_consent\"}",
            "carillon_http_requests_total{method=\"post\",route=\"graphql\",status=\"5xx\"}",
            "carillon_bounces_total{class=\"recipient_permanent\"}",
            "carillon_reports_total{outcome=\"complained\"}",
            "carillon_workflow_moves_total",
        ] {
            assert_eq!(line(&scrape, series), Some("0"), "{series}\n{scrape}");
        }
    }

    #[test]
    fn a_lane_that_is_handed_out_elsewhere_is_absent() {
        let metrics = Metrics::default();
        metrics.set_due(Work::Bulk, Some(Due { rows: 7, oldest: chrono::TimeDelta::milliseconds(2_500) }));
        let scrape = metrics.scrape(|_| {});
        assert_eq!(line(&scrape, "carillon_due{lane=\"bulk\"}"), Some("7"));
        assert_eq!(line(&scrape, "carillon_due_oldest_seconds{lane=\"bulk\"}"), Some("2.5"));
        metrics.set_due(Work::Bulk, None);
        metrics.set_due(Work::Imports, None);
        assert!(!metrics.scrape(|_| {}).contains("carillon_due"));
    }

    #[test]
    fn tenants_have_series_only_when_asked_for_and_only_so_many() {
        let count = |metrics: &Metrics| {
            for n in 0..=TENANTS_MAX {
                let tenant = TenantId(Uuid::from_u128(u128::try_from(n).unwrap()));
                metrics.message(tenant, Lane::Bulk, MessageStatus::Sent);
            }
            metrics.scrape(|_| {})
        };
        assert!(!count(&Metrics::new(false)).contains("tenant="));
        let scrape = count(&Metrics::new(true));
        assert_eq!(scrape.lines().filter(|line| line.starts_with("carillon_tenant_messages_total{")).count(), 501);
        assert_eq!(line(&scrape, "carillon_tenant_messages_total{outcome=\"sent\",tenant=\"other\"}"), Some("1"));
        assert_eq!(line(&scrape, "carillon_messages_total{lane=\"bulk\",outcome=\"sent\"}"), Some("501"));
    }

    #[test]
    fn what_others_count_is_taken_over_as_it_is() {
        let metrics = Metrics::default();
        let pool = PoolState { name: "app", in_use: 3, idle: 1, waits: 9, refused: 2 };
        for _ in 0..2 {
            let scrape = metrics.scrape(|fresh| {
                fresh.pools(&[pool]);
                fresh.cpu(std::time::Duration::from_millis(1_500));
                fresh.spans(|end| if end == SpanEnd::Failed { 7 } else { 0 });
            });
            assert_eq!(line(&scrape, "carillon_database_waits_total{pool=\"app\"}"), Some("9"));
            assert_eq!(line(&scrape, "carillon_database_connections{pool=\"app\",state=\"idle\"}"), Some("1"));
            assert_eq!(line(&scrape, "process_cpu_seconds_total"), Some("1.5"));
            assert_eq!(line(&scrape, "carillon_trace_spans_total{outcome=\"failed\"}"), Some("7"));
            assert_eq!(line(&scrape, "carillon_trace_spans_total{outcome=\"dropped\"}"), Some("0"));
        }
    }
}
