//! What must hold of the workflows: who went which way, who got which mail, and that the API's numbers say so.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::cast::{Habit, Person};
use super::super::flows::{self, BRANCH, MORE, REMINDER, SPLIT, VARIANTS};
use super::super::mailbox::Mail;
use super::super::walk::Journey;
use super::super::ways::{NodeNumbers, VariantNumbers, Way};
use super::{Caught, Checks, Seen};

/// What came of a variant, for the last line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Variant {
    label: String,
    exposed: u64,
    opened: u64,
    clicked: u64,
    converted: u64,
}

impl From<&VariantNumbers> for Variant {
    fn from(of: &VariantNumbers) -> Self {
        let VariantNumbers { label, exposed, opened, clicked, converted } = of;
        let converted = converted.unwrap_or_default().count;
        Self { label: label.clone(), exposed: *exposed, opened: opened.count, clicked: clicked.count, converted }
    }
}

/// People who got a workflow's mail although they had unsubscribed: from a mailing, or between its two mails.
pub(super) fn after_unsubscribe(tenant: &Seen, arrived: &[&Mail]) -> usize {
    let people = tenant.journey.iter().flat_map(|journey| &journey.people);
    let left: BTreeSet<&str> = people.filter(|person| person.leaves()).map(|person| person.email.as_str()).collect();
    let is_too_late = |mail: &&&Mail| {
        let said_no = |node| tenant.clicked.contains(&mail.to) || node == MORE && left.contains(mail.to.as_str());
        mail.from == tenant.from && flows::step_of(&mail.intent).is_some_and(|(node, _)| said_no(node))
    };
    arrived.iter().filter(is_too_late).count()
}

/// What was seen of one workflow.
struct View<'a> {
    journey: &'a Journey,
    /// The tenant's mails.
    mails: Vec<&'a Mail>,
    /// Whom the gate lets be written to.
    allowed: BTreeSet<&'a str>,
}

type Addresses<'a> = BTreeSet<&'a str>;

impl<'a> View<'a> {
    fn new(tenant: &'a Seen, journey: &'a Journey, (arrived, caught): (&[&'a Mail], &'a Caught<'_>)) -> Self {
        let mails = arrived.iter().copied().filter(|mail| mail.from == tenant.from).collect();
        let is_out = |to: &String| caught.gone.contains(to) || tenant.clicked.contains(to);
        let allowed = caught.people.agreed.iter().filter(|to| !is_out(to)).map(String::as_str).collect();
        Self { journey, mails, allowed }
    }

    fn mails_of(&self, node: &str) -> Vec<&'a Mail> {
        let is_of = |mail: &&&Mail| flows::step_of(&mail.intent).is_some_and(|(of, _)| of == node);
        self.mails.iter().filter(is_of).copied().collect()
    }

    /// Whom the mail of a node reached.
    fn got(&self, node: &str) -> Addresses<'a> {
        self.mails_of(node).into_iter().map(|mail| mail.to.as_str()).collect()
    }

    /// The people whom mail can reach and of whom something holds.
    fn who(&self, is: impl Fn(&Person) -> bool) -> Addresses<'a> {
        let people = self.journey.people.iter().filter(|person| is(person));
        people.map(|person| person.email.as_str()).filter(|to| self.allowed.contains(to)).collect()
    }

    fn ways(&self, person: &Person) -> &'a [Way] {
        self.journey.ways.get(&person.id).map_or(&[], Vec::as_slice)
    }

    /// Everybody on whose way something holds.
    fn on_way(&self, is: impl Fn(&Way) -> bool) -> impl Iterator<Item = &'a Person> {
        self.journey.people.iter().filter(move |person| self.ways(person).iter().any(&is))
    }

    /// Whom mail can reach, and who took this way at the branch.
    fn took(&self, outcome: &str) -> Addresses<'a> {
        let people = self.on_way(|way| way.at(BRANCH) == Some(outcome)).map(|person| person.email.as_str());
        people.filter(|to| self.allowed.contains(to)).collect()
    }
}

impl Checks {
    /// All that is known of a tenant's workflow.
    pub(super) fn journey(&mut self, tenant: &Seen, journey: &Journey, seen: (&[&Mail], &Caught<'_>)) {
        let view = View::new(tenant, journey, seen);
        let of = |what: &str| format!("{}: {what}", journey.flow.name);
        let entered = journey.people.iter().map(Person::entries).sum();
        self.equal(&of("entries"), journey.numbers.outcome("ENROLLED"), entered);
        let astray = journey.people.iter().filter(|person| view.ways(person).len() as u64 != person.entries());
        self.equal(&of("people who entered too often, or wrongly, or not"), astray.count(), 0);
        for node in journey.flow.nodes {
            let sent = journey.numbers.of_node(node, |numbers| numbers.sent);
            self.equal(&of(&format!("mails of {node} that arrived")), view.mails_of(node).len() as u64, sent);
        }
        let left = view.who(Person::leaves).len() as u64;
        self.equal(&of("people who unsubscribed"), journey.unsubscribed, left);
        if journey.flow.nodes.contains(&REMINDER) {
            self.cart(&of, &view);
        } else {
            self.welcome(&of, &view);
            self.variants(&of, &view);
        }
    }

    fn welcome(&mut self, of: &dyn Fn(&str) -> String, view: &View<'_>) {
        let [a, b] = VARIANTS.map(|(_, node, _)| view.got(node));
        self.same(&of("the first mail"), &a.union(&b).copied().collect(), &view.who(|_| true));
        self.equal(&of("people who got both subjects"), a.intersection(&b).count(), 0);
        let first: usize = VARIANTS.iter().map(|(_, node, _)| view.mails_of(node).len()).sum();
        let reached = view.journey.people.iter().filter(|person| view.allowed.contains(person.email.as_str()));
        self.equal(&of("first mails"), first as u64, reached.map(Person::entries).sum());
        self.same(&of("the way of those who clicked"), &view.took("THEN"), &view.who(|p| p.is_tracked() && p.clicks()));
        let untracked = view.who(|person| !person.is_tracked());
        self.holds(&of("some people are not tracked"), !untracked.is_empty());
        self.same(&of("the way of those who are not tracked"), &view.took("UNKNOWN"), &untracked);
        let scanned = view.who(|person| person.is_tracked() && person.habit == Habit::Scanned);
        self.holds(&of("a scanner opened links of people who are tracked"), !scanned.is_empty());
        let moved = scanned.difference(&view.took("OTHERWISE")).count();
        self.equal(&of("people who were moved by a scanner's clicks"), moved, 0);
        let again = view.who(|person| person.is_tracked() && person.clicks() && !person.leaves());
        self.same(&of("the second mail"), &view.got(MORE), &again);
        let refused = view.journey.numbers.of_node(MORE, NodeNumbers::refused_mails);
        let left = view.who(|person| person.is_tracked() && person.clicks() && person.leaves());
        self.equal(&of("second mails refused after an unsubscribe"), refused, left.len() as u64);
    }

    /// Each variant's numbers, from what its people did; and that nobody changed from one to the other, however often they
    /// entered.
    fn variants(&mut self, of: &dyn Fn(&str) -> String, view: &View<'_>) {
        let variants =
            |person: &Person| view.ways(person).iter().map(|way| way.variant.as_ref()).collect::<BTreeSet<_>>();
        let changed = view.journey.people.iter().filter(|person| variants(person).len() > 1);
        self.equal(&of("people whose ways are in two variants"), changed.count(), 0);
        let twice = view.journey.people.iter().any(|person| view.ways(person).len() > 1);
        self.holds(&of("some people entered twice"), twice);
        for (label, node, subject) in VARIANTS {
            let mails = view.mails_of(node);
            let wrong = mails.iter().filter(|mail| mail.subject != subject).count();
            self.equal(&of(&format!("mails of {label} with another subject")), wrong, 0);
            let name = format!("{SPLIT}/{label}");
            let inside: Vec<&Person> = view.on_way(|way| way.variant.as_ref() == Some(&name)).collect();
            let got: BTreeSet<&str> = view.got(node);
            let others = got.iter().filter(|to| !inside.iter().any(|person| person.email == **to)).count();
            self.equal(&of(&format!("people with the mail of {label} in another variant")), others, 0);
            let seen = |does: fn(&Person) -> bool| {
                inside.iter().filter(|one| one.is_tracked() && does(one) && got.contains(one.email.as_str())).count()
            };
            let wanted = Variant {
                label: label.to_owned(),
                exposed: inside.len() as u64,
                opened: seen(Person::opens) as u64,
                clicked: seen(Person::clicks) as u64,
                converted: inside.iter().filter(|person| person.converts).count() as u64,
            };
            let told = view.journey.numbers.variants.iter().find(|one| one.label == label).map(Variant::from);
            self.holds(&of(&format!("{told:?} is {wanted:?}")), told.as_ref() == Some(&wanted));
        }
    }

    fn cart(&mut self, of: &dyn Fn(&str) -> String, view: &View<'_>) {
        let buyers = view.journey.people.iter().filter(|person| person.habit == Habit::Buys);
        let buyers: Addresses<'_> = buyers.map(|person| person.email.as_str()).collect();
        let met = view.on_way(|way| way.state == "GOAL").map(|person| person.email.as_str()).collect();
        self.same(&of("the goal"), &met, &buyers);
        self.equal(&of("goals"), view.journey.numbers.outcome("GOAL"), buyers.len() as u64);
        let got = view.got(REMINDER);
        self.equal(&of("buyers who were reminded of their cart"), got.intersection(&buyers).count(), 0);
        self.same(&of("the reminder"), &got, &view.who(|person| person.habit == Habit::Ignores));
    }

    /// Who came to something is who was to come to it.
    fn same(&mut self, what: &str, seen: &Addresses<'_>, wanted: &Addresses<'_>) {
        self.equal(&format!("{what}: people it lacks"), wanted.difference(seen).count(), 0);
        self.equal(&format!("{what}: people without reason"), seen.difference(wanted).count(), 0);
    }
}

#[cfg(test)]
mod tests;
