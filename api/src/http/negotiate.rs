//! Which media type an answer has: `Accept` as RFC 9110 s12.5.1 reads it, for the two types of GraphQL over HTTP.

/// The two types an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/graphql-response+json`: the status says whether the request was run.
    GraphqlResponse,
    /// `application/json`: every well-formed request is answered with 200.
    Json,
}

impl MediaType {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json",
            Self::Json => "application/json",
        }
    }

    /// The type that the header's values want most; none if they want neither. Wildcards and no header mean JSON.
    pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut header = false;
        let mut best: Option<(u32, u8, Self)> = None;
        for range in accept.into_iter().inspect(|_| header = true).flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            // What is named counts for more than a wildcard, and the newer type for more than the older.
            let (media_type, rank) = match name.as_str() {
                "application/graphql-response+json" => (Self::GraphqlResponse, 2),
                "application/json" => (Self::Json, 1),
                "application/*" | "*/*" => (Self::Json, 0),
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, quality);
            if quality > 0 && best.is_none_or(|(q, r, _)| (quality, rank) > (q, r)) {
                best = Some((quality, rank, media_type));
            }
        }
        if header { best.map(|(_, _, media_type)| media_type) } else { Some(Self::Json) }
    }
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
        let cases: [(&[&str], Option<MediaType>); 10] = [
            (&[], Some(MediaType::Json)),
            (&["*/*"], Some(MediaType::Json)),
            (&["application/*;q=0.1"], Some(MediaType::Json)),
            (&["application/json; charset=utf-8"], Some(MediaType::Json)),
            (&["application/graphql-response+json"], Some(MediaType::GraphqlResponse)),
            (&["application/json, application/graphql-response+json"], Some(MediaType::GraphqlResponse)),
            (&["application/graphql-response+json;q=0.5", "application/json"], Some(MediaType::Json)),
            (&["text/html, application/json;q=0"], None),
            (&["text/html"], None),
            (&["application/json;q=nonsense"], None),
        ];
        for (accept, expected) in cases {
            assert_eq!(MediaType::negotiate(accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
