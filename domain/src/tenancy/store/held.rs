//! Whether credentials are still good, many at once.

use std::collections::HashSet;

use carillon_entities::wall::{Args, IdentityBatch, IdentityTx, Kind};
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use crate::error::Result;
use crate::tenancy::HeldCredential;
use crate::time::Timestamp;

/// What BEGIN asks for one request, for many who listen; gives the places of those that have ended.
pub(in crate::tenancy) static HELD_ENDED: IdentityBatch = IdentityBatch {
    name: "HELD_ENDED",
    text: "SELECT b.place FROM ({batch}) AS b
        WHERE (b.user_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = b.user_id
                AND u.auth_version = b.auth_version AND u.disabled_at IS NULL))
            OR (b.key_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.id = b.key_id
                AND c.scope_id = b.tenant_id AND c.revoked_at IS NULL
                AND (c.document_set_id = b.document_set_id
                    OR (c.document_set_id IS NULL AND b.document_set_id IS NULL))
                AND (c.expires_at IS NULL OR c.expires_at > $1)))
            OR (b.tenant_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = b.tenant_id
                AND t.suspended_at IS NULL))",
    args: &[Kind::Time],
    batch: &[
        ("place", Kind::Int),
        ("user_id", Kind::Uuid),
        ("auth_version", Kind::BigInt),
        ("key_id", Kind::Uuid),
        ("document_set_id", Kind::Uuid),
        ("tenant_id", Kind::Uuid),
    ],
};

#[derive(FromQueryResult)]
struct PlaceRow {
    place: i32,
}

pub(in crate::tenancy) async fn held_ended(
    tx: &mut IdentityTx,
    held: &[HeldCredential],
    now: Timestamp,
) -> Result<HashSet<HeldCredential>> {
    let mut ended = HashSet::new();
    for some in held.chunks(tx.max_batch(&HELD_ENDED)) {
        let row = |(place, held): (i32, &HeldCredential)| {
            let user = held.user.map(|(user, _)| user.0);
            let version = held.user.map(|(_, version)| version);
            let (key, tenant) = (held.key.map(|key| key.0), held.tenant.map(|tenant| tenant.0));
            let set = held.document_set.map(|set| set.0);
            vec![place.into(), uuid(user), version.into(), uuid(key), uuid(set), uuid(tenant)]
        };
        let args = Args::of([now.into()]).with_batch((0..).zip(some).map(row));
        let rows: Vec<PlaceRow> = tx.sql_batch(&HELD_ENDED, args)?.all().await?;
        let places = rows.into_iter().filter_map(|row| usize::try_from(row.place).ok());
        ended.extend(places.filter_map(|place| some.get(place).copied()));
    }
    Ok(ended)
}

fn uuid(id: Option<Uuid>) -> Value {
    id.into()
}
