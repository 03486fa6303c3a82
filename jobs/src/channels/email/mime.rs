//! A rendered mail as bytes (C-01, C-17, C-19, C-21 to C-27, C-31 to C-33).
//!
//! The result is ASCII with CRLF line ends and lines of at most 998 octets (76 in the bodies), with exactly one of
//! every header field; only an address that needs SMTPUTF8 brings bytes beyond ASCII, and then `needs_smtputf8` says
//! so. The same mail gives the same bytes.

use carillon_domain::messaging::{EmailMessage, ListHeaders};
use encodify::{base64, qp};

use super::address::WireAddress;
use super::content::ContentError;
use super::header::Headers;

/// An unsigned mail and its envelope.
#[derive(Clone)]
pub(super) struct Mime {
    /// Headers, empty line, body.
    pub bytes: Vec<u8>,
    /// Where the body begins in `bytes`.
    pub body_at: usize,
    /// Envelope sender.
    pub envelope_from: WireAddress,
    /// The one recipient (C-32).
    pub to: WireAddress,
    /// True when only a hop with SMTPUTF8 can carry this mail (C-28).
    pub needs_smtputf8: bool,
}

impl std::fmt::Debug for Mime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mime({} octets)", self.bytes.len())
    }
}

/// Writes a mail.
pub(super) fn build(mail: &EmailMessage) -> Result<Mime, ContentError> {
    if mail.text.trim().is_empty() {
        return Err(ContentError::NoText);
    }
    let from = WireAddress::new(&mail.from.address, "From")?;
    let to = WireAddress::new(&mail.to, "To")?;
    let envelope_from = WireAddress::new(&mail.envelope_from, "envelope_from")?;
    let reply_to = mail.reply_to.as_ref().map(|address| WireAddress::new(address, "Reply-To")).transpose()?;

    let mut headers = Headers::with_capacity(2048 + 4 * (mail.text.len() + mail.html.len()) / 3);
    headers.fixed("Date", &mail.date.to_rfc2822());
    headers.mailbox("From", &mail.from.name, &from)?;
    headers.mailbox("To", "", &to)?;
    if let Some(reply_to) = &reply_to {
        headers.mailbox("Reply-To", "", reply_to)?;
    }
    headers.text("Subject", &mail.subject)?;
    headers.token("Message-ID", ["<", with_at(&mail.internet_message_id)?, ">"])?;
    if let Some(list) = &mail.list {
        list_headers(&mut headers, list)?;
    }
    headers.fixed("MIME-Version", "1.0");
    let boundary = format!("=_{}", mail.message.0.simple());
    headers.fixed("Content-Type", &format!("multipart/alternative; boundary=\"{boundary}\""));

    let mut bytes = headers.into_bytes();
    bytes.extend_from_slice(b"\r\n");
    let body_at = bytes.len();
    body(&mut bytes, &boundary, mail);

    let addresses = [Some(&from), Some(&to), Some(&envelope_from), reply_to.as_ref()];
    let needs_smtputf8 = addresses.into_iter().flatten().any(WireAddress::needs_smtputf8);
    Ok(Mime { bytes, body_at, envelope_from, to, needs_smtputf8 })
}

/// The one-click pair, List-ID and Feedback-ID (C-01, C-17, C-19).
fn list_headers(headers: &mut Headers, list: &ListHeaders) -> Result<(), ContentError> {
    if !may_stand_in_list_unsubscribe(&list.one_click_url) {
        return Err(ContentError::Malformed("List-Unsubscribe"));
    }
    headers.token("List-Unsubscribe", ["<", &list.one_click_url, ">"])?;
    headers.fixed("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    headers.token("List-ID", ["<", &list.list_id, ">"])?;
    headers.token("Feedback-ID", ["", &list.feedback_id, ""])?;
    if list.feedback_id.split(':').count() == 4 { Ok(()) } else { Err(ContentError::Malformed("Feedback-ID")) }
}

/// RFC 8058 wants https; plain http only to this machine itself, where the embedded mode and its tests live.
fn may_stand_in_list_unsubscribe(url: &str) -> bool {
    url.starts_with("https://")
        || ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].iter().any(|local| url.starts_with(local))
}

fn with_at(message_id: &str) -> Result<&str, ContentError> {
    match message_id.split_once('@') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok(message_id),
        _ => Err(ContentError::Malformed("Message-ID")),
    }
}

/// Text first, html last, as multipart/alternative wants it (C-31). The boundary holds `=_`, which neither
/// quoted-printable nor base64 can produce, so no content can end its part.
fn body(out: &mut Vec<u8>, boundary: &str, mail: &EmailMessage) {
    part(out, boundary, "text/plain", &mail.text);
    if !mail.html.is_empty() {
        part(out, boundary, "text/html", &mail.html);
    }
    for piece in ["--", boundary, "--\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// One part in the shorter of quoted-printable and base64, lines of at most 76 octets (C-21). Bare CR and NUL come
/// out escaped, so nothing but CRLF reaches the wire (C-22).
fn part(out: &mut Vec<u8>, boundary: &str, content_type: &str, content: &str) {
    let in_base64 = base64::MIME.encoded_len(content.len());
    let quoted = qp::BODY.encoded_len_within(content, in_base64).is_some();
    let encoding = if quoted { "quoted-printable" } else { "base64" };
    for piece in ["--", boundary, "\r\nContent-Type: ", content_type] {
        out.extend_from_slice(piece.as_bytes());
    }
    for piece in ["; charset=utf-8\r\nContent-Transfer-Encoding: ", encoding, "\r\n\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    if quoted {
        qp::BODY.encode_append(content, out);
    } else {
        base64::MIME.encode_append(content, out);
    }
    // The line end before a boundary belongs to the boundary (RFC 2046 s5.1.1), so content keeps its own.
    out.extend_from_slice(b"\r\n");
}
