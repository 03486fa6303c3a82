//! What must hold at the end: counted at the catcher and in the API, never assumed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::agency;
use super::flows;
use super::list::{self, People};
use super::mailbox::{Mail, Totals};
use super::mailing::{Contact, Round, Stats};
use super::product::SYSTEM_FROM;
use super::signatures::Signatures;
use super::tenant::Import;
use super::walk::Journey;

mod journeys;

use journeys::Variant;

/// Everything that was seen of one tenant.
#[derive(Debug, Default)]
pub struct Seen {
    /// Address of its sender.
    pub from: &'static str,
    /// How its import went.
    pub import: Option<Import>,
    /// Its contacts, as the API tells.
    pub contacts: Vec<Contact>,
    /// Intents and counts of each mail, as the API tells.
    pub rounds: Vec<(u64, Stats)>,
    /// Addresses that used the one click.
    pub clicked: BTreeSet<String>,
    /// Addresses whose mails the scanner opened.
    pub scanned: BTreeSet<String>,
    /// Addresses that were suppressed for unsubscribing before anybody clicked: the file's.
    pub unsubscribed_before: u64,
    /// Suppressed addresses by reason, after both mails.
    pub suppressed: BTreeMap<String, u64>,
    /// Own contacts that it asked for by id.
    pub probed: u64,
    /// Own contacts that it could see among these.
    pub own: u64,
    /// Contacts of the other tenant that it could see.
    pub foreign: u64,
    /// Its workflow.
    pub journey: Option<Journey>,
}

impl Seen {
    fn sum(&self, count: impl Fn(&Stats) -> u64) -> u64 {
        self.rounds.iter().map(|(_, stats)| count(stats)).sum()
    }

    /// Mails that the API says were sent.
    pub fn sent(&self) -> u64 {
        self.sum(|stats| stats.in_state("SENT"))
    }

    /// Mails whose mailbox does not exist.
    pub fn bounced(&self) -> u64 {
        self.sum(|stats| stats.in_state("BOUNCED"))
    }

    /// People who unsubscribed since the import, as the API counts them.
    pub fn unsubscribed(&self) -> u64 {
        unsubscriptions(&self.suppressed).saturating_sub(self.unsubscribed_before)
    }

    /// Mails that were deferred first.
    pub fn retried(&self) -> u64 {
        self.sum(|stats| stats.retried)
    }

    fn refused_later(&self, reasons: &[&str]) -> u64 {
        let second = self.rounds.get(1).map(|(_, stats)| stats);
        second.map_or(0, |stats| reasons.iter().map(|reason| stats.refused_for(reason)).sum())
    }
}

/// Addresses that are suppressed for unsubscribing.
pub fn unsubscriptions(suppressed: &BTreeMap<String, u64>) -> u64 {
    suppressed.get("UNSUBSCRIBE").copied().unwrap_or_default()
}

/// The last line of the demo.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// `passed` or `failed`.
    pub checks: &'static str,
    /// Contacts of all tenants.
    pub contacts: usize,
    /// Mails that arrived, those to the agency left out.
    pub sent: usize,
    /// Mails that were deferred first.
    pub retried: u64,
    /// Mails whose mailbox does not exist.
    pub bounced: u64,
    /// People who unsubscribed by one click.
    pub unsubscribed: u64,
    /// Mails that reached somebody who had said no: by one click, or in the file.
    pub after_unsubscribe: usize,
    /// Second copies.
    pub repeated: usize,
    /// Mails, contacts and keys that crossed from one tenant to the other.
    pub cross_tenant: usize,
    /// Who entered a workflow.
    pub enrolled: u64,
    /// Whose way met its goal.
    pub goals: u64,
    /// What came of the variants of the split.
    pub variants: Vec<Variant>,
    /// Which checks did not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// What the catcher knows.
#[derive(Debug)]
pub struct Caught<'a> {
    /// Every mail.
    pub mails: &'a [Mail],
    /// Its own counts.
    pub totals: Totals,
    /// Addresses it said did not exist.
    pub gone: &'a [String],
    /// What the list says of the people in it.
    pub people: &'a People,
    /// Addresses it was to defer once.
    pub busy: usize,
    /// What is wrong with the mails' signatures.
    pub signatures: Signatures,
}

/// Compares the API's word with what arrived.
pub fn judge(tenants: &[Seen], caught: &Caught<'_>) -> Verdict {
    let mut checks = Checks::default();
    let arrived: Vec<&Mail> = caught.mails.iter().filter(|mail| is_ours(mail)).collect();
    // The catcher counts copies of a Message-ID itself.
    let repeated = repeated(&arrived).max(usize::try_from(caught.totals.repeated).unwrap_or(usize::MAX));
    let after_unsubscribe = tenants.iter().map(|tenant| after_unsubscribe(tenant, &arrived)).sum::<usize>()
        + arrived.iter().filter(|mail| caught.people.said_no.contains(&mail.to)).count();
    let crossed = crossed(tenants, &arrived) + caught.signatures.foreign;
    checks.equal("repeated mails", repeated, 0);
    checks.equal("mails after an unsubscribe", after_unsubscribe, 0);
    checks.equal("mails and contacts across tenants", crossed, 0);
    checks.holds("every mail has a one-click link", arrived.iter().all(|mail| mail.has_one_click));
    checks.equal("mails whose signature does not hold or leaves out the one-click link", caught.signatures.broken, 0);
    let astray = caught.mails.iter().filter(|mail| !is_ours(mail) && !is_for_the_agency(mail)).count();
    checks.equal("mails that are neither of a mailing or workflow nor to the agency", astray, 0);
    let unasked = arrived.iter().filter(|mail| caught.people.forbid(&mail.to)).count();
    checks.equal("mails to people who said no, have not confirmed, or whose consent nobody can prove", unasked, 0);
    let to_gone = arrived.iter().filter(|mail| caught.gone.contains(&mail.to)).count();
    checks.equal("mails to addresses that do not exist", to_gone, 0);
    for tenant in tenants {
        checks.tenant(tenant, &arrived);
        checks.people(tenant, &arrived, caught);
        if let Some(journey) = &tenant.journey {
            checks.journey(tenant, journey, (&arrived, caught));
        }
    }
    let total = |count: fn(&Seen) -> u64| tenants.iter().map(count).sum::<u64>();
    let journeys = || tenants.iter().filter_map(|tenant| tenant.journey.as_ref());
    checks.equal("mails the catcher has taken and shows", caught.mails.len() as u64, caught.totals.stored);
    checks.equal("mails the catcher refused for good", caught.totals.rejected, total(Seen::bounced));
    checks.holds("some mails were deferred first", caught.totals.deferred > 0);
    checks.equal("mails the catcher deferred", caught.totals.deferred, caught.busy as u64);
    // More is no fault: a claim that ran out on a slow machine counts as a try as well.
    checks.holds("every deferred mail was tried again", total(Seen::retried) >= caught.totals.deferred);
    checks.holds("some mails bounced", total(Seen::bounced) > 0);
    Verdict {
        checks: if checks.failed.is_empty() { "passed" } else { "failed" },
        contacts: tenants.iter().map(|tenant| tenant.contacts.len()).sum(),
        sent: arrived.len(),
        retried: total(Seen::retried),
        bounced: total(Seen::bounced),
        unsubscribed: total(Seen::unsubscribed) + journeys().map(|journey| journey.unsubscribed).sum::<u64>(),
        after_unsubscribe,
        repeated,
        cross_tenant: crossed,
        enrolled: journeys().map(|journey| journey.numbers.outcome("ENROLLED")).sum(),
        goals: journeys().map(|journey| journey.numbers.outcome("GOAL")).sum(),
        variants: journeys().flat_map(|journey| &journey.numbers.variants).map(Variant::from).collect(),
        failed: checks.failed,
    }
}

#[derive(Debug, Default)]
struct Checks {
    failed: Vec<String>,
}

impl Checks {
    fn holds(&mut self, what: &str, does: bool) {
        if !does {
            self.failed.push(what.to_owned());
        }
    }

    fn equal<T: Copy + PartialEq + std::fmt::Display>(&mut self, what: &str, seen: T, wanted: T) {
        if seen != wanted {
            self.failed.push(format!("{what}: {seen} instead of {wanted}"));
        }
    }

    fn tenant(&mut self, tenant: &Seen, arrived: &[&Mail]) {
        let of = |what: &str| format!("{}: {what}", tenant.from);
        if let Some(import) = &tenant.import {
            self.equal(&of("rows"), import.rows_seen, list::ROWS);
            self.equal(&of("bad rows"), import.rows_failed, list::BAD_ROWS);
            self.equal(&of("rows that made a contact"), import.rows_created, tenant.contacts.len() as u64);
        }
        self.equal(&of("own contacts seen by id"), tenant.own, tenant.probed);
        self.equal(&of("contacts"), tenant.contacts.len(), list::PEOPLE);
        let of_mailings =
            arrived.iter().filter(|mail| mail.from == tenant.from && Round::of_intent(&mail.intent).is_some());
        self.equal(&of("mails that arrived"), of_mailings.count() as u64, tenant.sent());
        for (intents, stats) in &tenant.rounds {
            self.equal(&of("intents settled"), stats.settled(), *intents);
            let known = ["SENT", "BOUNCED", "REFUSED", "FAILED"].map(|state| stats.in_state(state)).iter().sum();
            self.equal(&of("intents with a known end"), known, *intents);
        }
        let hard = tenant.suppressed.get("HARD_BOUNCE").copied().unwrap_or_default();
        self.equal(&of("suppressions after a bounce"), hard, tenant.bounced());
        let refused = tenant.refused_later(&["suppressed_hard_bounce", "hard_bounced"]);
        self.equal(&of("refused because of an earlier bounce"), refused, tenant.bounced());
        let before = tenant.rounds.first().map_or(0, |(_, stats)| said_no(stats));
        let after = tenant.rounds.get(1).map_or(0, |(_, stats)| said_no(stats));
        self.equal(&of("refused because people said no"), after, before + tenant.unsubscribed());
        self.equal(&of("people who unsubscribed"), tenant.unsubscribed(), tenant.clicked.len() as u64);
    }

    /// Who got which mail: exactly the people whom the list, the catcher and the clicks leave, so a scanner's GET too
    /// changed nothing.
    fn people(&mut self, tenant: &Seen, arrived: &[&Mail], caught: &Caught<'_>) {
        let of = |what: &str| format!("{}: {what}", tenant.from);
        if let Some(import) = &tenant.import {
            let wrong = |lines: BTreeSet<u64>, meant| lines.symmetric_difference(meant).count();
            let mistakes = import.mistakes().iter().map(|error| error.line).collect();
            self.equal(&of("lines wrongly refused or taken"), wrong(mistakes, &caught.people.bad_lines), 0);
            let kept_out = import.kept_out().iter().map(|error| error.line).collect();
            let meant = &caught.people.contradicted_lines;
            self.equal(&of("lines whose consent is wrongly kept out or taken"), wrong(kept_out, meant), 0);
        }
        let gone: BTreeSet<&str> = caught.gone.iter().map(String::as_str).collect();
        let agreed: BTreeSet<&str> = caught.people.agreed.iter().map(String::as_str).collect();
        for (at, round) in [Round::First, Round::Second].into_iter().enumerate() {
            let is_out = |to: &&str| gone.contains(to) || round == Round::Second && tenant.clicked.contains(*to);
            let expected: BTreeSet<&str> = agreed.iter().copied().filter(|to| !is_out(to)).collect();
            let reached = reached(tenant, arrived, round);
            let missing = expected.difference(&reached).count();
            self.equal(&of(&format!("people mail {} did not reach", at + 1)), missing, 0);
            let unexpected = reached.difference(&expected).count();
            self.equal(&of(&format!("people mail {} reached without reason", at + 1)), unexpected, 0);
            let failed = tenant.rounds.get(at).map_or(0, |(_, stats)| stats.in_state("FAILED"));
            self.equal(&of(&format!("failures of mail {}", at + 1)), failed, caught.people.unreachable.len() as u64);
        }
        self.equal(&of("bounces"), tenant.bounced(), agreed.intersection(&gone).count() as u64);
    }
}

/// True for a mail of one of the two mailings or workflows.
pub fn is_ours(mail: &Mail) -> bool {
    Round::of_intent(&mail.intent).is_some() || flows::step_of(&mail.intent).is_some()
}

/// True for the deployment's own mail to whom signed up, which is all it has reason to write.
fn is_for_the_agency(mail: &Mail) -> bool {
    (mail.to.as_str(), mail.from.as_str()) == (agency::EMAIL, SYSTEM_FROM)
}

/// Whom a mail of the tenant reached.
fn reached<'a>(tenant: &Seen, arrived: &[&'a Mail], round: Round) -> BTreeSet<&'a str> {
    let is_of =
        |mail: &&&Mail| mail.from == tenant.from && Round::of_intent(&mail.intent).is_some_and(|(of, _)| of == round);
    arrived.iter().filter(is_of).map(|mail| mail.to.as_str()).collect()
}

/// Refusals that rest on a person's no, given at a link or in the file.
fn said_no(stats: &Stats) -> u64 {
    ["consent_withdrawn", "consent_objected", "suppressed_unsubscribe"].iter().map(|why| stats.refused_for(why)).sum()
}

/// Copies with a Message-ID or an intent that came to the same person before.
fn repeated(arrived: &[&Mail]) -> usize {
    let (mut ids, mut intents) = (HashSet::new(), HashSet::new());
    let mut repeated = 0;
    for mail in arrived {
        let is_new_id = ids.insert((&mail.to, &mail.message_id));
        let is_new_intent = intents.insert((&mail.from, &mail.intent));
        repeated += usize::from(!is_new_id || !is_new_intent);
    }
    repeated
}

/// People who get the second mail although they used the link of their first, or a workflow's mail although they used any
/// before.
fn after_unsubscribe(tenant: &Seen, arrived: &[&Mail]) -> usize {
    let second = reached(tenant, arrived, Round::Second).into_iter().filter(|to| tenant.clicked.contains(*to)).count();
    second + journeys::after_unsubscribe(tenant, arrived)
}

/// Mails whose sender, contact and address are not all of one tenant, and contacts that the other tenant could see.
fn crossed(tenants: &[Seen], arrived: &[&Mail]) -> usize {
    let (mut owners, mut numbers) = (HashMap::new(), HashMap::new());
    for (tenant, contact) in tenants.iter().flat_map(|tenant| tenant.contacts.iter().map(move |one| (tenant, one))) {
        let Some(email) = contact.email.as_deref() else { continue };
        owners.insert(contact.id.as_str(), (tenant.from, email));
        numbers.extend(contact.external_id.as_deref().map(|number| ((tenant.from, number), email)));
    }
    let is_at_home = |mail: &&&Mail| {
        let owner = match (Round::of_intent(&mail.intent), flows::step_of(&mail.intent)) {
            (Some((_, contact)), _) => owners.get(contact).copied(),
            // The numbers are the same in both lists; whose workflow sends the mail is known by its node.
            (None, Some((node, number))) => {
                let sends =
                    |tenant: &&Seen| tenant.journey.as_ref().is_some_and(|journey| journey.flow.nodes.contains(&node));
                let tenant = tenants.iter().find(sends);
                tenant.and_then(|tenant| Some((tenant.from, *numbers.get(&(tenant.from, number))?)))
            }
            (None, None) => None,
        };
        owner.is_some_and(|(from, to)| mail.from == from && mail.to == to.to_lowercase())
    };
    let seen: u64 = tenants.iter().map(|tenant| tenant.foreign).sum();
    arrived.iter().filter(|mail| !is_at_home(mail)).count() + usize::try_from(seen).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
