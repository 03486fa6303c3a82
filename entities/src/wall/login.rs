//! Who a login on Postgres is, and what it may do. Each pool has a role of its own, and a login that stands where another
//! belongs would be refused statement by statement. Row security holds neither a superuser nor the owner of a table, so a process that
//! logged in as one would serve without the wall's second half and never notice (L1, C-205).

use std::net::IpAddr;
use std::str::FromStr;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, PgConnection, Row};

use super::WallError;

/// A role, and each power that a serving process must not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its role.
    pub role: String,
    /// The powers it has, in words.
    pub excess: Vec<&'static str>,
    /// The database it is in, as its server numbers it.
    pub database: String,
}

/// The roles that processes log in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads and writes what tenants have.
    App,
    /// Alone reaches accounts and users.
    Identity,
    /// Reads due ids of all tenants.
    Dispatch,
}

impl Role {
    /// Its name, in every deployment.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "carillon_app",
            Self::Identity => "carillon_identity",
            Self::Dispatch => "carillon_dispatch",
        }
    }
}

/// The powers by column of [`LOGIN`].
const POWERS: [(&str, &str); 5] = [
    ("is_superuser", "is a superuser"),
    ("bypasses_row_security", "bypasses row security"),
    ("makes_roles", "may make roles"),
    ("owns_tables", "owns tables or is a member of their owner"),
    ("makes_tables", "may make tables"),
];

const LOGIN: &str = "SELECT r.rolname::text AS role, r.rolsuper AS is_superuser, \
    r.rolbypassrls AS bypasses_row_security, r.rolcreaterole AS makes_roles, \
    EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'MEMBER')) \
        AS owns_tables, \
    has_schema_privilege(r.oid, 'public', 'CREATE') AS makes_tables, \
    d.oid::text || ' of ' || (pg_control_system()).system_identifier::text AS database \
    FROM pg_roles r JOIN pg_database d ON d.datname = current_database() WHERE r.rolname = current_user";

impl Login {
    /// Logs in on Postgres and looks at itself.
    ///
    /// # Errors
    /// When the server cannot be reached or does not let it in.
    pub async fn of(url: &str) -> Result<Self, WallError> {
        let mut connection = options(url)?.connect().await?;
        let login = Self::on(&mut connection).await?;
        connection.close().await?;
        Ok(login)
    }

    async fn on(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // Unnamed, so that it works behind a pooler too.
        let row = sqlx::raw_sql(LOGIN).fetch_one(connection).await?;
        let mut excess = Vec::new();
        for (column, power) in POWERS {
            if row.try_get(column)? {
                excess.push(power);
            }
        }
        Ok(Self { role: row.try_get("role")?, excess, database: row.try_get("database")? })
    }

    /// The login, if it is this role and row security holds it.
    ///
    /// # Errors
    /// [`WallError::StrongLogin`] and [`WallError::OtherLogin`] otherwise.
    pub fn is(self, role: Role) -> Result<Self, WallError> {
        if !self.excess.is_empty() {
            return Err(WallError::StrongLogin { role: self.role, excess: self.excess.join(", ") });
        }
        if self.role != role.name() {
            return Err(WallError::OtherLogin { role: self.role, wanted: role.name() });
        }
        Ok(self)
    }

    /// The login, if it can do what migrations do: make tables, and the roles that processes log in as.
    ///
    /// # Errors
    /// [`WallError::WeakLogin`] otherwise.
    pub fn owning(self) -> Result<Self, WallError> {
        let needed = ["may make tables", "may make roles"];
        if self.excess.contains(&"is a superuser") || needed.iter().all(|power| self.excess.contains(power)) {
            return Ok(self);
        }
        Err(WallError::WeakLogin { role: self.role })
    }

    /// The login, if it is in the same database as those before it; the first one says which.
    ///
    /// Roles are shared by all databases of a server, so that one is let in says nothing about where.
    ///
    /// # Errors
    /// [`WallError::OtherDatabase`] otherwise.
    pub fn beside(self, database: &mut Option<String>) -> Result<Self, WallError> {
        let first = database.get_or_insert_with(|| self.database.clone());
        if *first == self.database { Ok(self) } else { Err(WallError::OtherDatabase) }
    }
}

/// How what goes to a server and comes from it is protected on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It stays on this machine.
    Local,
    /// Not at all, or only if the server offers it.
    Plain,
    /// Encrypted, for whoever answers.
    Encrypted,
    /// Encrypted, for a server with a certificate of a known authority.
    Verified,
}

impl Protection {
    /// As a Postgres URL, or the usual `PG` variables, have it.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn of(url: &str) -> Result<Self, WallError> {
        let options = options(url)?;
        let host = options.get_host();
        let is_loopback = || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let is_local = options.get_socket().is_some() || host.starts_with('/') || host == "localhost" || is_loopback();
        Ok(match options.get_ssl_mode() {
            _ if is_local => Self::Local,
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Self::Plain,
            PgSslMode::Require => Self::Encrypted,
            PgSslMode::VerifyCa | PgSslMode::VerifyFull => Self::Verified,
        })
    }
}

/// How to reach a server.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, WallError> {
    // PgBouncer refuses the extra_float_digits start-up parameter.
    Ok(PgConnectOptions::from_str(url)?.extra_float_digits(None).application_name("carillon"))
}

/// What a pool asks every connection before it is used: a role may have been given powers since the start.
pub(super) fn refuse_others(connection: &mut PgConnection, role: Role) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    Box::pin(async move {
        let login = Login::on(connection).await?;
        login.is(role).map(drop).map_err(|error| sqlx::Error::Configuration(error.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c205_every_power_too_many_is_named() {
        let login = |excess: &[&'static str]| Login {
            role: "carillon_app".to_owned(),
            excess: excess.to_vec(),
            database: String::new(),
        };
        assert!(login(&[]).is(Role::App).is_ok());
        assert!(matches!(login(&[]).is(Role::Identity), Err(WallError::OtherLogin { .. })));
        let error = login(&["is a superuser", "owns tables"]).is(Role::App).unwrap_err();
        assert_eq!(
            error.to_string(),
            "row security does not hold the login carillon_app: it is a superuser, owns tables"
        );
        assert!(login(&["may make tables", "may make roles"]).owning().is_ok());
        assert!(login(&["is a superuser"]).owning().is_ok());
        assert!(matches!(login(&["may make tables"]).owning(), Err(WallError::WeakLogin { .. })));
    }

    #[test]
    fn what_a_url_asks_of_the_way_to_its_server() {
        for (url, protection) in [
            ("postgres://app@localhost/carillon?sslmode=disable", Protection::Local),
            ("postgres://app@127.0.0.1:5433/carillon", Protection::Local),
            ("postgres://app@[::1]/carillon", Protection::Local),
            ("postgres://app@db/carillon?host=/run/postgresql", Protection::Local),
            ("postgres://app@db.example/carillon?sslmode=prefer", Protection::Plain),
            ("postgres://app@db.example/carillon?sslmode=disable", Protection::Plain),
            ("postgres://app@db.example/carillon?sslmode=require", Protection::Encrypted),
            ("postgres://app@db.example/carillon?sslmode=verify-full", Protection::Verified),
        ] {
            assert_eq!(Protection::of(url).unwrap(), protection, "{url}");
        }
    }
}
