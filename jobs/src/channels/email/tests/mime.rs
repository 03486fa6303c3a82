//! C-01, C-17, C-19 to C-33: the bytes of a mail.

use mail_parser::MessageParser;
use proptest::prelude::*;

use super::super::mime::build;
use super::*;

fn bytes(mail: &EmailMessage) -> Vec<u8> {
    build(mail).unwrap().bytes
}

/// CRLF and nothing else ends a line, no line passes the limit, and every octet is ASCII.
fn assert_wire_clean(bytes: &[u8], longest: usize) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("lines end with CRLF");
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0) || !byte.is_ascii()));
        assert!(line.len() <= longest, "{} octets: {}", line.len(), String::from_utf8_lossy(line));
    }
}

fn body_of(bytes: &[u8]) -> &[u8] {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    &bytes[at + 4..]
}

#[test]
fn c001_marketing_mail_has_exactly_one_of_each_one_click_field() {
    let bytes = bytes(&marketing("ann@example.org"));
    let urls = fields(&bytes, "List-Unsubscribe");
    assert_eq!(urls, ["<https://links.shop.example/u/v1.abcdefghijklmnopqrstuvwxyz0123456789>"]);
    assert_eq!(fields(&bytes, "List-Unsubscribe-Post"), ["List-Unsubscribe=One-Click"]);
    assert_eq!(fields(&bytes, "List-ID"), ["<topic_01h4.brand_01h4.shop.example>"]);
    assert_eq!(fields(&bytes, "Feedback-ID"), ["topic_01h4:brand_01h4:marketing:carillon"]);
}

#[test]
fn c001_a_one_click_url_that_is_not_https_is_refused_unless_it_stays_on_this_machine() {
    let with = |url: &str| {
        let mut mail = marketing("ann@example.org");
        mail.list.as_mut().unwrap().one_click_url = url.to_owned();
        build(&mail).map(drop)
    };
    for url in ["http://links.shop.example/u", "mailto:u@shop.example", "", "http://127.0.0.1.evil.example/u"] {
        assert_eq!(with(url), Err(ContentError::Malformed("List-Unsubscribe")), "{url}");
    }
    for url in ["https://x.example/a>,<https://y.example", "https://x.example/a b", "https://x.example/ü"] {
        assert_eq!(with(url), Err(ContentError::Malformed("List-Unsubscribe")), "{url}");
    }
    assert_eq!(with("http://127.0.0.1:8080/u/x"), Ok(()));
}

#[test]
fn c017_a_long_token_is_never_folded_and_one_past_the_line_is_refused() {
    let with = |length: usize| {
        let mut mail = marketing("ann@example.org");
        let url = format!("https://links.shop.example/{}", "t".repeat(length));
        mail.list.as_mut().unwrap().one_click_url.clone_from(&url);
        (build(&mail), url)
    };
    let (mail, url) = with(900);
    let bytes = mail.unwrap().bytes;
    assert!(String::from_utf8_lossy(&bytes).contains(&format!("\r\nList-Unsubscribe: <{url}>\r\n")));
    assert_wire_clean(&bytes, 998);
    assert_eq!(with(1000).0.map(drop).unwrap_err(), ContentError::TooLong("List-Unsubscribe"));
}

#[test]
fn c020_transactional_mail_has_no_list_fields() {
    let bytes = bytes(&transactional("ann@example.org"));
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post", "List-ID", "Feedback-ID"] {
        assert!(fields(&bytes, name).is_empty(), "{name}");
    }
}

#[test]
fn c021_a_40_kb_line_with_emoji_becomes_short_lines_and_comes_back_whole() {
    let mut mail = marketing("ann@example.org");
    mail.html = format!("<p>{}</p>", "Ünïcödé 📬 and plain words. ".repeat(1400));
    assert!(mail.html.len() > 40_000);
    let bytes = bytes(&mail);
    assert_wire_clean(body_of(&bytes), 76);
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(parsed.body_html(0).unwrap(), mail.html);
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), mail.text);
    let head = String::from_utf8_lossy(&bytes);
    assert!(!head.contains("7bit") && !head.contains("8bit"));
}

#[test]
fn c023_every_field_stands_once() {
    let bytes = bytes(&marketing("ann@example.org"));
    for name in ["From", "Date", "To", "Reply-To", "Subject", "Message-ID", "MIME-Version", "Content-Type"] {
        assert_eq!(fields(&bytes, name).len(), 1, "{name}");
    }
    for name in ["Sender", "Cc", "Bcc", "Return-Path", "Received"] {
        assert!(fields(&bytes, name).is_empty(), "{name}");
    }
    assert_eq!(fields(&bytes, "Message-ID"), ["<message_01h4@shop.example>"]);
}

#[test]
fn c024_a_line_break_or_nul_in_any_header_value_is_an_error_that_names_the_field() {
    type Spoil = fn(&mut EmailMessage, String);
    let spoils: [(&str, Spoil); 6] = [
        ("Subject", |mail, value| mail.subject = value),
        ("From", |mail, value| mail.from.name = value),
        ("Message-ID", |mail, value| mail.internet_message_id = value),
        ("List-Unsubscribe", |mail, value| mail.list.as_mut().unwrap().one_click_url = value),
        ("List-ID", |mail, value| mail.list.as_mut().unwrap().list_id = value),
        ("Feedback-ID", |mail, value| mail.list.as_mut().unwrap().feedback_id = value),
    ];
    for (field, spoil) in spoils {
        for bad in ["\r\n", "\n", "\r", "\0"] {
            let mut mail = marketing("ann@example.org");
            spoil(&mut mail, format!("https://a:b@c:d:{bad}Bcc: victim@example.org"));
            let error = build(&mail).map(drop).unwrap_err();
            assert_eq!(error, ContentError::LineBreak(field));
            assert!(!error.to_string().contains("victim"));
        }
    }
}

#[test]
fn c026_the_date_is_the_hand_off_with_a_numeric_zone() {
    assert_eq!(fields(&bytes(&transactional("ann@example.org")), "Date"), ["Sun, 22 Nov 2026 10:00:00 +0000"]);
}

#[test]
fn c027_names_and_subjects_read_the_same_in_two_parsers() {
    let emoji = "📬🎉 نشرة إخبارية ".repeat(20);
    for subject in ["", "plain", &emoji, "=?utf-8?Q?not_a_word?=", "trailing ", " leading", &"long words ".repeat(30)] {
        for name in ["", "Ann", "Müller, Jörg", "A \"quoted\" \\ name", "a@b", &"📬🎉 نشرة ".repeat(3)] {
            let mut mail = transactional("ann@example.org");
            mail.subject = subject.to_owned();
            mail.from.name = name.to_owned();
            assert_headers_round_trip(&mail);
        }
    }
}

fn assert_headers_round_trip(mail: &EmailMessage) {
    let bytes = bytes(mail);
    assert_wire_clean(&bytes, 998);
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(parsed.subject().unwrap_or(""), mail.subject);
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!(from.name().unwrap_or(""), mail.from.name);
    assert_eq!(from.address(), Some("hello@shop.example"));
    let raw = String::from_utf8_lossy(&bytes);
    let value = raw.split_once("\r\nSubject: ").unwrap().1.split("\r\nMessage-ID").next().unwrap().to_owned();
    let decoded = encodify::rfc2047::decode_text(value.as_bytes(), encodify::rfc2047::utf8_charset);
    assert_eq!(decoded, mail.subject);
    for line in value.split("\r\n").chain(fields(&bytes, "From").iter().map(String::as_str)) {
        for word in line.split(' ').filter(|word| word.starts_with("=?")) {
            assert!(word.len() <= 75 && word.ends_with("?="), "{word}");
        }
    }
}

proptest! {
    #[test]
    fn c027_any_subject_and_name_round_trip(subject in "[^\\p{Cc}]{0,120}", name in "[^\\p{Cc}\\s]([^\\p{Cc}]{0,60}[^\\p{Cc}\\s])?") {
        let mut mail = transactional("ann@example.org");
        mail.subject = subject;
        mail.from.name = name;
        assert_headers_round_trip(&mail);
    }

    #[test]
    fn c022_no_content_puts_anything_but_crlf_on_the_wire(text in "(?s).{0,300}", html in "[\\x00-\\x1f.=\\r\\n a-z]{0,300}") {
        let mut mail = marketing("ann@example.org");
        mail.text = format!("x{text}");
        mail.html = format!("<p>{html}</p>");
        let bytes = bytes(&mail);
        assert_wire_clean(body_of(&bytes), 76);
        let parsed = MessageParser::new().parse(&bytes).unwrap();
        // Line ends come back as CRLF; a bare CR is content like any other octet.
        let lines = |text: &str| text.replace("\r\n", "\n");
        prop_assert_eq!(lines(&parsed.body_text(0).unwrap()), lines(&mail.text));
        prop_assert_eq!(lines(&parsed.body_html(0).unwrap()), lines(&mail.html));
    }
}

#[test]
fn c028_an_idn_domain_goes_as_a_labels_and_a_local_part_beyond_ascii_says_what_it_needs() {
    let idn = build(&transactional("Ann@exämple.de")).unwrap();
    assert_eq!(fields(&idn.bytes, "To"), ["<Ann@xn--exmple-cua.de>"]);
    assert!(!idn.needs_smtputf8 && idn.bytes.is_ascii());
    let eai = build(&transactional("δοκιμή@example.org")).unwrap();
    assert!(eai.needs_smtputf8);
    assert_eq!(fields(&eai.bytes, "To"), ["<δοκιμή@example.org>"]);
    assert!(!format!("{eai:?} {:?}", eai.to).contains("example.org"));
}

#[test]
fn c031_text_comes_first_and_is_a_must() {
    let bytes = bytes(&transactional("ann@example.org"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("Content-Type: multipart/alternative; boundary="));
    assert!(text.find("text/plain").unwrap() < text.find("text/html").unwrap());
    let mut mail = transactional("ann@example.org");
    mail.text = " \r\n".to_owned();
    assert_eq!(build(&mail).map(drop), Err(ContentError::NoText));
}

#[test]
fn c032_to_holds_the_one_recipient() {
    assert_eq!(fields(&bytes(&marketing("Ann@Example.org")), "To"), ["<Ann@example.org>"]);
}

#[test]
fn c033_merge_data_that_looks_like_a_template_stays_as_it_is() {
    let mut mail = transactional("ann@example.org");
    mail.text = "Hello {{7*7}} {% raw %}".to_owned();
    let bytes = bytes(&mail);
    assert_eq!(MessageParser::new().parse(&bytes).unwrap().body_text(0).unwrap(), mail.text);
}
