//! What can go wrong at the wall, without the data it went wrong on.

/// A database failure, sorted by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// The database cannot be reached, or no connection came free in time: try again later.
    #[error("the database is unavailable")]
    Unavailable,
    /// Deadlock or serialization failure (40P01, 40001), or a busy SQLite file: the transaction may be run again.
    #[error("the transaction lost a race and may be retried")]
    Retry,
    /// Another transaction held a row for longer than `lock_timeout` (55P03): try again later.
    #[error("a row is held by another transaction")]
    Locked,
    /// A statement was prepared before a migration changed what it gives (0A000): its connection is given up.
    #[error("a prepared statement is older than the schema")]
    StalePlan,
    /// A unique key is taken.
    #[error("a unique key is taken: {constraint}")]
    Conflict {
        /// The constraint's name (Postgres) or the columns (SQLite).
        constraint: String,
    },
    /// The credential was revoked, disabled or changed since it was issued (C-213).
    #[error("the credential is no longer good")]
    NotFresh,
    /// The tenant or one of its accounts is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// An earlier statement of this transaction failed, so it cannot be committed.
    #[error("a statement of the transaction failed before")]
    Failed,
    /// COMMIT was sent and the connection was lost: the outcome must be read back (C-187).
    #[error("the outcome of the commit is unknown")]
    CommitUnknown,
    /// The login has powers that a serving process must not have (C-205).
    #[error("row security does not hold the login {role}: it {excess}")]
    StrongLogin {
        /// Its role.
        role: String,
        /// The powers, in words.
        excess: String,
    },
    /// The login is another role than the one that belongs there (L1).
    #[error("logs in as {role} where {wanted} belongs")]
    OtherLogin {
        /// Its role.
        role: String,
        /// The role that belongs there.
        wanted: &'static str,
    },
    /// The login cannot do what migrations do.
    #[error("{role} is not the owner of the schema: it must be able to make tables and roles")]
    WeakLogin {
        /// Its role.
        role: String,
    },
    /// This process was given no login of the role, for its work needs none (L1).
    #[error("this process has no login of {0}")]
    NoLogin(&'static str),
    /// The login is in another database than those beside it.
    #[error("names another database than the login before it")]
    OtherDatabase,
    /// A row that the types cannot hold.
    #[error("the row does not fit its type: {0}")]
    Row(String),
    /// Anything else the database refused.
    #[error("database error {code}: {message}")]
    Database {
        /// SQLSTATE or SQLite result code.
        code: String,
        /// The database's own words, without its detail line (which may hold values).
        message: String,
    },
}

impl From<sqlx::Error> for WallError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::from_database(error.as_ref()),
            sqlx::Error::ColumnDecode { index, source } => Self::Row(format!("{index}: {source}")),
            sqlx::Error::ColumnNotFound(name) => Self::Row(format!("no column {name}")),
            sqlx::Error::Decode(source) | sqlx::Error::Encode(source) => Self::Row(source.to_string()),
            _ => Self::Unavailable,
        }
    }
}

impl From<sea_orm::DbErr> for WallError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Row(error.to_string())
    }
}

impl WallError {
    /// True when the same work may succeed later: a lost race, a row that is held, or a database that is away.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Retry | Self::StalePlan | Self::Locked | Self::Unavailable | Self::CommitUnknown)
    }

    fn from_database(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Self {
        let code = error.code().unwrap_or_default().into_owned();
        match code.as_str() {
            "CA401" => Self::NotFresh,
            "CA403" => Self::Suspended,
            "40001" | "40P01" | "5" | "517" | "261" => Self::Retry,
            "55P03" => Self::Locked,
            "0A000" if error.message().contains("cached plan") => Self::StalePlan,
            // Class 08: connection; class 53: no disk, memory or connection slot left (SQLite: 13); 57014: a statement
            // ran into `statement_timeout`; 57P01-57P03: the server goes down or comes up.
            "13" | "57014" | "57P01" | "57P02" | "57P03" => Self::Unavailable,
            _ if code.starts_with("08") || code.starts_with("53") => Self::Unavailable,
            _ if error.is_unique_violation() => Self::Conflict {
                constraint: error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned),
            },
            _ => Self::Database { code, message: error.message().to_owned() },
        }
    }
}
