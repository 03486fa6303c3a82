//! How DDL waits for tables in use. Whoever asks for a table after it waits behind it, so it gives up soon, lets them pass and
//! asks again.

use std::time::Duration;

use sea_orm::{Database, DatabaseConnection, DbErr, RuntimeErr};

use crate::{is_postgres, one_connection};

/// The longest that DDL waits for a lock, and everybody else behind it.
pub const LOCK_TIMEOUT_MS: u32 = 2_000;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// About five minutes in all: what holds a table for longer is not ours, and an operator has to look.
const TRIES: u32 = 100;

/// A connection of the owner's that waits for no lock longer than that.
pub async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = one_connection(url);
    if is_postgres(url) {
        options.map_sqlx_postgres_opts(|options| options.options([("lock_timeout", LOCK_TIMEOUT_MS)]));
    }
    Box::pin(Database::connect(options)).await
}

/// True where a lock did not come in time (55P03).
pub fn is_held<T>(done: &Result<T, DbErr>) -> bool {
    let Err(DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = done else {
        return false;
    };
    let Some(error) = error.as_database_error() else { return false };
    error.code().as_deref() == Some("55P03")
}

/// How often something was tried in vain.
#[derive(Debug, Default)]
pub struct Patience {
    tries: u32,
}

impl Patience {
    /// Pauses before the next try; false where none is needed, or there were enough.
    pub async fn lasts(&mut self, is_held: bool) -> bool {
        if !is_held || self.tries == TRIES {
            return false;
        }
        self.tries += 1;
        tracing::info!(tries = self.tries, "a table is in use: the migration tries again");
        tokio::time::sleep(PAUSE).await;
        true
    }
}
