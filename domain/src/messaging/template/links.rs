//! Where a link in a mail may lead: the web, a mailbox, a telephone, or a place in the mail itself.

use url::Url;

use super::tags::Guard;

/// Schemes that readers of mail follow.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel"];

/// What is wrong with a link as it is written. One that starts with a tag is known only for each recipient.
pub(super) fn problem(address: &str) -> Option<&'static str> {
    let (guard, plain) = Guard::of(address.trim());
    if guard.words(&plain).next().is_some_and(|(_, word)| word.start == 0)
        || (plain.starts_with('#') && plain.len() > 1)
    {
        return None;
    }
    let Ok(url) = Url::parse(&plain) else {
        return Some("This is no whole address; links start with https:, http:, mailto: or tel:.");
    };
    let rest = plain.split_once(':').map_or("", |(_, rest)| rest);
    match url.scheme() {
        "http" | "https" if rest.starts_with("//") && url.has_host() => None,
        "mailto" | "tel" if !url.path().is_empty() => None,
        scheme if SCHEMES.contains(&scheme) => Some("This is no whole address."),
        _ => Some("Links lead to https, http, mailto or tel."),
    }
}

/// Whether a link of a rendered mail leads to none of these.
pub(super) fn leads_astray(address: &str) -> bool {
    Url::parse(address.trim()).is_ok_and(|url| !SCHEMES.contains(&url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c084_links_lead_where_people_expect() {
        for address in [
            "https://example.org",
            "http://example.org/a b?x={{ vars.x }}",
            " https://{{ vars.shop }}.example.org/",
            "mailto:a@b.example",
            "tel:+43123",
            "#top",
            "{{ vars.url }}",
            "{% if vars.a %}https://a.example{% endif %}",
            "{{ unsubscribe_url }}",
        ] {
            assert_eq!(problem(address), None, "{address}");
        }
        for address in [
            "",
            "#",
            "example.org",
            "/path",
            "//evil.example",
            "https:example.org",
            "http://",
            "https://exa mple.org",
            "ftp://a.example",
            "javascript:alert(1)",
            "java\nscript:x",
            "data:text/html,x",
            "file:///etc/passwd",
            "mailto:",
            "tel:",
            "{x}://a",
            "cid:1",
        ] {
            assert!(problem(address).is_some(), "{address}");
        }
        assert!(leads_astray("file:///x") && leads_astray("java\tscript:x"));
        assert!(!leads_astray("https://a.example") && !leads_astray("") && !leads_astray("/a"));
    }
}
