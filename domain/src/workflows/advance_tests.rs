//! The pure engine: what each node does, and that it is deterministic, total, and never goes round without end.

use std::collections::BTreeSet;

use carillon_entities::ids::{SenderId, TemplateId, WorkflowId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::segments::Window;
use crate::workflows::assign::allot;
use crate::workflows::{Reentry, Trigger, Variant};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

#[expect(clippy::unnecessary_wraps, reason = "a way is an option")]
fn to(name: &str) -> Option<NodeName> {
    Some(name.to_owned())
}

fn definition(nodes: &[(&str, Node)]) -> Definition {
    Definition {
        trigger: Trigger {
            event: "started".to_owned(),
            event_id: None,
            filter: Vec::new(),
            accept_late: false,
            entry_key: None,
        },
        reentry: Reentry::Never,
        goal: None,
        exits: Vec::new(),
        start: nodes[0].0.to_owned(),
        nodes: nodes.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect(),
    }
}

fn send(next: &str) -> Node {
    let (template, sender) = (TemplateId(Uuid::from_u128(1)), SenderId(Uuid::from_u128(2)));
    Node::Send { template, sender, topic: None, content: BTreeMap::new(), uses_event: false, next: to(next) }
}

fn wait(seconds: u64, next: &str) -> Node {
    Node::WaitFor { seconds, next: to(next) }
}

fn clicked(node: &str) -> Condition {
    Condition::Mail { node: node.to_owned(), did: MailDid::Clicked }
}

fn branch(condition: Condition, then: &str, otherwise: &str, unknown: Option<&str>) -> Node {
    Node::Branch { condition, then: to(then), otherwise: to(otherwise), unknown: unknown.map(str::to_owned) }
}

fn exit(reason: &str) -> Node {
    Node::Exit { reason: Some(reason.to_owned()) }
}

fn way(node: &str) -> Way {
    let workflow = WorkflowId(Uuid::from_u128(9));
    Way { workflow, node: node.to_owned(), visit: 0, node_entered_at: at(0), variant: None }
}

fn facts() -> WayFacts {
    WayFacts {
        contact: Facts::default(),
        is_gone: false,
        is_held: false,
        zone: TimeZone::UTC,
        address: Some(AddressHash([7; 32])),
        seen: BTreeMap::new(),
        pending: BTreeMap::new(),
        ration: None,
    }
}

fn outcomes(effects: &Effects) -> Vec<(&str, StepOutcome)> {
    effects.steps.iter().map(|step| (step.node.as_str(), step.outcome)).collect()
}

fn ended(effects: &Effects) -> (WayState, &str) {
    match &effects.next {
        Next::Ended { state, reason } => (*state, reason),
        other => panic!("not over: {other:?}"),
    }
}

fn standing(effects: &Effects) -> (Way, Timestamp) {
    match &effects.next {
        Next::At { due_at } => (effects.way.clone(), *due_at),
        other => panic!("not waiting: {other:?}"),
    }
}

fn welcome() -> Definition {
    definition(&[
        ("first", send("pause")),
        ("pause", wait(3_600, "asked")),
        ("asked", branch(clicked("first"), "second", "bye", Some("nobody_knows"))),
        ("second", send("bye")),
        ("nobody_knows", exit("untracked")),
        ("bye", exit("done")),
    ])
}

#[test]
fn a_run_goes_on_until_somebody_waits() {
    let effects = advance(&welcome(), way("first"), &facts(), at(0));
    assert_eq!(outcomes(&effects), [("first", StepOutcome::Queued)]);
    let (stands, due_at) = standing(&effects);
    assert_eq!((stands.node.as_str(), stands.visit, due_at), ("pause", 1, at(3_600)));
    // Looked at too early they stay, and nothing is said about it.
    let early = advance(&welcome(), stands.clone(), &facts(), at(3_599));
    assert_eq!((outcomes(&early), standing(&early)), (vec![], (stands.clone(), at(3_600))));
    let effects = advance(&welcome(), stands, &facts(), at(3_600));
    assert_eq!(
        outcomes(&effects),
        [("pause", StepOutcome::Waited), ("asked", StepOutcome::Otherwise), ("bye", StepOutcome::Completed)]
    );
    assert_eq!(ended(&effects), (WayState::Completed, "done"));
}

#[test]
fn c077_who_is_not_tracked_takes_the_unknown_way() {
    let mut known = facts();
    let answers = [
        (Truth::Yes, StepOutcome::Then, "done"),
        (Truth::No, StepOutcome::Otherwise, "done"),
        (Truth::Unknown, StepOutcome::Unknown, "untracked"),
    ];
    for (answer, outcome, reason) in answers {
        known.contact.mails.insert(("first".to_owned(), MailDid::Clicked), answer);
        let effects = advance(&welcome(), way("asked"), &known, at(10));
        assert_eq!((effects.steps[0].outcome, ended(&effects).1), (outcome, reason));
    }
}

#[test]
fn c082_a_branch_waits_for_hits_that_are_not_judged_yet() {
    let mut known = facts();
    let asked = ("first".to_owned(), MailDid::Clicked);
    known.pending.insert(asked.clone(), at(20));
    known.contact.mails.insert(asked, Truth::Unknown);
    let effects = advance(&welcome(), way("asked"), &known, at(10));
    assert_eq!((outcomes(&effects), standing(&effects)), (vec![], (way("asked"), at(20))));
    for now in [20, 79] {
        let effects = advance(&welcome(), way("asked"), &known, at(now));
        let again = (way("asked"), at(now + 1));
        assert_eq!((outcomes(&effects), standing(&effects)), (vec![], again), "the judge may be a little late");
    }
    let effects = advance(&welcome(), way("asked"), &known, at(80));
    assert_eq!(effects.steps[0].outcome, StepOutcome::Unknown, "and not for ever, but nobody knows then");
}

#[test]
fn a3_01_a_goal_ends_a_wait_whenever_it_is_looked_at() {
    let mut aiming = welcome();
    let bought = |within| Condition::Event { name: "bought".to_owned(), at_least: 1, at_most: None, within };
    aiming.goal = Some(End::Condition { condition: bought(None) });
    let mut known = facts();
    known.contact.events.insert("bought".to_owned(), vec![at(5)]);
    let effects = advance(&aiming, way("pause"), &known, at(6));
    assert_eq!(ended(&effects), (WayState::Goal, "goal"));
    assert_eq!(outcomes(&effects), [("pause", StepOutcome::Goal)]);
}

#[test]
fn a3_02_a_condition_that_time_makes_true_ends_the_wait_when_it_does() {
    let mut watching = welcome();
    let quiet = Condition::Event {
        name: "visited".to_owned(),
        at_least: 0,
        at_most: Some(0),
        within: Some(Window { seconds: 600 }),
    };
    watching.exits = vec![End::Condition { condition: quiet }];
    let mut known = facts();
    known.contact.events.insert("visited".to_owned(), vec![at(0)]);
    let effects = advance(&watching, way("pause"), &known, at(1));
    let (stands, due_at) = standing(&effects);
    // The visit leaves the window long before the wait is over.
    assert!(due_at > at(600) && due_at < at(601), "{due_at}");
    let effects = advance(&watching, stands, &known, due_at);
    assert_eq!(ended(&effects), (WayState::Exited, "exit_1"));
}

#[test]
fn a3_12_of_overlapping_exits_the_first_counts() {
    let mut both = welcome();
    let always = || End::Condition { condition: Condition::And { of: Vec::new() } };
    both.exits = vec![always(), always()];
    assert_eq!(ended(&advance(&both, way("pause"), &facts(), at(0))), (WayState::Exited, "exit_1"));
    both.goal = Some(always());
    assert_eq!(ended(&advance(&both, way("pause"), &facts(), at(0))), (WayState::Goal, "goal"));
}

#[test]
fn c183_somebody_stays_in_the_variant_that_they_saw() {
    let variant =
        |label: &str, weight_bp| Variant { label: label.to_owned(), weight_bp, buckets: Vec::new(), next: to("bye") };
    let mut variants = vec![variant("a", 5_000), variant("b", 5_000)];
    allot(&[], &mut variants);
    let split = definition(&[("split", Node::Split { variants, conversion: None }), ("bye", exit("done"))]);
    let fresh = advance(&split, way("split"), &facts(), at(0)).steps[0].variant.clone().expect("a variant");
    let other = if fresh == "split/a" { "b" } else { "a" };
    let mut seen = facts();
    seen.seen.insert("split".to_owned(), other.to_owned());
    let again = advance(&split, way("split"), &seen, at(0)).steps[0].variant.clone();
    assert_eq!(again, Some(format!("split/{other}")));
    seen.seen.insert("split".to_owned(), "gone".to_owned());
    assert_eq!(advance(&split, way("split"), &seen, at(0)).steps[0].variant, Some(fresh));
    seen.address = None;
    assert_eq!(ended(&advance(&split, way("split"), &seen, at(0))), (WayState::Exited, "no_address"));
}

#[test]
fn what_comes_after_an_update_sees_it() {
    let update = Node::Update {
        set: BTreeMap::new(),
        add_tags: vec!["seen".to_owned()],
        remove_tags: Vec::new(),
        next: to("bye"),
    };
    let effects = advance(&definition(&[("mark", update), ("bye", exit("done"))]), way("mark"), &facts(), at(3));
    assert_eq!(outcomes(&effects), [("mark", StepOutcome::Updated)]);
    assert_eq!(standing(&effects).1, at(3), "due at once, with the facts as they are then");
}

#[test]
fn c182_whatever_cannot_be_gone_on_with_is_parked() {
    let unknown = advance(&welcome(), way("elsewhere"), &facts(), at(0));
    assert_eq!((unknown.next, unknown.steps[0].outcome), (Next::Parked, StepOutcome::Parked));
    let circle = definition(&[("a", send("b")), ("b", send("a"))]);
    let effects = advance(&circle, way("a"), &facts(), at(0));
    assert_eq!(effects.next, Next::Parked);
    assert!(effects.steps.len() <= 4);
    let air = definition(&[("a", Node::WaitFor { seconds: 1, next: None })]);
    assert_eq!(advance(&air, way("a"), &facts(), at(9)).next, Next::Parked);
}

#[test]
fn c184_nobody_who_is_gone_is_moved_on() {
    let gone = WayFacts { is_gone: true, ..facts() };
    assert_eq!(ended(&advance(&welcome(), way("first"), &gone, at(0))), (WayState::Exited, "contact_deleted"));
}

#[test]
fn who_is_held_is_moved_nowhere() {
    let held = WayFacts { is_held: true, ..facts() };
    assert_eq!(
        advance(&welcome(), way("first"), &held, at(0)),
        Effects { steps: vec![], way: way("first"), next: Next::Held }
    );
}

#[test]
fn who_is_at_a_mail_waits_while_the_days_mails_are_used_up() {
    let ration = |mails| WayFacts { ration: Some(Ration { mails, until: at(900) }), ..facts() };
    let effects = advance(&welcome(), way("first"), &ration(0), at(0));
    assert_eq!((outcomes(&effects), standing(&effects)), (vec![], (way("first"), at(900))));
    assert_eq!(
        advance(&welcome(), way("first"), &ration(1), at(0)),
        advance(&welcome(), way("first"), &facts(), at(0))
    );
    let two = definition(&[("first", send("second")), ("second", send("bye")), ("bye", exit("done"))]);
    let effects = advance(&two, way("first"), &ration(1), at(0));
    assert_eq!(outcomes(&effects), [("first", StepOutcome::Queued)], "the first goes, the second waits");
    assert_eq!((standing(&effects).0.node.as_str(), standing(&effects).1), ("second", at(900)));
    assert_eq!(outcomes(&advance(&two, way("first"), &ration(2), at(0))).len(), 3);
}

fn names() -> impl Strategy<Value = Option<NodeName>> {
    prop::option::weighted(0.9, (0u8..8).prop_map(|n| format!("n{n}")))
}

fn conditions() -> impl Strategy<Value = Condition> {
    let window = prop::option::of((1u64..5_000).prop_map(|seconds| Window { seconds }));
    let leaf = prop_oneof![
        (0u32..3, prop::option::of(0u32..3), window).prop_map(|(at_least, at_most, within)| {
            Condition::Event { name: "did".to_owned(), at_least, at_most, within }
        }),
        Just(Condition::Tag { tag: "vip".to_owned() }),
        Just(clicked("n0")),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|of| Condition::And { of }),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|of| Condition::Or { of }),
            inner.prop_map(|of| Condition::Not { of: Box::new(of) }),
        ]
    })
}

fn nodes() -> impl Strategy<Value = Node> {
    prop_oneof![
        names().prop_map(|next| match send("x") {
            Node::Send { template, sender, topic, content, uses_event, .. } => {
                Node::Send { template, sender, topic, content, uses_event, next }
            }
            other => other,
        }),
        (0u64..5_000, names()).prop_map(|(seconds, next)| Node::WaitFor { seconds, next }),
        ("[0-2][0-9]:[0-6][0-9]", names()).prop_map(|(time, next)| Node::WaitUntil { time, next }),
        (conditions(), names(), names(), names()).prop_map(|(condition, then, otherwise, unknown)| Node::Branch {
            condition,
            then,
            otherwise,
            unknown
        }),
        (names(), names(), 0u32..=10_000).prop_map(|(one, other, weight)| {
            let variant = |label: &str, weight_bp, next| Variant {
                label: label.to_owned(),
                weight_bp,
                buckets: Vec::new(),
                next,
            };
            let mut variants = vec![variant("a", weight, one), variant("b", 10_000 - weight, other)];
            allot(&[], &mut variants);
            Node::Split { variants, conversion: None }
        }),
        names().prop_map(|next| Node::Update {
            set: BTreeMap::new(),
            add_tags: Vec::new(),
            remove_tags: Vec::new(),
            next
        }),
        Just(Node::Exit { reason: None }),
    ]
}

prop_compose! {
    fn definitions()(
        nodes in prop::collection::vec(nodes(), 1..8), goal in prop::option::of(conditions()),
        exits in prop::collection::vec(conditions(), 0..2),
    ) -> Definition {
        let named: Vec<(String, Node)> = nodes.into_iter().enumerate().map(|(n, node)| (format!("n{n}"), node)).collect();
        let borrowed: Vec<(&str, Node)> = named.iter().map(|(name, node)| (name.as_str(), node.clone())).collect();
        let end = |condition| End::Condition { condition };
        Definition { goal: goal.map(end), exits: exits.into_iter().map(end).collect(), ..definition(&borrowed) }
    }
}

prop_compose! {
    fn all_facts()(
        times in prop::collection::btree_set(0i64..10_000, 0..4), tagged: bool, gone in prop::bool::weighted(0.05),
        addressed in prop::bool::weighted(0.9), mail in 0u8..4, pending in prop::option::of(0i64..10_000),
    ) -> WayFacts {
        let mut known = facts();
        known.contact.events.insert("did".to_owned(), times.into_iter().map(at).collect());
        if tagged {
            known.contact.tags.insert("vip".to_owned());
        }
        let answer = [None, Some(Truth::Yes), Some(Truth::No), Some(Truth::Unknown)][usize::from(mail)];
        known.contact.mails.extend(answer.map(|answer| (("n0".to_owned(), MailDid::Clicked), answer)));
        known.pending.extend(pending.map(|until| (("n0".to_owned(), MailDid::Clicked), at(until))));
        known.is_gone = gone;
        known.address = known.address.filter(|_| addressed);
        known
    }
}

proptest! {
    #[test]
    fn it_is_deterministic_and_total(definition in definitions(), known in all_facts(), now in 0i64..20_000) {
        let begin = way("n0");
        let effects = advance(&definition, begin.clone(), &known, at(now));
        prop_assert_eq!(&effects, &advance(&definition, begin, &known, at(now)));
        prop_assert!(effects.steps.len() <= definition.nodes.len() + 2, "a run is no longer than the workflow");
        if let Next::At { due_at } = &effects.next {
            prop_assert!(*due_at >= at(now), "nobody is due in the past");
            // Who is due at once was changed, and goes on at another node.
            let changed = effects.steps.iter().any(|step| step.outcome == StepOutcome::Updated);
            prop_assert!(changed || (*due_at > at(now) && definition.nodes.contains_key(&effects.way.node)));
        }
    }

    #[test]
    fn l8_no_visit_of_a_node_asks_for_two_mails(definition in definitions(), known in all_facts(), days in 1i64..6) {
        let (mut stands, mut now, mut asked) = (way("n0"), at(0), BTreeSet::new());
        while now < at(days * 86_400) {
            let effects = advance(&definition, stands, &known, now);
            for step in effects.steps.iter().filter(|step| step.outcome == StepOutcome::Queued) {
                prop_assert!(asked.insert(step.visit), "visit {} asked twice", step.visit);
            }
            match effects.next {
                // Somebody who looks again too early changes nothing.
                Next::At { due_at } => (stands, now) = (effects.way, due_at.max(now + TimeDelta::seconds(1))),
                Next::Ended { .. } | Next::Held | Next::Parked => break,
            }
        }
    }
}
