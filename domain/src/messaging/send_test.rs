//! Test sends: through the gate like every mail, and only to the tenant's own verified users (C-162).

use carillon_entities::ids::{MessageId, SenderId, TemplateVersionId};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::content::StoredVersion;
use super::send_messages::{AcceptedIntent, Intent, Recipient, send_messages};
use super::{MessageClass, choose_locale, store};
use crate::contacts::{EmailAddress, Locale};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages, assert_fresh};

/// A verified user who is a member of the tenant or of an account above it; only [`own_user`] makes one.
#[derive(Debug, Clone)]
pub struct OwnUser(EmailAddress);

/// Says whether an address is that of one of the tenant's own verified users.
///
/// # Errors
/// `NOT_AN_OWN_USER` if not: nobody learns whether there is such a user elsewhere.
pub async fn own_user(grant: &Grant<SendMessages>, ports: &Ports, address: EmailAddress) -> Result<OwnUser> {
    // The identity space does not ask whether the credential is still good (C-213).
    assert_fresh(grant).await?;
    if store::is_verified_member(ports, grant.tenant(), &address).await? {
        return Ok(OwnUser(address));
    }
    Err(Refusal::new("NOT_AN_OWN_USER", "to", "Tests go to verified users of this tenant only.").into())
}

/// A test to send.
#[derive(Debug, Clone)]
pub struct SendTest {
    /// What.
    pub template_version: TemplateVersionId,
    /// From whom.
    pub sender: SenderId,
    /// To whom.
    pub to: OwnUser,
    /// The newest version of the same template that is nearest to this locale is sent instead; as a person who has it would
    /// get it.
    pub locale: Option<String>,
    /// Values for `vars`.
    pub variables: serde_json::Map<String, Json>,
}

/// Queues one test.
///
/// # Errors
/// `BAD_LOCALE`, and what [`send_messages`] refuses.
pub async fn send_test(
    grant: &Grant<SendMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: SendTest,
) -> Result<AcceptedIntent> {
    let version = store::template_versions_find(tx, [command.template_version]).await?.pop();
    let version = version.ok_or_else(|| Refusal::not_found("templateVersionId"))?;
    let (class, template_version) = match &command.locale {
        Some(locale) => (version.class, in_locale(tx, &version, locale).await?),
        None => (version.class, version.id),
    };
    let topic = match class {
        // A test of marketing shows the links of the brand's reserved topic.
        MessageClass::Marketing => store::reserved_topic(tx, command.sender).await?,
        MessageClass::Transactional => None,
    };
    let intent = Intent {
        key: format!("test:{}", ports.new_id::<MessageId>()),
        class,
        topic,
        sender: command.sender,
        template_version,
        to: Recipient::Address(command.to.0),
        variables: command.variables,
        send_at: None,
        expires_at: None,
        is_test: true,
        origin: None,
    };
    let mut results = send_messages(grant, tx, ports, &[intent]).await?;
    results.pop().ok_or_else(|| Error::fault("no verdict"))?.map_err(Error::from)
}

/// The newest version of a version's template that is nearest to a locale, and where none is, to its own.
async fn in_locale(tx: &mut TenantTx, version: &StoredVersion, locale: &str) -> Result<TemplateVersionId> {
    let wanted = Locale::parse(locale).map_err(|why| Refusal::new("BAD_LOCALE", "locale", why.to_string()))?;
    let newest = store::versions_of(tx, [version.template]).await?;
    let tags: Vec<&str> = newest.iter().map(|one| one.locale.as_str()).collect();
    let place = choose_locale(Some(wanted.as_str()), &version.locale, &tags);
    Ok(place.map_or(version.id, |place| newest[place].id))
}
