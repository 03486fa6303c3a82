//! Replies of an SMTP server as the rules of the domain want them, freed of personal data (C-51, C-199).

use carillon_domain::messaging::reply_class::{EnhancedCode, Operator, Reply, SmtpStage};

/// Longest text that is kept of a reply, in characters.
const KEPT: usize = 300;

/// A reply of these lines (without their codes).
///
/// Its text is one line in which everything that looks like an address is masked, so it may be stored and shown; the
/// enhanced code counts only when its class agrees with the code.
pub(super) fn reply(stage: SmtpStage, code: u16, lines: &str) -> Reply {
    let enhanced = EnhancedCode::at_start_of(lines).filter(|enhanced| u16::from(enhanced.class) == code / 100);
    // Asked for before the text is cut: an operator's mark is often its end (C-49).
    let operator = if code >= 400 { Operator::of_text(lines) } else { None };
    Reply { stage, code, enhanced, text: mask(lines), operator }
}

/// One line without control characters (C-200) and without words that hold an `@` (C-199).
fn mask(lines: &str) -> String {
    let mut text = String::with_capacity(lines.len().min(KEPT));
    let mut kept = 0;
    for word in lines.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let shown = if word.contains(['@', '\u{ff20}']) { "<address>" } else { word };
        kept += shown.chars().count() + 1;
        if kept > KEPT {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c051_the_enhanced_code_counts_only_when_it_agrees() {
        let enhanced =
            |code, text| reply(SmtpStage::Recipient, code, text).enhanced.map(|e| (e.class, e.subject, e.detail));
        assert_eq!(enhanced(550, "5.7.515 Access denied"), Some((5, 7, 515)));
        assert_eq!(enhanced(451, "4.7.1 Greylisted\n4.7.1 Try later"), Some((4, 7, 1)));
        assert_eq!(enhanced(550, "4.2.2 Disagrees"), None);
        assert_eq!(enhanced(550, "no such user"), None);
    }

    #[test]
    fn c199_a_reply_keeps_no_address_and_no_second_line() {
        let reply = |text: &str| reply(SmtpStage::Recipient, 550, text).text;
        let text = reply("5.1.1 <ann@example.org>:\r\nmailto:ann@example.org \u{7}unknown");
        assert_eq!(text, "5.1.1 <address> <address> unknown");
        assert!(reply(&"wörd ".repeat(999)).chars().count() <= KEPT);
    }
}
