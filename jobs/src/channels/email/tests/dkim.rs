//! C-02 and C-34: what is signed cannot be changed, taken away or doubled.

use std::borrow::Borrow;
use std::hash::Hash;
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};

use super::*;

/// Answers every look-up with the public key of these tests; nothing goes to the network.
struct PublishedKey;

impl ResolverCache<Box<str>, Txt> for PublishedKey {
    fn get<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        DomainKey::parse(KEY.txt_record.as_bytes()).ok().map(|key| Txt::DomainKey(Arc::new(key)))
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// Whether there is one signature and it holds.
async fn verifies(bytes: &[u8]) -> bool {
    let authenticator = MessageAuthenticator::new_google().unwrap();
    let message = AuthenticatedMessage::parse(bytes).unwrap();
    let outputs = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&PublishedKey)).await;
    assert_eq!(outputs.len(), 1);
    outputs.iter().all(|output| *output.result() == DkimResult::Pass)
}

fn altered(mail: &PreparedEmail, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(mail.bytes.clone()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn c002_the_one_click_fields_cannot_be_changed_or_removed() {
    let mail = prepared(&marketing("ann@example.org"));
    assert!(verifies(&mail.bytes).await);
    for (from, to) in [
        ("/u/v1.abc", "/u/v1.abd"),
        ("\r\nList-Unsubscribe: <https://links.shop.example/u/v1.abcdefghijklmnopqrstuvwxyz0123456789>", ""),
        ("List-Unsubscribe=One-Click", "List-Unsubscribe=Two-Click"),
        ("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click", ""),
        ("\r\nList-Unsubscribe-Post:", "\r\nList-Unsubscribe: <https://x.example>\r\nList-Unsubscribe-Post:"),
    ] {
        assert!(!verifies(&altered(&mail, from, to)).await, "{from} -> {to}");
    }
}

#[tokio::test]
async fn c034_every_signed_field_is_over_signed() {
    for mail in [prepared(&marketing("ann@example.org")), prepared(&transactional("ann@example.org"))] {
        assert!(verifies(&mail.bytes).await);
        for name in [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Reply-To",
            "Sender",
            "Cc",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "List-ID",
            "Feedback-ID",
        ] {
            let with_second = |place: &str| altered(&mail, place, &format!("\r\n{name}: added{place}"));
            assert!(!verifies(&with_second("\r\nDate: ")).await, "{name} before");
            assert!(!verifies(&with_second("\r\n\r\n")).await, "{name} after");
        }
    }
}

#[tokio::test]
async fn c034_the_body_is_covered_to_its_end() {
    let mail = prepared(&marketing("ann@example.org"));
    assert!(!verifies(&altered(&mail, "second line", "second lime")).await);
    let longer = [mail.bytes.as_slice(), b"appended\r\n"].concat();
    assert!(!verifies(&longer).await);
}

#[tokio::test]
async fn c034_rsa_sha256_relaxed_relaxed_without_length() {
    let mail = prepared(&marketing("ann@example.org"));
    let [signature] = fields(&mail.bytes, "DKIM-Signature").try_into().unwrap();
    for tag in ["v=1", "a=rsa-sha256", "c=relaxed/relaxed", "d=shop.example", "s=c1", "t=1795341600"] {
        assert!(signature.split(';').any(|part| part.trim() == tag), "{tag} in {signature}");
    }
    assert!(!signature.split(';').any(|part| part.trim().starts_with("l=")));
    assert!(mail.bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
}

#[tokio::test]
async fn c034_any_fixture_verifies() {
    for subject in ["", "plain", "  spaces   inside  ", "Ümläute und 📬", &"very long ".repeat(40)] {
        for html in ["", "<p>x</p>", "\r\n\r\n", "no end", "dots\n.\n..\n", "tabs \t \nand spaces   \n\n\n"] {
            let mut mail = marketing("δοκιμή@exämple.de");
            mail.subject = subject.to_owned();
            mail.html = html.to_owned();
            assert!(verifies(&prepared(&mail).bytes).await, "{subject:?} {html:?}");
        }
    }
}

#[test]
fn c002_without_a_usable_key_of_the_from_domain_nothing_is_made() {
    let prepare = |mail: &EmailMessage| prepare(mail, &DkimSigners::default()).map(drop);
    let mut mail = marketing("ann@example.org");
    mail.dkim.private_key_der = Arc::from(&b"no key"[..]);
    assert_eq!(prepare(&mail), Err(ContentError::Key));
    for domain in ["other.example", "evilshop.example", "example"] {
        let mut mail = marketing("ann@example.org");
        mail.dkim.domain = domain.to_owned();
        assert_eq!(prepare(&mail).is_ok(), domain == "example", "{domain}");
    }
    let mut mail = marketing("ann@example.org");
    mail.dkim.selector = "c1; d=evil.example".to_owned();
    assert_eq!(prepare(&mail), Err(ContentError::Key));
    assert!(!format!("{:?}", mail.dkim).contains("private"));
}

#[test]
fn a_key_is_parsed_once_and_anew_when_it_changes() {
    let signers = DkimSigners::default();
    let mut key = marketing("ann@example.org").dkim;
    let first = signers.get(&key).unwrap();
    assert!(Arc::ptr_eq(&first, &signers.get(&key.clone()).unwrap()));
    key.private_key_der = Arc::from(NewDkimKey::generate_rsa_2048().unwrap().private_key_der.as_slice());
    assert!(!Arc::ptr_eq(&first, &signers.get(&key).unwrap()));
}
