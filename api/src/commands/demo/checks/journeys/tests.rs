//! Each check of a workflow notices what it is for.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::super::super::flows::Flow;
use super::super::super::list::People;
use super::super::super::mailbox::Totals;
use super::super::super::signatures::Signatures;
use super::super::super::ways::Numbers;
use super::*;

const FROM: &str = "a@a.example";

fn person(name: &str, habit: Habit, country: Option<&'static str>) -> Person {
    let (id, email, number) = (format!("contact_{name}"), format!("{name}@b.example"), name.to_owned());
    Person { id, email, number, habit, country, converts: matches!(habit, Habit::Clicks | Habit::Buys) }
}

fn mail(node: &str, name: &str) -> Mail {
    let subject = VARIANTS.iter().find(|(_, of, _)| *of == node).map_or("", |(.., subject)| subject);
    let (to, intent) = (format!("{name}@b.example"), format!("{node}:{name}"));
    Mail { to, from: FROM.into(), intent, subject: subject.into(), ..Mail::default() }
}

/// A tenant with a workflow of these people, ways and numbers.
fn seen(flow: Flow, people: Vec<Person>, ways: Vec<Way>, numbers: Json) -> Seen {
    let ways: HashMap<_, _> =
        people.iter().map(|one| one.id.clone()).zip(ways.into_iter().map(|way| vec![way])).collect();
    let unsubscribed = people.iter().filter(|one| one.leaves()).count() as u64;
    let numbers: Numbers = serde_json::from_value(numbers).unwrap();
    Seen { from: FROM, journey: Some(Journey { flow, people, numbers, ways, unsubscribed }), ..Seen::default() }
}

fn node(name: &str, sent: u64, refused: u64, outcomes: &[(&str, u64)]) -> Json {
    let outcomes: Vec<Json> =
        outcomes.iter().map(|(outcome, count)| json!({ "outcome": outcome, "count": count })).collect();
    json!({
        "node": name, "variant": null, "entered": 0, "waiting": 0, "sent": sent, "exited": [], "mails": [],
        "refused": [{ "reason": "suppressed_unsubscribe", "count": refused }], "outcomes": outcomes,
    })
}

/// One who clicks, one who clicks and leaves, one behind a scanner, one who is not tracked, one who signs up twice; all as
/// it should be.
fn welcome() -> (Seen, Vec<Mail>) {
    let people = vec![
        person("ann", Habit::Clicks, Some("CH")),
        person("ben", Habit::ClicksAndLeaves, Some("CH")),
        person("cid", Habit::Scanned, Some("CH")),
        person("dan", Habit::Clicks, Some("FR")),
        person("eve", Habit::SignsUpTwice, Some("CH")),
    ];
    let way = |label: &str, outcome| Way::of(Some(&format!("{SPLIT}/{label}")), &[(BRANCH, outcome)]);
    let eves = || way("b", "OTHERWISE");
    let ways = vec![way("a", "THEN"), way("b", "THEN"), way("a", "OTHERWISE"), way("a", "UNKNOWN"), eves()];
    let variant = |label, (exposed, opened, converted)| {
        json!({
            "label": label, "exposed": exposed, "opened": { "count": opened }, "clicked": { "count": opened },
            "converted": { "count": converted },
        })
    };
    let numbers = json!({
        "nodes": [
            node(SPLIT, 0, 0, &[("ENROLLED", 6)]), node("hello_a", 3, 0, &[]), node("hello_b", 3, 0, &[]),
            node(MORE, 1, 1, &[]),
        ],
        "variants": [variant("a", (3, 1, 2)), variant("b", (2, 1, 0))],
    });
    let flow = Flow { id: "workflow_1".into(), name: "Welcome", nodes: &[SPLIT, "hello_a", "hello_b", BRANCH, MORE] };
    let (ann, ben, cid, dan) = (("hello_a", "ann"), ("hello_b", "ben"), ("hello_a", "cid"), ("hello_a", "dan"));
    let mails = [ann, ben, cid, dan, (MORE, "ann"), ("hello_b", "eve"), ("hello_b", "eve")];
    let mut seen = seen(flow, people, ways, numbers);
    journey(&mut seen).ways.get_mut("contact_eve").unwrap().push(eves());
    (seen, mails.map(|(node, name)| mail(node, name)).into())
}

/// One who buys and one who does not.
fn cart() -> (Seen, Vec<Mail>) {
    let people = vec![person("ann", Habit::Buys, None), person("ben", Habit::Ignores, None)];
    let mut bought = Way::of(None, &[]);
    bought.state = "GOAL".into();
    let numbers = json!({
        "nodes": [node("patience", 0, 0, &[("ENROLLED", 2), ("GOAL", 1)]), node(REMINDER, 1, 0, &[])], "variants": [],
    });
    let flow = Flow { id: "workflow_1".into(), name: "Cart", nodes: &["patience", REMINDER] };
    (seen(flow, people, vec![bought, Way::of(None, &[])], numbers), vec![mail(REMINDER, "ben")])
}

fn failures(seen: &Seen, mails: &[Mail]) -> String {
    let people = People {
        agreed: ["ann", "ben", "cid", "dan", "eve"].map(|name| format!("{name}@b.example")).into(),
        ..People::default()
    };
    let (totals, signatures) = (Totals::default(), Signatures::default());
    let caught = Caught { mails, totals, gone: &[], people: &people, busy: 0, signatures };
    let mut checks = Checks::default();
    checks.journey(seen, seen.journey.as_ref().unwrap(), (&mails.iter().collect::<Vec<_>>(), &caught));
    checks.failed.join("; ")
}

fn journey(seen: &mut Seen) -> &mut Journey {
    seen.journey.as_mut().unwrap()
}

#[test]
fn workflows_as_they_should_be_pass() {
    for (seen, mails) in [welcome(), cart()] {
        assert_eq!(failures(&seen, &mails), "");
        assert_eq!(after_unsubscribe(&seen, &mails.iter().collect::<Vec<_>>()), 0);
    }
}

#[test]
fn c081_somebody_whom_a_scanner_moved_is_noticed() {
    let (mut seen, mails) = welcome();
    journey(&mut seen).ways.insert("contact_cid".into(), vec![Way::of(Some("subject/a"), &[(BRANCH, "THEN")])]);
    let failed = failures(&seen, &mails);
    assert!(failed.contains("moved by a scanner's clicks: 1"), "{failed}");
    assert!(failed.contains("the way of those who clicked: people without reason: 1"), "{failed}");
}

#[test]
fn c077_an_untracked_person_of_whom_something_is_known_is_noticed() {
    let (mut seen, mails) = welcome();
    journey(&mut seen).ways.insert("contact_dan".into(), vec![Way::of(Some("subject/a"), &[(BRANCH, "THEN")])]);
    let failed = failures(&seen, &mails);
    assert!(failed.contains("those who are not tracked: people it lacks: 1"), "{failed}");
}

#[test]
fn c005_a_second_mail_after_an_unsubscribe_is_noticed() {
    let (seen, mut mails) = welcome();
    mails.push(mail(MORE, "ben"));
    assert!(failures(&seen, &mails).contains("the second mail: people without reason: 1"));
    assert_eq!(after_unsubscribe(&seen, &mails.iter().collect::<Vec<_>>()), 1);
}

#[test]
fn c183_somebody_with_two_subjects_or_in_another_variant_is_noticed() {
    let (seen, mut mails) = welcome();
    mails.push(mail("hello_b", "ann"));
    let failed = failures(&seen, &mails);
    assert!(failed.contains("people who got both subjects: 1"), "{failed}");
    assert!(failed.contains("people with the mail of b in another variant: 1"), "{failed}");
    assert!(failed.contains("mails of hello_b that arrived: 4 instead of 3"), "{failed}");
    assert!(failed.contains("first mails: 7 instead of 6"), "{failed}");
}

#[test]
fn c183_somebody_who_enters_again_in_another_variant_is_noticed() {
    let (mut seen, mails) = welcome();
    let eves = journey(&mut seen).ways.get_mut("contact_eve").unwrap();
    eves[1].variant = Some(format!("{SPLIT}/a"));
    assert!(failures(&seen, &mails).contains("people whose ways are in two variants: 1"));
    journey(&mut seen).ways.get_mut("contact_eve").unwrap().pop();
    let failed = failures(&seen, &mails);
    assert!(
        failed.contains("some people entered twice") && failed.contains("entered too often, or wrongly"),
        "{failed}"
    );
}

#[test]
fn numbers_that_say_something_else_than_what_happened_are_noticed() {
    let (mut seen, mails) = welcome();
    journey(&mut seen).numbers.variants[0].clicked.count = 2;
    assert!(failures(&seen, &mails).contains("clicked: 2"));
    journey(&mut seen).unsubscribed = 0;
    assert!(failures(&seen, &mails).contains("people who unsubscribed: 0 instead of 1"));
}

#[test]
fn a3_01_a_buyer_who_is_reminded_is_noticed() {
    let (mut seen, mut mails) = cart();
    mails.push(mail(REMINDER, "ann"));
    assert!(failures(&seen, &mails).contains("buyers who were reminded of their cart: 1"));
    journey(&mut seen).ways.insert("contact_ann".into(), vec![Way::of(None, &[]), Way::of(None, &[])]);
    let failed = failures(&seen, &mails);
    assert!(failed.contains("the goal: people it lacks: 1") && failed.contains("entered too often"), "{failed}");
}
