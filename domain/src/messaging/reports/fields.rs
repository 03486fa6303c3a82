//! The fields of machine-readable parts: groups of `name: value` with empty lines between them (RFC 3464 s2.1).

use super::{Action, RecipientReport};
use crate::messaging::reply_class::EnhancedCode;

/// Octets that are looked at of a part.
const TEXT_MAX: usize = 64 * 1024;
/// Recipients of one report; ours have one.
const RECIPIENTS_MAX: usize = 50;

/// Fields, their names in lower case, continued lines joined.
pub(super) type Fields = Vec<(String, String)>;

/// The groups of a part.
pub(super) fn groups(text: &str) -> Vec<Fields> {
    let text = &text[..text.floor_char_boundary(TEXT_MAX)];
    let mut groups = vec![Fields::new()];
    for line in text.lines() {
        let Some(group) = groups.last_mut() else { break };
        if line.trim().is_empty() {
            if !group.is_empty() {
                groups.push(Fields::new());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = group.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            group.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The value of a field.
pub(super) fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What a `message/delivery-status` says of each recipient. Groups that run into each other are told apart by a second
/// `Final-Recipient`.
pub(super) fn recipients(text: &str) -> Vec<RecipientReport> {
    let mut split: Vec<Fields> = Vec::new();
    for group in groups(text) {
        let mut current = Fields::new();
        for field in group {
            if field.0 == "final-recipient" && value(&current, "final-recipient").is_some() {
                split.push(std::mem::take(&mut current));
            }
            current.push(field);
        }
        split.push(current);
    }
    split.iter().filter_map(recipient).take(RECIPIENTS_MAX).collect()
}

fn recipient(fields: &Fields) -> Option<RecipientReport> {
    let named = ["final-recipient", "original-recipient"].map(|name| value(fields, name).map(address));
    let status = value(fields, "status").and_then(EnhancedCode::at_start_of);
    let action = value(fields, "action");
    let action = action.and_then(|text| Action::of(text.split(|c: char| !c.is_ascii_alphabetic()).next()?));
    // What the reporting server calls itself has a group of its own, without any of these.
    let action = match (action, status) {
        (Some(action), _) => action,
        (None, Some(EnhancedCode { class: 5, .. })) => Action::Failed,
        (None, Some(EnhancedCode { class: 4, .. })) => Action::Delayed,
        (None, Some(_)) => Action::Delivered,
        (None, None) => return None,
    };
    Some(RecipientReport {
        action,
        status,
        diagnostic: value(fields, "diagnostic-code").map(|text| diagnostic(after_type(text))),
        recipients: named.into_iter().flatten().filter(|address| !address.is_empty()).collect(),
        remote_mta: value(fields, "remote-mta").map(|text| after_type(text).to_owned()),
    })
}

/// `smtp; 550 5.1.1 ..` without its type.
fn after_type(text: &str) -> &str {
    match text.split_once(';') {
        Some((kind, rest)) if kind.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            rest.trim()
        }
        _ => text.trim(),
    }
}

/// `rfc822; <ada@example.org> (Ada)` as the bare address, the encoding of a parameter undone.
pub(super) fn address(text: &str) -> String {
    let text = after_type(text);
    let text = match text.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => text.split_whitespace().next().unwrap_or_default(),
    };
    text.trim().replace("+2B", "+").replace("+3D", "=")
}

/// A reply: its code, 0 where it has none, and its text.
pub(super) fn diagnostic(text: &str) -> (u16, String) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let code = text[..digits].parse().ok().filter(|code| digits == 3 && (200..600).contains(code));
    match code {
        Some(code) => (code, text[3..].trim_start_matches([' ', '-', '#']).to_owned()),
        None => (0, text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c054_fields_are_told_apart_and_continued() {
        let text = "Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: RFC822; <a@example.org>\r\nACTION: Failed (really)\r\n\
            Status: 5.1.1 (no such mailbox)\r\nDiagnostic-Code: smtp; 550-5.1.1 one\r\n 550 5.1.1 two\r\n\
            Final-Recipient: rfc822;b+2Bc@example.org\r\nStatus: 4.4.1\r\n";
        let found = recipients(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].action, found[0].recipients.as_slice()),
            (Action::Failed, &["a@example.org".to_owned()][..])
        );
        assert_eq!(found[0].diagnostic, Some((550, "5.1.1 one 550 5.1.1 two".to_owned())));
        assert_eq!(
            (found[1].action, found[1].recipients.as_slice()),
            (Action::Delayed, &["b+c@example.org".to_owned()][..])
        );
    }

    #[test]
    fn c054_a_reply_is_a_code_and_a_text() {
        assert_eq!(diagnostic("550-5.1.1 x"), (550, "5.1.1 x".to_owned()));
        assert_eq!(diagnostic("#5.1.1 x"), (0, "#5.1.1 x".to_owned()));
        assert_eq!(diagnostic("5501 x"), (0, "5501 x".to_owned()));
        assert_eq!(after_type("smtp;550 a; b"), "550 a; b");
        assert_eq!(after_type("the host said: no; never"), "the host said: no; never");
        assert_eq!(address("rfc822; ada@example.org (Ada)"), "ada@example.org");
    }
}
