//! Finds the links of a rendered html part and puts others in their place, and the pixel at its end.
//!
//! A tokenizer finds them, not a search for text: what stands in comments, scripts and raw text is not a link. Nothing but
//! the values is touched. Links in text parts stay as they are: people see them, and a link that is not what it says looks
//! like fraud.

use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use crate::keys::web_address;

/// A link of an html part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Where its value stands, without the quotes.
    span: std::ops::Range<usize>,
    /// The value, its entities resolved.
    pub href: String,
}

/// What was found in an html part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Its links, in their order; without those whose author wants them left alone.
    pub links: Vec<Link>,
    /// The place of one that leads somewhere on the web is not certain.
    pub missed: bool,
    /// Where the body ends, if it says so.
    body_end: Option<usize>,
}

/// The tag that is being read.
#[derive(Default)]
struct Tag {
    is_link: bool,
    attribute: Vec<u8>,
    href: Option<Link>,
    missed: bool,
    off: bool,
}

impl Found {
    /// Looks through an html part.
    pub fn find(html: &str) -> Self {
        let mut found = Self::default();
        let mut tag = Tag::default();
        let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, span: Span<usize>| {
            found.see(html, &mut tag, &event, span);
            None::<Infallible>
        });
        emitter.naively_switch_states(true);
        let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
        found
    }

    fn see(&mut self, html: &str, tag: &mut Tag, event: &CallbackEvent<'_>, span: Span<usize>) {
        match *event {
            CallbackEvent::OpenStartTag { name } => {
                *tag = Tag { is_link: matches!(name, b"a" | b"area"), ..Tag::default() };
            }
            CallbackEvent::AttributeName { name } => tag.attribute = name.to_vec(),
            CallbackEvent::AttributeValue { value } if tag.is_link => match tag.attribute.as_slice() {
                b"href" if tag.href.is_none() => {
                    tag.href = link(html, span, value);
                    tag.missed = tag.href.is_none() && std::str::from_utf8(value).ok().and_then(web_address).is_some();
                }
                b"data-carillon-track" => tag.off = value.eq_ignore_ascii_case(b"off"),
                _ => {}
            },
            CallbackEvent::CloseStartTag { .. } => {
                self.missed |= tag.missed && !tag.off;
                self.links.extend(tag.href.take().filter(|_| !tag.off));
            }
            CallbackEvent::EndTag { name } if name == b"body" => self.body_end = Some(span.start),
            _ => {}
        }
    }

    /// The html part with other values in place of some links (by their index, in order), and `pixel` at its end.
    pub fn replaced(&self, html: &str, values: &[(usize, String)], pixel: &str) -> String {
        let end = self.body_end.unwrap_or(html.len());
        let grown: usize = values.iter().map(|(_, value)| value.len()).sum();
        let mut out = String::with_capacity(html.len() + grown + pixel.len());
        let mut copied = 0;
        let mut pixel = Some(pixel);
        for (index, value) in values {
            let Some(link) = self.links.get(*index) else { continue };
            if end <= link.span.start && copied <= end {
                out.push_str(&html[copied..end]);
                out.push_str(pixel.take().unwrap_or_default());
                copied = end;
            }
            out.push_str(&html[copied..link.span.start]);
            escape(value, &mut out);
            copied = link.span.end;
        }
        if let Some(pixel) = pixel {
            out.push_str(&html[copied..end]);
            out.push_str(pixel);
            copied = end;
        }
        out.push_str(&html[copied..]);
        out
    }
}

/// A value whose place is certain: what stands there is what was read, or reads the same in the quotes it stands in.
fn link(html: &str, span: Span<usize>, value: &[u8]) -> Option<Link> {
    let raw = html.get(span.start..span.end)?;
    let href = std::str::from_utf8(value).ok()?;
    let quote = html[..span.start].chars().next_back().filter(|before| matches!(before, '"' | '\''));
    let certain = raw == href || (raw.contains('&') && reads_as(raw, quote, value));
    certain.then(|| Link { span: span.start..span.end, href: href.to_owned() })
}

fn reads_as(raw: &str, quote: Option<char>, value: &[u8]) -> bool {
    let ends_early = |c: char| quote.map_or(c == '>' || c.is_ascii_whitespace(), |quote| c == quote);
    if raw.contains(ends_early) {
        return false;
    }
    let quote = quote.map(String::from).unwrap_or_default();
    let mut read = None;
    let emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<usize>| {
        if let CallbackEvent::AttributeValue { value } = event {
            read = Some(value.to_vec());
        }
        None::<Infallible>
    });
    let Ok(()) = Tokenizer::new_with_emitter(&format!("<a href={quote}{raw}{quote}>"), emitter).finish();
    read.as_deref() == Some(value)
}

/// Writes a value so that it stands in any kind of quotes.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hrefs(html: &str) -> Vec<String> {
        Found::find(html).links.into_iter().map(|link| link.href).collect()
    }

    fn all(html: &str) -> String {
        let found = Found::find(html);
        let values: Vec<_> = (0..found.links.len()).map(|index| (index, format!("https://t/{index}?a&b"))).collect();
        found.replaced(html, &values, "[pixel]")
    }

    #[test]
    fn links_are_found_however_they_are_written() {
        let html = "<A HREF='https://a.example/'>a</A><a class=x href=https://b.example/?x=1&amp;y=2>b</a>\
                    <area alt=\"\" href = \"https://c.example/\"/><a name=d>d</a><a href>e</a><a href=''>f</a>";
        assert_eq!(hrefs(html), ["https://a.example/", "https://b.example/?x=1&y=2", "https://c.example/"]);
    }

    #[test]
    fn what_is_no_link_is_left_alone() {
        let html = "<!-- <a href=\"https://a.example/\"> --><style>a[href=\"https://b.example/\"]{}</style>\
                    <p title='<a href=\"https://c.example/\">'>&lt;a href=\"https://d.example/\"&gt;</p>\
                    <img src=\"https://e.example/\"><link href=\"https://f.example/\">\
                    <a data-carillon-track=\"OFF\" href=\"https://g.example/\">g</a>";
        assert!(hrefs(html).is_empty());
        assert_eq!(all(html), format!("{html}[pixel]"));
    }

    #[test]
    fn values_are_put_in_their_places_and_nothing_else_changes() {
        assert_eq!(
            all("<body>ä<a href=\"https://a.example/\" id=x>a</a><a href='https://b.example/'>b</a></body><!-- z -->"),
            "<body>ä<a href=\"https://t/0?a&amp;b\" id=x>a</a><a href='https://t/1?a&amp;b'>b</a>[pixel]</body><!-- z -->"
        );
        assert_eq!(all("</body><a href=https://a.example/>a"), "[pixel]</body><a href=https://t/0?a&amp;b>a");
        assert_eq!(all(""), "[pixel]");
    }

    #[test]
    fn a_quotation_mark_in_a_link_is_part_of_it() {
        for (html, href) in [
            ("<a href=\"https://a.example/?q='x'\">", "https://a.example/?q='x'"),
            ("<a href='https://a.example/?q=\"x\"&amp;r=1'>", "https://a.example/?q=\"x\"&r=1"),
            ("<a href=https://a.example/?q='x'&amp;r=<1>", "https://a.example/?q='x'&r=<1"),
            ("<a href=\"https://a.example/?q=&quot;x&#39;\">", "https://a.example/?q=\"x'"),
            ("<a href=\"mailto:o'neil@a.example\">", "mailto:o'neil@a.example"),
        ] {
            assert!(!Found::find(html).missed, "{html}");
            assert_eq!(hrefs(html), [href], "{html}");
            assert_eq!(hrefs(&all(html)), ["https://t/0?a&b"], "{html}");
        }
    }

    #[test]
    fn a_place_where_something_else_stands_is_not_certain() {
        let span = |start, end| Span { start, end };
        let html = "<a href=\"https://a.example/?a&amp;b\" id=\"c\">";
        assert!(link(html, span(9, 35), b"https://a.example/?a&b").is_some());
        for (start, end) in [(8, 35), (9, 34), (9, 36), (9, 41), (10, 35), (9, 99)] {
            assert_eq!(link(html, span(start, end), b"https://a.example/?a&b"), None, "{start} to {end}");
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_all_but_the_values(parts in prop::collection::vec("(<a href=\"h\">|<a href='x&y'>|<a href=z>|</body>|<|>|\"|'|=| |ä|href|<a|<!--|-->|\\PC)", 0..40)) {
            let html = parts.concat();
            let found = Found::find(&html);
            prop_assert_eq!(found.replaced(&html, &[], ""), html.clone());
            // Each value is replaced by what it was: then nothing changes but its spelling.
            let values: Vec<_> = found.links.iter().enumerate().map(|(index, link)| (index, link.href.clone())).collect();
            let again = Found::find(&found.replaced(&html, &values, ""));
            let hrefs = |found: &Found| found.links.iter().map(|link| link.href.clone()).collect::<Vec<_>>();
            prop_assert_eq!(hrefs(&again), hrefs(&found));
        }
    }
}
