//! Where mail is handed over: `smtp://user:pass@host:port?tls=none|starttls|required` or `smtps://..`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::global_address::is_global;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Never.
    None,
    /// STARTTLS when offered; a failed handshake ends the connection.
    Opportunistic,
    /// STARTTLS or nothing (C-41).
    Required,
    /// TLS from the first octet (RFC 8314).
    Implicit,
}

/// Name and password for AUTH; `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Where a relay may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// Anywhere: the operator named it.
    #[default]
    Anywhere,
    /// At a public address, whatever its name resolves to at the moment: a tenant named it (C-227).
    Public,
}

/// An SMTP relay, of the deployment or of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Relay {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// Whom to sign in as.
    pub credentials: Option<Credentials>,
    /// Where it may lie.
    pub reach: Reach,
}

/// Why a text is not a relay; never repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelay {
    /// Not a URL with scheme smtp or smtps and a host.
    #[error("not of the form smtp://user:pass@host:port?tls=none|starttls|required or smtps://..")]
    Form,
    /// A query other than one `tls`.
    #[error("the only option is tls=none, tls=starttls or tls=required, and smtps:// takes none")]
    Option,
    /// User without password, an empty one, or control characters in either.
    #[error("user and password must both be given, percent-encoded, without control characters")]
    Credentials,
    /// A password that would travel in the clear (the combination is refused rather than ignored).
    #[error("credentials need TLS unless the relay is on this machine")]
    PlainCredentials,
}

impl Relay {
    /// Host and port, for logs.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// True for this machine itself, where plaintext stays inside.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The same as a tenant's: a tenant must not make us knock at our own doors.
    #[must_use]
    pub fn of_a_tenant(self) -> Self {
        Self { reach: Reach::Public, ..self }
    }

    /// True for what a tenant may name as its relay, as far as the text tells: a public address, or a name that is not
    /// plainly one of the deployment's own network. What a name resolves to is judged at each connection (C-227).
    pub fn is_public(&self) -> bool {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return is_global(ip);
        }
        // A name may end with the dot of the root.
        let name = self.host.trim_end_matches('.');
        let last = name.rsplit_once('.').map(|(_, last)| last);
        last.is_some_and(|last| !["localhost", "internal", "local"].contains(&last))
    }
}

impl FromStr for Relay {
    type Err = InvalidRelay;

    fn from_str(text: &str) -> Result<Self, InvalidRelay> {
        // A URL's parser drops line breaks and trims: what it read would not be what was written.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(InvalidRelay::Form);
        }
        let url = Url::parse(text).map_err(|_| InvalidRelay::Form)?;
        // A non-special scheme leaves the host as an opaque text, in which 127.1 and 0x7f000001 are still names.
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() && !name.contains('%') => Host::parse(name).ok(),
            Some(Host::Ipv4(ip)) => Some(Host::Ipv4(ip)),
            Some(Host::Ipv6(ip)) => Some(Host::Ipv6(ip)),
            _ => None,
        };
        let host = match host.ok_or(InvalidRelay::Form)? {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(InvalidRelay::Form);
        }
        let credentials = credentials(&url)?;
        let tls = tls_mode(&url, &host)?;
        if credentials.is_some() && tls == TlsMode::None && !is_loopback(&host) {
            return Err(InvalidRelay::PlainCredentials);
        }
        let usual = match (tls, &credentials) {
            (TlsMode::Implicit, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        };
        Ok(Self { host, port: url.port().unwrap_or(usual), tls, credentials, reach: Reach::Anywhere })
    }
}

/// The mode asked for; without one, TLS is required except on this machine, where it is used when offered.
fn tls_mode(url: &Url, host: &str) -> Result<TlsMode, InvalidRelay> {
    let options: Vec<_> = url.query_pairs().collect();
    let asked = match options.as_slice() {
        [] => None,
        [(name, value)] if name == "tls" => Some(value.as_ref()),
        _ => return Err(InvalidRelay::Option),
    };
    match (url.scheme(), asked) {
        ("smtps", None) => Ok(TlsMode::Implicit),
        ("smtp", Some("none")) => Ok(TlsMode::None),
        ("smtp", Some("starttls")) => Ok(TlsMode::Opportunistic),
        ("smtp", None) if is_loopback(host) => Ok(TlsMode::Opportunistic),
        ("smtp", None | Some("required")) => Ok(TlsMode::Required),
        ("smtp" | "smtps", Some(_)) => Err(InvalidRelay::Option),
        _ => Err(InvalidRelay::Form),
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, InvalidRelay> {
    let part = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
            .filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
            .ok_or(InvalidRelay::Credentials)
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) => Ok(Some(Credentials { user: part(user)?, password: part(password)? })),
        _ => Err(InvalidRelay::Credentials),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(text: &str) -> Result<Relay, InvalidRelay> {
        text.parse()
    }

    #[test]
    fn c041_tls_is_required_unless_said_otherwise_or_on_this_machine() {
        let tls = |text| relay(text).unwrap().tls;
        assert_eq!(tls("smtp://mx.example.org"), TlsMode::Required);
        assert_eq!(tls("smtp://mx.example.org?tls=starttls"), TlsMode::Opportunistic);
        assert_eq!(tls("smtp://mx.example.org/?tls=none"), TlsMode::None);
        assert_eq!(tls("smtp://127.0.0.1:2525"), TlsMode::Opportunistic);
        assert_eq!(tls("smtps://mx.example.org"), TlsMode::Implicit);
    }

    #[test]
    fn ports_follow_the_purpose() {
        let port = |text| relay(text).unwrap().port;
        assert_eq!(port("smtp://mx.example.org"), 25);
        assert_eq!(port("smtp://u:p@mx.example.org"), 587);
        assert_eq!(port("smtps://u:p@mx.example.org"), 465);
        assert_eq!(port("smtp://[::1]:2525"), 2525);
        assert_eq!(relay("smtp://[::1]:2525").unwrap().host, "::1");
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let relay = relay("smtp://us%40er:p%3Ass%2F@mx.example.org").unwrap();
        let credentials = relay.credentials.as_ref().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("us@er", "p:ss/"));
        assert!(!format!("{relay:?}").contains("p:ss"));
    }

    #[test]
    fn c227_a_tenants_relay_lies_outside() {
        for text in ["smtp://mx.example.org", "smtp://9.9.9.9", "smtps://[2620:fe::9]"] {
            assert!(relay(text).unwrap().is_public(), "{text}");
        }
        let names = ["localhost", "LocalHost.", "postgres", "redis.", "x.internal", "a.localhost", "b.local"];
        let services = ["metadata.google.internal", "metadata.google.internal.", "db.default.svc.cluster.local"];
        let plain = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"];
        let short = ["127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "10.0.0.1.", "0"];
        let metadata = ["2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.16689662"];
        let look_alike = ["①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "ⓛocalhost"];
        let v6 = ["[::1]", "[::]", "[fd00::1]", "[fe80::1]", "[fd00:ec2::254]", "[64:ff9b::a00:1]", "[2002:a00:1::]"];
        let v4_in_v6 = ["[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]"];
        let hosts = [&names[..], &services, &plain, &short, &metadata, &look_alike, &v6, &v4_in_v6].concat();
        for host in hosts {
            assert!(!relay(&format!("smtp://{host}")).is_ok_and(|relay| relay.is_public()), "{host}");
        }
    }

    #[test]
    fn dangerous_and_malformed_relays_are_refused() {
        assert_eq!(relay("smtp://u:p@mx.example.org?tls=none"), Err(InvalidRelay::PlainCredentials));
        assert!(relay("smtp://u:p@localhost:25?tls=none").is_ok());
        for text in ["smtp://u@h", "smtp://:p@h", "smtp://u:@h", "smtp://u:p%0d%0aRSET@h"] {
            assert_eq!(relay(text), Err(InvalidRelay::Credentials), "{text}");
        }
        for text in ["smtp://h?tls=maybe", "smtps://h?tls=none", "smtp://h?tls=none&tls=required", "smtp://h?x=1"] {
            assert_eq!(relay(text), Err(InvalidRelay::Option), "{text}");
        }
        for text in
            ["smtp://h\r\n", " smtp://h", "smtp://h\tx", "smtp://u:p\r\nRSET@h", "smtp://u\0:p@h", "smtp://h\u{85}x"]
        {
            assert_eq!(relay(text), Err(InvalidRelay::Form), "{text:?}");
        }
        for text in ["smtp://h%0d%0aRSET", "smtp://h%00", "smtp://h%20x", "smtp://h\u{202e}x"] {
            assert_eq!(relay(text), Err(InvalidRelay::Form), "{text:?}");
        }
        for text in ["smtp://u%0aRSET:p@h", "smtp://u:p%00@h", "smtp://u:p%c2%85@h", "smtp://u:%ff@h"] {
            assert_eq!(relay(text), Err(InvalidRelay::Credentials), "{text:?}");
        }
        for text in ["", "mx.example.org", "http://h", "smtp://", "smtp:///x", "smtp://h/path", "smtp://h#x"] {
            assert_eq!(relay(text), Err(InvalidRelay::Form), "{text}");
        }
    }
}
