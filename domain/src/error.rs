//! Errors of the domain (L9): a refusal is data for the caller; everything else is a fault, logged once at the edge.

pub use carillon_entities::wall::WallError;

use crate::tenancy::TENANT_SUSPENDED;

/// Something the caller asked for that the rules do not allow.
///
/// `code` is stable and upper case (`NOT_FOUND`), `field` is the input's path in GraphQL spelling, `message` is for
/// developers and never holds personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable upper-case code.
    pub code: &'static str,
    /// Path of the input field, such as `contacts.0.email`; empty when no field is to blame.
    pub field: String,
    /// What is wrong, without personal data.
    pub message: String,
}

impl Refusal {
    /// A refusal that names the field.
    pub fn new(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }

    /// The same answer for an id that never was, is not visible, or belongs to another tenant (C-204).
    pub fn not_found(field: impl Into<String>) -> Self {
        Self::new("NOT_FOUND", field, "No such object.")
    }

    /// The same refusal under another field path.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }
}

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Expected, and told to the caller as `userErrors`.
    #[error("refused: {}", .0.first().map_or("", |refusal| refusal.code))]
    Refused(Vec<Refusal>),
    /// The caller's credential is missing, expired, revoked or no longer fresh.
    #[error("not authenticated")]
    Unauthenticated,
    /// The caller's role does not allow the action.
    #[error("the role does not allow this")]
    Forbidden,
    /// Too many requests of this kind; try again after this many seconds.
    #[error("too many requests")]
    TooMany {
        /// Seconds after which a new attempt makes sense.
        retry_after_s: u32,
    },
    /// The database.
    #[error(transparent)]
    Wall(WallError),
    /// A fault of ours.
    #[error("{0}")]
    Fault(String),
}

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

/// A door that does not open is an answer; all else is the database's.
impl From<WallError> for Error {
    fn from(error: WallError) -> Self {
        match error {
            WallError::NotFresh => Self::Unauthenticated,
            WallError::Suspended => Refusal::new(TENANT_SUSPENDED, "", "The tenant is suspended.").into(),
            error => Self::Wall(error),
        }
    }
}

impl Error {
    /// A fault of ours with what is known about it; never personal data.
    pub fn fault(what: impl std::fmt::Display) -> Self {
        Self::Fault(what.to_string())
    }
}
