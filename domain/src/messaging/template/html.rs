//! What the html part must and must not have: a way out that people can see (C-15), no scripts (C-229).
//!
//! The checks read tags and inline styles, as mail programs do; they find careless and simple tricks, not every one.

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::{PROBLEMS, Part, TemplateProblem, UNSUBSCRIBE_URL};

/// Attributes whose value is followed as an address.
const LINKS: &[&str] = &["href", "src", "action", "formaction", "background", "xlink:href", "poster", "data"];
/// Elements that have no end tag.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements whose text nobody sees.
const UNSEEN: &[&str] = &["head", "title", "style", "script", "template", "noscript"];

/// Elements within each other, so that looking for the one that an end tag closes stays cheap.
const OPEN_MAX: usize = 1_000;
/// Characters of a colour; every element within another carries a copy.
const COLOR_MAX: usize = 64;

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

/// Whether rendered html runs a script.
pub(super) fn has_script(html: &str) -> bool {
    tokens(html).any(|token| matches!(token, Token::StartTag(tag) if script_in(&tag).is_some()))
}

fn tokens(html: &str) -> impl Iterator<Item = Token<usize>> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).map(|token| match token {
        Ok(token) => token,
        Err(never) => match never {},
    })
}

fn text(bytes: &HtmlString) -> String {
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
fn line_at(source: &str, place: usize) -> Option<u32> {
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
    color: String,
    background: String,
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
        for (code, message) in [script, misplaced, too_deep].into_iter().flatten() {
            if self.problems.len() < PROBLEMS {
                let line = line_at(source, tag.span.start);
                self.problems.push(TemplateProblem::new(code, Part::Html, line, message));
            }
        }
        let attribute = |name: &str| tag.attributes.get(name.as_bytes()).map(|value| text(&value.value));
        for address in LINKS.iter().filter_map(|name| attribute(name)) {
            let address = address.trim_start();
            let is_own = address.trim_start_matches(['{', ' ']).starts_with(UNSUBSCRIBE_URL);
            self.dynamic_links |= address.starts_with("{%") || (address.starts_with("{{") && !is_own);
        }
        let name = text(&tag.name);
        let href = attribute("href").unwrap_or_default();
        let is_way_out = name == "a" && href.contains("{{") && href.contains(UNSUBSCRIBE_URL);
        self.linked |= is_way_out;
        if VOID.contains(&&*name) || self.open.len() >= OPEN_MAX {
            return;
        }
        let parent = self.open.last();
        let style = Style::parse(&attribute("style").unwrap_or_default());
        let background = style.background.or_else(|| attribute("bgcolor").map(|color| plain_color(&color)));
        let color = style.color.or_else(|| attribute("color").map(|color| plain_color(&color)));
        let hidden = style.hides || UNSEEN.contains(&&*name) || tag.attributes.contains_key(&b"hidden"[..]);
        let open = Open {
            hidden: hidden || parent.is_some_and(|parent| parent.hidden),
            color: color.or_else(|| parent.map(|parent| parent.color.clone())).unwrap_or_default(),
            background: background
                .or_else(|| parent.map(|parent| parent.background.clone()))
                .unwrap_or_else(|| "#ffffff".into()),
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
            && open.color != open.background
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

/// What an inline style says about being seen.
#[derive(Default)]
struct Style {
    hides: bool,
    color: Option<String>,
    background: Option<String>,
}

impl Style {
    fn parse(style: &str) -> Self {
        let mut parsed = Self::default();
        for (key, value) in style.split(';').filter_map(|declaration| declaration.split_once(':')) {
            let key = key.trim().to_ascii_lowercase();
            let value = value.to_ascii_lowercase().replace("!important", "");
            let value = value.trim();
            match &*key {
                "display" => parsed.hides |= value == "none",
                "visibility" => parsed.hides |= matches!(value, "hidden" | "collapse"),
                "opacity" | "font-size" | "max-height" | "max-width" | "height" | "width" | "font" => {
                    parsed.hides |= is_zero(value);
                }
                "color" => parsed.color = Some(plain_color(value)),
                "background" | "background-color" => parsed.background = Some(plain_color(value)),
                _ => {}
            }
        }
        parsed
    }
}

/// `0`, `0px`, `0.0em`: a number that is nothing, and a unit.
fn is_zero(value: &str) -> bool {
    let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    number.parse::<f64>().is_ok_and(|number| number <= 0.0)
}

/// One spelling of the usual ways to write a colour.
fn plain_color(color: &str) -> String {
    let color: String =
        color.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).take(COLOR_MAX).collect();
    match color.as_str() {
        "white" | "rgb(255,255,255)" => return "#ffffff".into(),
        "black" | "rgb(0,0,0)" => return "#000000".into(),
        _ => {}
    }
    match color.strip_prefix('#') {
        Some(short) if short.chars().count() == 3 => {
            std::iter::once('#').chain(short.chars().flat_map(|c| [c, c])).collect()
        }
        _ => color,
    }
}
