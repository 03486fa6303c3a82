//! Complaints: found by what was signed, whoever they name, and final.

use carillon_domain::messaging::ReportEnd;

use crate::setup::{DOMAIN, count, post, receive, sent};

const ADA: &str = "ada@reader.example";

fn complaint(kind: &str, headers: &str) -> Vec<u8> {
    format!(
        "From: fbl@provider.example\r\nSubject: Complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=edge\r\n\r\n--edge\r\n\
         Content-Type: text/plain\r\n\r\nA person reported this.\r\n\r\n--edge\r\n\
         Content-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nVersion: 1\r\nUser-Agent: Loop/1\r\n\r\n\
         --edge\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}\r\n\r\n--edge--\r\n"
    )
    .into_bytes()
}

fn fbl() -> String {
    format!("fbl@{DOMAIN}")
}

#[tokio::test]
async fn c060_a_complaint_ends_all_marketing_and_nothing_else() {
    let post = post().await;
    let (id, _) = sent(&post, ADA).await;
    let link = String::from_utf8_lossy(&post.mail_to(ADA).raw).split("/u/").nth(1).unwrap().to_owned();
    let token: String = link.split('>').next().unwrap().split_whitespace().collect();
    let headers = format!("To: redacted@provider.example\r\nList-Unsubscribe:\r\n <https://carillon.test/u/{token}>");
    for end in [ReportEnd::Complained, ReportEnd::Repeated] {
        assert_eq!(receive(&post, &fbl(), complaint("abuse", &headers)).await, end);
    }
    assert_eq!(post.story(id).await, "sent [accepted]");
    assert_eq!(count(&post, "suppressions WHERE reason = 'complaint' AND scope = 'marketing'").await, 1);
    assert_eq!(count(&post, "consent_events WHERE action = 'object' AND source_kind = 'provider'").await, 1);
    assert_eq!(count(&post, "consent_evidence").await, 1, "the report, under the key of whoever complained");
    assert_eq!(count(&post, "message_events WHERE kind = 'complained'").await, 1);

    let contact = post.message(id).await.contact.unwrap();
    let ids = post.send(&[post.intent("more", contact), post.receipt("receipt", contact)]).await;
    post.drain().await;
    assert!(post.story(ids[0]).await.starts_with("refused suppressed_"), "{}", post.story(ids[0]).await);
    assert_eq!(post.story(ids[1]).await, "sent [accepted]");
}

#[tokio::test]
async fn c059_a_complaint_is_traced_by_the_return_path_and_not_by_whom_it_names() {
    let post = post().await;
    let (_, path) = sent(&post, ADA).await;
    let (victim, _) = sent(&post, "victim@reader.example").await;
    let headers = format!("Return-Path: <{path}>\r\nTo: victim@reader.example");
    assert_eq!(receive(&post, &fbl(), complaint("fraud", &headers)).await, ReportEnd::Complained);
    let contact = post.message(victim).await.contact.unwrap();
    let next = post.send(&[post.intent("next", contact)]).await[0];
    post.drain().await;
    assert_eq!(post.story(next).await, "sent [accepted]");
    let unsigned = "Return-Path: <news@confiserie.test>\r\nTo: victim@reader.example";
    assert_eq!(receive(&post, &fbl(), complaint("abuse", unsigned)).await, ReportEnd::Untraced);
    assert_eq!(count(&post, "suppressions WHERE reason = 'complaint'").await, 1);
}

#[tokio::test]
async fn c059_not_spam_is_a_signal_and_authentication_no_complaint() {
    let post = post().await;
    let (_, path) = sent(&post, ADA).await;
    let headers = format!("Return-Path: <{path}>");
    assert_eq!(receive(&post, &fbl(), complaint("not-spam", &headers)).await, ReportEnd::NotSpam);
    assert_eq!(receive(&post, &fbl(), complaint("auth-failure", &headers)).await, ReportEnd::Unrecognised);
    assert_eq!(count(&post, "suppressions").await, 0);
    assert_eq!(count(&post, "consent_events WHERE action <> 'grant'").await, 0);
}
