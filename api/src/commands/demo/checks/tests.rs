//! Each check notices what it is for.

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
    let contacts =
        vec![Contact { id: contact.into(), email: Some("Ann@b.example".into()), external_id: Some("K-1".into()) }];
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
    let is_about_size =
        |failed: &String| ["contacts: 1", "some mails", "catcher has taken"].iter().any(|part| failed.contains(part));
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
    assert_eq!(count(&[mail("b@b.example", "ann@b.example", "first:contact_a")]), (1, 0, 0, 1), "another's contact");
    assert_eq!(count(&[mail("a@a.example", "bob@b.example", "first:contact_a")]), (1, 0, 0, 1), "another's address");
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
        assert_eq!(failed.contains("neither of a mailing or workflow nor to the agency: 1"), fails, "{failed}");
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
         \"after_unsubscribe\":0,\"repeated\":0,\"cross_tenant\":0,\"enrolled\":0,\"goals\":0,\"variants\":[]}"
    );
}
