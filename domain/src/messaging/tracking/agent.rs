//! What kind of program asks for a pixel or a link, by what it calls itself (C-81). The text itself is not kept (C-85).

text_code! {
    /// A kind of program.
    pub enum Agent {
        /// A browser, or a mail program that shows pages.
        Browser = "browser",
        /// Apple's Mail Privacy Protection, which fetches every mail's images whether anybody reads it or not.
        Mpp = "mpp",
        /// A mailbox provider's image proxy.
        Proxy = "proxy",
        /// A security product that follows links.
        Scanner = "scanner",
        /// A crawler, a preview of a chat program, a prefetch or a script.
        Bot = "bot",
        /// Something else that says what it is.
        Other = "other",
        /// It does not say.
        Missing = "missing",
    }
}

/// Counts changes of the table below.
pub const AGENTS_VERSION: u32 = 1;

/// Octets of what it calls itself that are looked at.
const LOOKED_AT: usize = 512;

/// Parts of user agents, in lower case; the first that is found decides. As of 2026-11.
const MARKS: &[(&str, Agent)] = &[
    ("googleimageproxy", Agent::Proxy),
    ("yahoomailproxy", Agent::Proxy),
    ("yahoo ad monitoring", Agent::Proxy),
    ("duckduckgo-email", Agent::Proxy),
    ("barracuda", Agent::Scanner),
    ("mimecast", Agent::Scanner),
    ("proofpoint", Agent::Scanner),
    ("symantec", Agent::Scanner),
    ("trendmicro", Agent::Scanner),
    ("fortinet", Agent::Scanner),
    ("cloudmark", Agent::Scanner),
    ("safelinks", Agent::Scanner),
    ("urldefense", Agent::Scanner),
    ("zscaler", Agent::Scanner),
    ("bingpreview", Agent::Bot),
    ("skypeuripreview", Agent::Bot),
    ("facebookexternalhit", Agent::Bot),
    ("slackbot", Agent::Bot),
    ("twitterbot", Agent::Bot),
    ("telegrambot", Agent::Bot),
    ("whatsapp", Agent::Bot),
    ("discordbot", Agent::Bot),
    ("linkedinbot", Agent::Bot),
    ("googlebot", Agent::Bot),
    ("bingbot", Agent::Bot),
    ("crawler", Agent::Bot),
    ("spider", Agent::Bot),
    ("headlesschrome", Agent::Bot),
    ("phantomjs", Agent::Bot),
    ("curl/", Agent::Bot),
    ("wget/", Agent::Bot),
    ("python", Agent::Bot),
    ("go-http-client", Agent::Bot),
    ("java/", Agent::Bot),
    ("apache-httpclient", Agent::Bot),
    ("okhttp", Agent::Bot),
    ("libwww", Agent::Bot),
    ("node-fetch", Agent::Bot),
    ("axios", Agent::Bot),
    ("mozilla/", Agent::Browser),
    ("opera/", Agent::Browser),
    ("outlook", Agent::Browser),
    ("microsoft office", Agent::Browser),
];

impl Agent {
    /// The kind of a program that calls itself so; `prefetch` when it says that nobody looks at what it gets.
    pub fn of(user_agent: Option<&str>, prefetch: bool) -> Self {
        let Some(text) = user_agent.map(str::trim).filter(|text| !text.is_empty()) else { return Self::Missing };
        if prefetch {
            return Self::Bot;
        }
        // Apple's says so much and no more.
        if text == "Mozilla/5.0" {
            return Self::Mpp;
        }
        let text: String = text.chars().take(LOOKED_AT).map(|c| c.to_ascii_lowercase()).collect();
        MARKS.iter().find(|(mark, _)| text.contains(mark)).map_or(Self::Other, |(_, agent)| *agent)
    }

    /// True of what a person may well sit behind: what is counted where nothing can be judged afterwards (C-78).
    pub fn may_be_a_person(self) -> bool {
        matches!(self, Self::Browser | Self::Proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c081_programs_are_known_by_what_they_call_themselves() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
        let google = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
        for (text, expected) in [
            (chrome, Agent::Browser),
            ("Microsoft Office/16.0 (Microsoft Outlook 16.0.1)", Agent::Browser),
            ("Mozilla/5.0", Agent::Mpp),
            (google, Agent::Proxy),
            ("YahooMailProxy; https://help.yahoo.com", Agent::Proxy),
            ("Mozilla/5.0 (compatible; Barracuda Sentinel)", Agent::Scanner),
            ("Mozilla/5.0 (compatible; bingbot/2.0)", Agent::Bot),
            ("curl/8.1", Agent::Bot),
            ("Something/1.0", Agent::Other),
            (" ", Agent::Missing),
        ] {
            assert_eq!(Agent::of(Some(text), false), expected, "{text}");
        }
        assert_eq!(Agent::of(None, false), Agent::Missing);
        assert_eq!(Agent::of(Some(chrome), true), Agent::Bot);
        assert_eq!(Agent::of(Some(&"ä".repeat(100_000)), false), Agent::Other);
        assert!(MARKS.iter().all(|(mark, _)| *mark == mark.to_ascii_lowercase()));
    }
}
