//! Making the projection anew from the ledger (C-152).

use carillon_entities::wall::TenantTx;

use super::project::{Projection, project};
use super::store::endpoints::endpoints_page;
use super::store::{ledger, states};
use crate::error::Result;
use crate::keys::AddressHash;
use crate::tenancy::{Grant, RecordConsent};

/// Addresses per transaction.
const PAGE: i64 = 500;

/// Drops the projection and makes it anew, a page of addresses per transaction; returns how many states it has.
///
/// Each page's endpoints are locked first, and every entry passes its endpoint's lock, so entries may be appended
/// meanwhile.
pub async fn rebuild_projection(grant: &Grant<RecordConsent>) -> Result<usize> {
    let (mut after, mut states) = (None, 0);
    loop {
        let mut tx = grant.begin().await?;
        let (last, rebuilt) = rebuild_page(&mut tx, after).await?;
        tx.commit().await?;
        states += rebuilt;
        if last.is_none() {
            return Ok(states);
        }
        after = last;
    }
}

async fn rebuild_page(tx: &mut TenantTx, after: Option<AddressHash>) -> Result<(Option<AddressHash>, usize)> {
    let endpoints = endpoints_page(tx, after, PAGE).await?;
    let hashes: Vec<AddressHash> = endpoints.iter().map(|endpoint| endpoint.address.hash).collect();
    states::states_drop(tx, hashes.iter().copied()).await?;
    let mut projection = Projection::new();
    for event in ledger::consent_events_of(tx, hashes.iter().copied()).await? {
        project(&mut projection, &event);
    }
    states::states_put(tx, &projection).await?;
    Ok((hashes.last().copied(), projection.len()))
}
