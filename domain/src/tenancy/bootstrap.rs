//! The deployment's own account and tenant: system mail goes out of it like any other mail (L3).

use carillon_entities::ids::AccountId;
use uuid::Uuid;

use super::{Account, KeepTenant, Tenant, enter_for_work, store};
use crate::consent;
use crate::error::Result;
pub use crate::messaging::SYSTEM_TENANT;
use crate::messaging::seed_system_tenant;
use crate::ports::Ports;

/// The account of the deployment itself.
pub const SYSTEM_ACCOUNT: AccountId = AccountId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));

/// Makes sure that the system account and tenant exist; may run any number of times, at once too.
pub async fn bootstrap(ports: &Ports) -> Result<()> {
    seed_system_tenant(ports).await?;
    let is_there = store::read!(ports, |tx| store::accounts::tenant_find(tx, SYSTEM_TENANT).await)?.is_some();
    if is_there {
        return Ok(());
    }
    let (account, tenant) = system(ports);
    store::write!(ports, |tx| {
        store::accounts::account_insert(tx, &account).await?;
        store::accounts::tenant_insert(tx, &tenant, None, true).await
    })
}

fn system(ports: &Ports) -> (Account, Tenant) {
    let account = Account {
        id: SYSTEM_ACCOUNT,
        parent: None,
        depth: 1,
        name: "Carillon".to_owned(),
        max_tenants: 1,
        max_messages_per_day: ports.settings.messages_per_day,
        is_suspended: false,
        created_at: ports.now(),
    };
    let tenant = Tenant {
        id: SYSTEM_TENANT,
        account: SYSTEM_ACCOUNT,
        name: "Carillon".to_owned(),
        default_zone: "UTC".to_owned(),
        default_locale: "en".to_owned(),
        default_country: "US".to_owned(),
        max_messages_per_day: ports.settings.messages_per_day,
        is_suspended: false,
        created_at: ports.now(),
    };
    (account, tenant)
}

/// Puts into a tenant what every tenant has, before its row makes it real: a crash between the two leaves rows of a
/// tenant that never was, which nobody can see.
pub(super) async fn seed(ports: &Ports, tenant: &Tenant) -> Result<()> {
    let mut tx = enter_for_work(&ports.wall, tenant.id).grant::<KeepTenant>().begin().await?;
    consent::seed_tenant(&mut tx, ports, &tenant.name).await?;
    Ok(tx.commit().await?)
}
