//! Bounces without a part for machines, and answers that nobody wrote (C-57).
//!
//! What older servers write is prose, in the language of their administrator. It is read for a few things only: that a server
//! writes, for which address, and the reply that it had. Where any of these is missing, nobody is suppressed.

use mail_parser::Message as Mail;

use super::read::header;
use super::{Action, RecipientReport, fields};
use crate::messaging::reply_class::EnhancedCode;

/// Octets that are looked at of a mail's text.
const TEXT_MAX: usize = 16 * 1024;
/// Where the returned mail begins: what stands behind is ours.
const COPIES: [&str; 9] = [
    "this is a copy of the message",
    "copy of your message",
    "below this line is a copy",
    "original message follows",
    "-----original message",
    "--- original message",
    "included is a copy",
    "urspruengliche nachricht",
    "urspr\u{fc}ngliche nachricht",
];
/// Subjects of mails that say that mail is late.
const LATE: [&str; 6] = ["delay", "warning", "still being retried", "verz\u{f6}ger", "verzoeger", "warnung"];
/// Beginnings of subjects of answers for people who are away.
const AWAY: [&str; 12] = [
    "out of office",
    "out of the office",
    "automatic reply",
    "autoreply",
    "auto reply",
    "auto-reply",
    "auto:",
    "automatische antwort",
    "abwesen",
    "nicht im b\u{fc}ro",
    "on vacation",
    "r\u{e9}ponse automatique",
];

/// Whether nobody wrote it (RFC 3834 s5).
pub(super) fn is_automatic(mail: &Mail<'_>) -> bool {
    let submitted = header(mail, "Auto-Submitted").is_some_and(|value| !value.to_ascii_lowercase().starts_with("no"));
    submitted || is_marked(mail) || is_away(mail)
}

/// Whether it says by headers of its own that it answers for somebody.
fn is_marked(mail: &Mail<'_>) -> bool {
    let precedence = header(mail, "Precedence").is_some_and(|value| value.to_ascii_lowercase().contains("auto"));
    precedence || ["X-Autoreply", "X-Autorespond", "X-Autoresponder"].iter().any(|name| header(mail, name).is_some())
}

fn is_away(mail: &Mail<'_>) -> bool {
    let subject = subject(mail);
    AWAY.iter().any(|start| subject.starts_with(start))
}

fn subject(mail: &Mail<'_>) -> String {
    mail.subject().unwrap_or_default().trim().to_lowercase()
}

/// A bounce in prose.
pub(super) fn read(mail: &Mail<'_>) -> Option<RecipientReport> {
    let replied = is_marked(mail)
        || header(mail, "Auto-Submitted").is_some_and(|value| value.to_ascii_lowercase().starts_with("auto-replied"));
    let listed = header(mail, "X-Failed-Recipients");
    let from = header(mail, "From").unwrap_or_default().to_ascii_lowercase();
    let by_server =
        from.contains("mailer-daemon") || from.contains("postmaster") || header(mail, "Return-Path") == Some("<>");
    if is_away(mail) || listed.is_none() && (!by_server || replied && !from.contains("mailer-daemon")) {
        return None;
    }
    let text = mail.body_text(0)?;
    let text = before_the_copy(&text[..text.floor_char_boundary(TEXT_MAX)]);
    let mut recipients: Vec<String> =
        listed.into_iter().flat_map(|list| list.split(',')).map(fields::address).collect();
    recipients.extend(text.lines().filter_map(named));
    recipients.retain(|address| address.contains('@'));
    recipients.truncate(10);
    let late = LATE.iter().any(|word| subject(mail).contains(word));
    let diagnostic = text.lines().find_map(reply).or_else(|| behind_the_name(text));
    // Without either this is no bounce that says anything.
    if recipients.is_empty() && diagnostic.is_none() {
        return None;
    }
    let action = if late { Action::Delayed } else { Action::Failed };
    Some(RecipientReport { action, status: None, diagnostic, recipients, remote_mta: None })
}

/// The text until the mail that came back.
fn before_the_copy(text: &str) -> &str {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        let lower = line.to_lowercase();
        if COPIES.iter().any(|mark| lower.contains(mark)) {
            return &text[..length];
        }
        length += line.len();
    }
    text
}

/// The address on a line of its own, as `<ada@example.org>:` or alone.
fn named(line: &str) -> Option<String> {
    let word = line.trim().trim_end_matches(':');
    let bare = word.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(word);
    let fits = bare.contains('@') && !bare.contains(char::is_whitespace) && !bare.contains(['<', '>', '"']);
    fits.then(|| bare.to_owned())
}

/// The reply in a line: from its code on. A number is one where a reply is quoted: behind a colon or at the beginning, or with
/// an enhanced code behind it.
fn reply(line: &str) -> Option<(u16, String)> {
    let begins = |at: usize| {
        let (before, rest) = line.split_at(at);
        if before.ends_with(|c: char| c.is_alphanumeric()) || !matches!(rest.as_bytes().get(3), Some(b' ' | b'-')) {
            return None;
        }
        let (code, text) = fields::diagnostic(rest);
        let quoted = before.trim_end().chars().next_back().is_none_or(|c| matches!(c, ':' | ';' | '"' | '(' | '>'));
        let said = EnhancedCode::at_start_of(&text).is_some();
        let fits = said || quoted && text.starts_with(|c: char| !c.is_ascii_digit());
        (fits && (400..600).contains(&code)).then_some((code, text))
    };
    let digits = line.char_indices().filter(|(_, c)| matches!(c, '4' | '5'));
    digits.map(|(at, _)| at).find_map(begins)
}

/// What stands below the name of the address, where no line holds a code.
fn behind_the_name(text: &str) -> Option<(u16, String)> {
    let mut lines = text.lines().skip_while(|line| named(line).is_none()).skip(1);
    let line = lines.find(|line| !line.trim().is_empty())?;
    Some(fields::diagnostic(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c054_a_reply_is_found_in_prose_and_a_number_is_none() {
        let text = |line: &str| reply(line).map(|(code, text)| format!("{code} {text}"));
        assert_eq!(text("    host mx.example [192.0.2.4]: 550 5.1.1 gone").as_deref(), Some("550 5.1.1 gone"));
        assert_eq!(text("said: 452-4.2.2 full").as_deref(), Some("452 4.2.2 full"));
        assert_eq!(text("(550 no such user)").as_deref(), Some("550 no such user)"));
        for line in ["no code", "it took 450 550 ms", "order 5501 ", "x550 no", "550", "wait 400s"] {
            assert_eq!(text(line), None, "{line}");
        }
        assert_eq!(named("<ada@example.org>:").as_deref(), Some("ada@example.org"));
        assert_eq!(named("  ada@example.org  ").as_deref(), Some("ada@example.org"));
        assert_eq!(named("write to ada@example.org"), None);
        assert_eq!(before_the_copy("a\n------ This is a copy of the message\nb\n"), "a\n");
    }
}
