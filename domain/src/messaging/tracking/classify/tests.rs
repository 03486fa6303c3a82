//! Each rule by itself, and all of them over labelled sessions (C-82).

use chrono::DateTime;
use uuid::Uuid;

use super::*;

const BROWSER: Agent = Agent::Browser;

/// Milliseconds after a server took the mail.
fn at(millis: i64) -> Timestamp {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
}

/// A click on a link of so many, or an open where the number is 0.
fn hit(link: u16, of: u16, agent: Agent, millis: i64) -> Hit {
    Hit {
        id: HitId(Uuid::nil()),
        message: MessageId(Uuid::nil()),
        kind: if link == 0 { HitKind::Open } else { HitKind::Click },
        link: (link > 0).then_some(LinkPlace { number: link, of }),
        agent,
        is_head: false,
        at: at(millis),
    }
}

fn judge(hit: &Hit, clicks: &[(u16, i64)], messages_of_source: i64) -> (HitClass, &'static str) {
    let clicks: Vec<_> = clicks.iter().map(|(link, millis)| (*link, at(*millis))).collect();
    classify(hit, &Beside { clicks: &clicks, messages_of_source, handed_over: Some(at(0)) })
}

#[test]
fn c081_machine_opens_are_told_from_a_persons() {
    for (agent, expected) in [
        (BROWSER, (HitClass::Human, "none")),
        (Agent::Mpp, (HitClass::Mpp, "agent_mpp")),
        (Agent::Proxy, (HitClass::Proxy, "agent_proxy")),
        (Agent::Scanner, (HitClass::Scanner, "agent_scanner")),
        (Agent::Bot, (HitClass::Scanner, "agent_bot")),
        (Agent::Other, (HitClass::Unknown, "agent_other")),
        (Agent::Missing, (HitClass::Unknown, "agent_missing")),
    ] {
        assert_eq!(judge(&hit(0, 0, agent, 60_000), &[], 1), expected);
    }
}

#[test]
fn c082_each_signal_decides_by_itself() {
    let human = (HitClass::Human, "none");
    let scanner = |rule| (HitClass::Scanner, rule);
    let head = Hit { is_head: true, ..hit(1, 5, BROWSER, 60_000) };
    assert_eq!(judge(&head, &[(1, 60_000)], 1), scanner("head"));
    // Before anybody can have read it.
    for millis in [-5_000, 0, 1_999] {
        assert_eq!(judge(&hit(1, 5, BROWSER, millis), &[(1, millis)], 1), scanner("too_soon"));
    }
    assert_eq!(judge(&hit(1, 5, BROWSER, 2_000), &[(1, 2_000)], 1), human);
    let never = Beside { handed_over: None, ..Beside::default() };
    assert_eq!(classify(&hit(1, 5, BROWSER, 60_000), &never), scanner("too_soon"));
    // Three links in three seconds, whichever of them is asked about; the same link again is one link.
    let three = [(1, 60_000), (2, 61_500), (3, 63_000)];
    for (link, millis) in three {
        assert_eq!(judge(&hit(link, 5, BROWSER, millis), &three, 1), scanner("many_links"));
    }
    assert_eq!(judge(&hit(0, 0, BROWSER, 61_000), &three, 1), scanner("many_links"), "the open among them");
    assert_eq!(judge(&hit(1, 5, BROWSER, 90_000), &[three.as_slice(), &[(1, 90_000)]].concat(), 1), human, "later");
    assert_eq!(judge(&hit(3, 5, BROWSER, 63_001), &[(1, 60_000), (2, 61_500), (3, 63_001)], 1), human);
    assert_eq!(judge(&hit(1, 5, BROWSER, 60_000), &[(1, 60_000), (1, 60_100), (1, 60_200)], 1), human);
    // All links of a mail that has several.
    let both = [(1, 60_000), (2, 69_000)];
    assert_eq!(judge(&hit(2, 2, BROWSER, 69_000), &both, 1), scanner("all_links"));
    assert_eq!(judge(&hit(2, 3, BROWSER, 69_000), &both, 1), human);
    assert_eq!(judge(&hit(2, 2, BROWSER, 80_000), &[(1, 60_000), (2, 80_000)], 1), human);
    assert_eq!(judge(&hit(1, 1, BROWSER, 60_000), &[(1, 60_000)], 1), human, "its only link");
    // A busy network: only soon after the hand-over.
    assert_eq!(judge(&hit(1, 5, BROWSER, 30_000), &[(1, 30_000)], 10), scanner("many_messages"));
    assert_eq!(judge(&hit(1, 5, BROWSER, 30_000), &[(1, 30_000)], 9), human);
    assert_eq!(judge(&hit(1, 5, BROWSER, 3_600_000), &[(1, 3_600_000)], 40), human, "an office after lunch");
}

/// What one visitor did: hits as (link, agent, asks for headers only, milliseconds), in a mail of five links, from a network
/// that hit so many mails at the time.
struct Session {
    name: String,
    is_person: bool,
    hits: Vec<(u16, Agent, bool, i64)>,
    messages_of_source: i64,
}

fn session(name: &str, is_person: bool, hits: &[(u16, Agent, bool, i64)], messages_of_source: i64) -> Session {
    Session { name: name.to_owned(), is_person, hits: hits.to_vec(), messages_of_source }
}

/// Sixty sessions as they are seen in practice, with what they really were.
fn sessions() -> Vec<Session> {
    let mut all = Vec::new();
    for n in 0..10_i64 {
        let late = 40_000 + n * 3_700_000;
        all.push(session(
            "reads and follows one link",
            true,
            &[(0, BROWSER, false, late), (2, BROWSER, false, late + 8_000)],
            1 + n / 4,
        ));
        all.push(session("looks only", true, &[(0, BROWSER, false, late)], n));
        all.push(session("an office after the mailing", true, &[(1, BROWSER, false, 70_000 + n * 900)], 10));
        all.push(session(
            "follows every link at delivery",
            false,
            &(1..=5).map(|link| (link, BROWSER, false, n * 150 + i64::from(link) * 90)).collect::<Vec<_>>(),
            3,
        ));
        all.push(session("fetches all images", false, &[(0, Agent::Mpp, false, 5_000 * n)], 60));
    }
    all.extend([
        session("follows two links at once", true, &[(1, BROWSER, false, 90_000), (3, BROWSER, false, 91_000)], 1),
        session("clicks twice", true, &[(1, BROWSER, false, 90_000), (1, BROWSER, false, 90_200)], 1),
        session("reads it as it comes", true, &[(0, BROWSER, false, 2_500), (1, BROWSER, false, 6_000)], 2),
        session("hides the program's name", true, &[(1, Agent::Missing, false, 300_000)], 1),
        session(
            "opens three links in tabs",
            true,
            &[(1, BROWSER, false, 60_000), (2, BROWSER, false, 61_000), (3, BROWSER, false, 62_500)],
            1,
        ),
        session("asks for headers", false, &[(1, BROWSER, true, 30_000), (2, BROWSER, true, 95_000)], 1),
        session("says it scans", false, &[(1, Agent::Scanner, false, 600_000)], 1),
        session("one link of many mails", false, &[(1, BROWSER, false, 20_000)], 180),
        session("a chat's preview", false, &[(4, Agent::Bot, false, 700_000)], 1),
        session("one link, unhurried, alone", false, &[(3, BROWSER, false, 45_000)], 1),
    ]);
    all
}

#[test]
fn c082_labelled_sessions_are_told_apart_with_known_precision_and_recall() {
    let sessions = sessions();
    assert_eq!(sessions.len(), 60);
    let (mut true_people, mut false_people, mut missed) = (0_u32, Vec::new(), Vec::new());
    for session in &sessions {
        let clicks: Vec<_> =
            session.hits.iter().filter(|(link, ..)| *link > 0).map(|(link, _, _, millis)| (*link, *millis)).collect();
        let is_human = session.hits.iter().any(|(link, agent, is_head, millis)| {
            let hit = Hit { is_head: *is_head, ..hit(*link, 5, *agent, *millis) };
            judge(&hit, &clicks, session.messages_of_source).0 == HitClass::Human
        });
        match (session.is_person, is_human) {
            (true, true) => true_people += 1,
            (false, true) => false_people.push(session.name.as_str()),
            (true, false) => missed.push(session.name.as_str()),
            (false, false) => {}
        }
    }
    let share =
        |others: usize| f64::from(true_people) / (f64::from(true_people) + f64::from(u32::try_from(others).unwrap()));
    let (precision, recall) = (share(false_people.len()), share(missed.len()));
    println!("rules {HIT_RULES_VERSION}: precision {precision:.3}, recall {recall:.3}");
    // What simple signals cannot tell, by name: a change of a threshold shows here.
    assert_eq!(false_people, ["one link, unhurried, alone"]);
    assert_eq!(missed, ["hides the program's name", "opens three links in tabs"]);
    assert!(precision > 0.95 && recall > 0.93, "{precision} {recall}");
}
