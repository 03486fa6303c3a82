//! What the html part must and must not have: a way out that people can see (C-15), no scripts (C-229).
//!
//! The checks read tags and inline styles, as mail programs do; they find careless and simple tricks, not every one.

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::style::{Color, Style};
use super::{PROBLEMS, Part, TemplateProblem, UNSUBSCRIBE_URL, links};

/// Attributes whose value is followed as an address.
const LINKS: &[&str] = &["href", "src", "action", "formaction", "background", "xlink:href", "poster", "data"];
/// Elements that have no end tag.
pub(super) const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements whose inside is text, whatever it looks like.
pub(super) const RAW_TEXT: &[&str] = &["title", "style", "mj-title", "mj-preview", "mj-style"];
/// Elements whose `href` a reader follows.
const FOLLOWED: &[&str] = &["a", "area", "mj-button", "mj-image"];
/// Elements whose text nobody sees.
const UNSEEN: &[&str] = &["head", "title", "style", "script", "template", "noscript"];

/// Elements within each other, so that looking for the one that an end tag closes stays cheap.
const OPEN_MAX: usize = 1_000;

/// What was found in a template's html.
pub(super) struct Findings {
    /// What must not be there.
    pub problems: Vec<TemplateProblem>,
    /// Whether there is a visible link to the way out.
    pub unsubscribe: Result<(), TemplateProblem>,
    /// Whether an address comes from data from its first character on.
    pub dynamic_links: bool,
}

/// Looks at the source of an html part.
pub(super) fn inspect(source: &str) -> Findings {
    let mut scan = Scan::default();
    for token in tokens(source) {
        match token {
            Token::StartTag(tag) => scan.start(source, &tag),
            Token::EndTag(tag) => scan.end(&text(&tag.name)),
            Token::String(part) => scan.text(&text(&part.value)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    scan.finish()
}

/// Whether a link of rendered html runs a script or leads where mail programs do not follow.
pub(super) fn leads_astray(html: &str) -> bool {
    tokens(html).any(|token| match token {
        Token::StartTag(tag) => {
            script_in(&tag).is_some() || followed(&tag).is_some_and(|href| links::leads_astray(&href))
        }
        _ => false,
    })
}

/// The address that a reader follows from here.
fn followed(tag: &StartTag<usize>) -> Option<String> {
    let is_link = FOLLOWED.contains(&&*text(&tag.name));
    tag.attributes.get(&b"href"[..]).filter(|_| is_link).map(|href| text(&href.value))
}

pub(super) fn tokens(html: &str) -> impl Iterator<Item = Token<usize>> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).map(|token| match token {
        Ok(token) => token,
        Err(never) => match never {},
    })
}

pub(super) fn text(bytes: &HtmlString) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What about a tag runs a script.
fn script_in(tag: &StartTag<usize>) -> Option<&'static str> {
    if matches!(&tag.name.0[..], b"script" | b"iframe" | b"object" | b"embed") {
        return Some("Scripts and embedded pages are not allowed in mail.");
    }
    for (name, value) in &tag.attributes {
        let (name, value) = (text(name), text(&value.value));
        if name.starts_with("on") && name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Some("Event attributes such as onclick are not allowed in mail.");
        }
        if LINKS.contains(&&*name) && is_script_url(&value) {
            return Some("Links that run a script are not allowed in mail.");
        }
    }
    None
}

/// The line of a place in the source, from 1.
pub(super) fn line_at(source: &str, place: usize) -> Option<u32> {
    u32::try_from(source.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1).ok()
}

/// Browsers skip white space and controls in a scheme.
fn is_script_url(url: &str) -> bool {
    let start: String =
        url.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(12).flat_map(char::to_lowercase).collect();
    start.starts_with("javascript:") || start.starts_with("vbscript:") || start.starts_with("data:text")
}

/// An element that is open.
struct Open {
    name: String,
    hidden: bool,
    tiny: bool,
    color: Color,
    background: Color,
    /// The way out leads from here.
    is_way_out: bool,
}

#[derive(Default)]
struct Scan {
    open: Vec<Open>,
    problems: Vec<TemplateProblem>,
    dynamic_links: bool,
    /// A link to the way out was there at all.
    linked: bool,
    /// And one of them had text that can be seen.
    visible: bool,
}

impl Scan {
    fn start(&mut self, source: &str, tag: &StartTag<usize>) {
        let script = script_in(tag).map(|message| ("TEMPLATE_SCRIPT", message));
        let misplaced = misplaced_expression(source, tag).map(|message| ("TEMPLATE_FORBIDDEN", message));
        let too_deep = (self.open.len() >= OPEN_MAX)
            .then_some(("TEMPLATE_TOO_COMPLEX", "Too many elements lie within each other; close those that end."));
        let astray = followed(tag).filter(|_| script.is_none()).and_then(|href| links::problem(&href));
        let astray = astray.map(|message| ("TEMPLATE_LINK", message));
        for (code, message) in [script, misplaced, astray, too_deep].into_iter().flatten() {
            if self.problems.len() < PROBLEMS {
                let line = line_at(source, tag.span.start);
                self.problems.push(TemplateProblem::new(code, Part::Html, line, message));
            }
        }
        let attribute = |name: &str| tag.attributes.get(name.as_bytes()).map(|value| text(&value.value));
        for address in LINKS.iter().filter_map(|name| attribute(name)) {
            let address = address.trim_start();
            let from_data = address.starts_with("{%") || address.starts_with("{{");
            self.dynamic_links |= from_data && !is_way_out(address);
        }
        let name = text(&tag.name);
        let is_way_out = name == "a" && attribute("href").is_some_and(|href| is_way_out(&href));
        self.linked |= is_way_out;
        let is_closed = VOID.contains(&&*name) || (tag.self_closing && name.starts_with("mj-"));
        if is_closed || self.open.len() >= OPEN_MAX {
            return;
        }
        let parent = self.open.last();
        let style = Style::parse(&attribute("style").unwrap_or_default());
        let background = style.background.or_else(|| attribute("bgcolor").map(|color| Color::parse(&color)));
        let color = style.color.or_else(|| attribute("color").map(|color| Color::parse(&color)));
        let hidden = style.hides || UNSEEN.contains(&&*name) || tag.attributes.contains_key(&b"hidden"[..]);
        let open = Open {
            tiny: style.tiny.unwrap_or_else(|| parent.is_some_and(|parent| parent.tiny)),
            hidden: hidden || parent.is_some_and(|parent| parent.hidden),
            color: color.or_else(|| parent.map(|parent| parent.color.clone())).unwrap_or(Color::Rgb(0, 0, 0)),
            background: background
                .filter(|background| *background != Color::Clear)
                .or_else(|| parent.map(|parent| parent.background.clone()))
                .unwrap_or(Color::WHITE),
            is_way_out: is_way_out || parent.is_some_and(|parent| parent.is_way_out),
            name,
        };
        self.open.push(open);
    }

    fn end(&mut self, name: &str) {
        if let Some(i) = self.open.iter().rposition(|open| open.name == name) {
            self.open.truncate(i);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = self.open.last()
            && open.is_way_out
            && !open.hidden
            && !open.tiny
            && open.color.shows_on(&open.background)
            && text
                .contains(|c: char| !c.is_whitespace() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}'))
        {
            self.visible = true;
        }
    }

    fn finish(self) -> Findings {
        let unsubscribe = if self.visible {
            Ok(())
        } else if self.linked {
            Err("The unsubscribe link needs text that people can see: not hidden, not in the colour of its background, not only a picture.")
        } else {
            Err("Marketing mail needs a link: <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>.")
        }
        .map_err(|message| TemplateProblem::new("TEMPLATE_UNSUBSCRIBE", Part::Html, None, message));
        Findings { problems: self.problems, unsubscribe, dynamic_links: self.dynamic_links }
    }
}

/// Whether an address is the way out and nothing else.
fn is_way_out(address: &str) -> bool {
    let inside = address.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inside.is_some_and(|inside| inside.trim_matches(['-', ' ']) == UNSUBSCRIBE_URL)
}

/// Escaping guards text and quoted values; anywhere else in a tag a space in the data would start an attribute.
fn misplaced_expression(source: &str, tag: &StartTag<usize>) -> Option<&'static str> {
    for (name, value) in &tag.attributes {
        if text(name).contains("{{") || text(name).contains("}}") {
            return Some("A variable in a tag must stand inside a quoted value.");
        }
        let whole = source.get(value.span.start..value.span.end).unwrap_or_default();
        let quoted = whole.split_once('=').is_some_and(|(_, value)| value.trim_start().starts_with(['"', '\'']));
        if text(&value.value).contains("{{") && !quoted {
            return Some("Put quotation marks around the value.");
        }
    }
    None
}
