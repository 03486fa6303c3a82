//! What never changes about workflows, read once: what published versions say, and who entered what one enters once.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use carillon_entities::ids::{TenantId, WorkflowVersionId};
use carillon_entities::wall::TenantTx;
use lru::LruCache;

use super::Definition;
use super::entry::Entry;
use super::store::workflows::versions_find;
use crate::error::Result;

/// What of versions this program can read (C-182).
pub(super) type Definitions = HashMap<WorkflowVersionId, Arc<Definition>>;

type Key = (TenantId, WorkflowVersionId);

/// Octets of JSON of all that is kept: thousands of ordinary versions, and dozens of the longest.
const KEPT_MAX: usize = 32 << 20;

/// Entries that are kept.
const ENTRIES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);

/// Published versions of one process, those used last; they never change, so none is ever stale.
#[derive(Debug, Default)]
pub struct VersionCache {
    kept: Mutex<Kept>,
    entries: Entries,
}

/// Entries that were found taken, those asked for last: whoever does again what begins a way once need not be looked up
/// again. Ways are never deleted.
#[derive(Debug)]
pub(super) struct Entries(Mutex<LruCache<[u8; 16], ()>>);

impl Default for Entries {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ENTRIES_MAX)))
    }
}

impl Entries {
    /// Whether an entry is known to be taken.
    pub fn has(&self, entry: &Entry) -> bool {
        self.lock().get(&Self::key(entry)).is_some()
    }

    /// Keeps one that a committed way has.
    pub fn put(&self, entry: &Entry) {
        self.lock().put(Self::key(entry), ());
    }

    /// Long enough that no two entries of a workflow share one.
    fn key(entry: &Entry) -> [u8; 16] {
        let mut hash = Context::new(&SHA256);
        hash.update(entry.workflow.0.as_bytes());
        hash.update(entry.key.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finish().as_ref()[..16]);
        key
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<[u8; 16], ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions and their lengths.
#[derive(Debug)]
struct Kept {
    versions: LruCache<Key, (Arc<Definition>, usize)>,
    octets: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { versions: LruCache::unbounded(), octets: 0 }
    }
}

impl Kept {
    fn get(&mut self, key: Key) -> Option<Arc<Definition>> {
        self.versions.get(&key).map(|(definition, _)| Arc::clone(definition))
    }

    /// Keeps one, and lets those go that were used longest ago as far as there is no room for it.
    fn put(&mut self, key: Key, definition: Arc<Definition>, octets: usize) {
        self.octets += octets;
        if let Some((_, before)) = self.versions.put(key, (definition, octets)) {
            self.octets -= before;
        }
        while self.octets > KEPT_MAX
            && let Some((_, (_, octets))) = self.versions.pop_lru()
        {
            self.octets -= octets;
        }
    }
}

impl VersionCache {
    pub(super) async fn load(&self, tx: &mut TenantTx, ids: BTreeSet<WorkflowVersionId>) -> Result<Definitions> {
        let tenant = tx.tenant();
        let mut found: Definitions = {
            let mut kept = self.kept();
            ids.iter().filter_map(|id| Some((*id, kept.get((tenant, *id))?))).collect()
        };
        let missing: Vec<WorkflowVersionId> = ids.into_iter().filter(|id| !found.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        for version in versions_find(tx, missing).await? {
            let Some(definition) = version.definition else { continue };
            let definition = Arc::new(definition);
            found.insert(version.id, Arc::clone(&definition));
            self.kept().put((tenant, version.id), definition, version.json.to_string().len());
        }
        Ok(found)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use carillon_entities::ids::{ContactId, EnrollmentId, WorkflowId};
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn key(version: usize) -> Key {
        (TenantId(Uuid::from_u128(1)), WorkflowVersionId(Uuid::from_u128(version as u128)))
    }

    #[test]
    fn as_many_are_kept_as_there_is_room_for_and_those_used_longest_ago_go() {
        let nodes = json!({ "bye": { "kind": "exit" } });
        let definition = json!({ "trigger": { "event": "started" }, "start": "bye", "nodes": nodes });
        let definition = Arc::new(serde_json::from_value::<Definition>(definition).expect("a definition"));
        let mut kept = Kept::default();
        let put = |kept: &mut Kept, version, octets| kept.put(key(version), Arc::clone(&definition), octets);
        let longest = KEPT_MAX / 1_000;
        for version in 0..1_000 {
            put(&mut kept, version, longest);
        }
        for round in 0..2 {
            assert!((0..1_000).all(|version| kept.get(key(version)).is_some()), "all of them, in round {round}");
        }
        assert!(kept.get(key(0)).is_some(), "used again");
        put(&mut kept, 1_000, longest);
        let lost =
            |kept: &mut Kept| (0..=1_000).filter(|version| kept.get(key(*version)).is_none()).collect::<Vec<_>>();
        assert_eq!(lost(&mut kept), [1], "one for one, and only who was used longest ago");
        // Read by two at once, it is counted once.
        put(&mut kept, 1_000, longest);
        assert_eq!((lost(&mut kept), kept.octets), (vec![1], 1_000 * longest));
        put(&mut kept, 2_000, KEPT_MAX + 1);
        assert_eq!((kept.versions.len(), kept.octets), (0, 0), "what is longer than all the room is not kept");
    }

    #[test]
    fn an_entry_is_known_by_workflow_and_key() {
        let entries = Entries::default();
        let entry = |workflow, key: &str| Entry {
            id: EnrollmentId(Uuid::from_u128(9)),
            workflow: WorkflowId(Uuid::from_u128(workflow)),
            version: WorkflowVersionId(Uuid::from_u128(1)),
            contact: ContactId(Uuid::from_u128(2)),
            key: key.to_owned(),
            number: 1,
            event: None,
            entered_at: DateTime::UNIX_EPOCH,
            ended: None,
            has_mail: false,
            is_new: true,
        };
        entries.put(&entry(1, "ada"));
        let known = [(1, "ada"), (1, "bob"), (2, "ada")].map(|(workflow, key)| entries.has(&entry(workflow, key)));
        assert_eq!(known, [true, false, false]);
    }
}
