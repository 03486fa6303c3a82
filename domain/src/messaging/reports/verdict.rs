//! What a report means for the mail it came back for: one pure, total decision (C-50, C-54, C-55).

use super::{Action, RecipientReport};
use crate::messaging::reply_class::{self, Disposition, EnhancedCode, FailureClass, Operator, Reply, SmtpStage};

/// The rule where a report names somebody else: the mail is over, and whose mailbox is to blame is not known.
const UNNAMED: &str = "unnamed";

/// What a report means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did not arrive and will not.
    Failed(Failure),
    /// It is on its way.
    Delayed,
    /// Somebody has it.
    Delivered,
}

/// Why a mail did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub class: FailureClass,
    pub rule: &'static str,
    /// The address gets no more mail.
    pub suppress: bool,
    /// Who runs the mailbox, by its domain alone, as the gate counts mails (C-53).
    pub mailbox: Operator,
    /// The reply's code, 0 for none, its enhanced code and its text, which may quote addresses.
    pub code: u16,
    pub enhanced: Option<EnhancedCode>,
    pub text: String,
}

/// Judges a report; `is_ours` tells the address that the mail was written to. None where it says nothing.
///
/// Of several recipients those count who are that address, or all where none is: it may have been forwarded, or be a list. Where
/// anybody of them has the mail it arrived.
pub(super) fn judge(recipients: &[RecipientReport], is_ours: impl Fn(&str) -> bool) -> Option<Verdict> {
    let names_ours = |report: &&RecipientReport| report.recipients.iter().any(|address| is_ours(address));
    let ours: Vec<&RecipientReport> = recipients.iter().filter(names_ours).collect();
    let chosen = if ours.is_empty() { recipients.iter().collect() } else { ours };
    if chosen.iter().any(|report| report.action.is_good()) {
        return Some(Verdict::Delivered);
    }
    match chosen.iter().find(|report| report.action == Action::Failed) {
        Some(report) => {
            let named = report.recipients.iter().find(|address| is_ours(address));
            Some(Verdict::Failed(failure(report, named.map(String::as_str))))
        }
        None if chosen.is_empty() => None,
        None => Some(Verdict::Delayed),
    }
}

/// `named` is the address that the mail was written to, as the report has it.
fn failure(report: &RecipientReport, named: Option<&str>) -> Failure {
    let (code, text) = report.diagnostic.clone().unwrap_or_default();
    let code = if (400..600).contains(&code) { code } else { 0 };
    let said = EnhancedCode::at_start_of(&text);
    let tells = |code: &EnhancedCode| (code.subject, code.detail) != (0, 0);
    let enhanced = report.status.filter(tells).or(said.filter(tells)).or(report.status).or(said);
    let host = |name: &str| Operator::of_host(name.split_whitespace().next().unwrap_or_default());
    let domain = |address: &str| host(address.rsplit_once('@')?.1);
    let operator = Operator::of_text(&text)
        .or_else(|| report.remote_mta.as_deref().and_then(host))
        .or_else(|| report.recipients.iter().find_map(|address| domain(address)));
    let reply = Reply { stage: SmtpStage::Recipient, code, enhanced, text, operator };
    let judged = reply_class::classify_final(&reply);
    let gone = judged.disposition == Disposition::FailAndSuppress;
    let everybody = carillon_entities::seeded_bugs::on("every_bounce_suppresses");
    let (class, rule) =
        if gone && named.is_none() { (FailureClass::Unknown, UNNAMED) } else { (judged.class, judged.rule) };
    Failure {
        class,
        rule,
        suppress: gone && named.is_some() || everybody,
        mailbox: named.and_then(domain).unwrap_or(Operator::OTHER),
        code,
        enhanced,
        text: reply.text,
    }
}
