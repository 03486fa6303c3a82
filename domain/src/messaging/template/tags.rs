//! Template tags kept safe while html is taken apart and put together again.
//!
//! To a reader of html a tag such as `{% if a < b %}` is text with a stray `<`. [`Guard`] puts plain words in the place of
//! tags; between elements, where text may not stand everywhere, the words wait in comments. Afterwards every tag is put
//! back where its word is, and what then reads as a tag without having been one is written as text.

use std::collections::BTreeSet;
use std::ops::Range;

use html5gum::Token;
use minijinja::machinery::{Token as Tag, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::html::{RAW_TEXT, line_at, text, tokens};
use super::{PROBLEMS, Part, TemplateProblem};

/// What starts a tag.
const STARTS: [&str; 3] = ["{{", "{%", "{#"];

/// The places of a source's tags: all that is not plain text, so that what lies side by side is one place.
fn tags(source: &str) -> Vec<Range<usize>> {
    let mut tags = Vec::new();
    let mut end = 0;
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        let (from, to) = (offset(span.start_offset), offset(span.end_offset));
        let Some(plain) = source.get(from..to) else { continue };
        // A raw block's text belongs to its tags: elsewhere it would start some.
        if matches!(token, Tag::TemplateData(_)) && !STARTS.iter().any(|start| plain.contains(start)) {
            tags.push(end..from);
            end = to;
        }
    }
    tags.push(end..source.len());
    tags.retain(|tag| source.get(tag.clone()).is_some_and(|tag| tag.contains('{')));
    tags
}

/// A place in a source, as the engine counts it.
pub(super) fn offset(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// What nothing in a source starts with.
fn prefix(source: &str) -> String {
    const START: &str = "tpl";
    let lower = source.to_ascii_lowercase();
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let taken: BTreeSet<usize> =
        lower.match_indices(START).filter_map(|(place, _)| number(&lower[place + START.len()..])).collect();
    let free = (0..=taken.len()).find(|n| !taken.contains(n)).unwrap_or(taken.len());
    format!("{START}{free}x")
}

/// The tags of a source, and words that stand for them.
pub(super) struct Guard {
    /// What every word starts with; nothing in the source holds it.
    prefix: String,
    tags: Vec<String>,
}

impl Guard {
    /// The source with words in the place of tags.
    pub(super) fn of(source: &str) -> (Self, String) {
        let prefix = prefix(source);
        let mut guard = Self { prefix, tags: Vec::new() };
        let (mut plain, mut end) = (String::with_capacity(source.len()), 0);
        for tag in tags(source) {
            plain.push_str(&source[end..tag.start]);
            plain.push_str(&guard.word(guard.tags.len()));
            guard.tags.push(source[tag.clone()].to_owned());
            end = tag.end;
        }
        plain.push_str(&source[end..]);
        (guard, plain)
    }

    fn word(&self, tag: usize) -> String {
        format!("{}{tag}x", self.prefix)
    }

    /// Whether a word holds only statements, which leave nothing in the mail where they stand.
    pub(super) fn is_statement(&self, tag: usize) -> bool {
        self.tags.get(tag).is_some_and(|tag| !tag.contains("{{"))
    }

    /// The words in a text with their places, in order.
    pub(super) fn words<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
        text.match_indices(&self.prefix).filter_map(move |(start, prefix)| {
            let digits = start + prefix.len();
            let length = text[digits..].find('x')?;
            let tag = text[digits..digits + length].parse().ok().filter(|tag| *tag < self.tags.len())?;
            Some((tag, start..digits + length + 1))
        })
    }

    /// Puts the words between elements into comments, and says which those are; a word inside a tag must stand in a
    /// value, for nothing else there comes back as it was.
    pub(super) fn comment(&self, plain: &str) -> Result<(String, Vec<usize>), Vec<TemplateProblem>> {
        let (mut out, mut order, mut problems) = (String::with_capacity(plain.len()), Vec::new(), Vec::new());
        let (mut end, mut is_raw) = (0, false);
        for token in tokens(plain) {
            let (span, raw) = match token {
                Token::StartTag(tag) => {
                    let names = std::iter::once(&tag.name).chain(tag.attributes.keys());
                    if problems.len() < PROBLEMS && names.into_iter().any(|name| text(name).contains(&self.prefix)) {
                        let message = "Next to a style sheet or in MJML, a tag inside an element's tag must stand in a quoted value.";
                        let line = self.line(plain, tag.span.start);
                        problems.push(TemplateProblem::new("TEMPLATE_PLACE", Part::Html, line, message));
                    }
                    let raw = RAW_TEXT.contains(&&*text(&tag.name)) && !tag.self_closing;
                    (tag.span, raw)
                }
                Token::EndTag(tag) => (tag.span, false),
                Token::Comment(comment) => (comment.span, is_raw),
                Token::Doctype(doctype) => (doctype.span, is_raw),
                Token::String(_) | Token::Error(_) => continue,
            };
            self.comment_text(plain, end..span.start, is_raw, (&mut out, &mut order));
            out.push_str(plain.get(span.start.max(end)..span.end).unwrap_or_default());
            (end, is_raw) = (span.end.max(end), raw);
        }
        self.comment_text(plain, end..plain.len(), is_raw, (&mut out, &mut order));
        if problems.is_empty() { Ok((out, order)) } else { Err(problems) }
    }

    fn comment_text(&self, plain: &str, range: Range<usize>, is_raw: bool, into: (&mut String, &mut Vec<usize>)) {
        let (out, order) = into;
        let text = plain.get(range).unwrap_or_default();
        if is_raw {
            out.push_str(text);
            return;
        }
        let mut end = 0;
        for (tag, word) in self.words(text) {
            out.push_str(&text[end..word.start]);
            out.push_str(&self.commented(tag));
            order.push(tag);
            end = word.end;
        }
        out.push_str(&text[end..]);
    }

    fn commented(&self, tag: usize) -> String {
        format!("<!--{}-->", self.word(tag))
    }

    /// Whether the words that stood in comments still do, each once and in their order: else a loop has lost its end, or
    /// a condition surrounds something else than it did.
    pub(super) fn keeps_order(&self, html: &str, order: &[usize]) -> bool {
        let expected: BTreeSet<usize> = order.iter().copied().collect();
        let found = self.words(html).filter(|(tag, place)| {
            expected.contains(tag) && html[..place.start].ends_with("<!--") && html[place.end..].starts_with("-->")
        });
        found.map(|(tag, _)| tag).eq(order.iter().copied())
    }

    /// Html with every tag back in its place.
    pub(super) fn restore_html(&self, html: &str) -> String {
        let html = html.replace("{{", "&#123;&#123;").replace("{%", "&#123;%").replace("{#", "&#123;#");
        self.restore(&html, true)
    }

    /// Text with every tag back in its place.
    pub(super) fn restore_text(&self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(place) = STARTS.iter().filter_map(|start| rest.find(start)).min() {
            escaped.push_str(&rest[..place]);
            escaped.push_str("{{ \"");
            escaped.push_str(&rest[place..place + 2]);
            escaped.push_str("\" }}");
            rest = &rest[place + 2..];
        }
        escaped.push_str(rest);
        self.restore(&escaped, false)
    }

    fn restore(&self, guarded: &str, comments: bool) -> String {
        let (mut out, mut end) = (String::with_capacity(guarded.len()), 0);
        for (tag, word) in self.words(guarded) {
            out.push_str(&guarded[end..word.start]);
            end = word.end;
            if comments && out.ends_with("<!--") && guarded[end..].starts_with("-->") {
                out.truncate(out.len() - "<!--".len());
                end += "-->".len();
            }
            out.push_str(&self.tags[tag]);
        }
        out.push_str(&guarded[end..]);
        out
    }

    /// The line in the source of a place in what stands for it.
    pub(super) fn line(&self, guarded: &str, place: usize) -> Option<u32> {
        let before = self.restore(guarded.get(..place)?, true);
        line_at(&before, before.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_where_they_were() {
        for source in [
            "<p class=\"{{ a }}\">{% if a < b %}x{% endif %}{{ '<b>' }}</p>",
            "{% raw %}{{ x }}{% endraw %} a {#- c -#} b tpl0x1x {{ d }}\n",
            "plain { text } }}",
            "{{ a }}{{ b }}",
        ] {
            let (guard, plain) = Guard::of(source);
            assert!(!plain.contains("{{") && !plain.contains("{%"), "{plain}");
            assert_eq!(guard.restore_text(&plain), source);
            let (commented, order) = guard.comment(&plain).expect("in their places");
            assert!(guard.keeps_order(&commented, &order));
            assert_eq!(guard.restore_html(&commented), source);
        }
    }

    #[test]
    fn what_was_no_tag_becomes_none() {
        let (guard, _) = Guard::of("x");
        assert_eq!(guard.restore_html("a {{ b }} {% c"), "a &#123;&#123; b }} &#123;% c");
        assert_eq!(guard.restore_text("a {{ b }}"), "a {{ \"{{\" }} b }}");
    }
}
