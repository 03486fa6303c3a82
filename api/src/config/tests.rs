//! Whole configurations.

use std::collections::BTreeMap;

use carillon_domain::entropy::SeededEntropy;

use super::*;

fn keyring(seed: u64) -> String {
    Keyring::generate(&SeededEntropy::new(seed)).to_secret_text()
}

fn config(values: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::new(&Source::of(values.iter().copied()).unwrap()).map_err(|errors| errors.0)
}

fn production() -> BTreeMap<&'static str, String> {
    let plain = [
        ("CARILLON_MODE", "production"),
        ("CARILLON_PUBLIC_URL", "https://mail.example.com/"),
        ("CARILLON_BLOBS", "s3://bucket/prefix"),
        ("CARILLON_SYSTEM_FROM", "carillon@example.com"),
        ("CARILLON_TRUSTED_PROXIES", "10.42.0.0/16"),
        ("DATABASE_URL", "postgres://carillon_app:hush@db/carillon"),
        ("DATABASE_IDENTITY_URL", "postgres://carillon_identity:hush@db/carillon"),
        ("DATABASE_DISPATCH_URL", "postgres://carillon_dispatch:hush@db/carillon"),
        ("REDIS_URL", "redis://:hush@redis:6379"),
        ("SMTP_URL", "smtps://user:hush@relay"),
    ];
    let mut values: BTreeMap<_, _> = plain.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    values.insert("CARILLON_KEYS", keyring(1));
    values.insert("CARILLON_JWT_KEYS", keyring(2));
    values
}

fn production_with(changes: &[(&'static str, &str)]) -> Result<Config, Vec<String>> {
    let mut values = production();
    values.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    config(&values)
}

#[test]
fn without_any_setting_everything_is_embedded() {
    let config = config(&[]).unwrap();
    assert_eq!(config.mode, Mode::Embedded);
    assert!(config.settings.embedded && config.bind.ip().is_loopback());
    assert_eq!(config.settings.public_url, "http://localhost:8080");
    assert!(config.database.url.reveal().ends_with("data/carillon.db") && !config.database.is_postgres());
}

#[test]
fn c234_points_are_set_for_each_kind_of_payer() {
    let values = [("CARILLON_RATE_TENANT", "500"), ("CARILLON_RATE_KEY", "50"), ("CARILLON_RATE_USER", "5")];
    let rates = config(&values).unwrap().settings.rates;
    assert_eq!((rates.tenant, rates.key, rates.user), (500, 50, 5));
    for wrong in ["0", "-1", "1000000001", "many"] {
        assert!(config(&[("CARILLON_RATE_KEY", wrong)]).is_err_and(|errors| errors[0].contains("CARILLON_RATE_KEY")));
    }
}

#[test]
fn a_complete_production_configuration_is_taken_and_shows_no_secret() {
    let config = production_with(&[]).unwrap();
    assert_eq!(config.settings.system_from, "carillon@example.com");
    assert_eq!((config.mode, config.settings.embedded), (Mode::Production, false));
    assert_eq!(config.settings.public_url, "https://mail.example.com");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && !shown.contains(&keyring(1)[2..]), "{shown}");
}

#[test]
fn a_bucket_is_reached_as_it_is_said_and_its_key_is_not_shown() {
    let config = production_with(&[
        ("CARILLON_BLOBS_ENDPOINT", "https://minio.internal:9000"),
        ("CARILLON_BLOBS_REGION", "eu-central-1"),
        ("CARILLON_BLOBS_ACCESS_KEY_ID", "hush-id"),
        ("CARILLON_BLOBS_SECRET_ACCESS_KEY", "hush-secret"),
        ("CARILLON_BLOBS_STYLE", "host"),
    ]);
    let bucket = config.unwrap().bucket;
    assert!(bucket.in_host && bucket.region.as_deref() == Some("eu-central-1"));
    assert_eq!(bucket.key.as_ref().unwrap().secret, "hush-secret");
    assert!(!format!("{bucket:?}").contains("hush"), "{bucket:?}");
}

#[test]
fn redis_may_be_reached_under_tls() {
    let config = production_with(&[("REDIS_URL", "rediss://:hush@redis:6379")]).unwrap();
    assert!(config.redis_url.unwrap().reveal().starts_with("rediss://"));
}

#[test]
fn the_relay_is_read_once_for_all_who_use_it() {
    for (url, port) in [("smtp://relay.internal", 25), ("smtp://user:hush@relay", 587), ("smtps://relay", 465)] {
        let relay = production_with(&[("SMTP_URL", url)]).unwrap().relay.unwrap();
        assert_eq!(relay.port, port, "{url}");
    }
}

#[test]
fn c216_that_there_is_no_proxy_is_said_and_not_assumed() {
    assert_eq!(
        production_with(&[("CARILLON_TRUSTED_PROXIES", "none")]).unwrap().trusted_proxies,
        TrustedProxies::default()
    );
    assert_ne!(production_with(&[]).unwrap().trusted_proxies, TrustedProxies::default());
    assert_eq!(config(&[]).unwrap().trusted_proxies, TrustedProxies::default(), "embedded");
}

#[test]
fn a_default_in_the_table_is_the_one_that_is_taken() {
    let unset = format!("{:?}", config(&[]).unwrap());
    let mut compared = 0;
    for setting in table::SETTINGS {
        let default = setting.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        let Some(default) = default.filter(|text| !text.contains('`')) else { continue };
        let set = config(&[(setting.name, default)]).unwrap();
        assert_eq!(format!("{set:?}"), unset, "{}", setting.name);
        compared += 1;
    }
    assert!(compared > 15, "{compared} defaults are values");
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let errors = config(&[("CARILLON_MODE", "production"), ("DATABASE_POOL", "0"), ("CARILLON_SIGN_UP", "yes")]);
    let errors = errors.unwrap_err();
    assert_eq!(errors.iter().filter(|error| error.ends_with("required in production")).count(), 10);
    assert!(errors.iter().any(|error| error.starts_with("DATABASE_POOL")));
    assert!(errors.iter().any(|error| error.starts_with("CARILLON_SIGN_UP")));
}

/// A production deployment's settings, as a process of it reads them; without these.
fn for_duty(duty: Duty, without: &[&str]) -> Result<Config, Vec<String>> {
    let mut values = production();
    values.insert("DATABASE_OWNER_URL", "postgres://carillon_owner:hush@db/carillon".to_owned());
    values.retain(|name, _| !without.contains(name));
    let source = Source::of(values.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
    Config::for_duty(duty, &source).map_err(|errors| errors.0)
}

#[test]
fn l1_a_process_starts_with_its_own_settings_and_not_without_them() {
    for duty in [Duty::Serve, Duty::Recipient, Duty::Work, Duty::Migrate, Duty::Maintain, Duty::Admin] {
        let all = production();
        let others: Vec<_> = all.keys().copied().filter(|name| !duty.takes(name)).collect();
        let config = for_duty(duty, &others).unwrap();
        assert_eq!((config.mode, config.database.is_postgres()), (Mode::Production, true), "{duty:?}");
        for required in duty.required() {
            assert_eq!(for_duty(duty, &[required]).unwrap_err(), [format!("{required}: required in production")]);
        }
    }
}

#[test]
fn c055_who_takes_bounces_has_a_domain_for_them() {
    let of = |changes: &[(&str, &str)]| {
        let values = production();
        let changes = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let all: BTreeMap<&str, String> =
            values.iter().map(|(name, value)| (*name, value.clone())).chain(changes).collect();
        let source = Source::of(all.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        Config::for_duty(Duty::Inbound, &source).map_err(|errors| errors.0)
    };
    let bind = ("CARILLON_INBOUND_BIND", "127.0.0.1:2525");
    let config = of(&[bind, ("CARILLON_BOUNCE_DOMAIN", "Bounces.Example.com")]).unwrap();
    assert_eq!(config.settings.bounce_domain.as_deref(), Some("bounces.example.com"));
    assert_eq!(config.inbound_bind.map(|bind| bind.port()), Some(2525));
    assert!(of(&[bind]).unwrap_err().iter().all(|error| error.starts_with("CARILLON_BOUNCE_DOMAIN")));
    let too_long = format!("{}.example", "a.".repeat(100));
    for wrong in ["no domain", "ada@example.com", too_long.as_str()] {
        let errors = of(&[bind, ("CARILLON_BOUNCE_DOMAIN", wrong)]).unwrap_err();
        assert!(errors[0].starts_with("CARILLON_BOUNCE_DOMAIN"), "{errors:?}");
    }
}

#[test]
fn l1_a_secret_that_a_process_has_no_use_for_is_named_and_not_read() {
    let links = for_duty(Duty::Recipient, &[]).unwrap();
    let needless = [
        "DATABASE_IDENTITY_URL",
        "DATABASE_DISPATCH_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "SMTP_URL",
        "CARILLON_JWT_KEYS",
    ];
    assert_eq!(links.needless, needless);
    assert!(links.database.identity_url.is_none() && links.database.owner_url.is_none());
    assert!(links.redis_url.is_none() && links.relay.is_none() && links.keys.tokens.is_none());
    let by_hand = for_duty(Duty::Admin, &[]).unwrap();
    assert!(by_hand.needless.is_empty() && by_hand.database.owner_url.is_none(), "run where there are others'");
    assert_eq!(for_duty(Duty::Everything, &[]).unwrap().needless, Vec::<&str>::new());
}

#[test]
fn dangerous_combinations_are_refused() {
    let same_keys = keyring(1);
    let cases: [(&[(&str, &str)], &str); 39] = [
        (&[("CARILLON_MODE", "embedded"), ("CARILLON_BIND", "0.0.0.0:8080")], "CARILLON_BIND"),
        (&[("CARILLON_MODE", "embedded"), ("CARILLON_BIND", "[::]:8080")], "CARILLON_BIND"),
        (&[("CARILLON_METRICS_BIND", "127.0.0.1:8080")], "CARILLON_METRICS_BIND: another"),
        (&[("CARILLON_METRICS_BIND", "9090")], "CARILLON_METRICS_BIND: give"),
        (&[("CARILLON_METRICS_TENANTS", "yes")], "CARILLON_METRICS_TENANTS"),
        (&[("CARILLON_MODE", "embedded")], "DATABASE_URL"),
        (&[("CARILLON_MODE", "embedded")], "REDIS_URL: Redis is for production"),
        (&[("CARILLON_MODE", "embedded")], "SMTP_URL: no mail leaves"),
        (&[("CARILLON_PUBLIC_URL", "https://203.0.113.7"), ("CARILLON_SYSTEM_FROM", "")], "CARILLON_SYSTEM_FROM"),
        (&[("CARILLON_PUBLIC_URL", "https://mail"), ("CARILLON_SYSTEM_FROM", "")], "CARILLON_SYSTEM_FROM"),
        (&[("CARILLON_SYSTEM_FROM", "nobody")], "CARILLON_SYSTEM_FROM"),
        (&[("DATABASE_DISPATCH_URL", "postgres://db/carillon")], "DATABASE_DISPATCH_URL"),
        (&[("DATABASE_URL", "sqlite:/srv/carillon.db")], "DATABASE_URL"),
        (&[("CARILLON_PUBLIC_URL", "http://mail.example.com")], "CARILLON_PUBLIC_URL"),
        (&[("CARILLON_PUBLIC_URL", "https://mail.example.com/path")], "CARILLON_PUBLIC_URL"),
        (&[("CARILLON_PERMIT_SECONDS", "31")], "CARILLON_PERMIT_SECONDS"),
        (&[("CARILLON_PERMIT_SECONDS", "30")], "CARILLON_LEASE_SECONDS"),
        (&[("CARILLON_LEASE_SECONDS", "10")], "CARILLON_LEASE_SECONDS"),
        (&[("CARILLON_RETRY_FIRST_SECONDS", "20000")], "CARILLON_RETRY_LONGEST_SECONDS"),
        (&[("DATABASE_OWNER_URL", "postgres://carillon_app:x@db/carillon")], "DATABASE_OWNER_URL"),
        (&[("DATABASE_IDENTITY_URL", "postgres://carillon_app:x@db/carillon")], "DATABASE_IDENTITY_URL"),
        (&[("CARILLON_JWT_KEYS", &same_keys)], "CARILLON_JWT_KEYS"),
        (&[("CARILLON_BLOBS", "file:./data")], "CARILLON_BLOBS"),
        (&[("CARILLON_BLOBS", "s3://bucket?region=eu")], "CARILLON_BLOBS"),
        (&[("CARILLON_BLOBS", "file:/srv"), ("CARILLON_BLOBS_REGION", "eu")], "CARILLON_BLOBS_REGION"),
        (&[("CARILLON_BLOBS", "file:/srv"), ("CARILLON_BLOBS_STYLE", "host")], "CARILLON_BLOBS_STYLE"),
        (&[("CARILLON_BLOBS_STYLE", "virtual")], "CARILLON_BLOBS_STYLE"),
        (&[("CARILLON_BLOBS_ACCESS_KEY_ID", "hush")], "CARILLON_BLOBS_SECRET_ACCESS_KEY"),
        (&[("CARILLON_BLOBS_SECRET_ACCESS_KEY", "hush")], "CARILLON_BLOBS_ACCESS_KEY_ID"),
        (&[("CARILLON_BLOBS_ENDPOINT", "https://minio:9000/bucket")], "CARILLON_BLOBS_ENDPOINT"),
        (&[("SMTP_URL", "http://relay")], "SMTP_URL"),
        (&[("SMTP_URL", "smtp://relay?tls=maybe")], "SMTP_URL"),
        (&[("SMTP_URL", "smtp://user:hush@relay?tls=none")], "SMTP_URL"),
        (&[("SMTP_CA_FILE", "/nowhere/at/all/ca.pem")], "SMTP_CA_FILE"),
        (&[("REDIS_URL", "redis:6379")], "REDIS_URL"),
        (&[("CARILLON_TRUSTED_PROXIES", "")], "CARILLON_TRUSTED_PROXIES: required"),
        (&[("CARILLON_TRUSTED_PROXIES", "everybody")], "CARILLON_TRUSTED_PROXIES"),
        (&[("CARILLON_TRUSTED_PROXIES", "10.0.0.1,0.0.0.0/0")], "CARILLON_TRUSTED_PROXIES"),
        (&[("CARILLON_TRUSTED_PROXIES", "::/0")], "CARILLON_TRUSTED_PROXIES"),
    ];
    for (changes, named) in cases {
        let changes: Vec<(&'static str, &str)> = changes
            .iter()
            .map(|(name, value)| (table::SETTINGS.iter().find(|s| s.name == *name).unwrap().name, *value))
            .collect();
        let errors = production_with(&changes).map(|_| changes.clone()).unwrap_err();
        assert!(errors.iter().any(|error| error.starts_with(named)), "{named}: {errors:?}");
        assert!(!errors.concat().contains("hush"));
    }
}

#[test]
fn traces_go_where_opentelemetrys_variables_say() {
    assert!(config(&[("OTEL_TRACES_SAMPLER_ARG", "0.5")]).unwrap().traces.is_none(), "off without a collector");
    let traces = production_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.internal:4318/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush, x-tenant = 7,"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ]);
    let traces = traces.unwrap().traces.unwrap();
    assert_eq!(traces.endpoint, "https://collector.internal:4318/v1/traces");
    let headers: Vec<_> = traces.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("authorization", "Bearer hush"), ("x-tenant", "7")]);
    assert_eq!((traces.timeout.as_millis(), traces.queue, traces.service.as_str()), (2_500, 2_048, "carillon"));
    assert!((traces.sampled - 0.25).abs() < f64::EPSILON && !traces.continues_callers);
    assert!(!format!("{traces:?}").contains("hush"));
    let believing = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("CARILLON_TRACE_CALLERS", "continue")];
    assert!(config(&believing).unwrap().traces.unwrap().continues_callers);
}

#[test]
fn traces_that_could_not_go_are_refused_and_no_value_is_repeated() {
    for (name, wrong) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hush@collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318?hush"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush hush=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "name=hush%0d%0aother: 1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("CARILLON_TRACE_CALLERS", "yes"),
    ] {
        let errors = config(&[(name, wrong)]).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with(name) && !errors[0].contains("hush"), "{errors:?}");
    }
}
