//! Reads a mail for what it reports; pure and total, and bounded whatever the mail is.
//!
//! The parser nests as deep as the mail does, and what it made is dropped by recursion. So it runs on a stack of its own, large
//! enough for the deepest nesting that fits into what is read.

use mail_parser::{HeaderName, Message as Mail, MessageParser, MessagePart, MimeHeaders as _, PartType};

use super::{Feedback, FeedbackKind, RecipientReport, Reported, fields, prose};

/// Octets that are read of a mail; what a report says for machines stands before the mail that it is about.
pub const READ_MAX: usize = 256 * 1024;
/// A nested part takes thirty octets and a few hundred of the stack.
const STACK: usize = 64 << 20;
/// Parts that are looked at.
const PARTS_MAX: usize = 100;
/// Octets that are kept of a complaint as evidence.
const EVIDENCE_MAX: usize = 4 * 1024;

/// What a mail reports; none where no thread can be had, and it should be sent again.
pub(super) fn read(raw: &[u8]) -> Option<Reported> {
    let raw = &raw[..raw.len().min(READ_MAX)];
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read_here(raw)).ok()?;
        // A mail on which the parser gives up says nothing.
        Some(reader.join().unwrap_or(Reported::Other))
    })
}

fn read_here(raw: &[u8]) -> Reported {
    if hides_a_mail(raw) {
        return Reported::Other;
    }
    let Some(mail) = MessageParser::default().parse(raw).filter(|mail| !mail.parts.is_empty()) else {
        return Reported::Other;
    };
    let delivery = delivery(&mail);
    if !delivery.is_empty() {
        return Reported::Delivery(delivery);
    }
    if let Some(feedback) = feedback(&mail) {
        return Reported::Feedback(feedback);
    }
    match prose::read(&mail) {
        Some(bounce) => Reported::Delivery(vec![bounce]),
        None if prose::is_automatic(&mail) => Reported::AutoReply,
        None => Reported::Other,
    }
}

/// Whether a part is a mail that has to be decoded first, which none may be (RFC 2046 s5.2.1): each mail that lies in one is
/// copied as often as it is deep. Found without decoding anything.
fn hides_a_mail(raw: &[u8]) -> bool {
    let skeleton = MessageParser::new().header_content_type(HeaderName::ContentType).default_header_ignore();
    let Some(mail) = skeleton.parse(raw) else { return false };
    let mut open = vec![&mail];
    while let Some(mail) = open.pop() {
        for part in &mail.parts {
            if may_be_a_mail(part) && is_encoded(part, raw) {
                return true;
            }
            if let PartType::Message(inner) = &part.body {
                open.push(inner);
            }
        }
    }
    false
}

/// A part without a type is a mail in a digest.
fn may_be_a_mail(part: &MessagePart<'_>) -> bool {
    let is_mail = |subtype| part.is_content_type("message", subtype);
    part.content_type().is_none() || is_mail("rfc822") || is_mail("global")
}

fn is_encoded(part: &MessagePart<'_>, raw: &[u8]) -> bool {
    let plain = |value: &[u8]| {
        let value = value.trim_ascii();
        ["7bit", "8bit", "binary", ""].iter().any(|known| value.eq_ignore_ascii_case(known.as_bytes()))
    };
    let encodings = part.headers.iter().filter(|header| header.name == HeaderName::ContentTransferEncoding);
    let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let mut values = encodings.map(|header| raw.get(place(header.offset_start)..place(header.offset_end)));
    values.any(|value| !value.is_some_and(plain))
}

/// The parts of the mail itself; what lies in mails within it is about something else.
fn parts<'a, 'x>(mail: &'a Mail<'x>) -> impl Iterator<Item = &'a MessagePart<'x>> {
    mail.parts.iter().take(PARTS_MAX)
}

/// What a delivery report says of each recipient. Where no part says that it is one, text that reads like one is taken for it:
/// servers leave out types, and boundaries break.
fn delivery(mail: &Mail<'_>) -> Vec<RecipientReport> {
    let is_status = |part: &&MessagePart<'_>| {
        let subtypes = ["delivery-status", "global-delivery-status"];
        subtypes.iter().any(|subtype| part.is_content_type("message", subtype))
    };
    let typed: Vec<_> = parts(mail).filter(is_status).flat_map(|part| fields::recipients(&text(part))).collect();
    if !typed.is_empty() {
        return typed;
    }
    let untyped = parts(mail).filter(|part| matches!(part.body, PartType::Text(_) | PartType::Binary(_)));
    untyped.map(text).filter(|text| looks_like_status(text)).flat_map(|text| fields::recipients(&text)).collect()
}

fn looks_like_status(text: &str) -> bool {
    let has = |name: &str| {
        let begins = |line: &str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        text.lines().any(begins)
    };
    has("reporting-mta:") && has("final-recipient:") && has("action:")
}

/// A feedback report, with what can be believed about which mail it is.
fn feedback(mail: &Mail<'_>) -> Option<Feedback> {
    let part = parts(mail).find(|part| part.is_content_type("message", "feedback-report"))?;
    let text = text(part);
    let all: fields::Fields = fields::groups(&text).into_iter().flatten().collect();
    let kind = fields::value(&all, "feedback-type")?.to_ascii_lowercase();
    let kind = match kind.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default() {
        "not-spam" => FeedbackKind::NotSpam,
        "auth-failure" | "dmarc" => FeedbackKind::Authentication,
        _ => FeedbackKind::Complaint,
    };
    let mut feedback = Feedback {
        kind,
        return_paths: fields::value(&all, "original-mail-from").map(fields::address).into_iter().collect(),
        links: Vec::new(),
        text: text[..text.floor_char_boundary(EVIDENCE_MAX)].replace('\0', " "),
    };
    for part in parts(mail) {
        if let PartType::Message(original) = &part.body {
            feedback.take_from(original);
        } else if part.is_content_type("text", "rfc822-headers")
            && let Some(original) = MessageParser::default().parse_headers(part.contents())
        {
            feedback.take_from(&original);
        }
    }
    Some(feedback)
}

impl Feedback {
    /// Takes what is signed from the headers of the mail that came back.
    fn take_from(&mut self, original: &Mail<'_>) {
        if original.parts.is_empty() {
            return;
        }
        self.return_paths.extend(header(original, "Return-Path").map(fields::address));
        self.links
            .extend(header(original, "List-Unsubscribe").map(|links| links.split_whitespace().collect::<String>()));
    }
}

/// The text of a part, whatever it says its characters are.
fn text(part: &MessagePart<'_>) -> String {
    String::from_utf8_lossy(part.contents()).into_owned()
}

/// A header as it stands.
pub(super) fn header<'a>(mail: &'a Mail<'_>, name: &'static str) -> Option<&'a str> {
    mail.header_raw(name).map(str::trim)
}
