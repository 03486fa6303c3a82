//! The verdict about workflows: every acknowledged event that brings somebody in is one way, every way ends, each of its
//! mails is asked for once and arrives once, and none after the goal was met.

use std::collections::HashMap;

use carillon_domain::messaging::MessageClass;
use carillon_entities::ids::ContactId;

use super::count::{Count, Way, WayMail};
use super::load::Done;
use super::verdict::{fate, is_late};

/// Mails of a way that goes to its end.
const MAILS: i64 = 2;
/// Fewer ways than one in so many that came to their end, or to their goal, prove nothing.
const SHARE: usize = 20;

/// What came of the workflows.
#[derive(Debug, Default)]
pub struct Ways {
    pub enrolled: usize,
    pub lost: usize,
    pub repeated: usize,
    pub after_unsubscribe: usize,
    pub after_goal: usize,
    pub unknown: usize,
    pub unknown_at_sink: usize,
    goals: usize,
    completed: usize,
}

/// Counts.
pub fn judge(count: &Count, done: &Done) -> Ways {
    let mut ways = Ways { enrolled: count.ways.len(), ..Ways::default() };
    let mut of: HashMap<ContactId, Vec<&Way>> = HashMap::new();
    for way in &count.ways {
        of.entry(way.contact).or_default().push(way);
        ways.way(way);
    }
    for contact in done.joined.keys() {
        let many = of.get(contact).map_or(0, Vec::len);
        ways.lost += usize::from(many == 0);
        ways.repeated += many.saturating_sub(1);
    }
    for contact in &done.bought {
        let bought = of.get(contact).and_then(|ways| ways.first()).map_or(0, |way| way.bought);
        ways.lost += usize::from(bought == 0);
        ways.repeated += usize::try_from(bought - 1).unwrap_or_default();
    }
    for mail in &count.mails {
        ways.mail(mail, count, done);
    }
    ways.after_goal += usize::try_from(count.cleared_after_goal).unwrap_or(usize::MAX);
    let Ways { enrolled, goals, completed, .. } = ways;
    let (mails, cleared) = (count.mails.len(), count.cleared_after_goal);
    eprintln!("crash: {enrolled} ways, {completed} to the end, {goals} to the goal, {mails} mails, {cleared} after it");
    ways
}

impl Ways {
    fn way(&mut self, way: &Way) {
        self.completed += usize::from(way.state == "completed");
        self.goals += usize::from(way.state == "goal");
        let is_whole = match way.state.as_str() {
            "completed" => way.mails == MAILS,
            "goal" => true,
            _ => false,
        };
        let is_lost = !is_whole || way.mails < way.asked;
        let is_repeated = way.steps > way.kinds || way.mails > way.asked;
        if is_lost || is_repeated || way.missed {
            eprintln!("crash: a way: {way:?}");
        }
        self.lost += usize::from(is_lost);
        self.repeated += usize::from(is_repeated);
        self.after_goal += usize::from(way.missed);
    }

    fn mail(&mut self, mail: &WayMail, count: &Count, done: &Done) {
        let copies = count.copies_of(&mail.row);
        let address = done.joined.get(&mail.contact).map(String::as_str).unwrap_or_default();
        let fate = fate(&mail.row, MessageClass::Marketing, copies.len(), done.leaving.contains(address));
        let is_over = is_taken_back(mail);
        if fate.lost && !is_over {
            eprintln!("crash: lost of a way: {mail:?}, {} copies", copies.len());
        }
        self.lost += usize::from(fate.lost && !is_over);
        self.repeated += fate.repeated;
        self.unknown += fate.unknown;
        self.unknown_at_sink += fate.unknown.min(copies.len());
        self.after_goal += if is_over { copies.len() } else { 0 };
        let left = done.left.get(address);
        let is_late = left.is_some_and(|left| copies.iter().any(|copy| is_late(copy.ended, *left)));
        let was_refused = mail.row.state == "refused" && !is_over && !copies.is_empty();
        self.after_unsubscribe += usize::from(is_late || was_refused);
        let is_strange = copies.iter().any(|copy| copy.recipients != [address]);
        self.repeated += usize::from(is_strange);
    }

    /// Whether the run could not have shown otherwise.
    pub fn complaint(&self, joined: usize) -> Option<String> {
        let Self { enrolled, goals, completed, .. } = self;
        let few = goals * SHARE < *enrolled || completed * SHARE < *enrolled || *enrolled == 0;
        if few {
            return Some(format!("{enrolled} ways, {goals} goals, {completed} ends: too few to tell"));
        }
        (*enrolled != joined).then(|| format!("{joined} people joined, {enrolled} ways began"))
    }
}

/// Mails that somebody who met the goal was spared.
fn is_taken_back(mail: &WayMail) -> bool {
    let why = (mail.row.state.as_str(), mail.row.reason.as_str());
    mail.way == "goal" && matches!(why, ("refused", "way_over") | ("cancelled", "way_ended"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Row;

    fn way(state: &str) -> Way {
        let (steps, mails) = (5, 2);
        let contact = ContactId(uuid::Uuid::nil());
        Way { contact, state: state.to_owned(), steps, kinds: steps, asked: mails, mails, bought: 0, missed: false }
    }

    fn judged(way: &Way) -> (usize, usize, usize) {
        let mut ways = Ways::default();
        ways.way(way);
        (ways.lost, ways.repeated, ways.after_goal)
    }

    #[test]
    fn what_counts_as_a_whole_way() {
        assert_eq!(judged(&way("completed")), (0, 0, 0));
        assert_eq!(judged(&Way { mails: 0, asked: 0, ..way("goal") }), (0, 0, 0));
        assert_eq!(judged(&way("active")), (1, 0, 0), "it does not end");
        assert_eq!(judged(&way("failed")), (1, 0, 0));
        assert_eq!(judged(&Way { mails: 1, asked: 1, ..way("completed") }), (1, 0, 0), "a mail was not asked for");
        assert_eq!(judged(&Way { mails: 1, ..way("goal") }), (1, 0, 0), "a mail that was asked for is gone");
        assert_eq!(judged(&Way { mails: 3, ..way("goal") }), (0, 1, 0));
        assert_eq!(judged(&Way { kinds: 4, ..way("completed") }), (0, 1, 0), "a step was taken twice");
        assert_eq!(judged(&Way { missed: true, ..way("completed") }), (0, 0, 1));
    }

    #[test]
    fn c184_only_the_goal_takes_a_mail_back() {
        let mail = |state: &str, reason: &str, way: &str| {
            let (state, reason, way) = (state.to_owned(), reason.to_owned(), way.to_owned());
            let row = Row { state, reason, internet_message_id: String::new(), hidden: 0, knowing: 0 };
            is_taken_back(&WayMail { row, contact: ContactId(uuid::Uuid::nil()), way })
        };
        assert!(mail("refused", "way_over", "goal") && mail("cancelled", "way_ended", "goal"));
        assert!(!mail("refused", "way_over", "completed") && !mail("cancelled", "", "goal"));
        assert!(!mail("sent", "", "goal") && !mail("refused", "suppressed_unsubscribe", "goal"));
    }
}
