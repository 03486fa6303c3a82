//! Who belongs to an account or tenant. Changes act at once: the tokens of whoever they concern die with the next
//! request (C-213). Nobody touches a role above their own, and an account always keeps an owner, of its own or above it.

use std::collections::HashMap;

use carillon_entities::ids::{AccountId, MembershipId, UserId};
use carillon_entities::wall::IdentityTx;
use serde_json::json;

use super::audit::{Deed, record_apart};
use super::once::Once;
use super::standing::{MemberGrant, assert_fresh, is_bound_elsewhere, place_of, stand_on, suspended, user_of};
use super::viewer::strongest;
use super::{Account, Actor, Grant, Membership, Permission, ReadTenant, Role, Scope, User, VerifiedAccess, store};
use crate::error::{Error, Refusal, Result};
use crate::idempotency::{Call, Run};
use crate::paging::{Ahead, Page, Paged};
use crate::ports::Ports;

/// A member: a membership and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The membership.
    pub membership: Membership,
    /// Whose.
    pub user: User,
}

/// The members of a tenant, those of the accounts above it too, in order of arrival.
pub async fn members(grant: &Grant<ReadTenant>, ports: &Ports, page: &Page<MembershipId>) -> Result<Paged<Member>> {
    assert_fresh(grant).await?;
    let scope = Scope::Tenant(grant.tenant());
    store::read!(ports, |tx| {
        let place = place_of(tx, scope).await?.ok_or_else(|| Refusal::not_found(""))?;
        let found = store::memberships::memberships_page(tx, place.scopes(), page).await?;
        let (has_next, has_previous) = (found.has_next, found.has_previous);
        Ok(Paged { items: with_users(tx, found.items).await?, has_next, has_previous })
    })
}

/// The first members of each of these accounts, or why the caller is not told: members are for those who may change them.
pub async fn account_members(
    ports: &Ports,
    access: &VerifiedAccess,
    accounts: &[AccountId],
    page: Ahead<MembershipId>,
) -> Result<Vec<(AccountId, Result<Paged<Member>>)>> {
    store::read!(ports, |tx| {
        let user = user_of(tx, access).await?;
        let reached = strongest(store::accounts::accounts_reached(tx, user.id).await?);
        let memberships = store::memberships::memberships_reached(tx, user.id, &page).await?;
        let members = with_users(tx, memberships).await?;
        let mut pages = page.finish(members.into_iter().map(|member| (member.membership.scope, member)));
        let told = |account: &AccountId| {
            let scope = Scope::Account(*account);
            let page =
                may_list(access, &reached, *account).map(|()| pages.remove(&scope).unwrap_or_else(|| page.empty()));
            (*account, page)
        };
        Ok(accounts.iter().map(told).collect())
    })
}

fn may_list(access: &VerifiedAccess, reached: &[(Account, Role)], id: AccountId) -> Result<()> {
    if is_bound_elsewhere(access, Scope::Account(id)) {
        return Err(Error::Forbidden);
    }
    let found = reached.iter().find(|(account, _)| account.id == id);
    let (account, role) = found.ok_or_else(|| Refusal::not_found(""))?;
    match Permission::AdministerAccount.allows(*role) {
        true if account.is_suspended => Err(suspended(Scope::Account(id)).into()),
        true => Ok(()),
        false => Err(Error::Forbidden),
    }
}

async fn with_users(tx: &mut IdentityTx, memberships: Vec<Membership>) -> Result<Vec<Member>> {
    let ids: Vec<UserId> = memberships.iter().map(|membership| membership.user).collect();
    let users = store::users::users_find(tx, &ids).await?;
    let users: HashMap<UserId, User> = users.into_iter().map(|user| (user.id, user)).collect();
    let member = |membership: Membership| Some(Member { user: users.get(&membership.user)?.clone(), membership });
    Ok(memberships.into_iter().filter_map(member).collect())
}

/// A membership that the caller may change, with the account's owners held still.
async fn changeable(
    tx: &mut IdentityTx,
    access: &VerifiedAccess,
    id: MembershipId,
) -> Result<(MemberGrant, Membership)> {
    let missing = || Error::from(Refusal::not_found("membershipId"));
    let membership = store::memberships::membership_find(tx, id).await?.ok_or_else(missing)?;
    // A token bound to a tenant learns nothing of memberships elsewhere (C-204).
    if is_bound_elsewhere(access, membership.scope) {
        return Err(missing());
    }
    // Refused before anybody has to wait; asked again when it can no longer change.
    MemberGrant::within(tx, access, membership.scope, "membershipId").await?;
    hold_owners(tx, membership.scope).await?;
    let grant = MemberGrant::within(tx, access, membership.scope, "membershipId").await?;
    let membership = store::memberships::membership_find(tx, id).await?.ok_or_else(missing)?;
    grant.reaches(membership.role, "membershipId")?;
    Ok((grant, membership))
}

/// Locks the top account of the tree, so that who belongs to it changes one after another.
pub(super) async fn hold_owners(tx: &mut IdentityTx, scope: Scope) -> Result<()> {
    let place = place_of(tx, scope).await?;
    match place.and_then(|place| place.accounts.into_iter().next_back()) {
        Some(top) => store::accounts::account_lock(tx, top.id).await,
        None => Ok(()),
    }
}

/// Refuses when the account would have no owner beside this membership; tenants are owned through their account.
async fn keeps_an_owner(tx: &mut IdentityTx, membership: &Membership) -> Result<()> {
    let Scope::Account(account) = membership.scope else { return Ok(()) };
    if membership.role != Role::Owner || store::memberships::owners_beside(tx, account, membership.id).await? > 0 {
        return Ok(());
    }
    Err(Refusal::new("LAST_OWNER", "", "The account needs an owner.").into())
}

/// Gives a member another role; one they have already changes nothing.
pub async fn change_member_role(
    ports: &Ports,
    access: &VerifiedAccess,
    id: MembershipId,
    role: Role,
    call: Option<&Call>,
) -> Result<Membership> {
    let by = caller(ports, access).await?;
    let done = store::write_once!(ports, Once::of(by, call), |tx| {
        let (grant, membership) = changeable(tx, access, id).await?;
        grant.reaches(role, "role")?;
        if role == membership.role {
            return Ok((membership, false));
        }
        if role != Role::Owner {
            keeps_an_owner(tx, &membership).await?;
        }
        store::memberships::membership_set_role(tx, id, role).await?;
        store::users::user_bump(tx, membership.user).await?;
        Ok((Membership { role, ..membership }, true))
    })?;
    let (membership, is_changed) = done.value;
    within_reach(access, membership.scope)?;
    if is_changed {
        let deed = Deed::new("member.change_role", id.0).with(json!({ "role": role, "user": membership.user }));
        record_apart(ports, Some(membership.scope), Actor::User(by), deed.once(done.entry)).await?;
    }
    Ok(membership)
}

/// Takes a membership away.
pub async fn remove_member(
    ports: &Ports,
    access: &VerifiedAccess,
    id: MembershipId,
    run: Run<'_>,
) -> Result<Membership> {
    let by = caller(ports, access).await?;
    let done = store::write_once!(ports, Once::of(by, None).run(run), |tx| {
        let (_, membership) = changeable(tx, access, id).await?;
        end(tx, &membership).await?;
        Ok(membership)
    })?;
    let membership: Membership = done.value;
    within_reach(access, membership.scope)?;
    if run != Run::Dry {
        let deed = Deed::new("member.remove", id.0).with(json!({ "user": membership.user }));
        record_apart(ports, Some(membership.scope), Actor::User(by), deed.once(done.entry)).await?;
    }
    Ok(membership)
}

/// Ends the caller's own membership on exactly this account or tenant.
pub async fn leave(ports: &Ports, access: &VerifiedAccess, scope: Scope, field: &str, run: Run<'_>) -> Result<()> {
    let by = caller(ports, access).await?;
    if is_bound_elsewhere(access, scope) {
        return Err(Error::Forbidden);
    }
    let done = store::write_once!(ports, Once::of(by, None).run(run), |tx| {
        let standing = stand_on(tx, access, scope, field).await?;
        hold_owners(tx, scope).await?;
        let membership = store::memberships::membership_of(tx, standing.user.id, scope).await?;
        let membership = membership.ok_or_else(|| {
            Refusal::new("NOT_A_DIRECT_MEMBER", field, "Your role comes from an account above; leave that one.")
        })?;
        end(tx, &membership).await?;
        Ok(membership.id)
    })?;
    let id: MembershipId = done.value;
    if run == Run::Dry {
        return Ok(());
    }
    record_apart(ports, Some(scope), Actor::User(by), Deed::new("member.leave", id.0).once(done.entry)).await
}

/// A token bound to a tenant learns nothing of what its user did elsewhere, by no key (C-204).
fn within_reach(access: &VerifiedAccess, scope: Scope) -> Result<()> {
    if is_bound_elsewhere(access, scope) { Err(Refusal::not_found("membershipId").into()) } else { Ok(()) }
}

/// Who calls, with a token that is still good: asked before a stored answer is given (C-213).
async fn caller(ports: &Ports, access: &VerifiedAccess) -> Result<UserId> {
    Ok(store::read!(ports, |tx| user_of(tx, access).await)?.id)
}

async fn end(tx: &mut IdentityTx, membership: &Membership) -> Result<()> {
    keeps_an_owner(tx, membership).await?;
    store::memberships::membership_delete(tx, membership.id).await?;
    store::users::user_bump(tx, membership.user).await
}
