//! The text part of a mail, made of its html when nobody wrote one (C-31).
//!
//! Tags are read one after another and never moved, so loops and conditions keep around them what they had; links keep
//! their address, and with it the way out (C-15).

use html5gum::{StartTag, Token};

use super::html::{RAW_TEXT, VOID, text, tokens};
use super::style::Style;
use super::tags::Guard;

/// Elements that stand apart from what is around them.
const APART: &[&str] = &["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"];
/// Elements that start a line.
const LINES: &[&str] = &["article", "div", "footer", "header", "li", "main", "section", "tr"];

/// The text of an html part.
pub(super) fn of_html(html: &str) -> String {
    let (guard, plain) = Guard::of(html);
    let mut page =
        Page { guard: &guard, out: String::new(), breaks: 0, space: false, links: Vec::new(), unseen: Vec::new() };
    for token in tokens(&plain) {
        match token {
            Token::StartTag(tag) => page.start(&tag),
            Token::EndTag(tag) => page.end(&text(&tag.name)),
            Token::String(part) => page.text(&text(&part.value)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    guard.restore_text(page.out.trim())
}

struct Page<'a> {
    guard: &'a Guard,
    out: String,
    /// Line breaks that are due before the next word.
    breaks: usize,
    /// A space is due before the next word.
    space: bool,
    /// Addresses of open links, with where their text starts.
    links: Vec<(String, usize)>,
    /// Elements within one that nobody sees, outermost first.
    unseen: Vec<String>,
}

impl Page<'_> {
    fn start(&mut self, tag: &StartTag<usize>) {
        let name = text(&tag.name);
        let attribute = |name: &str| tag.attributes.get(name.as_bytes()).map(|value| text(&value.value));
        let hides = || Style::parse(&attribute("style").unwrap_or_default()).hides || attribute("hidden").is_some();
        let is_void = VOID.contains(&&*name);
        if !self.unseen.is_empty() || (!is_void && (RAW_TEXT.contains(&&*name) || name == "head" || hides())) {
            if !is_void {
                self.unseen.push(name);
            }
            return;
        }
        self.part(&name);
        match &*name {
            "br" => self.breaks = self.breaks.max(1),
            "hr" => {
                self.word("---");
                self.breaks = 2;
            }
            "li" => {
                self.word("-");
                self.space = true;
            }
            "td" | "th" => self.space = true,
            "img" => self.text(&attribute("alt").unwrap_or_default()),
            "a" => self.links.push((attribute("href").unwrap_or_default(), self.out.len())),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if !self.unseen.is_empty() {
            if let Some(place) = self.unseen.iter().rposition(|open| open == name) {
                self.unseen.truncate(place);
            }
            return;
        }
        self.part(name);
        if name == "a"
            && let Some((address, start)) = self.links.pop()
        {
            let address = address.trim();
            let address = address.strip_prefix("mailto:").unwrap_or(address);
            let shown = self.out.get(start..).unwrap_or_default().trim();
            if !address.is_empty() && !address.starts_with('#') && shown != address {
                self.space = true;
                // Brackets of their own tell mail programs where an address ends (RFC 3986 appendix C).
                self.word(&format!("<{address}>"));
            }
        }
    }

    fn part(&mut self, name: &str) {
        let breaks = usize::from(LINES.contains(&name)) + 2 * usize::from(APART.contains(&name));
        self.breaks = self.breaks.max(breaks);
    }

    fn text(&mut self, text: &str) {
        if !self.unseen.is_empty() {
            return;
        }
        let mut end = 0;
        for (tag, word) in self.guard.words(text) {
            self.words(&text[end..word.start]);
            if self.guard.is_statement(tag) {
                // It writes nothing: what is due, is due before the next word, wherever a branch leads.
                self.out.push_str(&text[word.clone()]);
            } else {
                self.word(&text[word.clone()]);
            }
            end = word.end;
        }
        self.words(&text[end..]);
    }

    fn words(&mut self, text: &str) {
        self.space |= text.starts_with(char::is_whitespace);
        for (place, word) in text.split_whitespace().enumerate() {
            self.space |= place > 0;
            self.word(word);
        }
        self.space |= text.ends_with(char::is_whitespace);
    }

    fn word(&mut self, word: &str) {
        if self.breaks > 0 {
            self.out.extend(std::iter::repeat_n('\n', self.breaks));
        } else if self.space && !self.out.is_empty() {
            self.out.push(' ');
        }
        (self.breaks, self.space) = (0, false);
        self.out.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_read_as_text() {
        for (html, expected) in [
            ("<head><title>x</title><style>p{}</style></head><p>a  b\n c</p><p>d<br>e</p>", "a b c\n\nd\ne"),
            ("<a href=\"{{ unsubscribe_url }}\">Abmelden</a>", "Abmelden <{{ unsubscribe_url }}>"),
            (
                "<a href=\"https://a.example/?x=1&amp;y=2\"><img src=\"b\" alt=\"Logo\"></a>",
                "Logo <https://a.example/?x=1&y=2>",
            ),
            ("<a href=\"mailto:a@b.example\">a@b.example</a>, <b>x</b>y", "a@b.example, xy"),
            (
                "<ul>{% for i in vars.l %}<li>{{ i.a }}: {{ i.b }}</li>{% endfor %}</ul>z",
                "{% for i in vars.l %}\n\n- {{ i.a }}: {{ i.b }}{% endfor %}\n\nz",
            ),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<div style=\"display:none\">pre <b>x</b></div><h1>T</h1>t", "T\n\nt"),
            ("a {% if x < y %}b{% endif %} c", "a{% if x < y %} b{% endif %} c"),
            ("&#123;&#123; 7*7 }} &lt;b&gt;", "{{ \"{{\" }} 7*7 }} <b>"),
            ("{% raw %}{{ x }}{% endraw %}", "{% raw %}{{ x }}{% endraw %}"),
        ] {
            assert_eq!(of_html(html), expected, "{html}");
        }
    }
}
