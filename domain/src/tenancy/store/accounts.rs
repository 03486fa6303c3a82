//! Rows of `accounts` and `tenants`.

use carillon_entities::ids::{AccountId, TenantId, UserId};
use carillon_entities::rows::tenancy::{accounts, tenants};
use carillon_entities::wall::{IdentitySql, IdentityTx, OnConflict};
use sea_orm::ActiveValue::Set;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::unreadable;
use crate::error::Result;
use crate::paging::Ahead;
use crate::tenancy::{Account, AccountUse, Role, Tenant};
use crate::time::Timestamp;

/// An account and those above it, the nearest first.
pub(in crate::tenancy) static ACCOUNT_PATH: IdentitySql = IdentitySql {
    name: "ACCOUNT_PATH",
    text: "WITH RECURSIVE up (id, parent_id) AS (
            SELECT a.id, a.parent_id FROM accounts AS a WHERE a.id = $1
            UNION SELECT a.id, a.parent_id FROM accounts AS a JOIN up ON a.id = up.parent_id)
        SELECT a.id, a.parent_id, a.depth, a.name, a.max_tenants, a.max_messages_per_day, a.suspended_at, a.created_at
        FROM accounts AS a JOIN up ON up.id = a.id ORDER BY a.depth DESC",
};

/// For an account and each above it: how many tenants and accounts lie under it.
pub(in crate::tenancy) static ACCOUNT_USE: IdentitySql = IdentitySql {
    name: "ACCOUNT_USE",
    text: "WITH RECURSIVE up (id, parent_id) AS (
            SELECT a.id, a.parent_id FROM accounts AS a WHERE a.id = $1
            UNION SELECT a.id, a.parent_id FROM accounts AS a JOIN up ON a.id = up.parent_id),
        down (top, id) AS (
            SELECT up.id, up.id FROM up
            UNION SELECT down.top, a.id FROM accounts AS a JOIN down ON a.parent_id = down.id)
        SELECT a.max_tenants,
            (SELECT COUNT(*) FROM down JOIN tenants AS t ON t.account_id = down.id WHERE down.top = a.id) AS tenants,
            (SELECT COUNT(*) FROM down WHERE down.top = a.id AND down.id <> a.id) AS accounts
        FROM accounts AS a JOIN up ON up.id = a.id",
};

macro_rules! below {
    ($statement:literal) => {
        concat!(
            "WITH RECURSIVE down (id) AS (
                SELECT a.id FROM accounts AS a WHERE a.id = $1
                UNION SELECT a.id FROM accounts AS a JOIN down ON a.parent_id = down.id) ",
            $statement
        )
    };
}

/// Has the tenants under an account stand still whose account is suspended or lies below a suspended one, and no others.
pub(in crate::tenancy) static TENANTS_STAND: IdentitySql = IdentitySql {
    name: "TENANTS_STAND",
    text: "WITH RECURSIVE up (id, parent_id, suspended_at) AS (
            SELECT a.id, a.parent_id, a.suspended_at FROM accounts AS a WHERE a.id = $1
            UNION SELECT a.id, a.parent_id, a.suspended_at FROM accounts AS a JOIN up ON a.id = up.parent_id),
        down (id, held) AS (
            SELECT a.id, EXISTS (SELECT 1 FROM up WHERE up.suspended_at IS NOT NULL) FROM accounts AS a WHERE a.id = $1
            UNION SELECT a.id, (down.held OR a.suspended_at IS NOT NULL)
                FROM accounts AS a JOIN down ON a.parent_id = down.id)
        UPDATE tenants SET suspended_at =
            CASE WHEN account_id IN (SELECT id FROM down WHERE held) THEN COALESCE(suspended_at, $2) END
        WHERE account_id IN (SELECT id FROM down)",
};

/// Sets the daily limit of an account and all below it.
pub(in crate::tenancy) static ACCOUNTS_CAP: IdentitySql = IdentitySql {
    name: "ACCOUNTS_CAP",
    text: below!("UPDATE accounts SET max_messages_per_day = $2 WHERE id IN (SELECT id FROM down)"),
};

/// Sets the daily limit of the tenants under an account.
pub(in crate::tenancy) static TENANTS_CAP: IdentitySql = IdentitySql {
    name: "TENANTS_CAP",
    text: below!("UPDATE tenants SET max_messages_per_day = $2 WHERE account_id IN (SELECT id FROM down)"),
};

macro_rules! reached {
    ($statement:literal) => {
        concat!(
            "WITH RECURSIVE reached (id, role) AS (
                SELECT m.scope_id, m.role FROM memberships AS m WHERE m.user_id = $1 AND m.scope_kind = 'account'
                UNION SELECT a.id, reached.role FROM accounts AS a JOIN reached ON a.parent_id = reached.id) ",
            $statement
        )
    };
}

pub(super) use reached;

/// The accounts a user reaches from above or directly, once per role, and whether each stands still.
pub(in crate::tenancy) static ACCOUNTS_REACHED: IdentitySql = IdentitySql {
    name: "ACCOUNTS_REACHED",
    text: reached!(
        ", up (id, parent_id, suspended_at) AS (
                SELECT a.id, a.parent_id, a.suspended_at FROM accounts AS a WHERE a.id IN (SELECT id FROM reached)
                UNION SELECT up.id, a.parent_id, a.suspended_at FROM accounts AS a JOIN up ON a.id = up.parent_id)
            SELECT a.id, a.parent_id, a.depth, a.name, a.max_tenants, a.max_messages_per_day, a.suspended_at, a.created_at,
                reached.role, held.id IS NOT NULL AS held FROM accounts AS a JOIN reached ON reached.id = a.id
            LEFT JOIN (SELECT DISTINCT id FROM up WHERE suspended_at IS NOT NULL) AS held ON held.id = a.id
            ORDER BY a.id"
    ),
};

/// Some of the tenants a user reaches through an account or directly, in order of their ids.
pub(in crate::tenancy) static TENANTS_REACHED: IdentitySql = IdentitySql {
    name: "TENANTS_REACHED",
    text: reached!(
        "SELECT t.id, t.account_id, t.name, t.default_zone, t.default_locale, t.default_country, t.is_system,
                t.creation_key, t.max_messages_per_day, t.suspended_at, t.created_at FROM tenants AS t JOIN (
                SELECT b.id FROM tenants AS b JOIN reached ON reached.id = b.account_id WHERE b.id > $2
                UNION SELECT m.scope_id FROM memberships AS m
                WHERE m.user_id = $1 AND m.scope_kind = 'tenant' AND m.scope_id > $2) AS found ON found.id = t.id
            ORDER BY t.id LIMIT $3"
    ),
};

/// The first tenants below each account that a user reaches, at any depth, behind a place.
pub(in crate::tenancy) static TENANTS_BELOW: IdentitySql = IdentitySql {
    name: "TENANTS_BELOW",
    text: reached!(
        ", below (top, id) AS (
                SELECT a.id, a.id FROM accounts AS a WHERE a.id IN (SELECT id FROM reached)
                UNION SELECT below.top, a.id FROM accounts AS a JOIN below ON a.parent_id = below.id)
            SELECT * FROM (SELECT t.id, t.account_id, t.name, t.default_zone, t.default_locale, t.default_country,
                t.is_system, t.creation_key, t.max_messages_per_day, t.suspended_at, t.created_at, below.top,
                ROW_NUMBER() OVER (PARTITION BY below.top ORDER BY t.id) AS nth
                FROM tenants AS t JOIN below ON below.id = t.account_id WHERE t.id > $2) AS ranked
            WHERE ranked.nth <= $3 ORDER BY ranked.top, ranked.id"
    ),
};

impl Account {
    /// An account as its row has it; the row knows its own suspension alone.
    fn read(row: accounts::Model, is_held_from_above: bool) -> Self {
        Self {
            id: row.id,
            parent: row.parent_id,
            depth: row.depth,
            name: row.name,
            max_tenants: row.max_tenants,
            max_messages_per_day: row.max_messages_per_day,
            is_suspended: is_held_from_above || row.suspended_at.is_some(),
            created_at: row.created_at,
        }
    }
}

impl From<tenants::Model> for Tenant {
    fn from(row: tenants::Model) -> Self {
        Self {
            id: row.id,
            account: row.account_id,
            name: row.name,
            default_zone: row.default_zone,
            default_locale: row.default_locale,
            default_country: row.default_country,
            max_messages_per_day: row.max_messages_per_day,
            is_suspended: row.suspended_at.is_some(),
            created_at: row.created_at,
        }
    }
}

/// An account and those above it, the nearest first; none where there is no such account.
pub(in crate::tenancy) async fn account_path(tx: &mut IdentityTx, id: AccountId) -> Result<Vec<Account>> {
    let rows = tx.sql(&ACCOUNT_PATH, vec![id.0.into()])?.all::<accounts::Model>().await?;
    let mut path: Vec<Account> = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let is_held = path.last().is_some_and(|above| above.is_suspended);
        path.push(Account::read(row, is_held));
    }
    path.reverse();
    Ok(path)
}

/// The same path, with the whole tree it lies in held still: nobody makes, suspends or limits anything there meanwhile.
pub(in crate::tenancy) async fn account_path_held(tx: &mut IdentityTx, id: AccountId) -> Result<Vec<Account>> {
    match account_path(tx, id).await?.pop() {
        Some(top) => account_lock(tx, top.id).await?,
        None => return Ok(Vec::new()),
    }
    account_path(tx, id).await
}

/// Locks an account's row: whoever counts under it or changes its owners comes one after another.
pub(in crate::tenancy) async fn account_lock(tx: &mut IdentityTx, id: AccountId) -> Result<()> {
    tx.select::<accounts::Entity>().eq(accounts::Column::Id, id.0).for_update().one().await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct UseRow {
    max_tenants: i64,
    tenants: i64,
    accounts: i64,
}

pub(in crate::tenancy) async fn account_use(tx: &mut IdentityTx, id: AccountId) -> Result<Vec<AccountUse>> {
    let rows = tx.sql(&ACCOUNT_USE, vec![id.0.into()])?.all::<UseRow>().await?;
    let map = |row: UseRow| AccountUse { max_tenants: row.max_tenants, tenants: row.tenants, accounts: row.accounts };
    Ok(rows.into_iter().map(map).collect())
}

/// Inserts an account; keeps the one that has the id already.
pub(in crate::tenancy) async fn account_insert(tx: &mut IdentityTx, account: &Account) -> Result<()> {
    let row = accounts::ActiveModel {
        id: Set(account.id),
        parent_id: Set(account.parent),
        depth: Set(account.depth),
        name: Set(account.name.clone()),
        max_tenants: Set(account.max_tenants),
        max_messages_per_day: Set(account.max_messages_per_day),
        suspended_at: Set(None),
        created_at: Set(account.created_at),
    };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    Ok(())
}

/// Begins or ends an account's own suspension, and has the tenants below follow; the caller holds the tree.
pub(in crate::tenancy) async fn account_suspend(
    tx: &mut IdentityTx,
    id: AccountId,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let own = tx.update::<accounts::Entity>().eq(accounts::Column::Id, id.0);
    // Suspended twice, it is suspended since the first time.
    let own = if since.is_some() { own.is_null(accounts::Column::SuspendedAt) } else { own };
    own.set(accounts::Column::SuspendedAt, since).execute().await?;
    tx.sql(&TENANTS_STAND, vec![id.0.into(), now.into()])?.execute().await?;
    Ok(())
}

pub(in crate::tenancy) async fn account_cap_tenants(tx: &mut IdentityTx, id: AccountId, most: i64) -> Result<()> {
    tx.update::<accounts::Entity>()
        .eq(accounts::Column::Id, id.0)
        .set(accounts::Column::MaxTenants, most)
        .execute()
        .await?;
    Ok(())
}

pub(in crate::tenancy) async fn account_cap_messages(tx: &mut IdentityTx, id: AccountId, most: i64) -> Result<()> {
    tx.sql(&ACCOUNTS_CAP, vec![id.0.into(), most.into()])?.execute().await?;
    tx.sql(&TENANTS_CAP, vec![id.0.into(), most.into()])?.execute().await?;
    Ok(())
}

pub(in crate::tenancy) async fn tenant_find(tx: &mut IdentityTx, id: TenantId) -> Result<Option<Tenant>> {
    Ok(tx.select::<tenants::Entity>().eq(tenants::Column::Id, id.0).one().await?.map(Tenant::from))
}

/// Tenants; unknown ids are left out.
pub(in crate::tenancy) async fn tenants_find(tx: &mut IdentityTx, ids: &[TenantId]) -> Result<Vec<Tenant>> {
    let select = tx.select::<tenants::Entity>().is_in(tenants::Column::Id, ids.iter().map(|id| id.0));
    Ok(select.all().await?.into_iter().map(Tenant::from).collect())
}

pub(in crate::tenancy) async fn tenant_by_creation_key(
    tx: &mut IdentityTx,
    account: AccountId,
    key: &str,
) -> Result<Option<Tenant>> {
    let select = tx.select::<tenants::Entity>().eq(tenants::Column::AccountId, account.0);
    Ok(select.eq(tenants::Column::CreationKey, key).one().await?.map(Tenant::from))
}

/// Inserts a tenant; keeps the one that has the id already.
pub(in crate::tenancy) async fn tenant_insert(
    tx: &mut IdentityTx,
    tenant: &Tenant,
    creation_key: Option<&str>,
    is_system: bool,
) -> Result<()> {
    let row = tenants::ActiveModel {
        id: Set(tenant.id),
        account_id: Set(tenant.account),
        name: Set(tenant.name.clone()),
        default_zone: Set(tenant.default_zone.clone()),
        default_locale: Set(tenant.default_locale.clone()),
        default_country: Set(tenant.default_country.clone()),
        is_system: Set(is_system),
        creation_key: Set(creation_key.map(str::to_owned)),
        max_messages_per_day: Set(tenant.max_messages_per_day),
        suspended_at: Set(None),
        created_at: Set(tenant.created_at),
    };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct ReachedRow {
    role: String,
    held: bool,
}

/// Every account the user reaches, with the role each of their memberships gives there.
pub(in crate::tenancy) async fn accounts_reached(tx: &mut IdentityTx, user: UserId) -> Result<Vec<(Account, Role)>> {
    #[derive(FromQueryResult)]
    struct Row {
        #[sea_orm(nested)]
        account: accounts::Model,
        #[sea_orm(nested)]
        reached: ReachedRow,
    }
    let rows = tx.sql(&ACCOUNTS_REACHED, vec![user.0.into()])?.all::<Row>().await?;
    let read = |Row { account, reached }| {
        Ok((Account::read(account, reached.held), reached.role.parse().map_err(unreadable)?))
    };
    rows.into_iter().map(read).collect()
}

/// The tenants the user reaches whose ids follow `after`.
pub(in crate::tenancy) async fn tenants_reached(
    tx: &mut IdentityTx,
    user: UserId,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Tenant>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let args = vec![user.0.into(), after.into(), limit.into()];
    let rows = tx.sql(&TENANTS_REACHED, args)?.all::<tenants::Model>().await?;
    Ok(rows.into_iter().map(Tenant::from).collect())
}

/// The first tenants below each account the user reaches, behind a place, by the account.
pub(in crate::tenancy) async fn tenants_below(
    tx: &mut IdentityTx,
    user: UserId,
    page: &Ahead<TenantId>,
) -> Result<Vec<(AccountId, Tenant)>> {
    #[derive(FromQueryResult)]
    struct Below {
        top: Uuid,
    }
    #[derive(FromQueryResult)]
    struct Row {
        #[sea_orm(nested)]
        tenant: tenants::Model,
        #[sea_orm(nested)]
        below: Below,
    }
    let after = page.after.map_or(Uuid::nil(), |after| after.0);
    let args = vec![user.0.into(), after.into(), page.limit().into()];
    let rows = tx.sql(&TENANTS_BELOW, args)?.all::<Row>().await?;
    Ok(rows.into_iter().map(|row| (AccountId(row.below.top), Tenant::from(row.tenant))).collect())
}
