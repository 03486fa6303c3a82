//! Which language version of a template a person gets.
//!
//! Whatever somebody wants, there is an answer as long as there is a version: the nearest in their own language, then the
//! nearest in the tenant's, then any, always the same.

/// The version to use of those in `available` (tags, such as `de-AT`): for the locale that is wanted, else for the
/// tenant's own, the same tag, a shorter one (`de-AT`, `de`), another region of the same language; else the first by name.
/// `None` only where nothing is available.
pub fn choose_locale(wanted: Option<&str>, default: &str, available: &[&str]) -> Option<usize> {
    let nearest = |tag: &str| exact_or_shorter(tag, available).or_else(|| same_language(tag, available));
    wanted.and_then(nearest).or_else(|| nearest(default)).or_else(|| first(available, |_| true))
}

/// RFC 4647 s3.4: the tag itself, then what is left of it as its last subtags are cut.
fn exact_or_shorter(tag: &str, available: &[&str]) -> Option<usize> {
    let mut tag = tag;
    loop {
        if let Some(found) = first(available, |one| one.eq_ignore_ascii_case(tag)) {
            return Some(found);
        }
        tag = tag.rsplit_once('-')?.0;
    }
}

fn same_language(tag: &str, available: &[&str]) -> Option<usize> {
    first(available, |one| language(one).eq_ignore_ascii_case(language(tag)))
}

fn language(tag: &str) -> &str {
    tag.split('-').next().unwrap_or_default()
}

/// The first by name, so that the order in which versions are read does not matter.
fn first(available: &[&str], fits: impl Fn(&str) -> bool) -> Option<usize> {
    let fitting = available.iter().enumerate().filter(|(_, tag)| fits(tag));
    fitting.min_by_key(|(_, tag)| tag.to_ascii_lowercase()).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen<'a>(wanted: Option<&str>, default: &str, available: &[&'a str]) -> Option<&'a str> {
        choose_locale(wanted, default, available).map(|place| available[place])
    }

    #[test]
    fn the_nearest_version_is_chosen() {
        let all = ["en-GB", "de-CH", "de", "de-AT", "fr-CA", "fr-BE", "zh-Hant"];
        for (wanted, expected) in [
            (Some("de-AT"), "de-AT"),
            (Some("DE-at"), "de-AT"),
            (Some("de-LU"), "de"),
            (Some("zh-Hant-TW"), "zh-Hant"),
            (Some("fr"), "fr-BE"),
            (Some("fr-FR"), "fr-BE"),
            (Some("it"), "en-GB"),
            (None, "en-GB"),
        ] {
            assert_eq!(chosen(wanted, "en-US", &all), Some(expected), "{wanted:?}");
        }
        assert_eq!(chosen(Some("it"), "es", &all), Some("de"));
        assert_eq!(chosen(Some("de"), "de", &[]), None);
    }

    fn tag() -> impl Strategy<Value = String> {
        "(de|en|fr)(-(Latn|Cyrl))?(-(AT|CH|GB))?"
    }

    proptest! {
        #[test]
        fn the_choice_is_total_and_blind_to_order(
            wanted in proptest::option::of(tag()),
            default in tag(),
            available in proptest::collection::vec(tag(), 0..8),
            turn in 0_usize..8,
        ) {
            let tags: Vec<&str> = available.iter().map(String::as_str).collect();
            let mut turned = tags.clone();
            turned.rotate_left(turn.min(tags.len()));
            let choice = chosen(wanted.as_deref(), &default, &tags);
            prop_assert_eq!(choice, chosen(wanted.as_deref(), &default, &turned));
            prop_assert_eq!(choice.is_some(), !tags.is_empty());
            for own in wanted.iter().chain(wanted.is_none().then_some(&default)) {
                if tags.contains(&own.as_str()) {
                    prop_assert_eq!(choice, Some(own.as_str()));
                }
                if tags.iter().any(|one| language(one) == language(own)) {
                    prop_assert_eq!(choice.map(language), Some(language(own)));
                }
            }
        }
    }
}
