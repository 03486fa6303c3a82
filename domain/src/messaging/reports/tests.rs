//! What the corpus reports (M-3: forty delivery reports and six complaints of our own), and what no mail makes of the reader.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::read::read;
use super::redact::redact;
use super::verdict::{Verdict, judge};
use super::{Action, Feedback, READ_MAX, RecipientReport, Reported};

const ADA: &str = "ada@reader.example";

macro_rules! corpus {
    ($($name:literal $expected:literal;)+) => {
        /// Each mail with what it comes to.
        const CORPUS: &[(&str, &[u8], &str)] =
            &[$(($name, include_bytes!(concat!("corpus/", $name, ".eml")), $expected)),+];
    };
}

corpus! {
    "dsn-01-postfix-unknown" "failed recipient_permanent e-1-1 suppress";
    "dsn-02-postfix-full" "failed recipient_transient e-2-2";
    "dsn-03-postfix-delayed" "delayed";
    "dsn-04-postfix-expired" "failed network e-4";
    "dsn-05-relayed" "delivered";
    "dsn-06-delivered" "delivered";
    "dsn-07-expanded" "delivered";
    "dsn-08-exim-report" "failed recipient_permanent t-unknown-user suppress";
    "dsn-09-exim-prose" "failed recipient_permanent e-1-1 suppress";
    "dsn-10-exim-timeout" "failed network t-network";
    "dsn-11-exim-warning" "delayed";
    "dsn-12-exim-unrouteable" "failed domain t-domain";
    "dsn-13-qmail-unknown" "failed recipient_permanent t-unknown-user suppress";
    "dsn-14-qmail-spam" "failed policy_or_reputation e-7";
    "dsn-15-sendmail-unknown" "failed recipient_permanent e-1-1 suppress";
    "dsn-16-sendmail-warning" "delayed";
    "dsn-17-exchange-not-found" "failed recipient_permanent microsoft-1-10 suppress";
    "dsn-18-exchange-denied" "failed recipient_permanent microsoft-4-1-denied suppress";
    "dsn-19-exchange-quota" "failed recipient_transient e-2-2";
    "dsn-20-exchange-auth" "failed sender_auth microsoft-7-515";
    "dsn-21-exchange-deutsch" "failed recipient_permanent e-1-1 suppress";
    "dsn-22-gmail-unknown" "failed recipient_permanent e-1-1 suppress";
    "dsn-23-gmail-full" "failed recipient_transient google-2-2";
    "dsn-24-gmail-unauthenticated" "failed sender_auth google-7-26";
    "dsn-25-gmail-delay" "delayed";
    "dsn-26-yahoo-no-account" "failed recipient_permanent yahoo-no-account suppress";
    "dsn-27-yahoo-deferred" "failed policy_or_reputation yahoo-tss";
    "dsn-28-icloud-full" "failed recipient_transient e-2-2";
    "dsn-29-gmx-unavailable" "failed unknown b-unknown";
    "dsn-30-latin1-deutsch" "failed recipient_permanent e-1-1 suppress";
    "dsn-31-two-recipients" "failed recipient_permanent e-1-1 suppress";
    "dsn-32-another-recipient" "delivered";
    "dsn-33-no-original" "failed recipient_permanent e-1-1 suppress";
    "dsn-34-broken-boundary" "failed recipient_permanent e-1-1 suppress";
    "dsn-35-status-as-text" "failed recipient_permanent e-1-1 suppress";
    "dsn-36-forwarded" "failed unknown unnamed";
    "dsn-37-forwarded-original" "failed recipient_permanent e-1-1 suppress";
    "dsn-38-global" "failed recipient_permanent e-1-1 suppress";
    "dsn-39-other-charset" "failed domain e-4-4";
    "dsn-40-spam" "failed policy_or_reputation e-7";
    "arf-01-abuse" "Complaint paths={{PATH}},{{PATH}} links=<{{LINK}}>";
    "arf-02-redacted" "Complaint paths= links=<{{LINK}}>";
    "arf-03-return-path-only" "Complaint paths={{PATH}} links=";
    "arf-04-not-spam" "NotSpam paths={{PATH}},{{PATH}} links=";
    "arf-05-unsigned" "Complaint paths=news@bakery.example,news@bakery.example links=<https://carillon.test/u/AQABnotsignedhere>";
    "arf-06-auth-failure" "Authentication paths={{PATH}},{{PATH}} links=";
    "other-01-away-deutsch" "auto_reply";
    "other-02-away-exchange" "auto_reply";
    "other-03-away-plain" "auto_reply";
    "other-04-nested-forward" "other";
    "other-05-reply" "other";
}

/// As it comes over the wire.
fn wire(mail: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(mail).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

fn told(reported: &Reported, is_ours: impl Fn(&str) -> bool) -> String {
    match reported {
        Reported::Delivery(recipients) => match judge(recipients, is_ours) {
            Some(Verdict::Failed(failure)) => {
                let suppress = if failure.suppress { " suppress" } else { "" };
                format!("failed {} {}{suppress}", failure.class, failure.rule)
            }
            Some(Verdict::Delayed) => "delayed".to_owned(),
            Some(Verdict::Delivered) => "delivered".to_owned(),
            None => "nothing".to_owned(),
        },
        Reported::Feedback(Feedback { kind, return_paths, links, .. }) => {
            format!("{kind:?} paths={} links={}", return_paths.join(","), links.join(","))
        }
        Reported::AutoReply => "auto_reply".to_owned(),
        Reported::Other => "other".to_owned(),
    }
}

fn is_ada(address: &str) -> bool {
    address.eq_ignore_ascii_case(ADA)
}

#[test]
fn c054_c059_each_mail_of_the_corpus_comes_to_what_it_ought_to() {
    let mut wrong = String::new();
    for (name, mail, expected) in CORPUS {
        // Mails are read as they come and as files keep them.
        for raw in [wire(mail), mail.to_vec()] {
            let told = told(&read(&raw).unwrap(), is_ada);
            if told != *expected {
                let _ = writeln!(wrong, "{name}: {told}, not {expected}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    let count = |start: &str| CORPUS.iter().filter(|(name, ..)| name.starts_with(start)).count();
    assert_eq!((count("dsn-"), count("arf-")), (40, 6));
}

#[test]
fn c055_a_report_that_names_somebody_else_suppresses_nobody() {
    for (name, mail, _) in CORPUS {
        let told = told(&read(&wire(mail)).unwrap(), |address| address == "victim@reader.example");
        assert!(!told.contains("suppress"), "{name}: {told}");
    }
}

/// Many answer without a sender, as servers do, and name themselves; what they say of a mailbox is no server's word.
#[test]
fn c057_an_answer_that_says_so_in_a_header_is_no_bounce() {
    let text = "I have left.\r\n\r\nada@reader.example\r\nThis mailbox does not exist any more.\r\n";
    for mark in ["X-Autoreply: yes", "Precedence: auto_reply", "X-Autoresponder: 1"] {
        let mail = format!("Return-Path: <>\r\nFrom: ada@reader.example\r\nSubject: Your mail\r\n{mark}\r\n\r\n{text}");
        assert_eq!(told(&read(mail.as_bytes()).unwrap(), is_ada), "auto_reply", "{mark}");
    }
}

/// Whoever writes a report can have it talk like anybody; the domain is the signed mail's own.
#[test]
fn c053_a_missing_mailbox_counts_by_its_domain_and_not_by_how_the_report_talks() {
    let report = |address: &str| RecipientReport {
        action: Action::Failed,
        status: None,
        diagnostic: Some((550, "5.1.1 No such user - gsmtp".to_owned())),
        recipients: vec![address.to_owned()],
        remote_mta: Some("gmail-smtp-in.l.google.com".to_owned()),
    };
    for (address, mailbox) in [(ADA, "other"), ("ada@outlook.com", "microsoft"), ("ada@gmail.com", "google")] {
        let Some(Verdict::Failed(failure)) = judge(&[report(address)], |asked| asked == address) else {
            panic!("{address} has failed");
        };
        assert!(failure.suppress);
        assert_eq!(failure.mailbox.as_str(), mailbox, "{address}");
    }
}

#[test]
fn c199_what_is_kept_of_a_report_names_nobody() {
    for (name, mail, _) in CORPUS {
        let Some(Reported::Delivery(recipients)) = read(&wire(mail)) else { continue };
        let addresses: Vec<String> = recipients.iter().flat_map(|report| report.recipients.clone()).collect();
        for (_, text) in recipients.iter().filter_map(|report| report.diagnostic.as_ref()) {
            let kept = redact(text, &addresses);
            assert!(!kept.contains('@') && !kept.split(' ').any(|word| word == "ada"), "{name}: {kept}");
        }
    }
}

/// A thousand forwards of forwards would have a parser, or what drops its result, run out of stack.
#[test]
fn c054_however_deep_a_mail_is_nested_the_reader_stands() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(READ_MAX / 32);
    assert_eq!(read(deep.as_bytes()), Some(Reported::Other));
    let encoded = STANDARD.encode(&deep[..deep.len() / 2]);
    let hidden = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n");
    assert_eq!(read(hidden.as_bytes()), Some(Reported::Other));
    let mut wide = "Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned();
    for _ in 0..READ_MAX / 8 {
        wide.push_str("--a\r\n\r\n\r\n");
    }
    assert_eq!(read(wide.as_bytes()), Some(Reported::Other));
    assert_eq!(read(b""), Some(Reported::Other));
}

/// What stands beyond the bound is as if it were not there.
#[test]
fn c054_a_report_before_a_huge_original_is_read() {
    let (_, mail, expected) = CORPUS[0];
    let mut huge = wire(mail);
    let end = huge.windows(8).rposition(|window| window == b"--=_edge").unwrap();
    huge.truncate(end);
    huge.resize(3 * READ_MAX, b'x');
    assert_eq!(told(&read(&huge).unwrap(), is_ada), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c055_cut_or_flipped_a_mail_neither_stops_the_reader_nor_suppresses_anybody_else(
        which in 0..CORPUS.len(), cut in 0usize..10_000, at in 0usize..10_000, byte: u8,
    ) {
        let mail = wire(CORPUS[which].1);
        let cut = read(&mail[..mail.len() * cut / 10_000]).unwrap();
        let mut flipped = mail.clone();
        flipped[mail.len() * at / 10_000] = byte;
        let flipped = read(&flipped).unwrap();
        for reported in [cut, flipped] {
            // Whoever else the altered report may name now, only the mail's own address is ever asked about.
            let anybody = told(&reported, |_| false);
            prop_assert!(!anybody.contains("suppress"), "{anybody}");
            let _ = told(&reported, is_ada);
        }
    }

    #[test]
    fn c054_no_octets_stop_the_reader(octets in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let reported = read(&octets);
        prop_assert!(reported.is_some());
    }
}
