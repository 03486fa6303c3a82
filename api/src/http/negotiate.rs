//! Which media type an answer has: `Accept` as RFC 9110 s12.5.1 reads it, for the types of GraphQL over HTTP; and by which
//! edition's rules its status is chosen, which `Prefer` says (RFC 7240).

/// The types an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/graphql-response+json`: the status says whether the request was run.
    GraphqlResponse,
    /// The same type with the status codes of the edition of September 2026: 294 for what was run and has errors, 422 for
    /// what can be read and not be run.
    StrictResponse,
    /// `application/json`: every well-formed request is answered with 200.
    Json,
    /// `text/event-stream`: the same, and every answer is an event.
    EventStream,
}

impl MediaType {
    /// As the header has it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse | Self::StrictResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
        }
    }

    /// The type of what is no answer of GraphQL's.
    pub const fn of_problems(self) -> &'static str {
        match self {
            Self::GraphqlResponse | Self::StrictResponse => "application/graphql-response+json",
            Self::Json | Self::EventStream => "application/json",
        }
    }
}

/// What a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// For one answer.
    pub answer: MediaType,
    /// Whether it takes events, for the answers of a subscription.
    pub events: bool,
}

impl Accepted {
    /// What the header's values want most; none if they want nothing of it. Wildcards and no header mean JSON.
    pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut header = false;
        let mut best: Option<(u32, u8, MediaType)> = None;
        let mut events = false;
        for range in accept.into_iter().inspect(|_| header = true).flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            // What is named counts for more than a wildcard, and the newer type for more than the older.
            let (media_type, rank) = match name.as_str() {
                "application/graphql-response+json" => (MediaType::GraphqlResponse, 3),
                "application/json" => (MediaType::Json, 2),
                "text/event-stream" => (MediaType::EventStream, 1),
                "application/*" | "*/*" => (MediaType::Json, 0),
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, quality);
            events |= quality > 0 && media_type == MediaType::EventStream;
            if quality > 0 && best.is_none_or(|(q, r, _)| (quality, rank) > (q, r)) {
                best = Some((quality, rank, media_type));
            }
        }
        match best {
            Some((_, _, answer)) => Some(Self { answer, events }),
            None => (!header).then_some(Self { answer: MediaType::Json, events: false }),
        }
    }

    /// As the values of `Prefer` want errors handled. They say something of the newer type alone: the older one's status is
    /// for whoever stands between, and the codes are GraphQL's own.
    #[must_use]
    pub fn preferring<'a>(self, prefer: impl IntoIterator<Item = &'a str>) -> Self {
        let is_strict = self.answer == MediaType::GraphqlResponse && is_strict(prefer);
        Self { answer: if is_strict { MediaType::StrictResponse } else { self.answer }, ..self }
    }
}

/// True for `handling=strict` (RFC 7240 s4.4). Of what is said twice the first counts (s2).
fn is_strict<'a>(prefer: impl IntoIterator<Item = &'a str>) -> bool {
    let mut preferences = prefer.into_iter().flat_map(|value| value.split(','));
    let handling = preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("handling").then(|| value.trim().trim_matches('"'))
    });
    handling.is_some_and(|handling| handling.eq_ignore_ascii_case("strict"))
}

/// A quality in thousandths; nonsense counts as not wanted.
fn quality(text: &str) -> u32 {
    let quality = text.trim().parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    quality.map_or(0, |quality| (quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_that_is_wanted_most_is_given() {
        let cases: [(&[&str], Option<MediaType>); 12] = [
            (&[], Some(MediaType::Json)),
            (&["*/*"], Some(MediaType::Json)),
            (&["application/*;q=0.1"], Some(MediaType::Json)),
            (&["application/json; charset=utf-8"], Some(MediaType::Json)),
            (&["application/graphql-response+json"], Some(MediaType::GraphqlResponse)),
            (&["application/json, application/graphql-response+json"], Some(MediaType::GraphqlResponse)),
            (&["application/graphql-response+json;q=0.5", "application/json"], Some(MediaType::Json)),
            (&["text/event-stream"], Some(MediaType::EventStream)),
            (&["text/event-stream, application/json"], Some(MediaType::Json)),
            (&["text/html, application/json;q=0"], None),
            (&["text/html"], None),
            (&["application/json;q=nonsense"], None),
        ];
        for (accept, expected) in cases {
            let accepted = Accepted::negotiate(accept.iter().copied());
            assert_eq!(accepted.map(|accepted| accepted.answer), expected, "{accept:?}");
        }
    }

    #[test]
    fn strict_handling_is_for_who_prefers_it_with_the_newer_type() {
        let answer = |accept: &str, prefer: &[&str]| {
            Accepted::negotiate([accept]).map(|accepted| accepted.preferring(prefer.iter().copied()).answer)
        };
        let new = "application/graphql-response+json";
        let strict: [&[&str]; 3] =
            [&["handling=strict"], &["wait=5, Handling = \"strict\"; x=1"], &["respond-async", "handling=strict"]];
        for strict in strict {
            assert_eq!(answer(new, strict), Some(MediaType::StrictResponse), "{strict:?}");
            assert_eq!(answer("application/json", strict), Some(MediaType::Json), "{strict:?}");
            assert_eq!(answer("text/event-stream", strict), Some(MediaType::EventStream), "{strict:?}");
        }
        let others: [&[&str]; 5] =
            [&[], &["handling"], &["handling=lenient, handling=strict"], &["strict"], &["x; handling=strict"]];
        for other in others {
            assert_eq!(answer(new, other), Some(MediaType::GraphqlResponse), "{other:?}");
        }
    }

    #[test]
    fn events_are_for_who_names_them() {
        let events = |accept: &str| Accepted::negotiate([accept]).is_some_and(|accepted| accepted.events);
        for named in ["text/event-stream", "application/json, text/event-stream;q=0.1", "*/*, TEXT/EVENT-STREAM"] {
            assert!(events(named), "{named}");
        }
        for not in ["*/*", "text/*", "application/json", "text/event-stream;q=0, application/json"] {
            assert!(!events(not), "{not}");
        }
    }
}
