//! Settings against each other: what may not stand beside what.

use std::path::Path;

use url::Url;

use super::read::NOBODYS_ADDRESS;
use super::{Config, Mode, Secret, Source};

/// The roles' URLs by name.
type Logins<'a> = Vec<(&'static str, &'a Secret)>;

/// Every rule that a configuration breaks.
pub(super) fn broken(config: &Config, source: &Source) -> Vec<String> {
    let mut errors = Vec::new();
    urls(config, source, &mut errors);
    durations(config, &mut errors);
    if config.bind.port() > 0 && config.metrics_bind == Some(config.bind) {
        errors.push("CARILLON_METRICS_BIND: another address than CARILLON_BIND, which everybody reaches".to_owned());
    }
    if config.inbound_bind.is_some() && config.settings.bounce_domain.is_none() {
        errors.push("CARILLON_BOUNCE_DOMAIN: required, for CARILLON_INBOUND_BIND is given".to_owned());
    }
    if let (Some(main), Some(tokens)) = (source.get("CARILLON_KEYS"), source.get("CARILLON_JWT_KEYS"))
        && shares_a_secret(main, tokens)
    {
        errors.push("CARILLON_JWT_KEYS: shares a key with CARILLON_KEYS; a key has one use".to_owned());
    }
    if config.mode == Mode::Embedded {
        embedded(config, &mut errors);
    }
    if config.mode == Mode::Production {
        let missing = config.duty.required().filter(|name| source.get(name).is_none());
        errors.extend(missing.map(|name| format!("{name}: required in production")));
        production(config, source, &mut errors);
    }
    errors
}

fn urls(config: &Config, source: &Source, errors: &mut Vec<String>) {
    let public = Url::parse(&config.settings.public_url).ok().filter(is_origin);
    let is_given = source.get("CARILLON_PUBLIC_URL").is_some();
    match public {
        None => errors.push("CARILLON_PUBLIC_URL: give https:// and a host, without path or query".to_owned()),
        Some(url) if is_given && config.mode == Mode::Production && url.scheme() != "https" => {
            errors.push("CARILLON_PUBLIC_URL: https in production: links carry tokens".to_owned());
        }
        Some(_) => {}
    }
    let mut starts = |name: &str, secret: Option<&Secret>, starts: &[&str]| {
        let fits = |text: &str| {
            let url = Url::parse(text).is_ok_and(|url| url.scheme() == "sqlite" || url.has_host());
            url && starts.iter().any(|start| text.starts_with(start))
        };
        if secret.is_some_and(|secret| !fits(secret.reveal())) {
            errors.push(format!("{name}: give a URL that starts with {}", starts.join(" or ")));
        }
    };
    let database: &[&str] =
        if config.mode == Mode::Production { &["postgres://", "postgresql://"] } else { &["sqlite:"] };
    starts("DATABASE_URL", Some(&config.database.url), &["postgres://", "postgresql://", "sqlite:"]);
    starts("DATABASE_IDENTITY_URL", config.database.identity_url.as_ref(), database);
    starts("DATABASE_DISPATCH_URL", config.database.dispatch_url.as_ref(), database);
    starts("DATABASE_OWNER_URL", config.database.owner_url.as_ref(), database);
    starts("REDIS_URL", config.redis_url.as_ref(), &["redis://", "rediss://"]);
    blobs(config, source, errors);
}

/// Where uploads lie, and what is said of a bucket.
fn blobs(config: &Config, source: &Source, errors: &mut Vec<String>) {
    let is_folder = |blobs: &String| blobs.strip_prefix("file:").is_some_and(|path| Path::new(path).is_absolute());
    let is_bucket = |blobs: &String| {
        Url::parse(blobs).is_ok_and(|url| url.scheme() == "s3" && url.has_host() && url.query().is_none())
    };
    let Some(blobs) = &config.blobs else { return };
    if !is_folder(blobs) && !is_bucket(blobs) {
        errors.push("CARILLON_BLOBS: give s3://bucket or file: and an absolute path".to_owned());
    }
    let (id, secret) = ("CARILLON_BLOBS_ACCESS_KEY_ID", "CARILLON_BLOBS_SECRET_ACCESS_KEY");
    if is_folder(blobs) {
        let names = ["CARILLON_BLOBS_ENDPOINT", "CARILLON_BLOBS_REGION", id, secret];
        let given = names.into_iter().filter(|name| source.get(name).is_some());
        let style = config.bucket.in_host.then_some("CARILLON_BLOBS_STYLE");
        errors.extend(given.chain(style).map(|name| format!("{name}: of a bucket, and CARILLON_BLOBS names a folder")));
    }
    for (one, other) in [(id, secret), (secret, id)] {
        if source.get(one).is_some() && source.get(other).is_none() {
            errors.push(format!("{other}: required, for {one} is given"));
        }
    }
    let endpoint = config.bucket.endpoint.as_deref().map(Url::parse);
    if endpoint.is_some_and(|url| !url.as_ref().is_ok_and(is_origin)) {
        errors.push("CARILLON_BLOBS_ENDPOINT: give https:// and a host, without bucket, path or query".to_owned());
    }
}

/// A web address without path, query or credentials.
fn is_origin(url: &Url) -> bool {
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.path() == "/"
}

fn durations(config: &Config, errors: &mut Vec<String>) {
    let settings = &config.settings;
    if settings.lease <= settings.permit_life {
        // Work that somebody else may take must not hold a permit that is still good (L3).
        errors.push("CARILLON_LEASE_SECONDS: longer than CARILLON_PERMIT_SECONDS".to_owned());
    }
    if settings.retry.cap < settings.retry.first_min {
        errors.push("CARILLON_RETRY_LONGEST_SECONDS: not shorter than CARILLON_RETRY_FIRST_SECONDS".to_owned());
    }
}

fn embedded(config: &Config, errors: &mut Vec<String>) {
    if !config.bind.ip().is_loopback() {
        // Whoever reaches the port reads every caught mail, and with it the link that sets somebody's password.
        errors
            .push("CARILLON_BIND: the embedded mode shows caught mail to whoever reaches it; loopback only".to_owned());
    }
    if config.database.is_postgres() {
        // It would migrate and serve as one role, which row security does not hold (L1, C-205).
        errors.push("DATABASE_URL: Postgres is for production; the embedded mode takes SQLite".to_owned());
    }
    if config.relay.as_ref().is_some_and(|relay| !relay.is_loopback()) {
        // Every sender counts as verified there, and the links of its mails lead to this machine: nobody could opt out.
        errors.push("SMTP_URL: no mail leaves the machine in the embedded mode; loopback only".to_owned());
    }
    if config.redis_url.is_some() {
        // It would take tickets of whoever else uses that Redis, and find nothing to claim for them.
        errors.push("REDIS_URL: Redis is for production; the embedded mode has its own queue".to_owned());
    }
}

fn production(config: &Config, source: &Source, errors: &mut Vec<String>) {
    let database = &config.database;
    if source.get("DATABASE_URL").is_some() && !database.url.reveal().starts_with("postgres") {
        errors.push("DATABASE_URL: SQLite is for the embedded mode; production takes Postgres".to_owned());
    }
    if source.get("CARILLON_PUBLIC_URL").is_some() && config.settings.system_from == NOBODYS_ADDRESS {
        errors.push("CARILLON_SYSTEM_FROM: required, CARILLON_PUBLIC_URL names no host of mail".to_owned());
    }
    let roles = [
        ("DATABASE_URL", source.get("DATABASE_URL").map(|_| &database.url)),
        ("DATABASE_IDENTITY_URL", database.identity_url.as_ref()),
        ("DATABASE_DISPATCH_URL", database.dispatch_url.as_ref()),
        ("DATABASE_OWNER_URL", database.owner_url.as_ref()),
    ];
    let logins: Logins<'_> = roles.into_iter().filter_map(|(name, url)| Some((name, url?))).collect();
    // One login for two roles would be one role with the rights of both (L1, C-205).
    for (at, (name, url)) in logins.iter().enumerate() {
        if database.is_postgres() && user(url).is_none() {
            errors.push(format!("{name}: name the role that logs in, postgres://role:..@host/database"));
        }
        if let Some((other, _)) = logins[..at].iter().find(|(_, other)| user(url).is_some() && user(other) == user(url))
        {
            errors.push(format!("{name}: logs in as the same role as {other}"));
        }
    }
}

fn user(url: &Secret) -> Option<String> {
    Url::parse(url.reveal()).ok().map(|url| url.username().to_owned()).filter(|user| !user.is_empty())
}

fn shares_a_secret(one: &str, other: &str) -> bool {
    let secrets = |text: &str| -> Vec<String> {
        text.split(',').filter_map(|entry| Some(entry.split_once(':')?.1.trim().to_owned())).collect()
    };
    let other = secrets(other);
    secrets(one).iter().any(|secret| other.contains(secret))
}
