//! The tenant wall (L1).

/// What can go wrong at the wall.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// The database refused or is gone.
    #[error("database: {0}")]
    Database(String),
}
