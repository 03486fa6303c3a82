//! A tenant that can send mail, in a world whose catcher gets it.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use carillon_domain::consent::{
    self, Basis, ConsentTopic, CreateTopic, DisplayName, OptOutScope, RecordOptIn, TopicKey, Wording,
};
use carillon_domain::contacts::{self, ContactFields, ContactPatch, CreateContact, Patch};
use carillon_domain::error::Result;
use carillon_domain::keys::{LinkPurpose, LinkToken, VerifiedLink};
use carillon_domain::messaging::{
    self, CreateSender, Intent, Lane, Message, MessageClass, NewDkimKey, PublishVersion, Recipient, TemplateFormat,
};
use carillon_domain::tenancy::{
    AccessSubject, AccessTokens, ReadMessages, RecordConsent, Role, SendMessages, TenantContext, WriteContacts,
    enter_as_user, enter_by_link,
};
use carillon_entities::ids::{BrandId, ContactId, MessageId, SenderId, TemplateVersionId, TenantId, UserId};
use carillon_entities::rows::tenancy::users;
use carillon_entities::wall::{TenantTx, TxMode};
use carillon_jobs::catcher::{Action, Behaviour, Catcher, CatcherSettings, CaughtMail, Moment, Rule, Whom};
use carillon_jobs::queue::{Task, Ticket};
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use tokio::sync::OnceCell;

use crate::{World, WorldOptions};

/// A world with a tenant that can send mail.
#[derive(Debug)]
pub struct Post {
    /// Gets all mail.
    pub catcher: Arc<Catcher>,
    /// The tenant.
    pub tenant: TenantId,
    /// Its marketer.
    pub marketer: TenantContext,
    /// Its one marketing topic.
    pub topic: ConsentTopic,
    /// Its sender.
    pub sender: SenderId,
    /// A published marketing version: `Hello {first name}`.
    pub marketing: TemplateVersionId,
    /// A published transactional version.
    pub transactional: TemplateVersionId,
    world: Arc<World>,
}

impl std::ops::Deref for Post {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl Post {
    /// The usual world, ready to send.
    pub async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    /// A world with other options, ready to send.
    pub async fn with(mut options: WorldOptions) -> Self {
        options.settings.embedded = true;
        Self::of(Arc::new(World::with(options).await), "Confiserie").await
    }

    /// Another tenant of the same world.
    pub async fn beside(&self, name: &str) -> Self {
        Self::of(Arc::clone(&self.world), name).await
    }

    async fn of(world: Arc<World>, name: &str) -> Self {
        let tenant = world.tenant(name).await;
        let admin = member(&world, tenant, Role::Admin).await;
        let (topic, brand) = topic(&world, &admin).await;
        let sender = sender(&world, &admin, brand).await;
        let marketer = member(&world, tenant, Role::Marketer).await;
        let marketing = version(&world, &marketer, MessageClass::Marketing).await;
        let transactional = version(&world, &marketer, MessageClass::Transactional).await;
        let catcher = world.catcher().await;
        Self { catcher, tenant, marketer, topic, sender, marketing, transactional, world }
    }

    /// Sends through a relay of its own, whose catcher keeps each mail for so long before it answers.
    pub async fn with_own_relay(mut self, delay: Duration) -> Self {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.catcher = Arc::new(Catcher::start(bind, CatcherSettings::default()).await.unwrap());
        let millis = u64::try_from(delay.as_millis()).unwrap();
        let action = Action::Delay { at: Moment::Content, millis };
        self.catcher.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action }] });
        self.set_relay(&format!("smtp://{}?tls=none", self.catcher.addr())).await;
        self
    }

    /// Gives the tenant a relay of its own.
    pub async fn set_relay(&self, url: &str) {
        let grant = member(self, self.tenant, Role::Admin).await.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        messaging::set_relay(&grant, &mut tx, self.ports(), url).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Moves the clock on and drains, until no work is left at all.
    pub async fn settle(&self) {
        for _ in 0..200 {
            self.drain().await;
            if self.number("SELECT COUNT(*) AS amount FROM messages WHERE state IN ('queued', 'claimed')").await == 0 {
                return;
            }
            self.advance(TimeDelta::hours(1));
        }
        panic!("work never comes to rest");
    }

    /// A contact who agreed to the topic.
    pub async fn person(&self, email: &str) -> ContactId {
        self.advance(TimeDelta::milliseconds(1));
        let patch = ContactPatch {
            email: Patch::Set(email.parse().unwrap()),
            first_name: Patch::Set("Ada".to_owned()),
            ..ContactPatch::default()
        };
        let fields = ContactFields { patch, ..ContactFields::default() };
        let grant = self.marketer.grant::<WriteContacts>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let contact =
            contacts::create_contact(&grant, &mut tx, self.ports(), CreateContact { fields }).await.unwrap().id;
        self.agrees(&mut tx, contact).await;
        tx.commit().await.unwrap();
        contact
    }

    /// A contact agrees to the topic, at the address that they have.
    pub async fn agrees(&self, tx: &mut TenantTx, contact: ContactId) {
        let agreed = RecordOptIn {
            contact,
            topic: self.topic.topic,
            basis: Basis::Consent,
            effective_at: None,
            source: None,
            wording: Wording::default(),
            evidence: None,
        };
        let grant = self.marketer.grant::<RecordConsent>().unwrap();
        consent::record_opt_in(&grant, tx, self.ports(), agreed).await.unwrap();
    }

    /// A marketing mail to a contact.
    pub fn intent(&self, key: &str, contact: ContactId) -> Intent {
        Intent {
            key: key.to_owned(),
            class: MessageClass::Marketing,
            topic: Some(self.topic.topic),
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

    /// The same, transactional.
    pub fn receipt(&self, key: &str, contact: ContactId) -> Intent {
        let (class, template_version) = (MessageClass::Transactional, self.transactional);
        Intent { class, topic: None, template_version, ..self.intent(key, contact) }
    }

    /// Queues messages that must be accepted.
    pub async fn send(&self, intents: &[Intent]) -> Vec<MessageId> {
        self.try_send(intents).await.unwrap()
    }

    /// Queues messages.
    pub async fn try_send(&self, intents: &[Intent]) -> Result<Vec<MessageId>> {
        self.advance(TimeDelta::milliseconds(1));
        let grant = self.marketer.grant::<SendMessages>().unwrap();
        let mut tx = grant.begin().await?;
        let accepted = messaging::send_messages(&grant, &mut tx, self.ports(), intents).await?;
        tx.commit().await?;
        accepted.into_iter().map(|accepted| Ok(accepted?.message)).collect()
    }

    /// Permission to claim so many of its bulk messages, pushed now.
    pub fn ticket(&self, n: u32) -> Ticket {
        let task = Task::DeliverMessagesV1 { lane: Lane::Bulk, n };
        Ticket { id: self.ports().new_id(), tenant: self.tenant, pushed_at: self.ports().now(), trace: None, task }
    }

    /// A message as it is now.
    pub async fn message(&self, id: MessageId) -> Message {
        let grant = self.marketer.grant::<ReadMessages>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let message = messaging::find_messages(&grant, &mut tx, [id]).await.unwrap().pop().unwrap();
        tx.commit().await.unwrap();
        message
    }

    /// A message's state and reason, and the states of its attempts: `sent [deferred accepted]`.
    pub async fn story(&self, id: MessageId) -> String {
        let message = self.message(id).await;
        let grant = self.marketer.grant::<ReadMessages>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let attempts = messaging::attempts(&grant, &mut tx, [id]).await.unwrap();
        tx.commit().await.unwrap();
        let attempts: Vec<_> = attempts.iter().map(|(_, attempt)| attempt.status.as_str()).collect();
        let reason = message.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{}{reason} [{}]", message.status.as_str(), attempts.join(" "))
    }

    /// The newest mail to an address.
    pub fn mail_to(&self, email: &str) -> Arc<CaughtMail> {
        self.catcher.latest(None, Some(email), 1).pop().expect("a mail to the address")
    }

    /// The link in a mail's List-Unsubscribe header.
    pub fn one_click(&self, mail: &CaughtMail) -> VerifiedLink {
        let parsed = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
        let header = parsed.header_raw("List-Unsubscribe").expect("a List-Unsubscribe header").to_owned();
        let compact: String = header.chars().filter(|c| !c.is_whitespace()).collect();
        let token = compact.split_once("/u/").expect("a one-click link").1.split('>').next().unwrap();
        LinkToken::decode(&self.ports().keys, LinkPurpose::OneClick, token).unwrap()
    }

    /// What a POST to a one-click link does.
    pub async fn unsubscribe(&self, link: &VerifiedLink) {
        let grant = enter_by_link(self.wall(), link);
        let mut tx = grant.begin().await.unwrap();
        consent::unsubscribe(&grant, &mut tx, self.ports(), link, OptOutScope::Topic).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A user with a role in a tenant, entered.
pub async fn member(world: &World, tenant: TenantId, role: Role) -> TenantContext {
    let token = token(world, tenant, role).await;
    let tokens = AccessTokens::new(&world.ports().keys, "https://carillon.test").unwrap();
    enter_as_user(world.wall(), &tokens.verify(&token, world.ports().now()).unwrap()).unwrap()
}

/// The access token of a user with a role in a tenant.
pub async fn token(world: &World, tenant: TenantId, role: Role) -> String {
    let (ports, user) = (world.ports(), world.ports().new_id::<UserId>());
    let email = format!("{}@carillon.test", user.0);
    let mut tx = world.wall().begin_identity(TxMode::Write).await.unwrap();
    tx.insert(users::ActiveModel {
        id: Set(user),
        email: Set(email.clone()),
        email_norm: Set(email),
        name: Set(role.as_str().to_owned()),
        password_hash: Set(None),
        auth_version: Set(1),
        email_verified_at: Set(Some(ports.now())),
        disabled_at: Set(None),
        created_at: Set(ports.now()),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let tokens = AccessTokens::new(&ports.keys, "https://carillon.test").unwrap();
    let subject = AccessSubject { user, auth_version: 1, entered: Some((tenant, role)) };
    tokens.issue(&subject, ports.now()).unwrap().0
}

async fn topic(world: &World, admin: &TenantContext) -> (ConsentTopic, BrandId) {
    let grant = admin.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let (brand, _) = consent::seed_tenant(&mut tx, world.ports(), "Confiserie").await.unwrap();
    let command = CreateTopic {
        brand: brand.id,
        key: TopicKey::parse("key", "news").unwrap(),
        name: DisplayName::parse("name", "News").unwrap(),
        purpose: MessageClass::Marketing,
    };
    let made = consent::create_topic(&grant, &mut tx, world.ports(), command).await.unwrap();
    let topic = consent::consent_topic(&mut tx, made.id).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    (topic, brand.id)
}

async fn sender(world: &World, admin: &TenantContext, brand: BrandId) -> SenderId {
    // A key costs a good part of a second; one serves all the tests of a process.
    static KEY: OnceCell<NewDkimKey> = OnceCell::const_new();
    let key = KEY.get_or_init(async || NewDkimKey::generate_rsa_2048().unwrap()).await;
    let command = CreateSender {
        brand,
        from_name: "Confiserie".to_owned(),
        from_email: "news@confiserie.test".parse().unwrap(),
        reply_to: None,
        postal_address: "Graben 1, 1010 Wien".to_owned(),
    };
    let grant = admin.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let sender = messaging::create_sender(&grant, &mut tx, world.ports(), command, key).await.unwrap();
    tx.commit().await.unwrap();
    sender.id
}

async fn version(world: &World, marketer: &TenantContext, class: MessageClass) -> TemplateVersionId {
    let grant = marketer.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let template = messaging::create_template(&grant, &mut tx, world.ports(), class.as_str(), class).await.unwrap();
    let link = if class == MessageClass::Marketing { "{{ unsubscribe_url }}" } else { "https://example.org/" };
    let command = PublishVersion {
        template: template.id,
        locale: "de-AT".to_owned(),
        subject: "Hello {{ contact.first_name }}".to_owned(),
        html: format!("<p>Hello {{{{ contact.first_name }}}}</p><p><a href=\"{link}\">Leave</a></p>"),
        text: Some(format!("Hello {{{{ contact.first_name }}}}\n{link}\n")),
        format: TemplateFormat::Html,
        event_name: None,
    };
    let published = messaging::publish_version(&grant, &mut tx, world.ports(), command).await.unwrap();
    tx.commit().await.unwrap();
    published.version.id
}
