//! A tenant whose mails have return paths, and reports about them.

use carillon_domain::keys::NoLink;
use carillon_domain::messaging::{ReportAddress, ReportEnd, receive_report, report_address};
use carillon_domain::settings::Settings;
use carillon_entities::ids::MessageId;
use carillon_tests::WorldOptions;
use carillon_tests::post::Post;

pub const DOMAIN: &str = "bounces.carillon.test";

/// A world whose bounces come home.
pub async fn post() -> Post {
    let settings = Settings { bounce_domain: Some(DOMAIN.to_owned()), ..Settings::new("https://carillon.test") };
    Post::with(WorldOptions { settings, ..WorldOptions::default() }).await
}

/// Sends one mail to a new contact; returns it and its return path.
pub async fn sent(post: &Post, email: &str) -> (MessageId, String) {
    let contact = post.person(email).await;
    let id = post.send(&[post.intent(&format!("to:{email}"), contact)]).await[0];
    post.drain().await;
    assert_eq!(post.story(id).await, "sent [accepted]");
    (id, post.mail_to(email).envelope_from.clone())
}

/// A delivery report on an address.
pub fn report(action: &str, address: &str, status: &str, reply: &str) -> Vec<u8> {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nSubject: Returned\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=edge\r\n\r\n--edge\r\n\
         Content-Type: text/plain\r\n\r\nSee below.\r\n\r\n--edge\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; {address}\r\nAction: {action}\r\n\
         Status: {status}\r\nDiagnostic-Code: smtp; {reply}\r\n\r\n--edge--\r\n"
    )
    .into_bytes()
}

/// The usual bounce of an address that does not exist.
pub fn gone(address: &str) -> Vec<u8> {
    report("failed", address, "5.1.1", &format!("550 5.1.1 <{address}>: User unknown"))
}

/// What comes of a mail to an address.
pub async fn receive(post: &Post, to: &str, raw: Vec<u8>) -> ReportEnd {
    let address = report_address(post.ports(), to).unwrap();
    receive_report(post.ports(), address, raw).await.unwrap()
}

/// The same at an address that may be none.
pub fn address(post: &Post, to: &str) -> Result<ReportAddress, NoLink> {
    report_address(post.ports(), to)
}

/// How many rows there are.
pub async fn count(post: &Post, table: &str) -> i64 {
    post.number(&format!("SELECT COUNT(*) AS amount FROM {table}")).await
}
