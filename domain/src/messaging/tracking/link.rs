//! Makes a rendered mail tell its opens and clicks, as its mode allows.

use carillon_entities::ids::TenantId;
use url::Url;

use super::rewrite::Found;
use crate::keys::{ClickToken, LinkPlace, Tracked, web_address};
use crate::messaging::claim::ClaimedMessage;
use crate::messaging::template::HTML_MAX;
use crate::messaging::{MessageClass, TrackingMode};
use crate::ports::Ports;

/// Links that a tracked mail may have.
const LINKS_MAX: usize = 300;

/// Our own pages: they are no clicks, and must lead there whatever happens to tracking (C-16).
const OWN_PAGES: &[&str] = &["u/", "unsubscribe/", "preferences/", "confirm/", "c/", "o/"];

/// The html part with tracked links and, where it may be, the pixel, and how it is tracked then: as it was and not at all where the mode is
/// none, and where it could not be done, for a mail that tells nothing is better than none. It is done for every link or
/// not at all: whoever clicked one that tells nothing would count as one who did not click.
pub(in crate::messaging) fn track(
    tenant: TenantId,
    ports: &Ports,
    claimed: &ClaimedMessage,
    html: String,
) -> (String, TrackingMode) {
    let tracked = match claimed.tracking {
        TrackingMode::None => return (html, TrackingMode::None),
        TrackingMode::Individual => Tracked::Message(claimed.id),
        TrackingMode::Aggregate => Tracked::Content { version: claimed.template_version, origin: claimed.origin() },
    };
    let has_pixel = claimed.contact.as_ref().is_some_and(|contact| contact.may_have_pixel);
    let made = tracked_html(ports, &html, has_pixel, |target| ClickToken { tenant, tracked: tracked.clone(), target });
    // Longer marketing mail is cut off at its end, where the way out is (C-31).
    match made.filter(|made| claimed.class != MessageClass::Marketing || made.len() <= HTML_MAX) {
        Some(made) => (made, claimed.tracking),
        None => (html, TrackingMode::None),
    }
}

fn tracked_html(
    ports: &Ports,
    html: &str,
    has_pixel: bool,
    token: impl Fn(Option<(LinkPlace, String)>) -> ClickToken,
) -> Option<String> {
    let signer = ports.keys.click_signer();
    let base = &ports.settings.public_url;
    let own = Url::parse(base).ok()?;
    let found = Found::find(html);
    let targets = found.links.iter().enumerate();
    let targets = targets.filter_map(|(index, link)| Some((index, web_address(&link.href)?)));
    let targets: Vec<(usize, String)> = targets.filter(|(_, to)| !is_own_page(&own, to)).collect();
    if found.missed || targets.len() > LINKS_MAX {
        return None;
    }
    let of = u16::try_from(targets.len()).ok()?;
    let values = (1..).zip(targets).map(|(number, (index, to))| {
        let text = signer.sign(&token(Some((LinkPlace { number, of }, to))))?;
        Some((index, format!("{base}/c/{text}")))
    });
    let values = values.collect::<Option<Vec<_>>>()?;
    let pixel = if has_pixel {
        let text = signer.sign(&token(None))?;
        format!("<img src=\"{base}/o/{text}.gif\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0\">")
    } else {
        String::new()
    };
    Some(found.replaced(html, &values, &pixel))
}

fn is_own_page(own: &Url, to: &str) -> bool {
    let Ok(to) = Url::parse(to) else { return true };
    let folder = own.path().trim_end_matches('/');
    let page = to.path().strip_prefix(folder).and_then(|path| path.strip_prefix('/'));
    to.origin() == own.origin() && page.is_some_and(|page| OWN_PAGES.iter().any(|own| page.starts_with(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c016_our_own_pages_are_told_from_other_pages_of_the_host() {
        for (base, to, own) in [
            ("https://mail.example", "https://mail.example/unsubscribe/x?y=1", true),
            ("https://mail.example", "https://mail.example:443/u/x", true),
            ("https://mail.example/sub/", "https://mail.example/sub/u/x", true),
            ("https://mail.example/sub", "https://mail.example/u/x", false),
            ("https://mail.example", "https://mail.example/shop", false),
            ("https://mail.example", "https://mail.example/unsubscribed", false),
            ("https://mail.example", "http://mail.example/u/x", false),
            ("https://mail.example", "https://evil.example/u/x", false),
        ] {
            assert_eq!(is_own_page(&Url::parse(base).unwrap(), to), own, "{base} {to}");
        }
    }
}
