//! Senders and relays: whom mail is from, what signs it, and through which server it leaves.

use carillon_entities::ids::{BrandId, RelayId, SenderId, TenantId};
use carillon_entities::wall::TenantTx;

use super::content::Sender;
use super::dkim_key::{NewDkimKey, selector_of};
use super::relay::{InvalidRelay, Relay};
use super::store;
use crate::contacts::{EmailAddress, one_line};
use crate::error::{Error, Refusal, Result};
use crate::keys::Place;
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, ManageSenders, ReadMessages, VerifySenders};
use crate::time::Timestamp;

/// Mailbox providers whose domains nobody may send from (C-40).
const FREE_PROVIDERS: [&str; 12] = [
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "icloud.com",
    "aol.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "proton.me",
];

/// The longest display name, in octets.
const NAME_MAX: usize = 200;

/// A sender to make.
#[derive(Debug, Clone)]
pub struct CreateSender {
    /// Its brand.
    pub brand: BrandId,
    /// Display name.
    pub from_name: String,
    /// From address.
    pub from_email: EmailAddress,
    /// Reply-To address.
    pub reply_to: Option<EmailAddress>,
    /// Postal address (C-86).
    pub postal_address: String,
}

impl CreateSender {
    /// Gives the name as it is kept.
    fn check(&self) -> Result<String, Refusal> {
        let name = one_line(&self.from_name, NAME_MAX);
        let name = name.map_err(|why| Refusal::new("BAD_NAME", "fromName", why.to_string()))?;
        if self.postal_address.trim().is_empty()
            || self.postal_address.len() > 500
            || self.postal_address.contains('\0')
        {
            return Err(Refusal::new("POSTAL_ADDRESS_REQUIRED", "postalAddress", "Give the sender's postal address."));
        }
        if FREE_PROVIDERS.contains(&self.from_email.domain_ascii()) {
            return Err(Refusal::new(
                "FREE_PROVIDER",
                "fromEmail",
                "Mail cannot be sent from a mailbox provider's domain.",
            ));
        }
        if !self.from_email.is_ascii_local() {
            return Err(Refusal::new("BAD_EMAIL", "fromEmail", "A sender's local part is ASCII."));
        }
        Ok(name)
    }
}

impl Sender {
    /// Name of the TXT record that holds [`Sender::dkim_public`].
    pub fn dkim_record_name(&self) -> String {
        format!("{}._domainkey.{}", self.dkim_selector, self.domain)
    }
}

/// Makes a sender and its DKIM key. In embedded mode it counts as verified at once, because nothing leaves the machine.
///
/// Making the key takes a good part of a second of CPU: [`NewDkimKey::generate_rsa_2048`] is called by the caller, off
/// the async threads, and handed in.
pub async fn create_sender(
    grant: &Grant<ManageSenders>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: CreateSender,
    key: &NewDkimKey,
) -> Result<Sender> {
    let from_name = command.check()?;
    if store::brand_name(tx, command.brand).await?.is_none() {
        return Err(Refusal::not_found("brandId").into());
    }
    let id: SenderId = ports.new_id();
    let now = ports.now();
    let place = Sender::key_place(grant.tenant(), id);
    let sender = Sender {
        id,
        brand: command.brand,
        from_name,
        from_email: command.from_email.as_sent().to_owned(),
        reply_to: command.reply_to.map(|address| address.as_sent().to_owned()),
        postal_address: command.postal_address,
        domain: command.from_email.domain_ascii().to_owned(),
        dkim_selector: selector_of(id),
        dkim_sealed: ports.keys.seal(&place, &key.private_key_der, ports.entropy.as_ref()),
        dkim_public: key.txt_record.clone(),
        verified_at: ports.settings.embedded.then_some(now),
        created_at: now,
    };
    match store::sender_insert(tx, &sender).await {
        Err(Error::Wall(carillon_entities::wall::WallError::Conflict { .. })) => {
            Err(Refusal::new("SENDER_EXISTS", "fromEmail", "There is a sender with this address.").into())
        }
        result => result.map(|()| sender),
    }
}

/// Marks a sender verified, at its word: in the embedded mode only. Nothing here looks into the DNS.
pub async fn verify_sender(_: &Grant<ManageSenders>, tx: &mut TenantTx, ports: &Ports, id: SenderId) -> Result<Sender> {
    let mut sender = store::sender_find(tx, id).await?.ok_or_else(|| Refusal::not_found("id"))?;
    if sender.verified_at.is_none() {
        if !ports.settings.embedded {
            let why = "The operator verifies senders after their DNS record is published.";
            return Err(Refusal::new("OPERATOR_VERIFIES", "id", why).into());
        }
        store::sender_verify(tx, id, ports.now()).await?;
        sender.verified_at = Some(ports.now());
    }
    Ok(sender)
}

/// The operator's word that the DNS record of a sender is published; `carillon admin verify-sender`.
pub async fn verify_sender_by_operator(grant: &Grant<VerifySenders>, ports: &Ports, id: SenderId) -> Result<()> {
    let mut tx = grant.begin().await?;
    if store::sender_verify(&mut tx, id, ports.now()).await? == 0 {
        return Err(Refusal::not_found("id").into());
    }
    Ok(tx.commit().await?)
}

/// Senders by id, in no order; unknown ids are left out.
pub async fn find_senders(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = SenderId>,
) -> Result<Vec<Sender>> {
    store::senders_find(tx, ids).await
}

/// A page of senders, oldest first.
pub async fn senders(_: &Grant<ReadMessages>, tx: &mut TenantTx, page: &Page<SenderId>) -> Result<Paged<Sender>> {
    store::senders_list(tx, page).await
}

fn relay_place(tenant: TenantId, id: RelayId) -> Place {
    Place::new(tenant, "relays", "sealed_url", id)
}

/// The tenant's own relay, as far as it may be seen: its URL may hold credentials and is write-only (C-233).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRelay {
    /// Host and port.
    pub host: String,
    /// When it was set.
    pub created_at: Timestamp,
}

/// Sets the tenant's own relay.
///
/// # Errors
/// `INVALID_RELAY` for a text that is none, `RELAY_NOT_PUBLIC` for a host of the deployment's own network.
pub async fn set_relay(grant: &Grant<ManageSenders>, tx: &mut TenantTx, ports: &Ports, url: &str) -> Result<OwnRelay> {
    let relay: Relay =
        url.parse().map_err(|why: InvalidRelay| Refusal::new("INVALID_RELAY", "url", why.to_string()))?;
    if !ports.settings.embedded && !relay.is_public() {
        return Err(Refusal::new("RELAY_NOT_PUBLIC", "url", "A relay has a public host name or address.").into());
    }
    let id: RelayId = ports.new_id();
    let set = OwnRelay { host: relay.authority(), created_at: ports.now() };
    let sealed = ports.keys.seal(&relay_place(grant.tenant(), id), url.as_bytes(), ports.entropy.as_ref());
    store::relay_set(tx, id, &set.host, sealed, set.created_at).await?;
    Ok(set)
}

/// The tenant's own relay, if it has one.
pub async fn own_relay(_: &Grant<ReadMessages>, tx: &mut TenantTx) -> Result<Option<OwnRelay>> {
    Ok(store::relay_find(tx).await?.map(|relay| relay.shown))
}

/// Removes the tenant's own relay: its mail leaves through the deployment's again.
pub async fn remove_relay(_: &Grant<ManageSenders>, tx: &mut TenantTx) -> Result<()> {
    store::relay_remove(tx).await.map(drop)
}

/// The URL of a tenant's own relay, credentials and all; none if it was sealed under a key that is lost.
pub struct OwnRelayUrl(pub Option<String>);

impl std::fmt::Debug for OwnRelayUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnRelayUrl(..)")
    }
}

/// The URL of the tenant's own relay, for the channel.
pub(super) async fn relay_url(tx: &mut TenantTx, ports: &Ports) -> Result<Option<OwnRelayUrl>> {
    let Some(relay) = store::relay_find(tx).await? else { return Ok(None) };
    let plain = ports.keys.open(&relay_place(tx.tenant(), relay.id), &relay.sealed_url).ok();
    Ok(Some(OwnRelayUrl(plain.and_then(|plain| String::from_utf8(plain).ok()))))
}
