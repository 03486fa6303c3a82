//! MJML, made html of once, when a version is published.

use htmlparser::{ElementEnd, Token, Tokenizer};
use mrml::prelude::parser::{Error, ParserOptions, noop_loader::NoopIncludeLoader};
use mrml::prelude::render::RenderOptions;

use super::tags::Guard;
use super::{Part, TemplateProblem};

/// Elements within each other: the parser and the renderer call themselves for each.
const DEPTH: usize = 40;
/// Elements that have no end tag, as the parser knows them.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// The html of an MJML source. Nothing is loaded: `mj-include` is refused, and fonts are named by the author alone.
pub(super) fn to_html(source: &str) -> Result<String, Vec<TemplateProblem>> {
    let refuse = |line, message: &str| vec![TemplateProblem::new("TEMPLATE_MJML", Part::Html, line, message)];
    let (guard, plain) = Guard::of(source);
    let (guarded, order) = guard.comment(&plain)?;
    if let Some((code, place, message)) = badly_nested(&guarded) {
        return Err(vec![TemplateProblem::new(code, Part::Html, guard.line(&guarded, place), message)]);
    }
    let options = ParserOptions { include_loader: Box::new(NoopIncludeLoader) };
    let parsed = mrml::parse_with_options(&guarded, &options).map_err(|error| {
        let (place, message) = reason(&error);
        refuse(place.and_then(|place| guard.line(&guarded, place)), message)
    })?;
    // The default names a third party's fonts, which every reader's mail program would fetch.
    let options = RenderOptions { fonts: std::collections::HashMap::default(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|_| refuse(None, "This MJML cannot be made html of."))?;
    if !guard.keeps_order(&html, &order) {
        let message =
            "MJML moves or drops what surrounds a template tag; put the tag between whole elements, or in mj-raw.";
        return Err(vec![TemplateProblem::new("TEMPLATE_PLACE", Part::Html, None, message)]);
    }
    Ok(guard.restore_html(&html))
}

/// Where elements lie within each other too deep, or one is closed by the end of another, which the parser would take.
/// The same tokenizer reads here and there.
fn badly_nested(source: &str) -> Option<(&'static str, usize, &'static str)> {
    let (mut open, mut name) = (Vec::new(), "");
    for token in Tokenizer::from(source).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => name = local.as_str(),
            Token::ElementEnd { end: ElementEnd::Open, span } if !VOID.contains(&name) => {
                if open.len() >= DEPTH {
                    let message = "Too many elements lie within each other; close those that end.";
                    return Some(("TEMPLATE_TOO_COMPLEX", span.start(), message));
                }
                open.push(name);
            }
            Token::ElementEnd { end: ElementEnd::Close(_, local), span } if open.pop() != Some(local.as_str()) => {
                return Some((
                    "TEMPLATE_NESTING",
                    span.start(),
                    "This end tag is not that of the innermost open element.",
                ));
            }
            _ => {}
        }
    }
    None
}

/// Where and why the parser stopped; its own words may quote the source and are dropped.
fn reason(error: &Error) -> (Option<usize>, &'static str) {
    match error {
        Error::UnexpectedElement { position, .. } => (Some(position.start), "This element cannot stand here."),
        Error::UnexpectedToken { position, .. } => {
            (Some(position.start), "This cannot stand here, or an end tag is missing.")
        }
        Error::MissingAttribute { position, .. } => (Some(position.start), "This element lacks an attribute."),
        Error::InvalidAttribute { position, .. } => (Some(position.start), "This attribute's value is not valid."),
        Error::InvalidFormat { position, .. } => (Some(position.start), "This is not well-formed."),
        Error::IncludeLoaderError { position, .. } => {
            (Some(position.start), "mj-include loads nothing here; use {% include \"name\" %} with a partial.")
        }
        Error::EndOfStream { .. } => (None, "An end tag is missing."),
        Error::SizeLimit { .. } => (None, "This MJML is too long."),
        Error::ParserError { .. } => {
            (None, "This MJML is not well-formed; & < and > in text are written &amp; &lt; &gt;.")
        }
        Error::NoRootNode => (None, "MJML starts with <mjml>."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(inner: &str) -> String {
        format!("<mjml>\n<mj-body>\n<mj-section><mj-column>\n{inner}\n</mj-column></mj-section></mj-body></mjml>")
    }

    fn code(source: &str) -> Option<(&'static str, Option<u32>)> {
        to_html(source).err().and_then(|problems| problems.first().map(|problem| (problem.code, problem.line)))
    }

    #[test]
    fn mjml_becomes_html_with_its_tags_in_place() {
        let html = to_html(&page(
            "{% if vars.a < 3 %}<mj-text>Hi {{ contact.first_name|default(\"you\") }}</mj-text>{% endif %}\
             <mj-button href=\"{{ vars.url }}\" background-color=\"#336699\">{{ vars.label }}</mj-button>",
        ))
        .expect("html");
        let places: Vec<_> = [
            "<html",
            "{% if vars.a < 3 %}",
            "Hi {{ contact",
            "{% endif %}",
            "href=\"{{ vars.url }}\"",
            "{{ vars.label }}",
        ]
        .iter()
        .map(|piece| html.find(piece).unwrap_or_else(|| panic!("{piece} in {html}")))
        .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(!html.contains("tpl0x") && !html.contains("fonts.googleapis.com"));
    }

    #[test]
    fn mjml_that_cannot_be_read_is_refused_with_its_line() {
        assert_eq!(code("<p>x</p>").map(|found| found.0), Some("TEMPLATE_MJML"));
        assert_eq!(code(&page("<mj-include path=\"/etc/passwd\" />")), Some(("TEMPLATE_MJML", Some(4))));
        assert_eq!(code(&page("<mj-text {% if a %}x=\"1\"{% endif %}>x</mj-text>")), Some(("TEMPLATE_PLACE", Some(4))));
        assert_eq!(code(&page("<mj-text>x</mj-button>")), Some(("TEMPLATE_NESTING", Some(4))));
        assert_eq!(
            code(&page("<mj-text>x</mj-text>").replace("</mjml>", "")).map(|found| found.0),
            Some("TEMPLATE_MJML")
        );
        assert_eq!(code(&format!("\n<!-- x -->\n{}\n", page("<mj-text>a<br>b</mj-text>"))), None);
    }

    #[test]
    fn c229_mjml_within_mjml_is_bounded() {
        let deep = |depth: usize| page(&format!("<mj-text>{}x{}</mj-text>", "<b>".repeat(depth), "</b>".repeat(depth)));
        assert_eq!(code(&deep(30)), None);
        assert_eq!(code(&deep(100_000)), Some(("TEMPLATE_TOO_COMPLEX", Some(4))));
        for name in ["mj-section", "mj-column", "mj-wrapper", "mj-group", "mj-hero", "mj-raw", "mj-text", "mj-table"] {
            let nested = format!("{}x{}", format!("<{name}>").repeat(34), format!("</{name}>").repeat(34));
            let _ = to_html(&format!("<mjml><mj-body>{nested}</mj-body></mjml>"));
        }
    }
}
