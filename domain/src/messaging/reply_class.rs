//! What a server's refusal means (C-50, C-51): is it the recipient, the mail, the sender or the way?
//!
//! The enhanced status code beats the basic one, and text decides only where codes say nothing. Nothing but a permanent
//! failure of the recipient's mailbox suppresses the address; every doubt falls to the side of not suppressing.

mod table;

pub use table::RULES_VERSION;

use table::{ENHANCED_RULES, Rule, TEXT_RULES};

text_code! {
    /// Why a mail was not taken.
    pub enum FailureClass {
        /// There is no such mailbox.
        RecipientPermanent = "recipient_permanent",
        /// The mailbox is there but cannot take mail now.
        RecipientTransient = "recipient_transient",
        /// Something in the mail itself.
        Content = "content",
        /// Spam filter, rate limit, reputation, local policy.
        PolicyOrReputation = "policy_or_reputation",
        /// Our authentication, our sender address or our domain's records.
        SenderAuth = "sender_auth",
        /// The recipient's domain or its routing.
        Domain = "domain",
        /// Connections and congestion.
        Network = "network",
        /// One side cannot do what the other needs.
        Capability = "capability",
        /// Nothing is known.
        Unknown = "unknown",
    }
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Try again by the schedule.
    Retry,
    /// This message is over, the address is not to blame.
    Fail,
    /// This message is over and the address gets no more mail.
    FailAndSuppress,
}

/// Which command the server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmtpStage {
    /// Greeting, EHLO, STARTTLS or AUTH: nothing about this mail was said yet.
    Session,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA or the final dot.
    Data,
}

/// An enhanced status code (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about.
    pub subject: u16,
    /// What exactly.
    pub detail: u16,
}

impl EnhancedCode {
    /// Finds a code at the start of a reply's text, such as `5.1.1 No such user`.
    pub fn at_start_of(text: &str) -> Option<Self> {
        let token = text.trim_start().split([' ', '\t', '-', ':', ';', ',', '\r', '\n']).next()?;
        let mut parts = token.trim_start_matches('#').split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || [class, subject, detail].iter().any(|part| part.is_empty() || part.len() > 3) {
            return None;
        }
        let class = class.parse().ok().filter(|class| [2, 4, 5].contains(class))?;
        Some(Self { class, subject: subject.parse().ok()?, detail: detail.parse().ok()? })
    }
}

/// A refusal as the server gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which command it answers.
    pub stage: SmtpStage,
    /// Basic code, 400 to 599; 0 when there was none (a delivery report).
    pub code: u16,
    /// Enhanced code; `None` lets the start of the text be read.
    pub enhanced: Option<EnhancedCode>,
    /// The text, which may quote the recipient's address.
    pub text: String,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({:?}, {}, {:?}, ..)", self.stage, self.code, self.enhanced)
    }
}

/// The judgement and the rule that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified {
    /// The class.
    pub class: FailureClass,
    /// What to do.
    pub disposition: Disposition,
    /// Id of the rule, stored with the decision; see [`RULES_VERSION`].
    pub rule: &'static str,
}

/// Judges a refusal; total: whatever a server says has an answer.
pub fn classify(reply: &Reply) -> Classified {
    let enhanced = reply.enhanced.or_else(|| EnhancedCode::at_start_of(&reply.text));
    let text = reply.text.to_ascii_lowercase();
    let permanent = is_permanent(reply.code, enhanced);
    let (class, rule) = find_rule(reply.code, enhanced, &text);
    if reply.stage == SmtpStage::Session {
        // A relay that refuses the session says nothing about this mail: losing it for that would lose every mail.
        let class = if class == FailureClass::SenderAuth { class } else { FailureClass::Network };
        return Classified { class, disposition: Disposition::Retry, rule: "session" };
    }
    let class = match class {
        FailureClass::RecipientPermanent if !permanent => FailureClass::RecipientTransient,
        // An answer to MAIL FROM is about the sender, whatever its code says.
        FailureClass::RecipientPermanent if reply.stage == SmtpStage::Sender => FailureClass::SenderAuth,
        class => class,
    };
    let disposition = match (permanent, class) {
        (false, _) => Disposition::Retry,
        (true, FailureClass::RecipientPermanent) => Disposition::FailAndSuppress,
        (true, _) => Disposition::Fail,
    };
    Classified { class, disposition, rule }
}

/// A basic code decides, for it is the protocol's; without one the enhanced class does.
fn is_permanent(code: u16, enhanced: Option<EnhancedCode>) -> bool {
    match code {
        500..=599 => true,
        400..=499 => false,
        _ => enhanced.is_none_or(|enhanced| enhanced.class == 5),
    }
}

/// The first rule that fits: enhanced code (with its text exceptions first), then text, then basic code.
fn find_rule(code: u16, enhanced: Option<EnhancedCode>, text: &str) -> (FailureClass, &'static str) {
    // x.0.0 says only what the basic code says.
    let telling = enhanced.filter(|enhanced| (enhanced.subject, enhanced.detail) != (0, 0));
    let by_enhanced = || ENHANCED_RULES.iter().find(|rule| telling.is_some_and(|code| rule.fits(code, text)));
    let by_text = || TEXT_RULES.iter().find(|rule| rule.marks(text));
    let found = if telling.is_some() { by_enhanced() } else { by_text() };
    found.map_or_else(|| table::by_basic(code), |rule: &Rule| (rule.class, rule.id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn classify_line(stage: SmtpStage, line: &str) -> Classified {
        let (code, text) = line.split_once(' ').unwrap_or((line, ""));
        let (code, text) = code.parse().map_or((0, line), |code| (code, text));
        classify(&Reply { stage, code, enhanced: None, text: text.to_owned() })
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
    fn c050_only_the_recipients_own_stages_suppress() {
        assert_eq!(classify_line(SmtpStage::Sender, "550 5.1.1 no such user").class, FailureClass::SenderAuth);
        let refused = classify_line(SmtpStage::Session, "535 5.7.8 bad credentials");
        assert_eq!((refused.class, refused.disposition), (FailureClass::SenderAuth, Disposition::Retry));
        assert_eq!(classify_line(SmtpStage::Session, "550 5.1.1 go away").disposition, Disposition::Retry);
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
    fn c051_rule_ids_are_unique() {
        let mut ids: Vec<_> = ENHANCED_RULES.iter().chain(TEXT_RULES).map(|rule| rule.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn debug_hides_the_text() {
        let reply = Reply { stage: SmtpStage::Data, code: 550, enhanced: None, text: "jane@example.com".into() };
        assert!(!format!("{reply:?}").contains("jane"));
    }

    proptest! {
        #[test]
        fn c050_suppression_needs_a_permanent_recipient_failure(code: u16, text in "\\PC{0,60}", stage in 0..4) {
            let stages = [SmtpStage::Session, SmtpStage::Sender, SmtpStage::Recipient, SmtpStage::Data];
            let stage = stages[usize::try_from(stage).unwrap_or(0)];
            let judged = classify(&Reply { stage, code, enhanced: None, text });
            let suppresses = judged.disposition == Disposition::FailAndSuppress;
            prop_assert_eq!(suppresses, judged.class == FailureClass::RecipientPermanent);
            prop_assert!(!suppresses || matches!(stage, SmtpStage::Recipient | SmtpStage::Data));
            if (400..500).contains(&code) {
                prop_assert_eq!(judged.disposition, Disposition::Retry);
            }
        }
    }
}
