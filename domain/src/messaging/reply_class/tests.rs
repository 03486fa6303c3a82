//! The matrix of C-51, sixty replies, and what holds for every reply whatever it says.

use proptest::prelude::*;

use super::*;

fn reply(stage: SmtpStage, operator: Option<&str>, line: &str) -> Reply {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    let (code, text) = code.parse().map_or((0, line), |code| (code, text));
    Reply { stage, code, enhanced: None, text: text.to_owned(), operator: operator.map(Operator::of_id) }
}

fn classify_line(stage: SmtpStage, line: &str) -> Classified {
    classify(&reply(stage, None, line))
}

#[test]
fn c051_the_matrix() {
    use Disposition::{Fail, FailAndSuppress, Retry};
    use FailureClass as C;
    let matrix = [
        ("550 5.1.1 No such user", C::RecipientPermanent, FailAndSuppress),
        ("552 5.2.2 Mailbox full", C::RecipientTransient, Fail),
        ("550 5.2.2 over quota", C::RecipientTransient, Fail),
        ("452 4.2.2 over quota", C::RecipientTransient, Retry),
        ("550 5.7.1 spam", C::PolicyOrReputation, Fail),
        ("554 5.4.6 routing loop", C::Domain, Fail),
        ("421 4.7.0 try later", C::PolicyOrReputation, Retry),
        ("user unknown", C::RecipientPermanent, FailAndSuppress),
        ("550 User unknown in virtual alias table", C::RecipientPermanent, FailAndSuppress),
        ("550 5.0.0 user unknown", C::RecipientPermanent, FailAndSuppress),
        ("450 4.1.1 unverified address: user unknown", C::RecipientTransient, Retry),
        ("451 4.7.1 Greylisted", C::PolicyOrReputation, Retry),
        ("451 Temporary local problem", C::Network, Retry),
        ("550 5.7.26 unauthenticated sender", C::SenderAuth, Fail),
        ("550 5.7.1 DMARC policy", C::SenderAuth, Fail),
        ("552 5.3.4 too big", C::Content, Fail),
        ("552 message too large", C::Content, Fail),
        ("550 5.6.7 non-ascii not permitted", C::Capability, Fail),
        ("550 5.1.2 bad domain", C::Domain, Fail),
        ("550 5.1.10 null MX", C::Domain, Fail),
        ("550 5.2.1 mailbox disabled", C::RecipientPermanent, FailAndSuppress),
        ("550 5.4.1 Recipient address rejected: Access denied", C::RecipientPermanent, FailAndSuppress),
        ("550 mailbox unavailable", C::Unknown, Fail),
        ("550 blocked: user unknown, see our spam policy", C::PolicyOrReputation, Fail),
        ("554 transaction failed", C::Unknown, Fail),
        ("", C::Unknown, Fail),
    ];
    for (line, class, disposition) in matrix {
        let judged = classify_line(SmtpStage::Data, line);
        assert_eq!((judged.class, judged.disposition), (class, disposition), "{line} by {}", judged.rule);
    }
}

#[test]
fn c048_sixty_replies_are_judged_by_the_rules_they_name() {
    let lines = include_str!("replies.txt").lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for line in lines {
        let (given, expected) = line.rsplit_once(" => ").unwrap();
        let [operator, stage, text] = given.splitn(3, " | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let stage = match stage {
            "session" => SmtpStage::Session,
            "mail" => SmtpStage::Sender,
            "rcpt" => SmtpStage::Recipient,
            _ => SmtpStage::Data,
        };
        let judged = classify(&reply(stage, Some(operator).filter(|operator| *operator != "-"), text));
        let done = match judged.disposition {
            Disposition::Retry => "retry",
            Disposition::Fail => "fail",
            Disposition::FailAndSuppress => "suppress",
        };
        assert_eq!(format!("{} {done} {}", judged.class, judged.rule), expected, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 60);
}

#[test]
fn c049_the_same_code_means_another_thing_at_another_operator() {
    for (line, there, elsewhere) in [
        ("550 5.7.30 Not passed", "google-7-30", "e-7-30"),
        ("550 5.7.27 Not passed", "google-7-27", "e-7-27"),
        ("550 5.7.40 Not passed", "google-7-40", "e-7"),
    ] {
        assert_eq!(classify(&reply(SmtpStage::Data, Some("google"), line)).rule, there);
        assert_eq!(classify_line(SmtpStage::Data, line).rule, elsewhere);
        // A mailbox with a domain of its own is told by what the server says.
        assert_eq!(classify_line(SmtpStage::Data, &format!("{line} ab1-2 - gsmtp")).rule, there);
    }
}

#[test]
fn c050_only_the_recipients_own_stages_suppress() {
    assert_eq!(classify_line(SmtpStage::Sender, "550 5.1.1 no such user").class, FailureClass::SenderAuth);
    let refused = classify_line(SmtpStage::Session, "535 5.7.8 bad credentials");
    assert_eq!((refused.class, refused.disposition), (FailureClass::SenderAuth, Disposition::Retry));
    assert_eq!(classify_line(SmtpStage::Session, "550 5.1.1 go away").disposition, Disposition::Retry);
}

#[test]
fn c054_what_a_relay_gave_up_is_over_and_a_4xx_suppresses_nobody() {
    let report = |line: &str| classify_final(&reply(SmtpStage::Recipient, None, line));
    let full = report("452 4.2.2 over quota");
    assert_eq!((full.class, full.disposition), (FailureClass::RecipientTransient, Disposition::Fail));
    let gone = report("450 4.1.1 user unknown");
    assert_eq!((gone.class, gone.disposition), (FailureClass::RecipientTransient, Disposition::Fail));
    assert_eq!(report("550 5.1.1 user unknown").disposition, Disposition::FailAndSuppress);
}

#[test]
fn c051_enhanced_codes_are_read_from_the_text() {
    assert_eq!(EnhancedCode::at_start_of("5.1.1 x"), Some(EnhancedCode { class: 5, subject: 1, detail: 1 }));
    assert_eq!(EnhancedCode::at_start_of("#5.1.10:x").map(|code| code.detail), Some(10));
    for text in ["", "5.1", "5.1.1.1 x", "3.1.1", "5..1", "5.1.x", "10.0.0.1", "5.1.1000"] {
        assert_eq!(EnhancedCode::at_start_of(text), None, "{text}");
    }
}

#[test]
fn debug_hides_the_text() {
    assert!(!format!("{:?}", reply(SmtpStage::Data, None, "550 jane@example.com")).contains("jane"));
}

proptest! {
    #[test]
    fn c050_suppression_needs_a_permanent_recipient_failure(code: u16, text in "\\PC{0,60}", stage in 0..4, of in 0..7) {
        let stages = [SmtpStage::Session, SmtpStage::Sender, SmtpStage::Recipient, SmtpStage::Data];
        let stage = stages[usize::try_from(stage).unwrap_or(0)];
        let operators = ["google", "microsoft", "yahoo", "apple", "united_internet", "telekom", "nobody"];
        let operator = Some(Operator::of_id(operators[usize::try_from(of).unwrap_or(0)]));
        let judged = classify(&Reply { stage, code, enhanced: None, text, operator });
        let suppresses = judged.disposition == Disposition::FailAndSuppress;
        prop_assert_eq!(suppresses, judged.class == FailureClass::RecipientPermanent);
        prop_assert!(!suppresses || matches!(stage, SmtpStage::Recipient | SmtpStage::Data));
        if (400..500).contains(&code) {
            prop_assert_eq!(judged.disposition, Disposition::Retry);
        }
    }
}
