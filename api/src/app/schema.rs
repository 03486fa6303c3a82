//! Readiness needs the schema that this release's statements are written for. One that a later release has migrated has all
//! of it (expand, then contract), so that old processes go on while new ones come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_domain::ports::Wall;
use carillon_entities::wall::WallError;
use carillon_migration::Standing;

use crate::http::{Check, Probe};

/// The database has the schema. Asked until it does: no schema goes back under a process.
pub fn check(wall: Wall) -> Check {
    let is_there = Arc::new(AtomicBool::new(false));
    let probe: Probe = Arc::new(move || {
        let (wall, is_there) = (wall.clone(), Arc::clone(&is_there));
        Box::pin(async move {
            if is_there.load(Ordering::Relaxed) {
                return Ok(());
            }
            match stands(&wall).await.map_err(|error| error.to_string())? {
                Standing::Older => Err(Standing::Older.told().to_owned()),
                Standing::Same | Standing::Newer => {
                    is_there.store(true, Ordering::Relaxed);
                    Ok(())
                }
            }
        })
    });
    Check { name: "schema", required: true, probe }
}

async fn stands(wall: &Wall) -> Result<Standing, WallError> {
    match wall.migrations().await {
        Ok(applied) => Ok(Standing::of(&applied)),
        // An empty database does not know what a migration is.
        Err(WallError::Database { code, .. }) if code == "42P01" => Ok(Standing::Older),
        Err(error) => Err(error),
    }
}
