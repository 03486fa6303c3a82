//! After a rotation of keys an address is still one person: to sending, to the gate and to whoever says no (C-157).

use carillon_domain::consent::{
    self, Basis, Channel, ConsentAction, HardBounce, Heard, OptOutScope, RecordOptIn, SourceKind, Wording,
};
use carillon_domain::error::Error;
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_domain::messaging::reply_class::Operator;
use carillon_domain::messaging::{HandOver, Intent, Lane, MessageStatus};
use carillon_domain::tenancy::{RecordConsent, enter_by_link};
use carillon_entities::ids::ContactId;
use chrono::TimeDelta;

use crate::setup::{Setup, email};

const ADA: &str = "ada@example.org";

impl Setup {
    /// A round over every lane in which whatever goes is accepted; returns how many went.
    async fn rounds(&self) -> usize {
        let mut went = 0;
        for lane in Lane::ALL {
            went += self.round(*lane, &HandOver::Accepted).await;
        }
        went
    }
}

/// What recording that a contact agreed is answered with.
async fn opt_in_refused(setup: &Setup, contact: ContactId) -> &'static str {
    let command = RecordOptIn {
        contact,
        topic: setup.news.topic,
        basis: Basis::Consent,
        effective_at: None,
        source: None,
        wording: Wording::default(),
        evidence: None,
    };
    let grant = setup.world.grant::<RecordConsent>(setup.tenant);
    let mut tx = grant.begin().await.unwrap();
    match consent::record_opt_in(&grant, &mut tx, setup.ports(), command).await {
        Err(Error::Refused(refusals)) => refusals[0].code,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn c157_sending_after_a_rotation_splits_nobodys_history() {
    let mut setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    setup.rotate();
    setup.send_news("k", ada).await;
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    let url = cleared[0].message().list.as_ref().unwrap().one_click_url.clone();
    setup.start(&[cleared[0].attempt()]).await;
    setup.settle(&claimed[0], cleared[0].attempt(), HandOver::Accepted).await;
    assert_eq!(setup.count("endpoints").await, 1, "no second home for the same address");

    setup.world.advance(TimeDelta::seconds(1));
    let token = url.rsplit('/').next().unwrap();
    let link = LinkToken::decode(&setup.ports().keys, LinkPurpose::OneClick, token).unwrap();
    let grant = enter_by_link(setup.world.wall(), &link);
    let mut tx = grant.begin().await.unwrap();
    consent::unsubscribe(&grant, &mut tx, setup.ports(), &link, OptOutScope::Topic).await.unwrap();
    tx.commit().await.unwrap();
    setup.world.advance(TimeDelta::seconds(1));
    assert!(setup.say(ADA, ConsentAction::Grant, SourceKind::Import).await.is_kept_out());
    assert_eq!(opt_in_refused(&setup, ada).await, "CONSENT_WITHDRAWN");
}

#[tokio::test]
async fn c157_the_gate_knows_what_was_said_under_a_retired_key() {
    let mut setup = Setup::new().await;
    let (ada, gone) = (setup.reader(ADA).await, "gone@example.org");
    setup.opt_out(ada).await;
    let address = setup.ports().keys.address_hmac(setup.tenant, Channel::Email, email(gone).norm());
    let bounce = HardBounce { channel: Channel::Email, address, operator: Operator::OTHER, at: setup.ports().now() };
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::suppress_hard_bounces(&mut tx, setup.ports(), Heard::AtOnce, &[bounce]).await.unwrap();
    tx.commit().await.unwrap();

    setup.rotate();
    let news = setup.send_news("k", ada).await;
    let receipt = setup.send(&[setup.receipt("r", gone)]).await[0];
    for lane in Lane::ALL {
        assert_eq!(setup.round(*lane, &HandOver::Accepted).await, 0);
    }
    let refused = |reason: &str| (MessageStatus::Refused, reason.to_owned());
    assert_eq!(setup.state(news).await, refused("suppressed_unsubscribe"));
    assert_eq!(setup.state(receipt).await, refused("hard_bounced"));
}

#[tokio::test]
async fn c157_a_process_without_the_new_key_holds_what_it_cannot_read() {
    let mut setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let old = setup.ports().clone();
    setup.rotate();
    let bob = setup.reader("bob@example.org").await;
    let variables = serde_json::Map::from_iter([("code".to_owned(), "1234".into())]);
    let sealed = Intent { variables, ..setup.news("sealed-variables", ada) };
    let others = [setup.news("later-address", bob), setup.receipt("sealed-address", "cyd@example.org")];
    let foreign = setup.send(&[&[sealed][..], &others].concat()).await;
    let read = setup.send_news("as-before", ada).await;

    let new = setup.go_on_as(old);
    assert_eq!(setup.rounds().await, 1, "it goes on with what it can read");
    assert_eq!(setup.state(read).await.0, MessageStatus::Sent);
    for message in &foreign {
        assert_eq!(setup.state(*message).await, (MessageStatus::Queued, "KEY_UNKNOWN".to_owned()));
        assert!(setup.attempts(*message).await.is_empty() && setup.decisions(*message).await.is_empty());
    }
    setup.go_on_as(new);
    setup.world.advance(TimeDelta::minutes(15));
    assert_eq!(setup.rounds().await, 3);
    for message in foreign {
        assert_eq!(setup.state(message).await, (MessageStatus::Sent, String::new()));
    }
}
