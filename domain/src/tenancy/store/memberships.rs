//! Rows of `memberships`.

use carillon_entities::ids::{AccountId, MembershipId, TenantId, UserId};
use carillon_entities::rows::tenancy::memberships;
use carillon_entities::wall::{IdentitySql, IdentityTx, OnConflict};
use sea_orm::ActiveValue::Set;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::accounts::reached;
use super::unreadable;
use crate::error::Result;
use crate::paging::{Ahead, Page, Paged};
use crate::tenancy::{Membership, Role, Scope};
use crate::time::Timestamp;

/// How many enabled owners an account has, counting those of accounts above it, beside one membership.
pub(in crate::tenancy) static OWNERS_BESIDE: IdentitySql = IdentitySql {
    name: "OWNERS_BESIDE",
    text: "WITH RECURSIVE up (id, parent_id) AS (
            SELECT a.id, a.parent_id FROM accounts AS a WHERE a.id = $1
            UNION SELECT a.id, a.parent_id FROM accounts AS a JOIN up ON a.id = up.parent_id)
        SELECT COUNT(*) AS amount FROM memberships AS m JOIN users AS u ON u.id = m.user_id
        WHERE m.scope_kind = 'account' AND m.scope_id IN (SELECT id FROM up) AND m.role = 'owner' AND m.id <> $2
            AND u.disabled_at IS NULL",
};

/// The first members of each account a user reaches.
pub(in crate::tenancy) static MEMBERS_REACHED: IdentitySql = IdentitySql {
    name: "MEMBERS_REACHED",
    text: reached!(
        "SELECT * FROM (SELECT m.id, m.user_id, m.scope_kind, m.scope_id, m.role, m.created_at,
                ROW_NUMBER() OVER (PARTITION BY m.scope_id ORDER BY m.id) AS nth
            FROM memberships AS m
            WHERE m.scope_kind = 'account' AND m.scope_id IN (SELECT id FROM reached) AND m.id > $2) AS ranked
        WHERE ranked.nth <= $3 ORDER BY ranked.scope_id, ranked.id"
    ),
};

impl Scope {
    pub(super) fn from_row(kind: &str, id: Uuid) -> Result<Self> {
        match kind {
            "account" => Ok(Self::Account(AccountId(id))),
            "tenant" => Ok(Self::Tenant(TenantId(id))),
            _ => Err(unreadable("unknown kind of scope")),
        }
    }
}

fn membership(row: &memberships::Model) -> Result<Membership> {
    Ok(Membership {
        id: row.id,
        user: row.user_id,
        scope: Scope::from_row(&row.scope_kind, row.scope_id)?,
        role: row.role.parse().map_err(unreadable)?,
        created_at: row.created_at,
    })
}

/// Inserts a membership unless the user has one there; returns whether it did.
pub(in crate::tenancy) async fn membership_insert(tx: &mut IdentityTx, membership: &Membership) -> Result<bool> {
    let row = memberships::ActiveModel {
        id: Set(membership.id),
        user_id: Set(membership.user),
        scope_kind: Set(membership.scope.kind().to_owned()),
        scope_id: Set(membership.scope.id()),
        role: Set(membership.role.as_str().to_owned()),
        created_at: Set(membership.created_at),
    };
    Ok(tx.insert_many(vec![row], OnConflict::Keep).await? == 1)
}

pub(in crate::tenancy) async fn membership_find(tx: &mut IdentityTx, id: MembershipId) -> Result<Option<Membership>> {
    let row = tx.select::<memberships::Entity>().eq(memberships::Column::Id, id.0).one().await?;
    row.as_ref().map(membership).transpose()
}

/// The user's own membership on exactly this scope.
pub(in crate::tenancy) async fn membership_of(
    tx: &mut IdentityTx,
    user: UserId,
    scope: Scope,
) -> Result<Option<Membership>> {
    let select = tx.select::<memberships::Entity>().eq(memberships::Column::UserId, user.0);
    let select = select.eq(memberships::Column::ScopeKind, scope.kind()).eq(memberships::Column::ScopeId, scope.id());
    select.one().await?.as_ref().map(membership).transpose()
}

/// The roles a user has on any of these accounts and tenants.
pub(in crate::tenancy) async fn roles_on(tx: &mut IdentityTx, user: UserId, scopes: &[Uuid]) -> Result<Vec<Role>> {
    let select = tx.select::<memberships::Entity>().eq(memberships::Column::UserId, user.0);
    let rows = select.is_in(memberships::Column::ScopeId, scopes.iter().copied()).all().await?;
    rows.into_iter().map(|row| row.role.parse().map_err(unreadable)).collect()
}

/// The user's memberships on single tenants.
pub(in crate::tenancy) async fn memberships_on_tenants(
    tx: &mut IdentityTx,
    user: UserId,
    tenants: &[TenantId],
) -> Result<Vec<Membership>> {
    let select = tx.select::<memberships::Entity>().eq(memberships::Column::UserId, user.0);
    let select = select.is_in(memberships::Column::ScopeId, tenants.iter().map(|id| id.0));
    select.all().await?.iter().map(membership).collect()
}

/// A page of the memberships on any of these accounts and tenants, in order of arrival. Each is looked up by itself,
/// because the index leads with it: a tenant and the accounts above it are six at most.
pub(in crate::tenancy) async fn memberships_page(
    tx: &mut IdentityTx,
    scopes: impl IntoIterator<Item = Scope>,
    page: &Page<MembershipId>,
) -> Result<Paged<Membership>> {
    let mut rows = Vec::new();
    for scope in scopes {
        let select = tx.select::<memberships::Entity>().eq(memberships::Column::ScopeKind, scope.kind());
        let select = select.eq(memberships::Column::ScopeId, scope.id());
        rows.extend(page.keyset(select, memberships::Column::Id).all().await?);
    }
    rows.sort_by_key(|row| row.id);
    if !page.forward {
        rows.reverse();
    }
    Ok(page.finish(rows.iter().map(membership).collect::<Result<_>>()?))
}

/// The first memberships behind a place on each account the user reaches.
pub(in crate::tenancy) async fn memberships_reached(
    tx: &mut IdentityTx,
    user: UserId,
    page: &Ahead<MembershipId>,
) -> Result<Vec<Membership>> {
    let after = page.after.map_or(Uuid::nil(), |after| after.0);
    let rows = tx.sql(&MEMBERS_REACHED, vec![user.0.into(), after.into(), page.limit().into()])?;
    rows.all::<memberships::Model>().await?.iter().map(membership).collect()
}

pub(in crate::tenancy) async fn membership_set_role(tx: &mut IdentityTx, id: MembershipId, role: Role) -> Result<bool> {
    let update = tx.update::<memberships::Entity>().eq(memberships::Column::Id, id.0);
    Ok(update.set(memberships::Column::Role, role.as_str()).execute().await? == 1)
}

pub(in crate::tenancy) async fn membership_delete(tx: &mut IdentityTx, id: MembershipId) -> Result<bool> {
    Ok(tx.delete::<memberships::Entity>().eq(memberships::Column::Id, id.0).execute().await? == 1)
}

pub(in crate::tenancy) async fn owners_beside(
    tx: &mut IdentityTx,
    account: AccountId,
    membership: MembershipId,
) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        amount: i64,
    }
    let row = tx.sql(&OWNERS_BESIDE, vec![account.0.into(), membership.0.into()])?.one::<Row>().await?;
    Ok(row.map_or(0, |row| row.amount))
}

impl Membership {
    /// A membership that begins now.
    pub(in crate::tenancy) fn new(id: MembershipId, user: UserId, scope: Scope, role: Role, now: Timestamp) -> Self {
        Self { id, user, scope, role, created_at: now }
    }
}
