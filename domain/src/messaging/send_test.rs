//! Test sends: through the gate like every mail, and only to the tenant's own verified users (C-162).

use carillon_entities::ids::{MessageId, SenderId, TemplateVersionId};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::send_messages::{AcceptedIntent, Intent, Recipient, send_messages};
use super::{MessageClass, store};
use crate::contacts::EmailAddress;
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
    /// Values for `vars`.
    pub variables: serde_json::Map<String, Json>,
}

/// Queues one test.
pub async fn send_test(
    grant: &Grant<SendMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: SendTest,
) -> Result<AcceptedIntent> {
    let version = store::template_versions_find(tx, [command.template_version]).await?.pop();
    let class = version.ok_or_else(|| Refusal::not_found("templateVersionId"))?.class;
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
        template_version: command.template_version,
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
