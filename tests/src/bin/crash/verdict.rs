//! The verdict: every acknowledged intent, every copy at the sink, every unsubscribe, held against the promise.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use carillon_domain::messaging::MessageClass;
use carillon_entities::ids::TenantId;

use super::count::{Count, Row};
use super::faults::Faults;
use super::load::{Accepted, Done};
use super::rush::Rush;
use super::ways::{self, Ways};
use super::{PERMIT_S, SLOTS};

/// The sink reads the final dot a little later than it was sent, on a machine that is busy.
const READING: Duration = Duration::from_millis(500);

/// What was done to the system.
pub struct Run<'a> {
    pub faults: &'a Faults,
    /// Faults that struck while nothing was open.
    pub idle: usize,
    /// So many must have left, and so many intents must have been for somebody who had.
    pub leavers: usize,
    /// How everybody left at once.
    pub rush: &'a Rush,
    pub seed: u64,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    lost: usize,
    repeated: usize,
    after_unsubscribe: usize,
    after_goal: usize,
    unknown: usize,
    unknown_at_sink: usize,
    unknown_most: usize,
    intents: usize,
    enrolled: usize,
    faults: usize,
    seed: u64,
    /// Whatever else was wrong, with the run or with the system.
    complaints: Vec<String>,
}

impl Verdict {
    /// True when the promise was kept, and the run could have shown otherwise.
    pub fn holds(&self) -> bool {
        let broken = self.lost + self.repeated + self.after_unsubscribe + self.after_goal;
        broken == 0 && self.complaints.is_empty()
    }
}

impl Verdict {
    fn add(&mut self, ways: &Ways) {
        self.enrolled = ways.enrolled;
        self.lost += ways.lost;
        self.repeated += ways.repeated;
        self.after_unsubscribe += ways.after_unsubscribe;
        self.after_goal += ways.after_goal;
        self.unknown += ways.unknown;
        self.unknown_at_sink += ways.unknown_at_sink;
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "lost={} repeated={} after_unsubscribe={} after_goal={} unknown={} unknown_at_sink={} intents={} enrolled={} \
             faults={} seed={}",
            self.lost,
            self.repeated,
            self.after_unsubscribe,
            self.after_goal,
            self.unknown,
            self.unknown_at_sink,
            self.intents,
            self.enrolled,
            self.faults,
            self.seed
        )
    }
}

/// What the promise says about one intent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub lost: bool,
    /// Copies that no hidden outcome explains.
    pub repeated: usize,
    /// Copies that one does, of a receipt.
    excused: usize,
    /// Outcomes that nobody knew: of advertisements those that stayed so, of receipts all.
    pub unknown: usize,
}

/// Counts.
pub fn reach(count: &Count, done: &Done, run: &Run<'_>) -> Verdict {
    let mut verdict =
        Verdict { intents: done.accepted.len(), faults: run.faults.struck, seed: run.seed, ..Verdict::default() };
    let (mut later, mut excused) = (0, 0);
    for (id, intent) in &done.accepted {
        let Some(row) = count.rows.get(id) else {
            verdict.lost += 1;
            continue;
        };
        let copies = count.copies_of(row);
        let fate = fate(row, intent.class, copies.len(), done.leaving.contains(&intent.address));
        verdict.lost += usize::from(fate.lost);
        verdict.repeated += fate.repeated;
        excused += fate.excused;
        verdict.unknown += fate.unknown;
        verdict.unknown_at_sink += fate.unknown.min(copies.len());
        if fate.lost {
            eprintln!("crash: lost: {} {:?} {} {} copies", intent.class.as_str(), row.state, row.reason, copies.len());
        }
        if copies.iter().any(|mail| mail.recipients != [intent.address.as_str()]) {
            verdict.complaints.push("a mail went to somebody else".to_owned());
        }
        let (came_late, was_later) = after_leaving(intent, done, row, copies.iter().map(|mail| mail.ended));
        verdict.after_unsubscribe += came_late;
        later += usize::from(was_later);
    }
    verdict.after_unsubscribe += usize::try_from(count.cleared_late).unwrap_or(usize::MAX);
    let ways = ways::judge(count, done);
    verdict.add(&ways);
    verdict.unknown_most = 16 * SLOTS * run.faults.engine_losses
        + usize::try_from(count.totals.dropped_stored + count.totals.dropped_lost).unwrap_or(usize::MAX);
    verdict.repeated += beyond(excused, verdict.unknown_most);
    strangers(&mut verdict, count, done);
    complain(&mut verdict, count, done, run, later);
    verdict.complaints.extend(ways.complaint(done.joined.len()));
    print(&verdict, count, done, run, later);
    verdict
}

/// An intent is lost unless it is at the sink, or unknown and marketing, or refused to somebody who was leaving.
pub fn fate(row: &Row, class: MessageClass, copies: usize, was_leaving: bool) -> Fate {
    let marketing = class == MessageClass::Marketing;
    let refused = matches!(row.reason.as_str(), "suppressed_unsubscribe" | "consent_withdrawn");
    let lost = match row.state.as_str() {
        "sent" => copies == 0,
        "refused" => !(marketing && was_leaving && refused),
        // A receipt is tried again until it is known to have arrived (C-168).
        "unknown" => !marketing,
        _ => true,
    };
    let again = copies.saturating_sub(1);
    if marketing {
        return Fate { lost, repeated: again, excused: 0, unknown: usize::from(row.state == "unknown") };
    }
    let unknown = usize::try_from(row.hidden).unwrap_or_default();
    // An outcome that had come to light excuses nothing.
    let knowing = usize::try_from(row.knowing).unwrap_or_default();
    let repeated = again.saturating_sub(unknown).max(knowing.min(again));
    Fate { lost, repeated, excused: again - repeated, unknown }
}

/// The system calls an outcome unknown by its own word: that excuses no more copies than there were reasons for it.
fn beyond(excused: usize, most: usize) -> usize {
    excused.saturating_sub(most)
}

/// Marketing that left too late after an acknowledged unsubscribe, and whether it was queued after it.
fn after_leaving(
    intent: &Accepted,
    done: &Done,
    row: &Row,
    mut ended: impl Iterator<Item = tokio::time::Instant>,
) -> (usize, bool) {
    let Some(left) = done.left.get(&intent.address).filter(|_| intent.class == MessageClass::Marketing) else {
        return (0, false);
    };
    let was_later = intent.posted > *left;
    let came_late = ended.any(|ended| is_late(ended, *left)) || (was_later && row.state != "refused");
    (usize::from(came_late), was_later)
}

/// Whether a mail's final dot came too late after an acknowledged unsubscribe.
pub fn is_late(ended: tokio::time::Instant, left: tokio::time::Instant) -> bool {
    ended > left + Duration::from_secs(PERMIT_S.unsigned_abs()) + READING
}

/// Rows and copies that no acknowledged intent explains.
fn strangers(verdict: &mut Verdict, count: &Count, done: &Done) {
    if count.rows.len() != done.keys || done.accepted.len() != done.keys {
        let (rows, accepted) = (count.rows.len(), done.accepted.len());
        verdict.complaints.push(format!("{} keys made {rows} messages, {accepted} acknowledged", done.keys));
    }
    let all = count.rows.values().chain(count.mails.iter().map(|mail| &mail.row));
    let ours: std::collections::HashSet<&str> = all.map(|row| row.internet_message_id.as_str()).collect();
    let strange = count.copies.keys().filter(|id| !ours.contains(id.as_str())).count();
    if strange > 0 {
        verdict.complaints.push(format!("{strange} mails at the sink belong to no message"));
    }
}

fn complain(verdict: &mut Verdict, count: &Count, done: &Done, run: &Run<'_>, later: usize) {
    let complaints = &mut verdict.complaints;
    if verdict.unknown > verdict.unknown_most {
        complaints.push(format!("{} unknown are more than {}", verdict.unknown, verdict.unknown_most));
    }
    if 2 * run.idle >= run.faults.struck {
        complaints.push(format!("{} of {} faults struck an idle system", run.idle, run.faults.struck));
    }
    if run.faults.ended > 0 {
        complaints.push(format!("{} processes ended by themselves", run.faults.ended));
    }
    if done.left.len() < run.leavers + run.rush.people || later < run.leavers {
        complaints.push(format!("{} left, and {later} intents came later: too few to tell", done.left.len()));
    }
    complaints.extend(run.rush.complaint());
    let stayed = run.faults.unwell;
    if stayed > 0 {
        complaints.push(format!("{stayed} engines did not end well when told to"));
    }
    let tenants: HashMap<&str, TenantId> =
        done.accepted.values().map(|intent| (intent.address.as_str(), intent.tenant)).collect();
    let in_ledger = |address: &str| {
        tenants.get(address).is_some_and(|tenant| count.has_withdrawn(*tenant, address).unwrap_or_default())
    };
    let forgotten = done.left.keys().filter(|address| !in_ledger(address)).count();
    if forgotten > 0 {
        complaints.push(format!("{forgotten} acknowledged unsubscribes are not in the ledger"));
    }
}

fn print(verdict: &Verdict, count: &Count, done: &Done, run: &Run<'_>, later: usize) {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for row in count.rows.values() {
        *states.entry(&row.state).or_default() += 1;
    }
    let second = count.copies.values().map(|mails| mails.len() - 1).sum::<usize>();
    eprintln!("crash: {states:?}, {second} second copies of receipts whose outcome was hidden");
    eprintln!(
        "crash: {} of {} unsubscribes acknowledged, {later} intents came later, {} cleared late",
        done.left.len(),
        done.leaving.len(),
        count.cleared_late
    );
    let hidden = count.totals.dropped_stored + count.totals.dropped_lost;
    eprintln!(
        "crash: unknown at most 16 x {SLOTS} worker slots x {} kills + {hidden} that the sink hid = {}",
        run.faults.engine_losses, verdict.unknown_most
    );
    for complaint in &verdict.complaints {
        eprintln!("crash: {complaint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, reason: &str, hidden: i64) -> Row {
        let (state, reason) = (state.to_owned(), reason.to_owned());
        Row { state, reason, internet_message_id: String::new(), hidden, knowing: 0 }
    }

    #[test]
    fn what_counts_as_lost() {
        use MessageClass::{Marketing, Transactional};
        for (state, reason, class, copies, leaving, lost) in [
            ("sent", "", Marketing, 1, false, false),
            ("sent", "", Marketing, 0, false, true),
            ("refused", "suppressed_unsubscribe", Marketing, 0, true, false),
            ("refused", "suppressed_unsubscribe", Marketing, 0, false, true),
            ("refused", "hard_bounced", Marketing, 0, true, true),
            ("refused", "suppressed_unsubscribe", Transactional, 0, true, true),
            ("unknown", "", Marketing, 0, false, false),
            ("unknown", "", Transactional, 1, false, true),
            ("failed", "", Marketing, 0, false, true),
            ("bounced", "", Marketing, 0, false, true),
            ("expired", "", Marketing, 0, false, true),
            ("queued", "", Marketing, 0, false, true),
        ] {
            assert_eq!(fate(&row(state, reason, 0), class, copies, leaving).lost, lost, "{state} {reason} {class:?}");
        }
    }

    #[test]
    fn c168_hidden_outcomes_of_both_classes_are_counted_and_excuse_only_so_many_copies() {
        let fate = |class, state, hidden, copies| fate(&row(state, "", hidden), class, copies, false);
        assert_eq!(fate(MessageClass::Marketing, "unknown", 1, 1).unknown, 1);
        assert_eq!(fate(MessageClass::Marketing, "sent", 1, 1).unknown, 0, "late evidence settled it");
        let receipt = fate(MessageClass::Transactional, "sent", 2, 2);
        assert_eq!((receipt.unknown, receipt.excused, receipt.repeated), (2, 1, 0));
        assert_eq!((beyond(16, 16), beyond(17, 16)), (0, 1));
    }

    #[test]
    fn c168_only_a_hidden_outcome_explains_a_second_receipt_and_nothing_a_second_advertisement() {
        let copies = |class, hidden, copies| fate(&row("sent", "", hidden), class, copies, false).repeated;
        assert_eq!(copies(MessageClass::Transactional, 0, 2), 1);
        assert_eq!(copies(MessageClass::Transactional, 1, 2), 0);
        assert_eq!(copies(MessageClass::Transactional, 1, 3), 1);
        assert_eq!(copies(MessageClass::Marketing, 1, 2), 1);
        assert_eq!(copies(MessageClass::Marketing, 0, 1), 0);
        let knowing = Row { knowing: 1, ..row("sent", "", 1) };
        let fate = fate(&knowing, MessageClass::Transactional, 2, false);
        assert_eq!((fate.repeated, fate.excused), (1, 0), "it was known that the first had arrived");
    }
}
