//! What a server's refusal means (C-48 to C-51): is it the recipient, the mail, the sender or the way?
//!
//! The rules are data, `rules.toml`. The enhanced status code beats the basic one, text decides only where codes say
//! nothing, and what an operator of mailboxes means by a code beats what the registry says of it. Nothing but a permanent
//! failure of the recipient's mailbox suppresses the address at once; every doubt falls to the side of not suppressing.

mod operator;
mod table;
#[cfg(test)]
mod tests;

pub use operator::Operator;

use table::{Asked, table};

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

impl std::fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
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
    /// Who runs the server that said it, if that is known (C-49).
    pub operator: Option<Operator>,
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
    /// Id of the rule, stored with the decision; see [`rules_version`].
    pub rule: &'static str,
}

/// Which version of the rules this build has; the first call reads them.
pub fn rules_version() -> u16 {
    table().version
}

/// Judges a refusal; total: whatever a server says has an answer.
pub fn classify(reply: &Reply) -> Classified {
    let (class, rule, permanent) = look_up(reply);
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

/// Judges what a server told a relay that has given up (RFC 3464): there is nothing left to try.
pub fn classify_final(reply: &Reply) -> Classified {
    match classify(reply) {
        judged @ Classified { disposition: Disposition::Retry, .. } => {
            Classified { disposition: Disposition::Fail, ..judged }
        }
        judged => judged,
    }
}

/// The class and the rule that a table gives, and whether the answer is final.
fn look_up(reply: &Reply) -> (FailureClass, &'static str, bool) {
    let enhanced = reply.enhanced.or_else(|| EnhancedCode::at_start_of(&reply.text));
    let text = reply.text.to_lowercase();
    let operator = reply.operator.or_else(|| Operator::of_text(&text));
    // x.0.0 says only what the basic code says.
    let telling = enhanced.filter(|enhanced| (enhanced.subject, enhanced.detail) != (0, 0));
    let asked = Asked { operator, code: reply.code, enhanced: telling, text: &text };
    let found =
        table().find(&asked).map_or((FailureClass::Unknown, "b-unknown"), |rule| (rule.class, rule.id.as_str()));
    (found.0, found.1, is_permanent(reply.code, enhanced))
}

/// A basic code decides, for it is the protocol's; without one the enhanced class does.
fn is_permanent(code: u16, enhanced: Option<EnhancedCode>) -> bool {
    match code {
        500..=599 => true,
        400..=499 => false,
        _ => enhanced.is_none_or(|enhanced| enhanced.class == 5),
    }
}
