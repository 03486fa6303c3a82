//! Where a webhook may go (C-227): https, to a public host, at a port that serves the web. What its name resolves to is
//! judged at each connection, by [`WebhookReach::allows`].

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::Refusal;
use crate::messaging::is_global;

/// The longest URL.
const URL_MAX: usize = 2_000;

/// Which addresses webhooks may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookReach {
    /// Public ones.
    Public,
    /// This machine as well: the embedded mode, where everything is the user's own.
    Local,
}

impl WebhookReach {
    /// That of a deployment.
    pub fn of(embedded: bool) -> Self {
        if embedded { Self::Local } else { Self::Public }
    }

    /// True for an address that may be connected to.
    pub fn allows(self, address: IpAddr) -> bool {
        is_global(address) || (self == Self::Local && address.to_canonical().is_loopback())
    }
}

/// A URL that a webhook may be sent to, as far as its text tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    literal: Option<IpAddr>,
}

impl EndpointUrl {
    /// Reads one.
    ///
    /// # Errors
    /// `INVALID_URL` for a text that is none, `URL_NOT_PUBLIC` for one that does not lead out, each on `url`.
    pub fn parse(text: &str, reach: WebhookReach) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::new("INVALID_URL", "url", why);
        // The parser drops line breaks and trims: what it read would not be what was written.
        if text.len() > URL_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(invalid("At most 2,000 bytes, without spaces and control characters."));
        }
        let url = Url::parse(text).map_err(|_| invalid("Not a URL."))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(invalid("Neither credentials nor a fragment: the signature tells who sends."));
        }
        // Of these schemes the parser reads 127.1 and 0x7f000001 as the addresses that they are.
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => None,
            None => return Err(invalid("A URL with a host.")),
        };
        let is_local = match (&literal, url.host_str()) {
            (Some(ip), _) => ip.to_canonical().is_loopback(),
            (None, name) => name == Some("localhost"),
        };
        let is_own = reach == WebhookReach::Local && is_local;
        match url.scheme() {
            "https" => {}
            "http" if is_own => {}
            "http" => return Err(invalid("https only.")),
            _ => return Err(invalid("An https URL.")),
        }
        let not_public =
            || Refusal::new("URL_NOT_PUBLIC", "url", "A webhook goes to a public host, at 443 or from 1024 on.");
        let is_port = url.port_or_known_default().is_some_and(|port| port == 443 || port >= 1024);
        let is_public = match literal {
            Some(ip) => is_global(ip),
            None => url.host_str().is_some_and(is_public_name),
        };
        let may_be_reached = is_own || (is_port && is_public);
        if !may_be_reached {
            return Err(not_public());
        }
        Ok(Self { text: url.into(), literal })
    }

    /// Its text, as the parser writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address that it has in the place of a name: nobody resolves it, so nobody else judges it.
    pub fn literal(&self) -> Option<IpAddr> {
        self.literal
    }
}

/// False for names that are plainly of the deployment's own network.
fn is_public_name(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| !["localhost", "internal", "local"].contains(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str, reach: WebhookReach) -> &'static str {
        EndpointUrl::parse(text, reach).map_or_else(|refusal| refusal.code, |_| "")
    }

    #[test]
    fn c227_an_endpoint_is_https_at_a_public_host() {
        for text in ["https://hooks.example.org/a?b=c", "https://9.9.9.9/", "https://hooks.example.org:8443/x"] {
            assert_eq!(code(text, WebhookReach::Public), "", "{text}");
        }
        let inside = [
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://localhost/",
            "https://redis/",
            "https://metadata.google.internal./",
            "https://db.default.svc.cluster.local/",
            "https://１２７.0.0.1/",
            "https://hooks.example.org:25/",
        ];
        for text in inside {
            assert_eq!(code(text, WebhookReach::Public), "URL_NOT_PUBLIC", "{text}");
        }
        let bad = ["", "x", "http://hooks.example.org/", "ftp://hooks.example.org/", "https://u:p@hooks.example.org/"];
        for text in
            bad.into_iter().chain(["https://hooks.example.org/#a", " https://hooks.example.org/", "https://a\n.b"])
        {
            assert_eq!(code(text, WebhookReach::Public), "INVALID_URL", "{text:?}");
        }
    }

    #[test]
    fn the_embedded_mode_reaches_its_own_machine_and_nothing_else_inside() {
        for text in ["http://127.0.0.1:9999/hook", "http://localhost:80/", "http://[::1]:8080/", "https://9.9.9.9/"] {
            assert_eq!(code(text, WebhookReach::Local), "", "{text}");
        }
        assert_eq!(code("http://10.0.0.1/", WebhookReach::Local), "INVALID_URL");
        assert_eq!(code("https://10.0.0.1/", WebhookReach::Local), "URL_NOT_PUBLIC");
        let reach = |reach: WebhookReach, ip: &str| reach.allows(ip.parse().unwrap());
        assert!(reach(WebhookReach::Local, "::ffff:127.0.0.1") && !reach(WebhookReach::Public, "127.0.0.1"));
        assert!(!reach(WebhookReach::Local, "169.254.169.254") && reach(WebhookReach::Public, "9.9.9.9"));
    }
}
