//! What arrived: mails as they came over SMTP, read back from the catcher and looked at as a mail program would.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use mail_parser::{Message, MessageParser};
use serde::Deserialize;
use serde_json::json;

use super::client::{self, Api};

/// A mail as the catcher tells of it.
#[derive(Debug, Clone, Deserialize)]
struct Caught {
    id: String,
    recipients: Vec<String>,
    raw: String,
}

/// A mail that arrived.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// Envelope recipient in lower case.
    pub to: String,
    /// Address of the From field.
    pub from: String,
    /// Its subject.
    pub subject: String,
    /// Message-ID, without brackets.
    pub message_id: String,
    /// What it was sent for, as the template prints it: the key of its intent, or a workflow's node and the recipient's
    /// number; empty if there is nothing.
    pub intent: String,
    /// Link of the List-Unsubscribe field, for one click.
    pub one_click: Option<String>,
    /// Every link a scanner finds: in the header, the text and the html.
    pub links: BTreeSet<String>,
    /// True with List-Unsubscribe and List-Unsubscribe-Post as RFC 8058 wants them.
    pub has_one_click: bool,
    /// The mail as it came.
    pub raw: String,
}

/// What the catcher counted, kept mails or not.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Totals {
    /// Mails it took.
    pub stored: u64,
    /// Second copies.
    pub repeated: u64,
    /// Answers "later".
    pub deferred: u64,
    /// Answers "no".
    pub rejected: u64,
}

/// The catcher's own counts.
pub async fn totals(api: &Api) -> Result<Totals> {
    api.call(client::CAUGHT_MAIL_TOTALS, json!({})).await
}

/// How a template prints what its mails were sent for.
pub const INTENT_MARK: &str = "Reference: ";

/// All mails that the catcher keeps, in the order of their arrival, to one recipient or to all.
pub async fn mails(api: &Api, to: Option<&str>) -> Result<Vec<Mail>> {
    let mut caught: Vec<Caught> = api.all(client::CAUGHT_MAILS, json!({ "to": to })).await?;
    caught.sort_by_key(|mail| mail.id.parse::<u64>().unwrap_or_default());
    caught.iter().map(read).collect()
}

/// A mail has one recipient, or somebody could read who else is written to.
fn read(caught: &Caught) -> Result<Mail> {
    let [to] = &caught.recipients[..] else { bail!("a mail to {} recipients", caught.recipients.len()) };
    let parsed = MessageParser::default().parse(caught.raw.as_bytes()).context("a mail that cannot be parsed")?;
    let text = parsed.body_text(0).unwrap_or_default();
    let intent = text.lines().find_map(|line| line.trim().strip_prefix(INTENT_MARK)).unwrap_or_default();
    let from = parsed.from().and_then(|from| from.first()).and_then(|from| from.address());
    let mut links = links(&text);
    links.extend(self::links(&parsed.body_html(0).unwrap_or_default()));
    let one_click = header(&parsed, "List-Unsubscribe").map(|link| link.trim_matches(['<', '>']).to_owned());
    links.extend(one_click.clone());
    let post = header(&parsed, "List-Unsubscribe-Post");
    Ok(Mail {
        to: to.to_lowercase(),
        from: from.unwrap_or_default().to_lowercase(),
        subject: parsed.subject().unwrap_or_default().to_owned(),
        message_id: parsed.message_id().unwrap_or_default().to_owned(),
        intent: intent.to_owned(),
        has_one_click: one_click.is_some() && post == Some("List-Unsubscribe=One-Click"),
        one_click,
        links,
        raw: caught.raw.clone(),
    })
}

fn header<'a>(mail: &'a Message<'_>, name: &'static str) -> Option<&'a str> {
    mail.header_raw(name).map(str::trim)
}

/// Every web address in a text or in html, `&amp;` read as html means it.
fn links(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("http").map(|(at, _)| &text[at..]);
    let is_link = |rest: &&str| rest.starts_with("http://") || rest.starts_with("https://");
    let end = |c: char| c.is_whitespace() || c.is_control() || "\"'<>".contains(c);
    let link = |rest: &str| rest.split(end).next().unwrap_or_default().replace("&amp;", "&");
    starts.filter(is_link).map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_read_as_a_mail_program_would() {
        let raw = "From: \"Wine\" <News@Wein.example>\r\nTo: <a@b.example>\r\nSubject: =?utf-8?q?Sch=C3=B6n?=\r\nMessage-ID: <1@x>\r\n\
                   List-Unsubscribe: <http://127.0.0.1:1/u/t>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
                   MIME-Version: 1.0\r\n\
                   Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
                   --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                   Gr=C3=BC=C3=9Fe\r\nReference: first:contact_1\r\nhttp://127.0.0.1:1/unsub=\r\nscribe/t\r\n\
                   --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
                   <a href=\"http://127.0.0.1:1/unsubscribe/t?a=1&amp;b=2\">stop</a>\r\n--b--\r\n";
        let caught = Caught { id: "1".into(), recipients: vec!["A@b.example".into()], raw: raw.into() };
        let mail = read(&caught).unwrap();
        assert_eq!((mail.from.as_str(), mail.to.as_str()), ("news@wein.example", "a@b.example"));
        assert_eq!((mail.message_id.as_str(), mail.intent.as_str()), ("1@x", "first:contact_1"));
        assert_eq!(mail.one_click.as_deref(), Some("http://127.0.0.1:1/u/t"));
        let links: Vec<_> = mail.links.iter().map(|link| &link["http://127.0.0.1:1".len()..]).collect();
        assert_eq!(links, ["/u/t", "/unsubscribe/t", "/unsubscribe/t?a=1&b=2"]);
        assert!(mail.has_one_click && mail.subject == "Schön");
        for recipients in [vec![], vec!["a@b.example".to_owned(), "c@d.example".to_owned()]] {
            assert!(read(&Caught { recipients, ..caught.clone() }).is_err(), "one mail is for one person");
        }
    }
}
