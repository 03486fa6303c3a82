//! What published versions say, read once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use carillon_entities::ids::{TenantId, WorkflowVersionId};
use carillon_entities::wall::TenantTx;

use super::Definition;
use super::store::workflows::versions_find;
use crate::error::Result;

/// What of versions this program can read (C-182).
pub(super) type Definitions = HashMap<WorkflowVersionId, Arc<Definition>>;

/// Published versions of one process, bounded; they never change, so none is ever stale.
#[derive(Debug, Default)]
pub struct VersionCache(Mutex<HashMap<(TenantId, WorkflowVersionId), Arc<Definition>>>);

const CACHED_MAX: usize = 500;

impl VersionCache {
    pub(super) async fn load(&self, tx: &mut TenantTx, ids: BTreeSet<WorkflowVersionId>) -> Result<Definitions> {
        let tenant = tx.tenant();
        let mut found: Definitions = {
            let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ids.iter().filter_map(|id| Some((*id, Arc::clone(cache.get(&(tenant, *id))?)))).collect()
        };
        let missing: Vec<WorkflowVersionId> = ids.into_iter().filter(|id| !found.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        for version in versions_find(tx, missing).await? {
            let Some(definition) = version.definition else { continue };
            let definition = Arc::new(definition);
            found.insert(version.id, Arc::clone(&definition));
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() >= CACHED_MAX {
                cache.clear();
            }
            cache.insert((tenant, version.id), definition);
        }
        Ok(found)
    }
}
