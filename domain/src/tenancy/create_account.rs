//! An account under an account: its members reach it from above, and it counts against the limits above it.

use carillon_entities::ids::AccountId;
use carillon_entities::wall::IdentityTx;

use super::audit::{Deed, record_apart};
use super::once::Once;
use super::standing::suspended;
use super::{Account, AccountGrant, Actor, AdministerAccount, Name, Scope, store};
use crate::error::{Refusal, Result};
use crate::idempotency::Call;
use crate::ports::Ports;

/// Makes an account under the one the grant is for.
pub async fn create_account(
    grant: &AccountGrant<AdministerAccount>,
    ports: &Ports,
    name: &Name,
    call: Option<&Call>,
) -> Result<Account> {
    let id = ports.new_id::<AccountId>();
    let done = store::write_once!(ports, Once::of(grant.user(), call), |tx| {
        let parent = hold_tree(tx, grant.account()).await?;
        if parent.depth >= Account::DEEPEST {
            let message = "Accounts lie at most five deep.";
            return Err(Refusal::new("TOO_DEEP", "parentId", message).into());
        }
        let uses = store::accounts::account_use(tx, parent.id).await?;
        if uses.iter().any(|used| used.accounts >= used.max_tenants) {
            return Err(
                Refusal::new("LIMIT_REACHED", "parentId", "The account has all the accounts it may have.").into()
            );
        }
        let account = Account {
            id,
            parent: Some(parent.id),
            depth: parent.depth + 1,
            name: name.as_str().to_owned(),
            created_at: ports.now(),
            ..parent
        };
        store::accounts::account_insert(tx, &account).await?;
        Ok(account)
    })?;
    let account: Account = done.value;
    let deed = Deed::new("account.create", account.id.0).once(done.entry);
    record_apart(ports, Some(Scope::Account(account.id)), Actor::User(grant.user()), deed).await?;
    Ok(account)
}

/// The account, with its tree held still, unless it or an account above it is suspended.
pub(super) async fn hold_tree(tx: &mut IdentityTx, id: AccountId) -> Result<Account> {
    let missing = || Refusal::not_found("accountId");
    let account = store::accounts::account_path_held(tx, id).await?.into_iter().next().ok_or_else(missing)?;
    if account.is_suspended {
        return Err(suspended(Scope::Account(id)).into());
    }
    Ok(account)
}
