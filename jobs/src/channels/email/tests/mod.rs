//! Tests of the mail channel: what it writes, what it signs, and what it makes of every answer.

mod delivery;
mod dkim;
mod mime;
mod phases;
mod tls;

use std::sync::{Arc, LazyLock};

use carillon_domain::contacts::EmailAddress;
use carillon_domain::ids::MessageId;
use carillon_domain::messaging::{DkimKey, EmailMessage, ListHeaders, Mailbox, NewDkimKey, NotHandedOver};
use carillon_domain::time::Timestamp;
use chrono::DateTime;

use super::*;
use crate::catcher::{Catcher, CatcherSettings};

/// One key for all tests: making one takes a while.
static KEY: LazyLock<NewDkimKey> = LazyLock::new(|| NewDkimKey::generate_rsa_2048().unwrap());

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

/// 2026-11-22 10:00:00 UTC.
fn now() -> Timestamp {
    DateTime::from_timestamp(1_795_341_600, 0).unwrap()
}

pub(super) fn transactional(to: &str) -> EmailMessage {
    EmailMessage {
        message: MessageId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        attempt: 1,
        envelope_from: address("bounce+x1@bounce.shop.example"),
        from: Mailbox { name: "Müller, Jörg".to_owned(), address: address("hello@shop.example") },
        reply_to: Some(address("answers@shop.example")),
        to: address(to),
        subject: "Grüße aus Köln".to_owned(),
        text: "Hello.\nA second line.\n".to_owned(),
        html: "<p>Hello.</p>\n".to_owned(),
        date: now(),
        internet_message_id: "message_01h4@shop.example".to_owned(),
        list: None,
        dkim: DkimKey {
            domain: "shop.example".to_owned(),
            selector: "c1".to_owned(),
            private_key_der: Arc::from(KEY.private_key_der.as_slice()),
        },
    }
}

fn marketing(to: &str) -> EmailMessage {
    let list = ListHeaders {
        one_click_url: "https://links.shop.example/u/v1.abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
        list_id: "topic_01h4.brand_01h4.shop.example".to_owned(),
        feedback_id: "topic_01h4:brand_01h4:marketing:carillon".to_owned(),
    };
    EmailMessage { list: Some(list), ..transactional(to) }
}

fn prepared(mail: &EmailMessage) -> PreparedEmail {
    prepare(mail, &DkimSigners::default()).unwrap()
}

/// The values of a field, line ends and all, as they stand in a mail.
fn fields(bytes: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines = unfolded.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

async fn catcher(settings: CatcherSettings) -> (Catcher, Relay) {
    let catcher = Catcher::start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let relay = format!("smtp://{}", catcher.addr()).parse().unwrap();
    (catcher, relay)
}

fn channel() -> EmailChannel {
    EmailChannel::new(PoolSettings::default(), TlsTrust::public())
}

/// The permit of a mail that may go.
#[expect(clippy::unnecessary_wraps, reason = "a permit gives a reason when it refuses")]
fn may_start(_: Moment) -> Result<(), NotHandedOver> {
    Ok(())
}
