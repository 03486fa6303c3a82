//! Each setting on its own: text to value.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use carillon_domain::contacts::EmailAddress;
use carillon_domain::files::{BucketKey, BucketSettings};
use carillon_domain::keys::Keyring;
use carillon_domain::messaging::RetrySchedule;
use carillon_domain::settings::{Settings, SignUpMode};
use carillon_domain::tenancy::RateSettings;
use chrono::{Months, TimeDelta};

use super::traces::traces;
use super::{Config, Database, Duty, Keys, Mode, Secret, Source};
use crate::http::TrustedProxies;

/// The usual log: without what libraries tell about themselves.
const QUIET: &str = "info,actix_server=warn,sea_orm_migration=warn,sqlx=warn";

/// Collects what is wrong while values are read.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) errors: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.source.get(name).map(str::to_owned)
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret)
    }

    /// A value that says itself what is wrong with it; its errors never repeat the text.
    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        match self.source.get(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(format!("{name}: {error}"));
                None
            }
        }
    }

    pub(super) fn number(&mut self, name: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let Some(text) = self.source.get(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.errors.push(format!("{name}: give a number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let address = self.source.get(name)?.parse().ok();
        if address.is_none() {
            self.errors.push(format!("{name}: give address and port, such as 0.0.0.0:8080"));
        }
        address
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.source.get(name) else { return default };
        if let Some((_, value)) = choices.iter().find(|(code, _)| *code == text) {
            return *value;
        }
        let codes: Vec<_> = choices.iter().map(|(code, _)| *code).collect();
        self.errors.push(format!("{name}: give {}", codes.join(" or ")));
        default
    }
}

/// Reads every setting; a configuration comes out even of a wrong one, so that the rules can be looked at as well.
pub(super) fn read(source: &Source) -> (Option<Config>, Vec<String>) {
    let mut reader = Reader { source, errors: Vec::new() };
    let mode = if source.is_production() { Mode::Production } else { Mode::Embedded };
    let modes = [("embedded", Mode::Embedded), ("production", Mode::Production)];
    let mode = reader.choice("CARILLON_MODE", mode, &modes);
    let bind = match source.get("CARILLON_BIND") {
        None => "127.0.0.1:8080".parse().ok(),
        Some(_) => reader.address("CARILLON_BIND"),
    };
    let inbound_bind = reader.address("CARILLON_INBOUND_BIND");
    let metrics_bind = reader.address("CARILLON_METRICS_BIND");
    let metrics_tenants = reader.choice("CARILLON_METRICS_TENANTS", false, &[("true", true), ("false", false)]);
    let data = absolute(Path::new(source.get("CARILLON_DATA").unwrap_or("./data")));
    let database = database(&mut reader, &data);
    let keys = keys(&mut reader);
    let settings = settings(&mut reader, mode, bind.map_or(8080, |bind| bind.port()));
    let system_from = system_from(&mut reader, &settings.public_url);
    let log = reader.text("CARILLON_LOG").unwrap_or_else(|| QUIET.to_owned());
    if tracing_subscriber::EnvFilter::try_new(&log).is_err() {
        reader.errors.push("CARILLON_LOG: not a filter such as info,carillon_jobs=debug".to_owned());
    }
    let trusted_proxies = match source.get("CARILLON_TRUSTED_PROXIES") {
        None | Some("none") => TrustedProxies::default(),
        Some(_) => reader.parsed("CARILLON_TRUSTED_PROXIES").unwrap_or_default(),
    };
    let relay = reader.parsed("SMTP_URL");
    let smtp_authorities = authorities(&mut reader);
    let smtp_pool = reader.number("SMTP_POOL", 8, 1..=1000);
    let workers = reader.number("CARILLON_WORKERS", 4, 1..=1000);
    let drain = Duration::from_secs(reader.number("CARILLON_DRAIN_SECONDS", 45, 1..=900).into());
    let retention = reader.number("CARILLON_RETENTION_MONTHS", 0, 0..=1_200);
    let retention = (retention > 0).then(|| Months::new(retention));
    let (blobs, bucket) = blobs(&mut reader, mode, &data);
    let traces = traces(&mut reader);
    let config = bind.zip(system_from).map(|(bind, system_from)| Config {
        settings: Settings { system_from: system_from.as_sent().to_owned(), retention, ..settings },
        mode,
        duty: Duty::default(),
        needless: Vec::new(),
        bind,
        inbound_bind,
        metrics_bind,
        metrics_tenants,
        data,
        database,
        redis_url: reader.secret("REDIS_URL"),
        relay,
        smtp_authorities,
        smtp_pool,
        blobs,
        bucket,
        keys,
        system_from,
        trusted_proxies,
        workers: usize::try_from(workers).unwrap_or(1),
        drain,
        log,
        traces,
    });
    (config, reader.errors)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn database(reader: &mut Reader<'_>, data: &Path) -> Database {
    let default = || Secret(format!("sqlite:{}", data.join("carillon.db").display()));
    let url = reader.secret("DATABASE_URL").unwrap_or_else(default);
    let poolers = [("none", true), ("transaction", false)];
    Database {
        identity_url: reader.secret("DATABASE_IDENTITY_URL"),
        dispatch_url: reader.secret("DATABASE_DISPATCH_URL"),
        owner_url: reader.secret("DATABASE_OWNER_URL"),
        pool: reader.number("DATABASE_POOL", 16, 1..=1000),
        named_statements: reader.choice("DATABASE_POOLER", true, &poolers),
        url,
    }
}

fn blobs(reader: &mut Reader<'_>, mode: Mode, data: &Path) -> (Option<String>, BucketSettings) {
    let own = || (mode == Mode::Embedded).then(|| format!("file:{}", data.join("blobs").display()));
    let blobs = reader.text("CARILLON_BLOBS").or_else(own);
    let key = reader.text("CARILLON_BLOBS_ACCESS_KEY_ID").zip(reader.text("CARILLON_BLOBS_SECRET_ACCESS_KEY"));
    let bucket = BucketSettings {
        endpoint: reader.text("CARILLON_BLOBS_ENDPOINT"),
        region: reader.text("CARILLON_BLOBS_REGION"),
        key: key.map(|(id, secret)| BucketKey { id, secret }),
        in_host: reader.choice("CARILLON_BLOBS_STYLE", false, &[("path", false), ("host", true)]),
    };
    (blobs, bucket)
}

fn authorities(reader: &mut Reader<'_>) -> Option<String> {
    match std::fs::read_to_string(reader.source.get("SMTP_CA_FILE")?) {
        Ok(pem) => Some(pem),
        Err(error) => {
            reader.errors.push(format!("SMTP_CA_FILE: {error}"));
            None
        }
    }
}

fn keys(reader: &mut Reader<'_>) -> Keys {
    Keys { main: reader.parsed::<Keyring>("CARILLON_KEYS"), tokens: reader.parsed::<Keyring>("CARILLON_JWT_KEYS") }
}

/// The sender where nothing names one: for the embedded mode, whose mail goes nowhere.
pub const NOBODYS_ADDRESS: &str = "carillon@embedded.example";

fn system_from(reader: &mut Reader<'_>, public_url: &str) -> Option<EmailAddress> {
    let given = reader.text("CARILLON_SYSTEM_FROM");
    let host = url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let derived = host.map(|host| format!("carillon@{host}")).filter(|text| EmailAddress::parse(text).is_ok());
    let text = given.or(derived).unwrap_or_else(|| NOBODYS_ADDRESS.to_owned());
    let address = EmailAddress::parse(&text);
    if address.is_err() {
        reader.errors.push("CARILLON_SYSTEM_FROM: not an e-mail address".to_owned());
    }
    address.ok()
}

/// The domain of return paths: one that an address can have behind a local part as long as they come (C-30).
fn bounce_domain(reader: &mut Reader<'_>) -> Option<String> {
    let domain = reader.text("CARILLON_BOUNCE_DOMAIN")?.to_ascii_lowercase();
    let longest = format!("{}@{domain}", "b".repeat(64));
    let parsed = EmailAddress::parse(&longest).ok().filter(|address| address.domain_ascii() == domain);
    if parsed.is_none() {
        reader.errors.push("CARILLON_BOUNCE_DOMAIN: give a domain, such as bounces.example.org".to_owned());
    }
    parsed.map(|_| domain)
}

fn settings(reader: &mut Reader<'_>, mode: Mode, port: u16) -> Settings {
    let public_url = reader.text("CARILLON_PUBLIC_URL").unwrap_or_else(|| format!("http://localhost:{port}"));
    let defaults = Settings::new(public_url.trim_end_matches('/'));
    let sign_ups = [("open", SignUpMode::Open), ("invite", SignUpMode::Invite), ("closed", SignUpMode::Closed)];
    let sign_up = if mode == Mode::Embedded { SignUpMode::Open } else { SignUpMode::Invite };
    let mut seconds = |name, default: TimeDelta, range| {
        let default = u32::try_from(default.num_seconds()).unwrap_or(u32::MAX);
        TimeDelta::seconds(reader.number(name, default, range).into())
    };
    let permit_life = seconds("CARILLON_PERMIT_SECONDS", defaults.permit_life, 1..=30);
    let lease = seconds("CARILLON_LEASE_SECONDS", defaults.lease, 5..=600);
    let reconcile = seconds("CARILLON_RECONCILE_SECONDS", defaults.reconcile, 1..=86_400);
    let first_min = seconds("CARILLON_RETRY_FIRST_SECONDS", defaults.retry.first_min, 1..=86_400);
    let cap = seconds("CARILLON_RETRY_LONGEST_SECONDS", defaults.retry.cap, 1..=604_800);
    // The proportions of C-61: 5 to 15 minutes first, half an hour next.
    let retry = RetrySchedule { first_min, first_max: first_min * 3, later_min: first_min * 6, cap, ..defaults.retry };
    let mut points = |name, default| reader.number(name, default, 1..=1_000_000_000);
    let rates = RateSettings {
        tenant: points("CARILLON_RATE_TENANT", defaults.rates.tenant),
        key: points("CARILLON_RATE_KEY", defaults.rates.key),
        user: points("CARILLON_RATE_USER", defaults.rates.user),
    };
    Settings {
        bounce_domain: bounce_domain(reader),
        rates,
        sign_up: reader.choice("CARILLON_SIGN_UP", sign_up, &sign_ups),
        embedded: mode == Mode::Embedded,
        permit_life,
        lease,
        reconcile,
        retry,
        messages_per_day: reader.number("CARILLON_MESSAGES_PER_DAY", 1_000_000, 1..=1_000_000_000).into(),
        tenants_per_account: reader.number("CARILLON_TENANTS_PER_ACCOUNT", 100, 1..=1_000_000).into(),
        ..defaults
    }
}
