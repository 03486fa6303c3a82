//! What must hold at the end: counted at the catcher and in the API, never assumed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::agency;
use super::list::{self, People};
use super::mailbox::{Mail, Totals};
use super::mailing::{Contact, Round, Stats};
use super::product::SYSTEM_FROM;
use super::signatures::Signatures;
use super::tenant::Import;

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
    /// Suppressed addresses by reason, at the end.
    pub suppressed: BTreeMap<String, u64>,
    /// Own contacts that it asked for by id.
    pub probed: u64,
    /// Own contacts that it could see among these.
    pub own: u64,
    /// Contacts of the other tenant that it could see.
    pub foreign: u64,
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
    checks.equal("mails that are neither of a mailing nor to the agency", astray, 0);
    let unasked = arrived.iter().filter(|mail| caught.people.forbid(&mail.to)).count();
    checks.equal("mails to people who said no, have not confirmed, or whose consent nobody can prove", unasked, 0);
    let to_gone = arrived.iter().filter(|mail| caught.gone.contains(&mail.to)).count();
    checks.equal("mails to addresses that do not exist", to_gone, 0);
    for tenant in tenants {
        checks.tenant(tenant, &arrived);
        checks.people(tenant, &arrived, caught);
    }
    let total = |count: fn(&Seen) -> u64| tenants.iter().map(count).sum::<u64>();
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
        unsubscribed: total(Seen::unsubscribed),
        after_unsubscribe,
        repeated,
        cross_tenant: crossed,
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
        let mine: Vec<&&Mail> = arrived.iter().filter(|mail| mail.from == tenant.from).collect();
        self.equal(&of("mails that arrived"), mine.len() as u64, tenant.sent());
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

/// True for a mail of one of the two mailings.
pub fn is_ours(mail: &Mail) -> bool {
    Round::of_intent(&mail.intent).is_some()
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

/// People who get the second mail although they used the link of their first.
fn after_unsubscribe(tenant: &Seen, arrived: &[&Mail]) -> usize {
    reached(tenant, arrived, Round::Second).into_iter().filter(|to| tenant.clicked.contains(*to)).count()
}

/// Mails whose sender, contact and address are not all of one tenant, and contacts that the other tenant could see.
fn crossed(tenants: &[Seen], arrived: &[&Mail]) -> usize {
    let owners: HashMap<&str, (&str, &str)> = tenants
        .iter()
        .flat_map(|tenant| tenant.contacts.iter().map(|contact| (tenant.from, contact)))
        .filter_map(|(from, contact)| Some((contact.id.as_str(), (from, contact.email.as_deref()?))))
        .collect();
    let is_at_home = |mail: &&&Mail| {
        let contact = Round::of_intent(&mail.intent).map(|(_, contact)| contact);
        contact
            .and_then(|contact| owners.get(contact))
            .is_some_and(|(from, to)| mail.from == *from && mail.to == to.to_lowercase())
    };
    let seen: u64 = tenants.iter().map(|tenant| tenant.foreign).sum();
    arrived.iter().filter(|mail| !is_at_home(mail)).count() + usize::try_from(seen).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(from: &str, to: &str, intent: &str) -> Mail {
        Mail {
            to: to.into(),
            from: from.into(),
            message_id: format!("{intent}@x"),
            intent: intent.into(),
            has_one_click: true,
            ..Mail::default()
        }
    }

    fn tenant(from: &'static str, contact: &str) -> Seen {
        let contacts = vec![Contact { id: contact.into(), email: Some("Ann@b.example".into()) }];
        Seen { from, contacts, ..Seen::default() }
    }

    fn caught<'a>(mails: &'a [Mail], people: &'a People) -> Caught<'a> {
        Caught { mails, totals: Totals::default(), gone: &[], people, busy: 0, signatures: Signatures::default() }
    }

    /// A tenant to which all of this happened as it should: one agreed, one said no, one cannot be reached.
    fn good() -> (Seen, People, [Mail; 2]) {
        let people = People {
            agreed: ["ann@b.example".to_owned()].into(),
            said_no: ["no@b.example".to_owned()].into(),
            unproven: ["who@b.example".to_owned()].into(),
            pending: ["maybe@b.example".to_owned()].into(),
            unreachable: ["jörg@b.example".to_owned()].into(),
            ..People::default()
        };
        let states = BTreeMap::from([("SENT".to_owned(), 1), ("FAILED".to_owned(), 1)]);
        let round = Stats { states, ..Stats::default() };
        let seen = Seen { rounds: vec![(2, round.clone()), (2, round)], ..tenant("a@a.example", "contact_a") };
        let mails = ["first:contact_a", "second:contact_a"].map(|intent| mail("a@a.example", "ann@b.example", intent));
        (seen, people, mails)
    }

    fn failures(seen: &Seen, caught: &Caught<'_>) -> Vec<String> {
        let verdict = judge(std::slice::from_ref(seen), caught);
        // What a demo of one person cannot have.
        let is_about_size = |failed: &String| {
            ["contacts: 1", "some mails", "catcher has taken"].iter().any(|part| failed.contains(part))
        };
        verdict.failed.into_iter().filter(|failed| !is_about_size(failed)).collect()
    }

    #[test]
    fn a_mailing_as_it_should_be_passes() {
        let (seen, people, mails) = good();
        assert_eq!(failures(&seen, &caught(&mails, &people)), Vec::<String>::new());
    }

    #[test]
    fn c112_a_mail_to_somebody_who_did_not_agree_fails() {
        let (seen, people, mails) = good();
        for (to, after_no) in [("no@b.example", 1), ("who@b.example", 0), ("maybe@b.example", 0)] {
            let wrong = [mails[0].clone(), mails[1].clone(), mail("a@a.example", to, "first:contact_b")];
            let failed = failures(&seen, &caught(&wrong, &people)).join("; ");
            assert!(failed.contains("nobody can prove: 1"), "{failed}");
            assert!(failed.contains("people mail 1 reached without reason: 1"), "{failed}");
            assert_eq!(judge(&[], &caught(&wrong, &people)).after_unsubscribe, after_no, "{to}");
        }
    }

    #[test]
    fn a_mail_that_is_missing_failed_or_badly_signed_fails() {
        let (seen, people, mails) = good();
        let failed = failures(&seen, &caught(&mails[..1], &people)).join("; ");
        assert!(failed.contains("people mail 2 did not reach: 1"), "{failed}");
        let (mut seen, people, mails) = good();
        seen.rounds[1].1.states = BTreeMap::from([("FAILED".to_owned(), 2)]);
        let failed = failures(&seen, &caught(&mails, &people)).join("; ");
        assert!(failed.contains("failures of mail 2: 2 instead of 1"), "{failed}");
        let (seen, people, mails) = good();
        let failed =
            failures(&seen, &Caught { signatures: Signatures { broken: 1, foreign: 0 }, ..caught(&mails, &people) })
                .join("; ");
        assert!(failed.contains("signature"), "{failed}");
    }

    #[test]
    fn an_unsubscribe_that_the_database_does_not_know_fails() {
        let (mut seen, people, mails) = good();
        seen.clicked.insert("ann@b.example".into());
        let failed = failures(&seen, &caught(&mails[..1], &people)).join("; ");
        assert!(failed.contains("people who unsubscribed: 0 instead of 1"), "{failed}");
        (seen.unsubscribed_before, seen.suppressed) = (1, BTreeMap::from([("UNSUBSCRIBE".to_owned(), 2)]));
        let verdict = judge(&[seen], &caught(&mails[..1], &people));
        assert_eq!((verdict.unsubscribed, verdict.after_unsubscribe), (1, 0));
    }

    #[test]
    fn what_must_not_happen_is_noticed() {
        let mut tenants = [tenant("a@a.example", "contact_a"), tenant("b@b.example", "contact_b")];
        tenants[0].clicked.insert("ann@b.example".into());
        let good = [mail("a@a.example", "ann@b.example", "first:contact_a")];
        let people = People::default();
        let count = |mails: &[Mail]| {
            let verdict = judge(&tenants, &caught(mails, &people));
            (verdict.sent, verdict.after_unsubscribe, verdict.repeated, verdict.cross_tenant)
        };
        assert_eq!(count(&good), (1, 0, 0, 0));
        assert_eq!(count(&[good[0].clone(), good[0].clone()]), (2, 0, 1, 0));
        assert_eq!(
            count(&[mail("b@b.example", "ann@b.example", "first:contact_a")]),
            (1, 0, 0, 1),
            "another's contact"
        );
        assert_eq!(
            count(&[mail("a@a.example", "bob@b.example", "first:contact_a")]),
            (1, 0, 0, 1),
            "another's address"
        );
        assert_eq!(count(&[mail("a@a.example", "ann@b.example", "second:contact_a")]), (1, 1, 0, 0));
        assert_eq!(count(&[mail("b@b.example", "ann@b.example", "second:contact_b")]), (1, 0, 0, 0), "another's no");
    }

    #[test]
    fn a_mail_signed_for_the_other_tenant_crosses() {
        let (seen, people, mails) = good();
        let caught = Caught { signatures: Signatures { broken: 1, foreign: 1 }, ..caught(&mails, &people) };
        assert_eq!(judge(&[seen], &caught).cross_tenant, 1);
    }

    #[test]
    fn a_mail_of_no_mailing_may_only_be_the_agencys() {
        let (seen, people, mails) = good();
        for (from, to, fails) in [
            (SYSTEM_FROM, agency::EMAIL, false),
            (SYSTEM_FROM, "ann@b.example", true),
            ("a@a.example", agency::EMAIL, true),
        ] {
            let all = [mails[0].clone(), mails[1].clone(), mail(from, to, "")];
            let failed = failures(&seen, &caught(&all, &people)).join("; ");
            assert_eq!(failed.contains("neither of a mailing nor to the agency: 1"), fails, "{failed}");
        }
    }

    #[test]
    fn a_catcher_that_deferred_nobody_or_others_than_told_fails() {
        let (mut seen, people, mails) = good();
        seen.rounds[0].1.retried = 2;
        for (deferred, busy, failures) in [
            (0, 0, vec!["some mails were deferred first"]),
            (0, 2, vec!["some mails were deferred first", "mails the catcher deferred: 0 instead of 2"]),
            (3, 2, vec!["mails the catcher deferred: 3 instead of 2", "every deferred mail was tried again"]),
            (2, 2, vec![]),
        ] {
            let totals = Totals { deferred, ..Totals::default() };
            let verdict = judge(std::slice::from_ref(&seen), &Caught { totals, busy, ..caught(&mails, &people) });
            let about: Vec<_> = verdict.failed.iter().filter(|failed| failed.contains("deferred")).collect();
            assert_eq!(about, failures);
        }
    }

    #[test]
    fn a_tenant_that_does_not_even_see_its_own_contacts_proves_nothing() {
        let (mut seen, people, mails) = good();
        (seen.probed, seen.own) = (3, 0);
        let failed = failures(&seen, &caught(&mails, &people)).join("; ");
        assert!(failed.contains("own contacts seen by id: 0 instead of 3"), "{failed}");
    }

    #[test]
    fn rows_are_compared_by_their_lines() {
        let (mut seen, mut people, mails) = good();
        people.bad_lines = [7].into();
        people.contradicted_lines = [9].into();
        let lines = |seen: &Seen, people: &People| -> Vec<String> {
            let all = failures(seen, &caught(&mails, people));
            all.into_iter().filter(|failed| failed.contains("lines")).collect()
        };
        seen.import = Some(Import::of_errors(&[(7, "INVALID_EMAIL"), (9, "CONSENT_WITHDRAWN")]));
        assert_eq!(lines(&seen, &people), Vec::<String>::new());
        seen.import = Some(Import::of_errors(&[(8, "INVALID_EMAIL"), (10, "CONSENT_WITHDRAWN")]));
        assert_eq!(
            lines(&seen, &people),
            [
                "a@a.example: lines wrongly refused or taken: 2 instead of 0",
                "a@a.example: lines whose consent is wrongly kept out or taken: 2 instead of 0",
            ]
        );
    }

    #[test]
    fn the_last_line_is_what_was_asked_for() {
        let verdict = Verdict { failed: Vec::new(), ..judge(&[], &caught(&[], &People::default())) };
        let line = serde_json::to_string(&verdict).unwrap();
        assert_eq!(
            line.replace("failed", "passed"),
            "{\"checks\":\"passed\",\"contacts\":0,\"sent\":0,\"retried\":0,\"bounced\":0,\"unsubscribed\":0,\
             \"after_unsubscribe\":0,\"repeated\":0,\"cross_tenant\":0}"
        );
    }
}
