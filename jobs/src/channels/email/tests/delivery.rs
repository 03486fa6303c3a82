//! From the channel to the catcher, under every behaviour.

use std::time::Duration;

use carillon_domain::messaging::reply_class::{self, FailureClass};

use super::*;
use crate::catcher::{Action, Behaviour, Moment, Rule, Whom, address_hash};

fn everyone(action: Action) -> Behaviour {
    Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action }] }
}

async fn deliver_under(behaviour: Behaviour) -> (HandOver, Catcher) {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    catcher.set_behaviour(behaviour);
    let outcome = channel().hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await;
    (outcome, catcher)
}

/// Of a relay that reports nothing, nothing is asked.
#[test]
fn c056_reports_are_asked_for_where_they_are_offered_and_say_which_attempt() {
    let mail = prepared(&EmailMessage { attempt: 3, ..transactional("ann+x@example.org") });
    let asked = crate::channels::email::smtp::report_parameters(&mail, true);
    assert_eq!(asked.0, format!(" RET=HDRS ENVID={}.3", mail.message()));
    assert_eq!(asked.1, " NOTIFY=FAILURE,DELAY ORCPT=rfc822;ann+2Bx@example.org");
    assert_eq!(crate::channels::email::smtp::report_parameters(&mail, false), Default::default());
}

/// A name that resolves to this machine is no way in, whoever it belongs to.
#[tokio::test]
async fn c227_a_tenants_relay_is_never_inside() {
    let (sink, _) = catcher(CatcherSettings::default()).await;
    for host in ["localhost", "127.0.0.1", "127.1"] {
        let relay: Relay = format!("smtp://{host}:{}?tls=none", sink.addr().port()).parse().unwrap();
        let mail = prepared(&marketing("ann@example.org"));
        let outcome = channel().hand_over(&relay.clone().of_a_tenant(), &mail, may_start).await;
        assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Connect), "{host}");
        let outcome = channel().hand_over(&relay, &mail, may_start).await;
        assert!(matches!(outcome, HandOver::Accepted(_)), "{host}: {outcome:?}");
    }
    assert_eq!(sink.totals().stored, 3);
    // However the text was taken when it was set: what it means at the moment is what counts.
    let mail = prepared(&marketing("ann@example.org"));
    for host in ["localhost.", "0x7f000001", "2130706433", "0177.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:7f00:1]"]
    {
        let relay: Relay = format!("smtp://{host}:{}?tls=none", sink.addr().port()).parse().unwrap();
        let outcome = channel().hand_over(&relay.of_a_tenant(), &mail, may_start).await;
        assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Connect), "{host}");
    }
    assert_eq!(sink.totals().stored, 3);
}

#[tokio::test]
async fn c032_an_accepted_mail_arrives_once_byte_for_byte() {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    let mail = prepared(&marketing("Ann@example.org"));
    assert!(matches!(channel().hand_over(&relay, &mail, may_start).await, HandOver::Accepted(_)));
    let [caught] = catcher.mails(0, 9).try_into().unwrap();
    assert_eq!(*caught.raw, *mail.bytes);
    assert_eq!(caught.envelope_from, "bounce+x1@bounce.shop.example");
    assert_eq!(caught.recipients, ["Ann@example.org"]);
    assert_eq!(caught.message_id.as_deref(), Some("message_01h4@shop.example"));
    assert_eq!(catcher.count_for("ann@example.org"), 1);
    assert!(!format!("{caught:?} {mail:?}").contains("example.org"));
}

#[tokio::test]
async fn c022_hidden_ends_of_data_stay_content() {
    for pipelining in [true, false] {
        let (catcher, relay) = catcher(CatcherSettings { pipelining, ..CatcherSettings::default() }).await;
        for ending in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r\n", "\r\n.\n", "\r\r\n.\r\r\n", ".\r\n.\r\n"] {
            let smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: x\r\n";
            let mut mail = marketing("ann@example.org");
            mail.text = format!("hello{ending}{smuggled}{ending}");
            mail.html.clone_from(&mail.text);
            let before = catcher.totals().stored;
            let outcome = channel().hand_over(&relay, &prepared(&mail), may_start).await;
            assert!(matches!(outcome, HandOver::Accepted(_)), "{ending:?} {outcome:?}");
            assert_eq!(catcher.totals().stored, before + 1);
        }
        assert_eq!(catcher.count_for("victim@example.org"), 0);
    }
}

#[tokio::test]
async fn c025_three_attempts_have_one_message_id_and_arrive_once() {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    catcher
        .set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: Some(2), action: Action::Defer }] });
    let channel = channel();
    let mut ids = Vec::new();
    for attempt in 1..=3 {
        let mail = prepared(&EmailMessage { attempt, ..marketing("ann@example.org") });
        ids.push(fields(&mail.bytes, "Message-ID"));
        let outcome = channel.hand_over(&relay, &mail, may_start).await;
        assert_eq!(matches!(outcome, HandOver::Accepted(_)), attempt == 3, "{outcome:?}");
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    let totals = catcher.totals();
    assert_eq!((totals.stored, totals.repeated, totals.deferred), (1, 0, 2));
}

#[tokio::test]
async fn a_451_defers_and_a_550_5_1_1_is_about_the_recipient() {
    let (outcome, catcher) = deliver_under(everyone(Action::Defer)).await;
    let HandOver::Deferred(reply) = outcome else { panic!("{outcome:?}") };
    assert_eq!((reply.code, reply.text.as_str()), (451, "4.7.1 Try again later"));
    assert_eq!(catcher.totals().stored, 0);

    let (outcome, _) = deliver_under(everyone(Action::Reject)).await;
    let HandOver::Rejected(reply) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reply_class::classify(&reply).class, FailureClass::RecipientPermanent);

    let answer = Action::Answer { at: Moment::Content, code: 554, text: "5.7.1 ann@example.org is spam".to_owned() };
    let (outcome, catcher) = deliver_under(everyone(answer)).await;
    let HandOver::Rejected(reply) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reply.text, "5.7.1 <address> is spam");
    assert_eq!(catcher.totals().stored, 0);
}

#[tokio::test]
async fn a_drop_after_the_dot_is_unknown_whether_stored_or_not() {
    for stored in [true, false] {
        let (outcome, catcher) = deliver_under(everyone(Action::Drop { stored })).await;
        assert_eq!(outcome, HandOver::Unknown);
        let totals = catcher.totals();
        assert_eq!(totals.stored, u64::from(stored));
        assert_eq!((totals.dropped_stored, totals.dropped_lost), (u64::from(stored), u64::from(!stored)));
    }
}

#[tokio::test(start_paused = true)]
async fn c062_a_reply_after_nine_minutes_is_waited_for() {
    let delay = |minutes: u64| everyone(Action::Delay { at: Moment::Content, millis: minutes * 60_000 });
    let (outcome, catcher) = deliver_under(delay(9)).await;
    assert!(matches!(outcome, HandOver::Accepted(_)), "{outcome:?}");
    assert_eq!(catcher.totals().stored, 1);
    let (outcome, _) = deliver_under(delay(11)).await;
    assert_eq!(outcome, HandOver::Unknown);
}

#[tokio::test(start_paused = true)]
async fn silence_before_the_dot_hands_nothing_over() {
    let (outcome, catcher) = deliver_under(everyone(Action::Delay { at: Moment::Recipient, millis: 200_000 })).await;
    assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Timeout));
    assert_eq!(catcher.totals().stored, 0);
}

#[tokio::test]
async fn c028_without_smtputf8_the_hop_is_to_blame_and_with_it_the_mail_arrives() {
    let (sink, relay) = catcher(CatcherSettings::default()).await;
    let mail = prepared(&marketing("δοκιμή@example.org"));
    let channel = channel();
    assert_eq!(channel.hand_over(&relay, &mail, may_start).await, HandOver::Incapable(Capability::SmtpUtf8));
    assert_eq!(sink.totals().stored, 0);
    // The connection is as good as before.
    assert!(matches!(
        channel.hand_over(&relay, &prepared(&marketing("a@example.org")), may_start).await,
        HandOver::Accepted(_)
    ));

    let (sink, relay) = catcher(CatcherSettings { smtp_utf8: true, ..CatcherSettings::default() }).await;
    assert!(matches!(channel.hand_over(&relay, &mail, may_start).await, HandOver::Accepted(_)));
    assert_eq!(sink.mails(0, 1)[0].recipients, ["δοκιμή@example.org"]);
}

#[tokio::test]
async fn a_mail_larger_than_the_relays_size_is_not_sent() {
    let (sink, relay) = catcher(CatcherSettings { max_size: 500, ..CatcherSettings::default() }).await;
    let outcome = channel().hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await;
    assert_eq!(outcome, HandOver::Incapable(Capability::Size));
    assert_eq!(sink.totals().stored, 0);
}

#[tokio::test]
async fn a_connection_is_used_again_after_every_kind_of_answer() {
    for pipelining in [true, false] {
        // One connection is all there is: a second one would get 421.
        let settings = CatcherSettings { pipelining, max_connections: 1, ..CatcherSettings::default() };
        let (catcher, relay) = catcher(settings).await;
        let channel = channel();
        let content = Action::Answer { at: Moment::Content, code: 452, text: "4.2.2 Full".to_owned() };
        let outcomes = [
            (Behaviour::default(), true),
            (everyone(Action::Defer), false),
            (everyone(Action::Reject), false),
            (Behaviour::default(), true),
            (everyone(content), false),
            (Behaviour::default(), true),
        ];
        for (behaviour, accepted) in outcomes {
            catcher.set_behaviour(behaviour);
            let outcome = channel.hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await;
            assert_eq!(matches!(outcome, HandOver::Accepted(_)), accepted, "{outcome:?}");
            assert!(!matches!(outcome, HandOver::NotHandedOver(_)), "{outcome:?}");
        }
        assert_eq!(catcher.totals().stored, 3);
    }
}

#[tokio::test]
async fn a_group_gives_its_outcomes_in_order() {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    let share = |is, action| Rule { whom: Whom::Share { of: 3, is }, first: None, action };
    catcher.set_behaviour(Behaviour {
        rules: vec![
            Rule { whom: Whom::Everyone, first: None, action: Action::Delay { at: Moment::Content, millis: 1 } },
            share(0, Action::Defer),
            share(1, Action::Drop { stored: true }),
        ],
    });
    let addresses: Vec<String> = (0..64).map(|n| format!("user{n}@example.org")).collect();
    let mails: Vec<_> = addresses.iter().map(|to| prepared(&marketing(to))).collect();
    let channel = channel();
    let outcomes = futures::future::join_all(mails.iter().map(|mail| channel.hand_over(&relay, mail, may_start))).await;
    for (address, outcome) in addresses.iter().zip(&outcomes) {
        match (address_hash(address) % 3, outcome) {
            (0, HandOver::Deferred(_)) | (1, HandOver::Unknown) | (2, HandOver::Accepted(_)) => {}
            (share, outcome) => panic!("share {share}: {outcome:?}"),
        }
    }
    let totals = catcher.totals();
    assert_eq!(outcomes.len(), 64);
    assert_eq!(totals.stored + totals.deferred, 64);
    assert_eq!(totals.repeated, 0);
}

#[tokio::test]
async fn changes_wake_whoever_waits() {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    let catcher = Arc::new(catcher);
    let waiting = tokio::spawn({
        let catcher = Arc::clone(&catcher);
        async move { catcher.stored_at_least(2).await }
    });
    for _ in 0..2 {
        channel().hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await;
    }
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(catcher.totals().repeated, 1);
}

#[tokio::test]
async fn c161_without_a_permit_nothing_begins_and_the_connection_stays_good() {
    let settings = CatcherSettings { max_connections: 1, ..CatcherSettings::default() };
    let (catcher, relay) = catcher(settings).await;
    let channel = channel();
    let mail = prepared(&marketing("ann@example.org"));
    let expired = |_: crate::channels::email::Moment| Err(NotHandedOver::PermitExpired);
    for _ in 0..2 {
        let outcome = channel.hand_over(&relay, &mail, expired).await;
        assert_eq!(outcome, HandOver::Withheld(NotHandedOver::PermitExpired));
        assert_eq!(catcher.totals().stored, 0);
    }
    assert!(matches!(channel.hand_over(&relay, &mail, may_start).await, HandOver::Accepted(_)));
    assert_eq!(channel.hand_over(&relay, &mail, expired).await, HandOver::Withheld(NotHandedOver::PermitExpired));
    assert_eq!(catcher.totals().stored, 1);
}

#[tokio::test]
async fn c175_a_permit_that_ran_out_meanwhile_keeps_the_final_dot_back() {
    let (catcher, relay) = catcher(CatcherSettings::default()).await;
    let channel = channel();
    let mail = prepared(&marketing("ann@example.org"));
    let ran_out = |moment: crate::channels::email::Moment| match moment {
        crate::channels::email::Moment::Begin => Ok(()),
        crate::channels::email::Moment::End => Err(NotHandedOver::PermitExpired),
    };
    for _ in 0..2 {
        let outcome = channel.hand_over(&relay, &mail, ran_out).await;
        assert_eq!(outcome, HandOver::Withheld(NotHandedOver::PermitExpired));
    }
    assert_eq!(catcher.totals().stored, 0);
    assert!(matches!(channel.hand_over(&relay, &mail, may_start).await, HandOver::Accepted(_)));
    assert_eq!(catcher.totals().stored, 1);
}
