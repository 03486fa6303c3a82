//! A stage for the crash harness and the benches: a database of its own on Postgres, tenants with people who agreed,
//! senders, topics and templates, all through the use cases; and what a process needs to work on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use carillon_domain::consent::{
    self, Basis, ConsentAction, ConsentTopic, CreateTopic, DisplayName, NewConsentEvent, Recipient, TopicKey,
};
use carillon_domain::contacts::{
    ContactFields, ContactPatch, EmailAddress, Patch, UpsertBy, UpsertContact, Upserted, upsert_contacts,
};
use carillon_domain::doorbell::NoDoorbell;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::keys::Keyring;
use carillon_domain::messaging::{
    CreateSender, MessageClass, NewDkimKey, PublishVersion, TemplateFormat, create_sender, create_template,
    publish_version,
};
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{
    AccessSubject, AccessTokens, Actor, Doorkeeper, PasswordSettings, RecordConsent, Role, TenantContext,
    enter_as_user, enter_to_verify, operate,
};
use carillon_domain::time::{Clock as _, DatabaseClock};
use carillon_entities::ids::{
    AccountId, BrandId, ContactId, MembershipId, SenderId, TemplateVersionId, TenantId, TopicId, UserId,
};
use carillon_entities::rows::tenancy::{accounts, memberships, tenants, users};
use carillon_entities::wall::{DatabaseSettings, TxMode, Wall};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait as _;
use tokio_util::task::AbortOnDropHandle;

use crate::database::connect;

mod workflows;

/// What a made tenant has.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The tenant.
    pub tenant: TenantId,
    /// Its marketing topic.
    pub topic: TopicId,
    /// Its brand.
    pub brand: BrandId,
    /// Its sender.
    pub sender: SenderId,
    /// Its published marketing version.
    pub version: TemplateVersionId,
    /// Its published transactional version.
    pub receipt: TemplateVersionId,
    /// People who agreed: contact and address.
    pub people: Vec<(ContactId, String)>,
    /// An access token of its owner.
    pub token: String,
}

/// A database of its own, and keys.
#[derive(Debug)]
pub struct Stage {
    /// Everything the use cases need.
    pub ports: Ports,
    /// The environment of processes that work on it.
    pub environment: Vec<(String, String)>,
    /// As the owner.
    pub owner_url: String,
    tokens: AccessTokens,
    token_keys: Keyring,
    name: String,
    admin_url: String,
    user: UserId,
    account: AccountId,
    _keeper: AbortOnDropHandle<()>,
}

/// How often the clock is measured; without it nothing in this process would claim work for long (C-180).
const MEASURED_EVERY: Duration = Duration::from_secs(5);

impl Stage {
    /// Makes the database `name` on the server of `DATABASE_URL` and migrates it.
    pub async fn build(name: &str, settings: Settings) -> Result<Self> {
        let admin_url = std::env::var("DATABASE_URL").context("DATABASE_URL is an administrator's login")?;
        let admin = connect(&admin_url).await?;
        admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        // A commit that was answered is on disk, also where the server forgets: what is judged here is our loss, not its.
        // Set before anybody connects, for a session keeps what it began with.
        admin.execute_unprepared(&format!("ALTER DATABASE {name} SET synchronous_commit = on")).await?;
        admin.close().await?;
        let owner_url = crate::database::url_of(&admin_url, None, name);
        let clock = Arc::new(DatabaseClock::new());
        carillon_migration::migrate(&owner_url, clock.now()).await?;
        let role = |role| crate::database::url_of(&admin_url, Some(role), name);
        let (identity, dispatch) = (role("carillon_identity"), role("carillon_dispatch"));
        let database = DatabaseSettings {
            url: role("carillon_app"),
            identity_url: Some(identity.clone()),
            dispatch_url: Some(dispatch.clone()),
            weak_logins: true,
            ..DatabaseSettings::single(&owner_url)
        };
        let wall = Wall::open(&database).await?;
        measure(&wall, &clock).await?;
        let keeper = AbortOnDropHandle::new(tokio::spawn(keep_time(wall.clone(), Arc::clone(&clock))));
        let (keys, token_keys) = (Keyring::generate(&SystemEntropy), Keyring::generate(&SystemEntropy));
        let environment = [
            ("CARILLON_MODE", "production".to_owned()),
            ("CARILLON_PUBLIC_URL", settings.public_url.clone()),
            ("CARILLON_TRUSTED_PROXIES", "none".to_owned()),
            ("DATABASE_URL", database.url.clone()),
            ("DATABASE_IDENTITY_URL", identity),
            ("DATABASE_DISPATCH_URL", dispatch),
            ("CARILLON_KEYS", keys.to_secret_text()),
            ("CARILLON_JWT_KEYS", token_keys.to_secret_text()),
        ];
        let tokens = AccessTokens::new(&token_keys, settings.public_url.clone()).map_err(|error| anyhow!("{error}"))?;
        let ports = Ports {
            wall,
            clock,
            entropy: Arc::new(SystemEntropy),
            keys: Arc::new(keys),
            settings: Arc::new(settings),
            doorbell: Arc::new(NoDoorbell),
            versions: Arc::default(),
            metrics: Arc::default(),
        };
        let (user, account) = (ports.new_id(), ports.new_id());
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let name = name.to_owned();
        let stage =
            Self { ports, environment, owner_url, tokens, token_keys, name, admin_url, user, account, _keeper: keeper };
        stage.make_owner().await?;
        Ok(stage)
    }

    async fn make_owner(&self) -> Result<()> {
        let now = self.ports.now();
        let mut tx = self.ports.wall.begin_identity(TxMode::Write).await?;
        tx.insert(accounts::ActiveModel {
            id: Set(self.account),
            parent_id: Set(None),
            depth: Set(1),
            name: Set("Stage".to_owned()),
            max_tenants: Set(100),
            max_messages_per_day: Set(10_000_000),
            suspended_at: Set(None),
            created_at: Set(now),
        })
        .await?;
        tx.insert(users::ActiveModel {
            id: Set(self.user),
            email: Set("owner@stage.example".to_owned()),
            email_norm: Set("owner@stage.example".to_owned()),
            name: Set("Owner".to_owned()),
            password_hash: Set(None),
            auth_version: Set(1),
            email_verified_at: Set(Some(now)),
            disabled_at: Set(None),
            created_at: Set(now),
        })
        .await?;
        tx.insert(memberships::ActiveModel {
            id: Set(self.ports.new_id::<MembershipId>()),
            user_id: Set(self.user),
            scope_kind: Set("account".to_owned()),
            scope_id: Set(self.account.0),
            role: Set("owner".to_owned()),
            created_at: Set(now),
        })
        .await?;
        Ok(tx.commit().await?)
    }

    /// A tenant with a brand, topic, sender, template and `people` who agreed to its topic.
    pub async fn cast(&self, name: &str, people: usize) -> Result<Cast> {
        let tenant: TenantId = self.ports.new_id();
        self.insert_tenant(tenant, name).await?;
        let context = self.enter(tenant)?;
        let grant = context.grant()?;
        let mut tx = grant.begin().await?;
        let (brand, all_marketing) = consent::seed_tenant(&mut tx, &self.ports, name).await?;
        let command = CreateTopic {
            brand: brand.id,
            key: TopicKey::parse("key", "news").map_err(|refusal| anyhow!("{refusal:?}"))?,
            name: DisplayName::parse("name", "News").map_err(|refusal| anyhow!("{refusal:?}"))?,
            purpose: MessageClass::Marketing,
        };
        let topic = consent::create_topic(&grant, &mut tx, &self.ports, command).await?;
        tx.commit().await?;
        let sender = self.make_sender(&context, brand.id, name).await?;
        let version = self.publish(&context, MessageClass::Marketing).await?;
        let receipt = self.publish(&context, MessageClass::Transactional).await?;
        let about = ConsentTopic { brand: brand.id, topic: topic.id, all_marketing: Some(all_marketing.id) };
        let people = self.make_people(&context, about, name, people).await?;
        let token = self.token(tenant)?;
        Ok(Cast { tenant, topic: topic.id, brand: brand.id, sender, version, receipt, people, token })
    }

    /// Who a gateway in this process asks about credentials.
    pub fn desk(&self) -> Result<Doorkeeper> {
        Ok(Doorkeeper::new(&self.ports, &self.token_keys, PasswordSettings::default())?)
    }

    /// A fresh access token of the owner in a tenant.
    pub fn token(&self, tenant: TenantId) -> Result<String> {
        Ok(self.tokens.issue(&self.subject(tenant), self.ports.now()).map_err(|error| anyhow!("{error}"))?.0)
    }

    fn subject(&self, tenant: TenantId) -> AccessSubject {
        AccessSubject { user: self.user, auth_version: 1, entered: Some((tenant, Role::Owner)) }
    }

    /// The owner inside a tenant.
    pub fn enter(&self, tenant: TenantId) -> Result<TenantContext> {
        let token = self.token(tenant)?;
        let access = self.tokens.verify(&token, self.ports.now()).context("our own token")?;
        enter_as_user(&self.ports.wall, &access).context("a token with a tenant")
    }

    async fn insert_tenant(&self, tenant: TenantId, name: &str) -> Result<()> {
        let mut tx = self.ports.wall.begin_identity(TxMode::Write).await?;
        tx.insert(tenants::ActiveModel {
            id: Set(tenant),
            account_id: Set(self.account),
            name: Set(name.to_owned()),
            default_zone: Set("Europe/Vienna".to_owned()),
            default_locale: Set("de-AT".to_owned()),
            default_country: Set("AT".to_owned()),
            is_system: Set(false),
            creation_key: Set(None),
            max_messages_per_day: Set(10_000_000),
            suspended_at: Set(None),
            created_at: Set(self.ports.now()),
        })
        .await?;
        Ok(tx.commit().await?)
    }

    async fn make_sender(&self, context: &TenantContext, brand: BrandId, name: &str) -> Result<SenderId> {
        let grant = context.grant()?;
        let mut tx = grant.begin().await?;
        let command = CreateSender {
            brand,
            from_name: name.to_owned(),
            from_email: EmailAddress::parse(&format!("news@{name}.example")).map_err(|error| anyhow!("{error}"))?,
            reply_to: None,
            postal_address: "1 Stage Street, Example Town".to_owned(),
        };
        let key = NewDkimKey::generate_rsa_2048()?;
        let sender = create_sender(&grant, &mut tx, &self.ports, command, &key).await?;
        tx.commit().await?;
        let operator = enter_to_verify(&operate(), &self.ports.wall, context.tenant());
        carillon_domain::messaging::verify_sender_by_operator(&operator, &self.ports, sender.id).await?;
        Ok(sender.id)
    }

    async fn publish(&self, context: &TenantContext, class: MessageClass) -> Result<TemplateVersionId> {
        let grant = context.grant()?;
        let mut tx = grant.begin().await?;
        let template = create_template(&grant, &mut tx, &self.ports, class.as_str(), class).await?;
        let paragraph = paragraph();
        // The way out stands in marketing mail alone: a receipt has none.
        let (html_end, text_end) = match class {
            MessageClass::Marketing => {
                ("<p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>", "\n\nUnsubscribe: {{ unsubscribe_url }}\n")
            }
            MessageClass::Transactional => ("", "\n"),
        };
        let command = PublishVersion {
            template: template.id,
            locale: "en".to_owned(),
            subject: "News for {{ contact.first_name }}".to_owned(),
            html: format!(
                "<p>Dear {{{{ contact.first_name }}}},</p><p>{paragraph}</p><p>{{{{ sender.postal_address }}}}</p>\
                 {html_end}"
            ),
            text: Some(format!("Dear {{{{ contact.first_name }}}},\n\n{paragraph}{text_end}")),
            format: TemplateFormat::Html,
            event_name: None,
        };
        let published = publish_version(&grant, &mut tx, &self.ports, command).await?;
        tx.commit().await?;
        Ok(published.version.id)
    }

    async fn make_people(
        &self,
        context: &TenantContext,
        about: ConsentTopic,
        name: &str,
        count: usize,
    ) -> Result<Vec<(ContactId, String)>> {
        let grant = context.grant()?;
        let consent_grant = context.grant::<RecordConsent>()?;
        let mut made = Vec::with_capacity(count);
        for first in (0..count).step_by(500) {
            let addresses: Vec<String> =
                (first..count.min(first + 500)).map(|i| format!("p{i}@{name}.people.example")).collect();
            let contacts = addresses.iter().map(|address| person(address)).collect::<Result<Vec<_>>>()?;
            let mut tx = grant.begin().await?;
            let done = upsert_contacts(&grant, &mut tx, &self.ports, contacts).await?;
            tx.commit().await?;
            for (upserted, address) in done.into_iter().zip(&addresses) {
                let Upserted::Done(contact, _) = upserted else { anyhow::bail!("a person was refused") };
                made.push((contact.id, address.clone()));
            }
            let mut tx = consent_grant.begin().await?;
            let events = addresses.iter().map(|address| self.agreed(context.tenant(), about, address));
            let appended = consent::append(&mut tx, &self.ports, events.collect::<Result<_>>()?).await?;
            ensure!(appended.len() == addresses.len(), "everybody agrees");
            tx.commit().await?;
        }
        Ok(made)
    }

    fn agreed(&self, tenant: TenantId, about: ConsentTopic, address: &str) -> Result<NewConsentEvent> {
        let email = EmailAddress::parse(address).map_err(|error| anyhow!("{error}"))?;
        let recipient = Recipient::of_email(&self.ports.keys, tenant, &email);
        let now = self.ports.now();
        let mut event = NewConsentEvent::new(recipient, about, ConsentAction::Grant, now, Actor::System);
        event.basis = Basis::Consent;
        Ok(event)
    }

    /// Drops the database.
    pub async fn strike(self) -> Result<()> {
        self.ports.wall.close().await;
        let admin = connect(&self.admin_url).await?;
        admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await?;
        Ok(admin.close().await?)
    }
}

/// The body of the mail that a cast's version makes.
pub fn paragraph() -> String {
    "Fine weather is expected on stage tonight, with applause from the west. ".repeat(20)
}

async fn keep_time(wall: Wall, clock: Arc<DatabaseClock>) {
    loop {
        tokio::time::sleep(MEASURED_EVERY).await;
        // While the database is away the clock goes stale by itself.
        let _ = measure(&wall, &clock).await;
    }
}

async fn measure(wall: &Wall, clock: &DatabaseClock) -> Result<()> {
    let before = clock.monotonic();
    let now = wall.database_now().await?;
    clock.measured(now, before, clock.monotonic());
    Ok(())
}

fn person(address: &str) -> Result<UpsertContact> {
    let email = EmailAddress::parse(address).map_err(|error| anyhow!("{error}"))?;
    let patch =
        ContactPatch { email: Patch::Set(email), first_name: Patch::Set("Ada".to_owned()), ..ContactPatch::default() };
    Ok(UpsertContact { by: UpsertBy::Email, fields: ContactFields { patch, ..ContactFields::default() } })
}
