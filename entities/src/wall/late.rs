//! What a transaction runs on: a connection, or the door at which it will take one when it is first asked something.

use sea_orm::DbBackend;

use super::connection::Connection;
use super::{TenantDoor, TxMode, WallError};

/// The connection of a transaction.
#[derive(Debug)]
pub(super) enum Link {
    /// It has begun.
    Begun(Connection),
    /// It reads, on Postgres, and begins with its first statement that is no transaction of its own.
    Waiting(TenantDoor),
}

impl Link {
    /// The connection; begins if it did not yet.
    pub(super) async fn begun(&mut self) -> Result<&mut Connection, WallError> {
        if let Self::Waiting(door) = self {
            // Apart, or each statement would carry what a beginning needs.
            *self = Self::Begun(Box::pin(door.connect(TxMode::Read)).await?);
        }
        match self {
            Self::Begun(connection) => Ok(connection),
            Self::Waiting(_) => Err(WallError::Unavailable),
        }
    }

    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Begun(connection) => connection.backend(),
            Self::Waiting(_) => DbBackend::Postgres,
        }
    }

    /// The door, of one that waits.
    pub(super) fn waiting(&self) -> Option<&TenantDoor> {
        match self {
            Self::Begun(_) => None,
            Self::Waiting(door) => Some(door),
        }
    }

    pub(super) async fn commit(self) -> Result<(), WallError> {
        match self {
            Self::Begun(connection) => connection.commit().await,
            Self::Waiting(_) => Ok(()),
        }
    }

    pub(super) async fn rollback(self) -> Result<(), WallError> {
        match self {
            Self::Begun(connection) => connection.rollback().await,
            Self::Waiting(_) => Ok(()),
        }
    }
}
