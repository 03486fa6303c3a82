use proptest::prelude::*;
use serde_json::json;

use super::*;

fn condition(json: Json) -> Condition {
    serde_json::from_value(json).expect("a condition")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).expect("a time")
}

/// A contact of whom nothing is known.
fn nobody() -> Facts {
    Facts::default()
}

#[test]
fn a3_05_what_is_missing_has_a_stated_answer() {
    let attribute = |test: Json| json!({"kind": "attribute", "name": "plan", "test": test});
    let topic = TopicId(uuid::Uuid::nil());
    let table = [
        (attribute(json!({"op": "equals", "value": "gold"})), Truth::No),
        (attribute(json!({"op": "in", "values": ["gold"]})), Truth::No),
        (attribute(json!({"op": "less", "value": 5})), Truth::No),
        (attribute(json!({"op": "greater", "value": 5})), Truth::No),
        (attribute(json!({"op": "starts_with", "value": ""})), Truth::No),
        (attribute(json!({"op": "is_missing"})), Truth::Yes),
        (json!({"kind": "not", "of": attribute(json!({"op": "equals", "value": "gold"}))}), Truth::Yes),
        (json!({"kind": "tag", "tag": "vip"}), Truth::No),
        (json!({"kind": "topic", "topic": topic, "test": "subscribed"}), Truth::No),
        (json!({"kind": "topic", "topic": topic, "test": "not_subscribed"}), Truth::Yes),
        (json!({"kind": "event", "name": "order", "at_least": 1}), Truth::No),
        (json!({"kind": "event", "name": "order", "at_least": 0}), Truth::Yes),
        // Who came yesterday has not ordered in ninety days either, nor has who never did anything.
        (
            json!({"kind": "event", "name": "order", "at_least": 0, "at_most": 0, "within": {"seconds": 7_776_000}}),
            Truth::Yes,
        ),
        (json!({"kind": "mail", "node": "hello", "did": "clicked"}), Truth::No),
        (json!({"kind": "and", "of": []}), Truth::Yes),
        (json!({"kind": "or", "of": []}), Truth::No),
    ];
    for (json, answer) in table {
        assert_eq!(condition(json.clone()).evaluate(&nobody(), at(0)), answer, "{json}");
    }
}

#[test]
fn both_ends_of_a_window_belong_to_it() {
    let twice = condition(json!({"kind": "event", "name": "visit", "at_least": 2, "within": {"seconds": 60}}));
    let facts = Facts { events: BTreeMap::from([("visit".into(), vec![at(0), at(60)])]), ..nobody() };
    assert_eq!(twice.evaluate(&facts, at(60)), Truth::Yes);
    assert_eq!(twice.next_change(&facts, at(60)), Some(at(60) + TimeDelta::microseconds(1)));
    assert_eq!(twice.evaluate(&facts, at(60) + TimeDelta::microseconds(1)), Truth::No);
    assert_eq!(twice.next_change(&facts, at(61)), None, "once is too little already");
    assert_eq!(twice.evaluate(&facts, at(59)), Truth::No, "what is still to come does not count");
}

#[test]
fn a_branch_on_an_untracked_persons_click_is_unknown() {
    let clicked = condition(json!({"kind": "mail", "node": "hello", "did": "clicked"}));
    let mut facts = nobody();
    facts.mails.insert(("hello".into(), MailDid::Clicked), Truth::Unknown);
    assert!(clicked.may_be_unknown());
    assert_eq!(clicked.evaluate(&facts, at(0)), Truth::Unknown);
    assert_eq!(Condition::Not { of: Box::new(clicked) }.evaluate(&facts, at(0)), Truth::Unknown);
}

#[test]
fn c199_what_is_stored_of_facts_holds_no_value() {
    let asked = condition(json!({"kind": "and", "of": [
        {"kind": "attribute", "name": "contact.first_name", "test": {"op": "equals", "value": "Ada"}},
        {"kind": "not", "of": {"kind": "event", "name": "order", "at_least": 1}},
    ]}));
    let mut facts = nobody();
    facts.attributes.insert("contact.first_name".into(), AttributeValue::String("Ada".into()));
    facts.events.insert("order".into(), vec![at(-5)]);
    let stored = facts.used_by(&asked, at(0));
    let wanted = json!([
        {"kind": "attribute", "name": "contact.first_name", "is": "yes"},
        {"kind": "event", "name": "order", "count": 1, "is": "yes"},
    ]);
    assert_eq!(stored, wanted);
    assert!(!format!("{facts:?}").contains("Ada"), "{facts:?}");
}

fn leaf() -> impl Strategy<Value = Condition> {
    let event = (0_u32..4, proptest::option::of(0_u32..4), proptest::option::of(0_u64..40)).prop_map(
        |(at_least, at_most, within)| {
            let within = within.map(|seconds| Window { seconds });
            Condition::Event { name: "visit".into(), at_least, at_most, within }
        },
    );
    let mail = prop::sample::select(vec!["a", "b"])
        .prop_map(|node| Condition::Mail { node: node.into(), did: MailDid::Clicked });
    prop_oneof![4 => event, 1 => mail, 1 => Just(Condition::Tag { tag: "vip".into() })]
}

fn tree() -> impl Strategy<Value = Condition> {
    leaf().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|of| Condition::And { of }),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|of| Condition::Or { of }),
            inner.prop_map(|of| Condition::Not { of: Box::new(of) }),
        ]
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    (prop::collection::vec(-40_i64..=0, 0..6), any::<bool>(), prop::sample::select(Truth::ALL.to_vec())).prop_map(
        |(mut times, vip, clicked)| {
            times.sort_unstable();
            Facts {
                tags: vip.then(|| "vip".to_owned()).into_iter().collect(),
                events: BTreeMap::from([("visit".to_owned(), times.into_iter().map(at).collect())]),
                mails: BTreeMap::from([(("a".to_owned(), MailDid::Clicked), clicked)]),
                ..Facts::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn a3_02_nothing_changes_before_the_next_change(condition in tree(), facts in facts()) {
        let mut now = at(0);
        // Every change is announced, one after the other, until time changes nothing any more.
        for _ in 0..20 {
            let answer = condition.evaluate(&facts, now);
            let next = condition.next_change(&facts, now);
            prop_assert!(next.is_none_or(|next| next > now));
            let before = next.unwrap_or(at(10_000)) - TimeDelta::microseconds(1);
            for moment in [before, now + (before - now) / 2] {
                prop_assert_eq!(condition.evaluate(&facts, moment), answer);
            }
            for second in 0..100 {
                let moment = at(second);
                if moment >= now && moment <= before {
                    prop_assert_eq!(condition.evaluate(&facts, moment), answer);
                }
            }
            match next {
                Some(next) => now = next,
                None => return Ok(()),
            }
        }
    }

    #[test]
    fn canonical_json_goes_there_and_back(condition in tree()) {
        let json = serde_json::to_string(&condition).expect("json");
        let read: Condition = serde_json::from_str(&json).expect("a condition");
        prop_assert_eq!(serde_json::to_string(&read).expect("json"), json);
        prop_assert_eq!(read, condition);
    }

    #[test]
    fn the_latest_events_that_are_needed_are_enough(condition in tree(), facts in facts()) {
        let needs = condition.needs();
        let mut fewer = facts.clone();
        for (name, times) in &mut fewer.events {
            let latest = needs.events.get(name).map_or(0, |need| usize::try_from(need.latest).expect("small"));
            times.drain(..times.len().saturating_sub(latest));
        }
        for second in 0..50 {
            prop_assert_eq!(condition.evaluate(&fewer, at(second)), condition.evaluate(&facts, at(second)));
        }
    }

    #[test]
    fn only_what_may_be_unknown_is(condition in tree(), facts in facts()) {
        if !condition.may_be_unknown() {
            prop_assert_ne!(condition.evaluate(&facts, at(0)), Truth::Unknown);
        }
    }
}
