//! A tenant with two topics, and people who say yes and no.

use std::sync::Arc;

use carillon_domain::consent::{
    self, Appended, Basis, Channel, ConsentAction, ConsentFacts, ConsentTopic, CreateTopic, Decision, DisplayName,
    FactsRequest, NewConsentEvent, Recipient, SourceKind, TopicKey,
};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_domain::messaging::MessageClass;
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{
    AccessSubject, AccessTokens, Actor, AdministerTenant, Grant, RecordConsent, Role, TenantContext, enter_as_user,
};
use carillon_entities::ids::{ContactId, MessageId, TenantId, UserId};
use carillon_entities::rows::tenancy::users;
use carillon_entities::wall::TxMode;
use carillon_tests::World;
use carillon_tests::people::{gate_facts, living};
use sea_orm::ActiveValue::Set;

pub struct Setup {
    pub world: World,
    pub tenant: TenantId,
    pub all: ConsentTopic,
    pub news: ConsentTopic,
    pub offers: ConsentTopic,
    pub admin: TenantContext,
    /// The admin's access token.
    pub token: String,
}

impl Setup {
    pub async fn new() -> Self {
        let world = World::new().await;
        let tenant = world.tenant("Confiserie").await;
        let (admin, token) = admin(&world, tenant).await;
        let grant: Grant<AdministerTenant> = admin.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let (brand, all) = consent::seed_tenant(&mut tx, world.ports(), "Confiserie").await.unwrap();
        let mut topics = Vec::new();
        for key in ["news", "offers"] {
            let command = CreateTopic {
                brand: brand.id,
                key: TopicKey::parse("key", key).unwrap(),
                name: DisplayName::parse("name", key).unwrap(),
                purpose: MessageClass::Marketing,
            };
            let topic = consent::create_topic(&grant, &mut tx, world.ports(), command).await.unwrap();
            topics.push(consent::consent_topic(&mut tx, topic.id).await.unwrap().unwrap());
        }
        let all = consent::consent_topic(&mut tx, all.id).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        Self { tenant, all, news: topics[0], offers: topics[1], admin, token, world }
    }

    /// The same as if the token named another role.
    pub fn acting_as(self, role: Role) -> Self {
        let Actor::User(user) = self.admin.actor() else { panic!("the admin is a user") };
        let tokens = AccessTokens::new(&self.ports().keys, "https://carillon.test").unwrap();
        let subject = AccessSubject { user, auth_version: 1, entered: Some((self.tenant, role)) };
        let (token, _) = tokens.issue(&subject, self.ports().now()).unwrap();
        Self { token, ..self }
    }

    pub fn ports(&self) -> &Ports {
        self.world.ports()
    }

    /// The same ports under a keyring with a newer active key.
    pub fn rotated(&self) -> Ports {
        let keys = self.ports().keys.rotated(&SeededEntropy::new(99));
        Ports { keys: Arc::new(keys), ..self.ports().clone() }
    }

    pub fn recipient(&self, ports: &Ports, email: &str) -> Recipient {
        Recipient::of_email(&ports.keys, self.tenant, &EmailAddress::parse(email).unwrap())
    }

    pub fn event(
        &self,
        email: &str,
        topic: ConsentTopic,
        action: ConsentAction,
        source: SourceKind,
    ) -> NewConsentEvent {
        let recipient = self.recipient(self.ports(), email);
        let mut new = NewConsentEvent::new(recipient, topic, action, self.ports().now(), Actor::System);
        new.source.kind = source;
        new.basis = if action == ConsentAction::Grant { Basis::Consent } else { Basis::Unknown };
        new
    }

    pub fn grant(&self, email: &str, topic: ConsentTopic, source: SourceKind) -> NewConsentEvent {
        self.event(email, topic, ConsentAction::Grant, source)
    }

    pub async fn append(&self, new: Vec<NewConsentEvent>) -> Vec<Appended> {
        let mut tx = self.world.grant::<RecordConsent>(self.tenant).begin().await.unwrap();
        let appended = consent::append(&mut tx, self.ports(), new).await.unwrap();
        tx.commit().await.unwrap();
        appended
    }

    /// The text of a link that was mailed to an address under the ports' active key.
    pub fn link(&self, ports: &Ports, purpose: LinkPurpose, email: &str, topic: ConsentTopic) -> String {
        let token = LinkToken {
            purpose,
            tenant: self.tenant,
            message: ports.new_id::<MessageId>(),
            address: self.recipient(ports, email).active(),
            channel: Channel::Email,
            brand: topic.brand,
            topic: topic.topic,
        };
        token.encode(&ports.keys)
    }

    /// What consent knows, read the way the gate does.
    pub async fn facts(&self, ports: &Ports, email: &str, topic: Option<ConsentTopic>) -> ConsentFacts {
        let recipient = self.recipient(ports, email);
        let mut tx = self.world.grant::<RecordConsent>(self.tenant).begin().await.unwrap();
        consent::endpoints_lock_for_send(&mut tx, recipient.keys()).await.unwrap();
        let facts = consent::load_facts(&mut tx, &[FactsRequest { recipient, topic }]).await.unwrap();
        facts.into_iter().next().unwrap()
    }

    /// The gate's answer to a message that only consent could stop.
    pub async fn decide(&self, email: &str, class: MessageClass, topic: ConsentTopic) -> Decision {
        self.decide_with(self.ports(), email, class, topic).await
    }

    pub async fn decide_with(&self, ports: &Ports, email: &str, class: MessageClass, topic: ConsentTopic) -> Decision {
        let facts = self.facts(ports, email, Some(topic)).await;
        consent::decide(&gate_facts(ports.now(), class, topic.topic, facts))
    }

    pub async fn contact(&self, email: &str) -> ContactId {
        let mut tx = self.world.grant::<RecordConsent>(self.tenant).begin().await.unwrap();
        let id = living(&mut tx, self.ports(), email, None).await;
        tx.commit().await.unwrap();
        id
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.world.number(&format!("SELECT COUNT(*) AS amount FROM {table}")).await
    }

    /// Deletes rows past the wall, as nothing in the product can.
    pub async fn wipe(&self, table: &str) {
        self.world.execute(&format!("DELETE FROM {table}")).await;
    }
}

async fn admin(world: &World, tenant: TenantId) -> (TenantContext, String) {
    let (ports, user) = (world.ports(), world.ports().new_id::<UserId>());
    let mut tx = ports.wall.begin_identity(TxMode::Write).await.unwrap();
    let row = users::ActiveModel {
        id: Set(user),
        email: Set("admin@confiserie.test".to_owned()),
        email_norm: Set("admin@confiserie.test".to_owned()),
        name: Set("Admin".to_owned()),
        password_hash: Set(None),
        auth_version: Set(1),
        email_verified_at: Set(None),
        disabled_at: Set(None),
        created_at: Set(ports.now()),
    };
    tx.insert(row).await.unwrap();
    tx.commit().await.unwrap();
    let tokens = AccessTokens::new(&ports.keys, "https://carillon.test").unwrap();
    let subject = AccessSubject { user, auth_version: 1, entered: Some((tenant, Role::Admin)) };
    let (token, _) = tokens.issue(&subject, ports.now()).unwrap();
    (enter_as_user(&ports.wall, &tokens.verify(&token, ports.now()).unwrap()).unwrap(), token)
}
