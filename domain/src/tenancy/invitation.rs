//! Invitations: a membership for whoever reads the mail. Whether the address has a user changes nothing (C-217).
//!
//! An invitation is worth no more than its inviter: it opens nothing once they could not give the role any more.

use carillon_entities::ids::{CredentialId, UserId};
use carillon_entities::wall::IdentityTx;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::audit::{Deed, record_apart};
use super::doorkeeper::Attempt;
use super::mail::{INVITATION_PAGE, link};
use super::members::hold_owners;
use super::once::Once;
use super::standing::{MemberGrant, place_of, suspended, user_of};
use super::store::credentials::{self, OneTime};
use super::{Actor, Doorkeeper, Membership, Role, Scope, SecretKind, VerifiedAccess, life, store};
use crate::contacts::EmailAddress;
use crate::error::{Refusal, Result};
use crate::idempotency::Call;
use crate::messaging::{SystemMail, enqueue_system_mail};
use crate::ports::Ports;

/// An invitation that is still good.
#[derive(Clone)]
pub(super) struct Invitation {
    id: CredentialId,
    pub scope: Scope,
    pub role: Role,
    email_norm: String,
    inviter: UserId,
}

impl Invitation {
    fn read(kept: OneTime) -> Option<Self> {
        Some(Self {
            id: kept.id,
            scope: kept.scope?,
            role: kept.role?,
            email_norm: kept.email_norm?,
            inviter: kept.created_by?,
        })
    }

    /// True when it was mailed to this address.
    pub fn is_for(&self, email: &EmailAddress) -> bool {
        self.email_norm == email.norm()
    }
}

/// The invitation behind a token, if it is still good.
pub(super) async fn find(tx: &mut IdentityTx, ports: &Ports, token: &str) -> Result<Option<Invitation>> {
    let Some(hash) = SecretKind::Invitation.hash_of(token) else { return Ok(None) };
    let kept = credentials::secret_find(tx, SecretKind::Invitation, hash).await?;
    Ok(kept.filter(|kept| kept.is_good(ports.now())).and_then(Invitation::read))
}

/// Uses an invitation up, unless its inviter could not give the role any more.
pub(super) async fn spend(tx: &mut IdentityTx, ports: &Ports, invitation: &Invitation, field: &str) -> Result<()> {
    let place = place_of(tx, invitation.scope).await?.ok_or_else(|| invalid(field))?;
    if place.is_suspended() {
        return Err(suspended(invitation.scope).into());
    }
    let inviter = store::users::user_find(tx, invitation.inviter).await?.filter(|inviter| !inviter.is_disabled);
    let inviter = inviter.ok_or_else(|| invalid(field))?;
    let roles = store::memberships::roles_on(tx, inviter.id, &place.scope_ids()).await?;
    let is_backed = Role::effective(roles).is_some_and(|role| role.may_give(invitation.role));
    if !is_backed || !credentials::secret_use(tx, invitation.id, ports.now()).await? {
        return Err(invalid(field).into());
    }
    Ok(())
}

/// The one answer for every invitation that opens nothing (any more).
pub(super) fn invalid(field: &str) -> Refusal {
    Refusal::new("INVALID_INVITATION", field, "The invitation is not valid any more.")
}

/// Whom to invite, and as what.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Where they get mail.
    pub email: EmailAddress,
    /// The role they would have.
    pub role: Role,
}

/// What an invitation's mail says. Under an idempotency key it is kept sealed with the answer, so that the mail is queued
/// even if a process died before it was.
#[derive(Serialize, Deserialize)]
struct Letter {
    id: CredentialId,
    token: String,
    to: String,
}

/// Mails somebody an invitation to join with a role.
pub async fn invite_member(
    grant: &MemberGrant,
    ports: &Ports,
    desk: &Doorkeeper,
    command: &NewInvitation,
    call: Option<&Call>,
) -> Result<()> {
    let (by, email) = (grant.user.id, &command.email);
    let secret = SecretKind::Invitation.generate(ports.entropy.as_ref());
    let (id, now) = (ports.new_id::<CredentialId>(), ports.now());
    let done = store::write_once!(ports, Once::of(by, call), |tx| {
        desk.count(Attempt::INVITE, None, Some(&by.to_string())).await?;
        // Whoever invites, one person gets few of these mails (C-216).
        desk.count(Attempt::INVITED, None, Some(email.norm())).await?;
        grant.reaches(command.role, "role")?;
        let kept = OneTime {
            scope: Some(grant.scope),
            role: Some(command.role),
            email_norm: Some(email.norm().to_owned()),
            created_by: Some(by),
            ..OneTime::new(id, now + life(SecretKind::Invitation))
        };
        credentials::secret_insert(tx, SecretKind::Invitation, kept, secret.hash, now).await?;
        let place = place_of(tx, grant.scope).await?;
        let to = place.map(|place| place.name().to_owned()).unwrap_or_default();
        Ok(Letter { id, token: secret.text.clone(), to })
    })?;
    let letter: Letter = done.value;
    let deed = Deed::new("member.invite", letter.id.0).with(json!({ "role": command.role }));
    record_apart(ports, Some(grant.scope), Actor::User(by), deed.once(done.entry)).await?;
    let link = link(ports, INVITATION_PAGE, &letter.token);
    enqueue_system_mail(ports, letter.id.0, email, &SystemMail::Invitation { link, to: letter.to }).await
}

/// Makes the signed-in user a member of what they were invited to; somebody who is one already keeps the stronger role.
pub async fn accept_invitation(
    ports: &Ports,
    desk: &Doorkeeper,
    access: &VerifiedAccess,
    token: &str,
) -> Result<Membership> {
    desk.count(Attempt::TOKEN, None, Some(&access.subject().user.to_string())).await?;
    let (id, now) = (ports.new_id(), ports.now());
    let membership = store::write!(ports, |tx| {
        let user = user_of(tx, access).await?;
        let invitation = find(tx, ports, token).await?.filter(|invitation| invitation.is_for(&user.email));
        let invitation = invitation.ok_or_else(|| invalid("token"))?;
        hold_owners(tx, invitation.scope).await?;
        spend(tx, ports, &invitation, "token").await?;
        let membership = Membership::new(id, user.id, invitation.scope, invitation.role, now);
        if store::memberships::membership_insert(tx, &membership).await? {
            return Ok(membership);
        }
        let kept = store::memberships::membership_of(tx, user.id, invitation.scope).await?;
        let kept = kept.ok_or_else(|| invalid("token"))?;
        let role = kept.role.max(invitation.role);
        if role != kept.role {
            store::memberships::membership_set_role(tx, kept.id, role).await?;
            store::users::user_bump(tx, user.id).await?;
        }
        Ok(Membership { role, ..kept })
    })?;
    let deed = Deed::new("member.join", membership.id.0).with(json!({ "role": membership.role }));
    record_apart(ports, Some(membership.scope), Actor::User(membership.user), deed).await?;
    Ok(membership)
}
