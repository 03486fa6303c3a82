//! Carillon's own mail to its users: ordinary transactional messages of a reserved tenant, through the same gate.
//!
//! Its sender is the one of the address that `CARILLON_SYSTEM_FROM` names now: a new address gets a sender, with a key and
//! a DNS record of its own, and what was queued before keeps the one it was queued with.

use carillon_entities::ids::{BrandId, TemplateId, TemplateVersionId, TenantId};
use carillon_entities::wall::TenantTx;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::content::{Sender, StoredVersion, Template, TemplateFormat};
use super::dkim_key::{NewDkimKey, selector_of};
use super::send_messages::{Intent, Recipient, send_messages};
use super::{Lane, MessageClass, store};
use crate::consent::{self, Channel};
use crate::contacts::EmailAddress;
use crate::error::{Error, Result, WallError};
use crate::paging::Page;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages, enter_for_work};

/// The tenant whose messages are Carillon's own.
pub const SYSTEM_TENANT: TenantId = TenantId(Uuid::from_u128(0x0000_0000_0001_7000_8000_0000_0000_0001));

const TEMPLATE_BASE: u128 = 0x0000_0000_0001_7000_8000_0000_0000_0100;
const VERSION_BASE: u128 = 0x0000_0000_0001_7000_8000_0000_0000_0200;

/// A mail to a user or to somebody who may become one. Links hold one-time tokens and are sealed until they are sent.
#[derive(Clone)]
pub enum SystemMail {
    /// Verify this address.
    VerifyEmail {
        /// Where.
        link: String,
    },
    /// Somebody signed up with an address that has an account.
    SomebodySignedUp,
    /// Choose a new password.
    PasswordReset {
        /// Where.
        link: String,
    },
    /// Somebody asked for a new password, but the address has no account.
    NoAccount,
    /// Join an account or tenant.
    Invitation {
        /// Where.
        link: String,
        /// Name of the account or tenant.
        to: String,
    },
}

struct Text {
    number: u128,
    name: &'static str,
    subject: &'static str,
    body: &'static str,
}

const TEXTS: [Text; 5] = [
    Text {
        number: 1,
        name: "verify_email",
        subject: "Confirm your e-mail address",
        body: "Please confirm your e-mail address by opening this link within a day; it asks for the password that you \
               chose:\n\n{{ vars.link }}\n\nIf you did not sign up, ignore this mail: then there is no account.",
    },
    Text {
        number: 2,
        name: "somebody_signed_up",
        subject: "You already have an account",
        body: "Somebody, perhaps you, tried to sign up with this address. It has an account: just sign in, or ask for a \
               new password.",
    },
    Text {
        number: 3,
        name: "password_reset",
        subject: "Choose a new password",
        body: "Open this link within half an hour to choose a new password:\n\n{{ vars.link }}\n\n\
               If you did not ask for it, ignore this mail.",
    },
    Text {
        number: 4,
        name: "invitation",
        subject: "You are invited",
        body: "You are invited to work on {{ vars.to }}. Open this link within seven days:\n\n{{ vars.link }}",
    },
    Text {
        number: 5,
        name: "no_account",
        subject: "There is no account for this address",
        body: "Somebody, perhaps you, asked for a new password with this address. It has no account; perhaps you signed \
               up with another one.",
    },
];

impl SystemMail {
    fn text(&self) -> &'static Text {
        match self {
            Self::VerifyEmail { .. } => &TEXTS[0],
            Self::SomebodySignedUp => &TEXTS[1],
            Self::PasswordReset { .. } => &TEXTS[2],
            Self::Invitation { .. } => &TEXTS[3],
            Self::NoAccount => &TEXTS[4],
        }
    }

    fn variables(&self) -> serde_json::Map<String, Json> {
        let variables = match self {
            Self::VerifyEmail { link } | Self::PasswordReset { link } => json!({ "link": link }),
            Self::SomebodySignedUp | Self::NoAccount => json!({}),
            Self::Invitation { link, to } => json!({ "link": link, "to": to }),
        };
        variables.as_object().cloned().unwrap_or_default()
    }
}

/// Queues a system mail in a transaction of its own, once under each key.
pub async fn enqueue_system_mail(ports: &Ports, key: Uuid, to: &EmailAddress, mail: &SystemMail) -> Result<()> {
    let grant: Grant<SendMessages> = enter_for_work(&ports.wall, SYSTEM_TENANT).grant();
    let mut tx = grant.begin().await?;
    // Made at every start; a process that is faster than that asks to be asked again.
    let sender = current_sender(&mut tx, ports).await?.ok_or(WallError::Unavailable)?;
    let intent = Intent {
        key: key.to_string(),
        class: MessageClass::Transactional,
        topic: None,
        sender: sender.id,
        template_version: TemplateVersionId(Uuid::from_u128(VERSION_BASE + mail.text().number)),
        to: Recipient::Address(to.clone()),
        variables: mail.variables(),
        send_at: None,
        expires_at: None,
        is_test: false,
        origin: None,
    };
    let results = send_messages(&grant, &mut tx, ports, &[intent]).await?;
    match results.into_iter().next() {
        // Queued before, when another address was the system's.
        Some(Err(refusal)) if refusal.code == "IDEMPOTENCY_MISMATCH" => return Ok(()),
        Some(Err(refusal)) => return Err(Error::Refused(vec![refusal])),
        _ => tx.commit().await?,
    }
    ports.doorbell.ring(Lane::Transactional);
    Ok(())
}

/// Makes sure that the reserved tenant has its brand, templates, and the sender of today's address; safe to run at every
/// start.
///
/// The tenant's own row is made by [`crate::tenancy`]'s bootstrap.
pub async fn seed_system_tenant(ports: &Ports) -> Result<()> {
    let grant: Grant<SendMessages> = enter_for_work(&ports.wall, SYSTEM_TENANT).grant();
    let mut tx = grant.begin().await?;
    witness_active_key(&mut tx, ports).await?;
    let is_there = current_sender(&mut tx, ports).await?.is_some();
    tx.commit().await?;
    if is_there {
        return Ok(());
    }
    let key = tokio::task::spawn_blocking(NewDkimKey::generate_rsa_2048).await.map_err(Error::fault)??;
    let mut tx = grant.begin().await?;
    let earlier = store::senders_list(&mut tx, &Page::first(1)).await?.items.pop();
    let brand = match &earlier {
        Some(sender) => sender.brand,
        None => consent::seed_tenant(&mut tx, ports, "Carillon").await?.0.id,
    };
    match store::sender_insert(&mut tx, &new_sender(ports, brand, &key)?).await {
        // Another process was faster.
        Err(Error::Wall(WallError::Conflict { .. })) => return Ok(()),
        result => result?,
    }
    if earlier.is_none() {
        seed_texts(&mut tx, ports).await?;
    }
    Ok(tx.commit().await?)
}

/// Keeps the system's own address under the active key, so that a key that was ever used is missed once it is gone
/// ([`super::key_mismatch`]), whoever's addresses it was used for.
async fn witness_active_key(tx: &mut TenantTx, ports: &Ports) -> Result<()> {
    let own = consent::Recipient::of_email(&ports.keys, SYSTEM_TENANT, &system_from(ports)?).active();
    Ok(consent::endpoints_ensure(tx, ports, &[(own, Channel::Email)]).await?)
}

fn system_from(ports: &Ports) -> Result<EmailAddress> {
    EmailAddress::parse(&ports.settings.system_from).map_err(|_| Error::fault("the system sender's address"))
}

async fn seed_texts(tx: &mut TenantTx, ports: &Ports) -> Result<()> {
    for text in &TEXTS {
        let template = Template {
            id: TemplateId(Uuid::from_u128(TEMPLATE_BASE + text.number)),
            name: text.name.to_owned(),
            class: MessageClass::Transactional,
            created_at: ports.now(),
        };
        store::template_insert(tx, &template).await?;
        store::version_insert(tx, &system_version(ports, &template, text)).await?;
    }
    Ok(())
}

async fn current_sender(tx: &mut TenantTx, ports: &Ports) -> Result<Option<Sender>> {
    store::sender_of_address(tx, &ports.settings.system_from).await
}

/// The sender of system mail, made if it is not there yet: the operator publishes its DNS record.
pub async fn system_sender(ports: &Ports) -> Result<Sender> {
    seed_system_tenant(ports).await?;
    let mut tx = enter_for_work(&ports.wall, SYSTEM_TENANT).grant::<SendMessages>().begin_read().await?;
    current_sender(&mut tx, ports).await?.ok_or_else(|| Error::fault("the system sender went away"))
}

fn new_sender(ports: &Ports, brand: BrandId, key: &NewDkimKey) -> Result<Sender> {
    let from = system_from(ports)?;
    let (id, now) = (ports.new_id(), ports.now());
    let place = Sender::key_place(SYSTEM_TENANT, id);
    Ok(Sender {
        id,
        brand,
        from_name: "Carillon".to_owned(),
        from_email: from.as_sent().to_owned(),
        reply_to: None,
        postal_address: String::new(),
        domain: from.domain_ascii().to_owned(),
        dkim_selector: selector_of(id),
        dkim_sealed: ports.keys.seal(&place, &key.private_key_der, ports.entropy.as_ref()),
        dkim_public: key.txt_record.clone(),
        verified_at: Some(now),
        created_at: now,
    })
}

fn system_version(ports: &Ports, template: &Template, text: &Text) -> StoredVersion {
    StoredVersion {
        id: TemplateVersionId(Uuid::from_u128(VERSION_BASE + text.number)),
        template: template.id,
        class: MessageClass::Transactional,
        version: 1,
        locale: "en".to_owned(),
        subject: text.subject.to_owned(),
        html: format!("<p>{}</p>", text.body.replace("\n\n", "</p><p>")),
        text: text.body.to_owned(),
        format: TemplateFormat::Html,
        source: String::new(),
        event: None,
        content_hash: Vec::new(),
        published_at: ports.now(),
    }
}
