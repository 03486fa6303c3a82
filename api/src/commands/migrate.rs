//! `migrate`: the only command that has DDL, and the only one that needs the owner's login.

use anyhow::{Context, Result};
use carillon_domain::time::Timestamp;
use carillon_migration as migration;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{Config, Secret};

/// What `migrate` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only make coming partitions, and drop months of message events past CARILLON_RETENTION_MONTHS, if that is set.
    #[arg(long)]
    pub maintain: bool,
}

/// Brings the schema up, or looks after its partitions as of `now`.
///
/// # Errors
/// Without the owner's login, and when the database refuses.
pub async fn run(config: &Config, arguments: &Arguments, now: Timestamp) -> Result<()> {
    let database = &config.database;
    let owner = match &database.owner_url {
        Some(url) => url,
        None if !database.is_postgres() => &database.url,
        None => anyhow::bail!("DATABASE_OWNER_URL: migrations need the login of the schema's owner"),
    };
    if config.is_embedded() {
        std::fs::create_dir_all(&config.data).context("CARILLON_DATA")?;
    }
    if arguments.maintain {
        let keep_from = config.settings.retention.and_then(|months| now.checked_sub_months(months));
        let done = migration::maintain(owner.reveal(), now, keep_from).await.context("partitions")?;
        println!("{} partitions made, {} dropped", done.made.len(), done.dropped.len());
        return Ok(());
    }
    let stands = migration::migrate(owner.reveal(), now).await.context("migration")?;
    if database.is_postgres() {
        let roles = [Some(&database.url), database.identity_url.as_ref(), database.dispatch_url.as_ref()];
        for url in roles.into_iter().flatten() {
            set_password(owner, url).await?;
        }
    }
    println!("the schema is {}", stands.told());
    Ok(())
}

/// Gives a role the password that its processes log in with, so that roles need no other set-up.
async fn set_password(owner: &Secret, login: &Secret) -> Result<()> {
    let url = Url::parse(login.reveal()).context("a role's URL")?;
    let role = url.username();
    if let Some(password) = url.password().filter(|_| migration::roles::ROLES.contains(&role)) {
        let password = percent_decode_str(password).decode_utf8().context("a role's password is not UTF-8")?;
        migration::set_password(owner.reveal(), role, &password)
            .await
            .with_context(|| format!("password of {role}"))?;
        println!("{role} has its password");
    }
    Ok(())
}
