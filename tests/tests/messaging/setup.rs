//! A tenant that can send, and the steps of a worker one by one.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use carillon_domain::consent::{
    self, Basis, ConsentAction, ConsentTopic, CreateTopic, DisplayName, NewConsentEvent, RecordOptOut, SourceKind,
    TopicKey,
};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::error::{Refusal, Result};
use carillon_domain::messaging::reply_class::Operator;
use carillon_domain::messaging::{
    self, AcceptedIntent, Attempt, AttemptRef, ClaimedMessage, Cleared, ContentCache, CreateSender, DecisionRecord,
    EmailMessage, HandOver, HandOverStep, Intent, Lane, Message, MessageClass, MessageStatus, NewDkimKey,
    PublishVersion, Recipient, Settled, TemplateFormat,
};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{
    AccessSubject, AccessTokens, Actor, AdministerTenant, Grant, ManageSenders, PublishTemplates, ReadConsent,
    ReadMessages, RecordConsent, Role, SendMessages, TenantContext, VerifySenders, enter_as_user, enter_to_verify,
    operate,
};
use carillon_entities::ids::{ContactId, MessageId, SenderId, TemplateVersionId, TenantId, UserId};
use carillon_entities::rows::tenancy::users;
use carillon_entities::wall::TxMode;
use carillon_tests::World;
use carillon_tests::people::living;
use sea_orm::ActiveValue::Set;

pub const WORKER: &str = "w1";

pub struct Setup {
    pub world: World,
    pub tenant: TenantId,
    pub news: ConsentTopic,
    pub sender: SenderId,
    pub marketing: TemplateVersionId,
    pub transactional: TemplateVersionId,
    /// The admin's access token.
    pub token: String,
    pub cache: ContentCache,
    ports: Ports,
}

/// One key for all tests of a process: making one takes its time.
pub fn dkim_key() -> &'static NewDkimKey {
    static KEY: OnceLock<NewDkimKey> = OnceLock::new();
    KEY.get_or_init(|| NewDkimKey::generate_rsa_2048().unwrap())
}

impl Setup {
    /// The operator, at the tenant's senders.
    pub fn verifies(&self) -> Grant<VerifySenders> {
        enter_to_verify(&operate(), self.world.wall(), self.tenant)
    }

    /// A tenant with a verified sender, a topic and a template of each class.
    pub async fn new() -> Self {
        let setup = Self::unverified().await;
        messaging::verify_sender_by_operator(&setup.verifies(), setup.ports(), setup.sender).await.unwrap();
        setup
    }

    /// The same, the sender not verified yet.
    pub async fn unverified() -> Self {
        let world = World::new().await;
        let tenant = world.tenant("Confiserie").await;
        let (admin, token) = admin(&world, tenant).await;
        let grant = admin.grant::<AdministerTenant>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let (brand, _) = consent::seed_tenant(&mut tx, world.ports(), "Confiserie").await.unwrap();
        let command = CreateTopic {
            brand: brand.id,
            key: TopicKey::parse("key", "news").unwrap(),
            name: DisplayName::parse("name", "News").unwrap(),
            purpose: MessageClass::Marketing,
        };
        let topic = consent::create_topic(&grant, &mut tx, world.ports(), command).await.unwrap();
        let news = consent::consent_topic(&mut tx, topic.id).await.unwrap().unwrap();
        let command = CreateSender {
            brand: brand.id,
            from_name: "Confiserie".to_owned(),
            from_email: email("hello@confiserie.test"),
            reply_to: None,
            postal_address: "Graben 1, 1010 Wien".to_owned(),
        };
        let grant = admin.grant::<ManageSenders>().unwrap();
        let sender = messaging::create_sender(&grant, &mut tx, world.ports(), command, dkim_key()).await.unwrap();
        tx.commit().await.unwrap();
        let marketing = publish(&world, &admin, MessageClass::Marketing).await;
        let transactional = publish(&world, &admin, MessageClass::Transactional).await;
        let (cache, ports) = (ContentCache::default(), world.ports().clone());
        Self { world, tenant, news, sender: sender.id, marketing, transactional, token, cache, ports }
    }

    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Restarts with a newer active key beside the old ones.
    pub fn rotate(&mut self) {
        self.ports.keys = Arc::new(self.ports.keys.rotated(&SeededEntropy::new(99)));
    }

    /// Goes on as another process over the same database; returns the one before.
    pub fn go_on_as(&mut self, ports: Ports) -> Ports {
        std::mem::replace(&mut self.ports, ports)
    }

    /// A living contact.
    pub async fn contact(&self, address: &str) -> ContactId {
        let mut tx = self.world.grant::<RecordConsent>(self.tenant).begin().await.unwrap();
        let id = living(&mut tx, self.ports(), address, Some("Ada")).await;
        tx.commit().await.unwrap();
        id
    }

    /// A contact who agreed to the news.
    pub async fn reader(&self, address: &str) -> ContactId {
        let contact = self.contact(address).await;
        self.opt_in(address).await;
        contact
    }

    pub async fn opt_in(&self, address: &str) {
        self.say(address, ConsentAction::Grant, SourceKind::Subject).await;
    }

    /// Appends an entry about the news.
    pub async fn say(&self, address: &str, action: ConsentAction, source: SourceKind) -> consent::Appended {
        let recipient = consent::Recipient::of_email(&self.ports().keys, self.tenant, &email(address));
        let mut new = NewConsentEvent::new(recipient, self.news, action, self.ports().now(), Actor::System);
        new.source.kind = source;
        new.basis = if action == ConsentAction::Grant { Basis::Consent } else { Basis::Unknown };
        let mut tx = self.world.grant::<RecordConsent>(self.tenant).begin().await.unwrap();
        let appended = consent::append(&mut tx, self.ports(), vec![new]).await.unwrap().remove(0);
        tx.commit().await.unwrap();
        appended
    }

    pub async fn opt_out(&self, contact: ContactId) {
        let grant = self.world.grant::<RecordConsent>(self.tenant);
        let mut tx = grant.begin().await.unwrap();
        let command = RecordOptOut { contact, topic: Some(self.news.topic) };
        consent::record_opt_out(&grant, &mut tx, self.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// An intent of marketing.
    pub fn news(&self, key: &str, contact: ContactId) -> Intent {
        Intent {
            key: key.to_owned(),
            class: MessageClass::Marketing,
            topic: Some(self.news.topic),
            sender: self.sender,
            template_version: self.marketing,
            to: Recipient::Contact(contact),
            variables: serde_json::Map::new(),
            send_at: None,
            expires_at: None,
            is_test: false,
            origin: None,
        }
    }

    /// An intent of a service message to a plain address.
    pub fn receipt(&self, key: &str, address: &str) -> Intent {
        Intent {
            class: MessageClass::Transactional,
            topic: None,
            template_version: self.transactional,
            to: Recipient::Address(email(address)),
            ..self.news(key, self.ports().new_id())
        }
    }

    pub async fn try_send(&self, intents: &[Intent]) -> Result<Vec<Result<AcceptedIntent, Refusal>>> {
        let grant = self.world.grant::<SendMessages>(self.tenant);
        let mut tx = grant.begin().await?;
        let verdicts = messaging::send_messages(&grant, &mut tx, self.ports(), intents).await?;
        tx.commit().await?;
        Ok(verdicts)
    }

    /// Queues messages that must all be accepted.
    pub async fn send(&self, intents: &[Intent]) -> Vec<MessageId> {
        let verdicts = self.try_send(intents).await.unwrap();
        verdicts.into_iter().map(|verdict| verdict.unwrap().message).collect()
    }

    /// Queues one marketing message.
    pub async fn send_news(&self, key: &str, contact: ContactId) -> MessageId {
        self.send(&[self.news(key, contact)]).await[0]
    }

    pub async fn claim(&self, lane: Lane) -> Vec<ClaimedMessage> {
        let grant = self.world.grant(self.tenant);
        messaging::claim(&grant, self.ports(), &self.cache, lane, (500, WORKER)).await.unwrap().messages
    }

    pub async fn try_clear(&self, claimed: &[ClaimedMessage]) -> Result<Vec<Cleared<EmailMessage>>> {
        let prepare = |claimed: &ClaimedMessage| messaging::prepare(self.tenant, self.ports(), claimed.clone());
        let drafts = claimed.iter().map(prepare).collect();
        messaging::clear(&self.world.grant(self.tenant), self.ports(), WORKER, drafts).await
    }

    pub async fn clear(&self, claimed: &[ClaimedMessage]) -> Vec<Cleared<EmailMessage>> {
        self.try_clear(claimed).await.unwrap()
    }

    /// Claims and clears whatever is due in a lane.
    pub async fn cleared(&self, lane: Lane) -> (Vec<ClaimedMessage>, Vec<Cleared<EmailMessage>>) {
        let claimed = self.claim(lane).await;
        let cleared = self.clear(&claimed).await;
        (claimed, cleared)
    }

    /// How many of the attempts were started.
    pub async fn start(&self, attempts: &[AttemptRef]) -> usize {
        self.record(HandOverStep { starting: attempts.to_vec(), ..HandOverStep::default() }).await
    }

    /// Writes outcomes, and ends what was accepted at once.
    pub async fn settle(&self, claimed: &ClaimedMessage, attempt: AttemptRef, outcome: HandOver) {
        self.end(vec![settled(claimed, attempt, outcome)]).await;
    }

    pub async fn end(&self, outcomes: Vec<Settled>) {
        let accepted = outcomes.iter().filter(|settled| settled.outcome == HandOver::Accepted);
        let ending = accepted.map(|settled| settled.attempt).collect();
        self.record(HandOverStep { outcomes, starting: Vec::new(), ending }).await;
    }

    pub async fn record(&self, step: HandOverStep) -> usize {
        messaging::record(&self.world.grant(self.tenant), self.ports(), &step).await.unwrap().len()
    }

    /// A whole round of a worker over a lane, with one outcome for all that may go; returns how many went.
    pub async fn round(&self, lane: Lane, outcome: &HandOver) -> usize {
        let (claimed, cleared) = self.cleared(lane).await;
        let attempts: Vec<AttemptRef> = cleared.iter().map(Cleared::attempt).collect();
        assert_eq!(self.start(&attempts).await, attempts.len());
        let claimed: HashMap<MessageId, &ClaimedMessage> =
            claimed.iter().map(|message| (message.id, message)).collect();
        let all = cleared.iter().map(|mail| Settled {
            mailbox: mail.message().mailbox(),
            ..settled(claimed[&mail.attempt().message], mail.attempt(), outcome.clone())
        });
        self.end(all.collect()).await;
        attempts.len()
    }

    pub async fn sweep(&self) -> messaging::Swept {
        messaging::sweep(&self.world.grant(self.tenant), self.ports()).await.unwrap()
    }

    pub async fn message(&self, id: MessageId) -> Message {
        let grant = self.world.grant::<ReadMessages>(self.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        messaging::find_messages(&grant, &mut tx, [id]).await.unwrap().pop().unwrap()
    }

    /// State and reason.
    pub async fn state(&self, id: MessageId) -> (MessageStatus, String) {
        let message = self.message(id).await;
        (message.status, message.reason.unwrap_or_default())
    }

    pub async fn attempts(&self, id: MessageId) -> Vec<Attempt> {
        let grant = self.world.grant::<ReadMessages>(self.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        let attempts = messaging::attempts(&grant, &mut tx, [id]).await.unwrap();
        attempts.into_iter().map(|(_, attempt)| attempt).collect()
    }

    pub async fn decisions(&self, id: MessageId) -> Vec<DecisionRecord> {
        let grant = self.world.grant::<ReadConsent>(self.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        let decisions = messaging::decisions(&grant, &mut tx, [id]).await.unwrap();
        decisions.into_iter().map(|(_, decision)| decision).collect()
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.world.number(&format!("SELECT COUNT(*) AS amount FROM {table}")).await
    }
}

pub fn settled(claimed: &ClaimedMessage, attempt: AttemptRef, outcome: HandOver) -> Settled {
    let mailbox = Operator::OTHER;
    Settled { attempt, outcome, facts: claimed.facts(), address: claimed.address, mailbox }
}

pub fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

async fn publish(world: &World, admin: &TenantContext, class: MessageClass) -> TemplateVersionId {
    let grant = admin.grant::<PublishTemplates>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let template = messaging::create_template(&grant, &mut tx, world.ports(), class.as_str(), class).await.unwrap();
    let (html, text) = match class {
        MessageClass::Marketing => (
            "<p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>, {{ sender.postal_address }}</p>",
            "{{ unsubscribe_url }} {{ sender.postal_address }}",
        ),
        MessageClass::Transactional => ("", ""),
    };
    let command = PublishVersion {
        template: template.id,
        locale: "en".to_owned(),
        subject: "Hello {{ contact.first_name or 'there' }}".to_owned(),
        html: format!("<p>Hello</p>{html}"),
        text: Some(format!("Hello {text}")),
        format: TemplateFormat::Html,
        event_name: None,
    };
    let published = messaging::publish_version(&grant, &mut tx, world.ports(), command).await.unwrap();
    tx.commit().await.unwrap();
    published.version.id
}

async fn admin(world: &World, tenant: TenantId) -> (TenantContext, String) {
    let ports = world.ports();
    let user = user(world, "admin@confiserie.test", true).await;
    let tokens = AccessTokens::new(&ports.keys, "https://carillon.test").unwrap();
    let subject = AccessSubject { user, auth_version: 1, entered: Some((tenant, Role::Admin)) };
    let (token, _) = tokens.issue(&subject, ports.now()).unwrap();
    (enter_as_user(&ports.wall, &tokens.verify(&token, ports.now()).unwrap()).unwrap(), token)
}

/// Somebody who can sign in.
pub async fn user(world: &World, address: &str, verified: bool) -> UserId {
    let (ports, user) = (world.ports(), world.ports().new_id::<UserId>());
    let mut tx = ports.wall.begin_identity(TxMode::Write).await.unwrap();
    let row = users::ActiveModel {
        id: Set(user),
        email: Set(address.to_owned()),
        email_norm: Set(email(address).norm().to_owned()),
        name: Set("Somebody".to_owned()),
        password_hash: Set(None),
        auth_version: Set(1),
        email_verified_at: Set(verified.then(|| ports.now())),
        disabled_at: Set(None),
        created_at: Set(ports.now()),
    };
    tx.insert(row).await.unwrap();
    tx.commit().await.unwrap();
    user
}
