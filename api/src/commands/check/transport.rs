//! Which of a deployment's services are spoken to in a way that others on the network can read, or answer.

use carillon_domain::messaging::relay::TlsMode;
use carillon_entities::wall::Protection;
use url::{Host, Url};

use crate::app::logins;
use crate::config::{Config, Mode, Secret};

/// A line for each of them. Within a network that nobody else is on this may be as it should, so it is no more than advice.
pub(super) fn findings(config: &Config) -> Vec<String> {
    if config.mode != Mode::Production {
        return Vec::new();
    }
    let owner = config.database.owner_url.iter().map(|url| ("DATABASE_OWNER_URL", url));
    let databases = logins(config).into_iter().map(|(setting, url, _)| (setting, url)).chain(owner);
    let databases = databases.filter_map(|(setting, url)| Some(format!("{setting}: {}", database(url)?)));
    let redis = config
        .redis_url
        .iter()
        .filter(|url| is_plain(url.reveal()))
        .map(|_| "REDIS_URL: passwords and tickets go unencrypted; rediss:// is Redis under TLS".to_owned());
    let relay = config.relay.iter().filter(|relay| !relay.is_loopback());
    let relay = relay.filter_map(|relay| Some(format!("SMTP_URL: {}", mail(relay.tls)?)));
    let bucket = config.bucket.endpoint.iter().filter(|endpoint| is_plain(endpoint));
    let bucket = bucket.map(|_| "CARILLON_BLOBS_ENDPOINT: uploads go unencrypted; https:// encrypts them".to_owned());
    let traces = config.traces.iter().filter(|traces| is_plain(&traces.endpoint));
    let traces =
        traces.map(|_| "OTEL_EXPORTER_OTLP_ENDPOINT: traces go unencrypted; https:// encrypts them".to_owned());
    databases.chain(redis).chain(relay).chain(bucket).chain(traces).collect()
}

fn database(url: &Secret) -> Option<&'static str> {
    match Protection::of(url.reveal()).ok()? {
        Protection::Plain => Some("nothing asks for TLS; sslmode=verify-full does, and asks who answers"),
        Protection::Encrypted => Some("encrypted, for whoever answers; sslmode=verify-full asks who that is"),
        Protection::Local | Protection::Verified => None,
    }
}

fn mail(tls: TlsMode) -> Option<&'static str> {
    match tls {
        TlsMode::None => Some("mail goes unencrypted; tls=required and smtps:// encrypt it"),
        TlsMode::Opportunistic => Some("mail is encrypted if the relay offers it; tls=required insists"),
        TlsMode::Required | TlsMode::Implicit => None,
    }
}

/// True for a URL without TLS to another machine.
fn is_plain(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // Of a scheme that it does not know the crate takes an address for a name.
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => true,
    };
    matches!(url.scheme(), "redis" | "http") && !is_loopback
}

#[cfg(test)]
mod tests {
    use carillon_domain::entropy::SeededEntropy;
    use carillon_domain::keys::Keyring;

    use super::*;
    use crate::config::{Duty, Source};

    fn named(database: &str, redis: &str, relay: &str) -> Vec<String> {
        let keys = Keyring::generate(&SeededEntropy::new(1)).to_secret_text();
        let login = |role: &str| format!("postgres://carillon_{role}:hush@{database}");
        let (app, identity, dispatch) = (login("app"), login("identity"), login("dispatch"));
        let given = [
            ("CARILLON_PUBLIC_URL", "https://mail.example.com"),
            ("CARILLON_BLOBS", "s3://bucket"),
            ("CARILLON_KEYS", &keys),
            ("DATABASE_URL", &app),
            ("DATABASE_IDENTITY_URL", &identity),
            ("DATABASE_DISPATCH_URL", &dispatch),
            ("REDIS_URL", redis),
            ("SMTP_URL", relay),
        ];
        let config = Config::for_duty(Duty::Work, &Source::of(given).unwrap()).unwrap();
        let findings = findings(&config);
        assert!(!findings.concat().contains("hush"));
        findings.iter().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
    }

    #[test]
    fn what_others_could_read_is_said_of_each_service() {
        let databases = ["DATABASE_URL", "DATABASE_IDENTITY_URL", "DATABASE_DISPATCH_URL"];
        let (safe_redis, safe_relay) = ("rediss://redis.example", "smtps://relay.example");
        let safe = "db.example/carillon?sslmode=verify-full";
        assert_eq!(named(safe, safe_redis, safe_relay), Vec::<String>::new());
        assert_eq!(named("db.example/carillon?sslmode=disable", safe_redis, safe_relay), databases);
        assert_eq!(named("db.example/carillon?sslmode=require", safe_redis, safe_relay), databases);
        assert_eq!(
            named(safe, "redis://:hush@redis.example", "smtp://relay.example?tls=none"),
            ["REDIS_URL", "SMTP_URL"]
        );
        assert_eq!(named(safe, safe_redis, "smtp://relay.example?tls=starttls"), ["SMTP_URL"]);
        let here = ("127.0.0.1/carillon?sslmode=disable", "redis://127.0.0.1", "smtp://127.0.0.1");
        assert_eq!(named(here.0, here.1, here.2), Vec::<String>::new(), "nobody else is on this machine");
    }
}
