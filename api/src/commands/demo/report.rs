//! The report: what a marketer wants to know of two mailings and a workflow, tenant by tenant.

use std::fmt::Write as _;

use super::agency::CLIENTS;
use super::checks::{Seen, Verdict};
use super::mailing::Stats;
use super::walk::Journey;
use super::ways::VariantNumbers;

/// How many mistakes are shown.
const EXAMPLES: usize = 5;

/// The report as text.
pub fn text(tenants: &[Seen], verdict: &Verdict) -> String {
    let mut out = String::new();
    for (tenant, client) in tenants.iter().zip(CLIENTS) {
        let _ = writeln!(out, "\n{}\n{}", client.name, "-".repeat(client.name.chars().count()));
        import(&mut out, tenant);
        for (number, (intents, stats)) in tenant.rounds.iter().enumerate() {
            round(&mut out, number + 1, *intents, stats);
        }
        line(&mut out, "unsubscribed by one click", tenant.unsubscribed());
        line(&mut out, "people whose links a scanner opened", tenant.scanned.len() as u64);
        if let Some(journey) = &tenant.journey {
            workflow(&mut out, journey);
        }
    }
    let _ = writeln!(out, "\nChecks: {}", verdict.checks);
    for failed in &verdict.failed {
        let _ = writeln!(out, "  FAILED  {failed}");
    }
    out
}

fn import(out: &mut String, tenant: &Seen) {
    let Some(import) = &tenant.import else { return };
    let _ = writeln!(out, "Import of {} rows", import.rows_seen);
    line(out, "new contacts", import.rows_created);
    line(out, "the same person again", import.rows_updated);
    line(out, "rows with a mistake", import.rows_failed);
    let mistakes = import.mistakes();
    for error in mistakes.iter().take(EXAMPLES) {
        let field = if error.field.is_empty() { "row" } else { &error.field };
        let _ = writeln!(out, "      line {:>4}  {field}: {}", error.line, error.message);
    }
    if mistakes.len() > EXAMPLES {
        let _ = writeln!(out, "      and {} more", mistakes.len() - EXAMPLES);
    }
    line(
        out,
        "subscribed in one row and unsubscribed in another: they stay unsubscribed",
        import.kept_out().len() as u64,
    );
}

fn round(out: &mut String, number: usize, intents: u64, stats: &Stats) {
    let _ = writeln!(out, "Mail {number}, asked for {intents} people");
    line(out, "sent", stats.in_state("SENT"));
    line(out, "of these after a retry", stats.retried);
    line(out, "bounced: no such mailbox", stats.in_state("BOUNCED"));
    line(out, "failed: could not be handed over (here: umlauts before the @)", stats.in_state("FAILED"));
    line(out, "refused by the gate", stats.in_state("REFUSED"));
    for (reason, count) in &stats.refusals {
        let _ = writeln!(out, "      {count:>5}  {}", in_words(reason));
    }
}

fn workflow(out: &mut String, journey: &Journey) {
    let numbers = &journey.numbers;
    let _ = writeln!(out, "Workflow {}, begun by the events of {} people", journey.flow.name, journey.people.len());
    line(out, "entered", numbers.outcome("ENROLLED"));
    for name in journey.flow.nodes {
        let (came, sent) = (numbers.of_node(name, |node| node.entered), numbers.of_node(name, |node| node.sent));
        let mails = if sent > 0 { format!(": {sent} mails sent") } else { String::new() };
        let ways = ["THEN", "OTHERWISE", "UNKNOWN"].map(|way| (way, numbers.of_node(name, |node| node.outcome(way))));
        let ways = ways.iter().filter(|(_, count)| *count > 0);
        let ways: Vec<String> = ways.map(|(way, count)| format!(", {} {count}", way.to_lowercase())).collect();
        let _ = writeln!(out, "  {came:>5}  came to {name}{mails}{}", ways.concat());
    }
    let _ = writeln!(out, "  mails refused by the gate");
    for (reason, count) in numbers.refused() {
        let _ = writeln!(out, "      {count:>5}  {}", in_words(reason));
    }
    let _ = writeln!(out, "  how it ended");
    for (reason, count) in numbers.exited() {
        let _ = writeln!(out, "      {count:>5}  {reason}");
    }
    for VariantNumbers { label, exposed, opened, clicked, converted } in &numbers.variants {
        let (opened, clicked, converted) = (opened.count, clicked.count, converted.unwrap_or_default().count);
        let _ = writeln!(
            out,
            "  {exposed:>5}  in variant {label}: {opened} opened, {clicked} clicked, {converted} did what it is for"
        );
    }
    line(out, "unsubscribed meanwhile", journey.unsubscribed);
}

fn line(out: &mut String, what: &str, count: u64) {
    let _ = writeln!(out, "  {count:>5}  {what}");
}

/// The gate's reasons for people; one that has no words here is shown as it is.
fn in_words(reason: &str) -> &str {
    match reason {
        "suppressed_unsubscribe" => "said no: in the file, or by unsubscribing",
        "consent_withdrawn" => "took back that they agreed",
        "consent_objected" => "objected to being written to",
        "consent_expired" => "agreed too long ago",
        "consent_unproven" => "nobody knows when and where they agreed",
        "no_consent" => "never agreed",
        "consent_pending" => "have not confirmed yet",
        "suppressed_hard_bounce" => "their mailbox does not exist: suppressed",
        "hard_bounced" => "their mailbox does not exist",
        other => other,
    }
}
