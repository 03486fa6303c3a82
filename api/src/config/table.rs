//! Every setting, in one table: what the README shows and what [`super::Config`] reads are the same list.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment and in the file.
    pub name: &'static str,
    /// What it is when it is not given, in words.
    pub default: &'static str,
    /// True for what must not be seen.
    pub secret: bool,
    /// What it decides.
    pub about: &'static str,
}

macro_rules! settings {
    ($($name:ident $kind:ident [$default:literal] $about:literal;)+) => {
        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            default: $default,
            secret: settings!(@$kind),
            about: $about,
        }),+];
    };
    (@secret) => { true };
    (@plain) => { false };
}

settings! {
    CARILLON_MODE plain ["`production` when a `DATABASE_*URL` is given, else `embedded`"]
        "`embedded`: one process, SQLite, an in-memory queue, a mail catcher, keys of its own. `production`: everything below is yours.";
    CARILLON_PUBLIC_URL plain ["`http://localhost` and the port"]
        "Where recipients and clients reach this deployment; stands in every link. https in production.";
    CARILLON_BIND plain ["`127.0.0.1:8080`"] "Address and port to listen on; loopback only in embedded mode.";
    CARILLON_DATA plain ["`./data`"] "Folder of the embedded mode: database, keys, files.";
    DATABASE_URL secret ["`sqlite:` under `CARILLON_DATA`"] "Login of the application role, `postgres://carillon_app:..`; `?sslmode=verify-full` asks for TLS and a certificate, of a public authority or one in the file that `sslrootcert` names.";
    DATABASE_IDENTITY_URL secret ["none; required in production"] "Login of the role `carillon_identity`, which alone reaches accounts and users.";
    DATABASE_DISPATCH_URL secret ["none; required in production"] "Login of the role `carillon_dispatch`, which reads due ids of all tenants and nothing else.";
    DATABASE_OWNER_URL secret ["none"] "Login of the owner of the schema, for `migrate` and `check` only; no serving process needs it.";
    DATABASE_POOL plain ["`16`"] "Connections of the application role; a quarter more each (at least 2) for the links of mails, as the same role, and for the other two roles.";
    DATABASE_POOLER plain ["`none`"] "`transaction` behind a pooler in transaction mode (PgBouncer): statements are then unnamed.";
    REDIS_URL secret ["none; required in production"] "Production only. Redis 7 or later, `redis://` or `rediss://` (`SSL_CERT_FILE` names a private authority): the ticket queue, the doorbell, the limits that processes count together. Losing it loses no work.";
    SMTP_URL secret ["the built-in catcher"] "Relay for outgoing mail, `smtp://user:pass@host:587?tls=required` or `smtps://..`; required in production, on this machine itself in the embedded mode.";
    SMTP_CA_FILE plain ["none"] "A PEM file with certificate authorities that relays may have besides the public ones, for a relay of your own network.";
    SMTP_POOL plain ["`8`"] "Connections to the relay.";
    CARILLON_BLOBS plain ["`file:` under `CARILLON_DATA`"] "Where uploads lie: `s3://bucket/prefix`, or `file:` and an absolute path on a disk all processes share.";
    CARILLON_BLOBS_ENDPOINT plain ["none"] "Of a bucket: `https://` and the host of a store other than Amazon's that speaks S3, such as MinIO, Ceph or R2.";
    CARILLON_BLOBS_REGION plain ["`AWS_REGION`, else `us-east-1`"] "Of a bucket: where it lies; `auto` for R2.";
    CARILLON_BLOBS_ACCESS_KEY_ID secret ["none"] "Of a bucket: the name of the key to it; both or neither of the two. Without, the usual `AWS_` variables, a role of the pod or of the machine.";
    CARILLON_BLOBS_SECRET_ACCESS_KEY secret ["none"] "Of a bucket: the key's secret.";
    CARILLON_BLOBS_STYLE plain ["`path`"] "Of a bucket: where its name stands in an address, in the `path` or in the `host`.";
    CARILLON_KEYS secret ["made at first start; required in production"] "Keyring for address hashes, links and sealed secrets: `2:base64,1:base64`, 32 bytes each, the first is active. Retired keys stay for ever.";
    CARILLON_JWT_KEYS secret ["made at first start; required in production"] "Keyring of the same form for access tokens; shares no key with `CARILLON_KEYS`.";
    CARILLON_BOUNCE_DOMAIN plain ["none"] "Domain of return paths, such as `bounces.example.org`: each mail then has an envelope sender of its own there, and bounces and complaints come back to Carillon instead of the senders. Its mail must reach `carillon work --inbound` or `POST /b/`; the same for all processes.";
    CARILLON_INBOUND_BIND plain ["none"] "Address and port where `carillon work --inbound`, or the embedded mode, takes bounces and complaints over SMTP and LMTP, without TLS: behind a mail server of yours.";
    CARILLON_SIGN_UP plain ["`open` embedded, `invite` in production"] "Who may sign up: `open`, `invite` or `closed`.";
    CARILLON_SYSTEM_FROM plain ["`carillon@` and the host of `CARILLON_PUBLIC_URL`; `carillon@embedded.example` in the embedded mode where that is no mail domain"] "Sender of the deployment's own mail: verification, password reset, invitations.";
    CARILLON_TRUSTED_PROXIES plain ["none; required in production"] "Addresses or networks, comma-separated, whose `X-Forwarded-For` is believed; `none` where clients connect directly. Behind a proxy that is not named here all users count as one address, with one address' limits.";
    CARILLON_WORKERS plain ["`4`"] "Tickets one engine process works on at the same time in each of six queues: transactional mail, bulk mail, imports, workflows, webhooks, campaigns. Sweeps take one more. Of mail and webhooks no tenant takes the last.";
    CARILLON_DRAIN_SECONDS plain ["`45`"] "How long a process that was told to stop may finish what it began.";
    CARILLON_PERMIT_SECONDS plain ["`10`"] "How long a permit of the gate is good for; at most 30.";
    CARILLON_LEASE_SECONDS plain ["`30`"] "How long a claim holds before somebody else may take the work; longer than a permit.";
    CARILLON_RETRY_FIRST_SECONDS plain ["`300`"] "Shortest pause before the first retry of a deferred message; later ones grow from it.";
    CARILLON_RETRY_LONGEST_SECONDS plain ["`14400`"] "The longest pause between two attempts.";
    CARILLON_RECONCILE_SECONDS plain ["`600`"] "How long late evidence about an unknown outcome is waited for before it is decided by class.";
    CARILLON_MESSAGES_PER_DAY plain ["`1000000`"] "Messages a tenant may send in a day unless its account says otherwise.";
    CARILLON_TENANTS_PER_ACCOUNT plain ["`100`"] "Tenants an account may have unless the operator says otherwise.";
    CARILLON_RATE_TENANT plain ["`100000`"] "Points that requests in a tenant may cost in a minute, whoever sends them; `rateLimit` in the schema tells what costs how much.";
    CARILLON_RATE_KEY plain ["`100000`"] "The same for one API key.";
    CARILLON_RATE_USER plain ["`100000`"] "The same for one user in one tenant.";
    CARILLON_RETENTION_MONTHS plain ["`0`"] "After how many months `migrate --maintain` drops a month of message events, what became of each mail, and of what webhooks were told, whose log the engine shortens as far. `0` keeps them for ever, as everything that is evidence always is: gate decisions, consent, audit, changes of contacts.";
    CARILLON_LOG plain ["`info,actix_server=warn,sea_orm_migration=warn,sqlx=warn`"] "What is logged, as a filter: `info,carillon_jobs=debug`.";
    CARILLON_METRICS_BIND plain ["none"] "Address and port of their own for metrics (`/metrics`, in Prometheus' format) and for the probes `/health/live` and `/health/ready`, also of `carillon work`. Nobody has to sign in there: keep it within your network.";
    CARILLON_METRICS_TENANTS plain ["`false`"] "`true` counts messages by tenant as well, of the first 500 tenants; the tenants' ids are then in the metrics.";
    CARILLON_TRACE_CALLERS plain ["`link`"] "What a caller's `traceparent` is to the trace of its request: a `link` of it, or what it is to `continue`. Who is continued decides what is exported: only where every caller is yours.";
    OTEL_EXPORTER_OTLP_ENDPOINT plain ["none"] "Address of an OpenTelemetry collector, `http://collector:4318`: traces go there, to `/v1/traces` under it. One that is away costs spans and nothing else.";
    OTEL_EXPORTER_OTLP_HEADERS secret ["none"] "What the collector is shown, `name=value,name=value`.";
    OTEL_EXPORTER_OTLP_PROTOCOL plain ["`http/protobuf`"] "The one that is spoken.";
    OTEL_EXPORTER_OTLP_TIMEOUT plain ["`10000`"] "How long the collector may take for a batch of spans, in milliseconds.";
    OTEL_SERVICE_NAME plain ["`carillon`"] "What traces call this process.";
    OTEL_TRACES_SAMPLER_ARG plain ["`1`"] "Which part of all traces is exported, from 0 to 1.";
    OTEL_BSP_MAX_QUEUE_SIZE plain ["`2048`"] "How many spans may wait for the collector; others are dropped, and counted.";
    OTEL_BSP_SCHEDULE_DELAY plain ["`5000`"] "For how long spans are gathered before they go, in milliseconds.";
    CARILLON_CONFIG plain ["none"] "A TOML file with any of these names as keys; the environment wins over it.";
}

/// The table as the README shows it.
pub fn markdown() -> String {
    let mut text = "| Setting | Default | What it decides |\n|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let secret = if setting.secret { " (secret)" } else { "" };
        text.extend([format!("| `{}`{secret} | {} | {} |\n", setting.name, setting.default, setting.about)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_this_table() {
        let readme = include_str!("../../../README.md");
        let shown = readme.split("<!-- settings -->").nth(1).map(str::trim);
        assert!(shown == Some(markdown().trim()), "put this between the <!-- settings --> markers:\n{}", markdown());
    }
}
