//! Style sheets written into the elements they are about, for the mail programs that read no others.
//!
//! Html without a style sheet is left as it is. With one it is taken apart and put together again, so it must be nested
//! well enough that this gives the same: every element that is opened is closed in the same place, in every branch of a
//! condition. That bounds what is built of it, too (C-229). Nothing is fetched.

use std::io::{Error, ErrorKind, Write};

use css_inline::InlineOptions;
use html5gum::Token;

use super::html::{VOID, text, tokens};
use super::tags::Guard;
use super::{PART_MAX, Part, TemplateProblem};

/// Elements within each other.
const DEPTH: usize = 150;
/// Rules and values of all style sheets, times elements.
const WORK: usize = 2_000_000;
/// Elements whose end may be left out.
const END_OPTIONAL: &[&str] =
    &["body", "colgroup", "dd", "dt", "head", "html", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr"];
/// Elements whose inside is read in ways of its own; mail programs drop most of them.
const OTHER_WORLDS: &[&str] = &[
    "frameset",
    "iframe",
    "math",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "script",
    "select",
    "svg",
    "template",
    "textarea",
    "xmp",
];

/// The html with its style sheets inlined; `None` where it has none.
pub(super) fn inline(html: &str) -> Result<Option<String>, Vec<TemplateProblem>> {
    let (guard, plain) = Guard::of(html);
    let Some(sheet) = Sheet::of(&plain) else { return Ok(None) };
    let refuse = |code, line, message: &str| vec![TemplateProblem::new(code, Part::Html, line, message)];
    if let Some((place, message)) = sheet.obstacle {
        return Err(refuse("TEMPLATE_NESTING", guard.line(&plain, place), message));
    }
    if sheet.css.matches(['{', ';', ',']).count().saturating_mul(sheet.elements) > WORK {
        return Err(refuse("TEMPLATE_TOO_COMPLEX", None, "The style sheets are too large for so many elements."));
    }
    let (guarded, order) = guard.comment(&plain)?;
    let mut out = Capped(Vec::new());
    let inlined = options(sheet.css).build().inline_to(&guarded, &mut out);
    let inlined = inlined.ok().and_then(|()| String::from_utf8(out.0).ok());
    let Some(inlined) = inlined else {
        return Err(refuse("TEMPLATE_TOO_LARGE", None, "With its styles inlined the html is too long."));
    };
    if !guard.keeps_order(&inlined, &order) {
        let message = "A template tag stands where html has no place for it, such as between a table and its rows.";
        return Err(refuse("TEMPLATE_PLACE", None, message));
    }
    Ok(Some(guard.restore_html(&inlined)))
}

/// Only the style sheets that were measured are read; they stay for what cannot be inlined, such as media queries.
fn options(css: String) -> InlineOptions<'static> {
    InlineOptions::default()
        .inline_style_tags(false)
        .keep_style_tags(true)
        .keep_link_tags(true)
        .load_remote_stylesheets(false)
        .extra_css(Some(css.into()))
}

/// An output that ends at its limit instead of growing.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > PART_MAX {
            return Err(Error::from(ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The style sheets of a page, and whether it can be taken apart for them.
#[derive(Default)]
struct Sheet {
    css: String,
    elements: usize,
    /// What keeps it from being taken apart, and where.
    obstacle: Option<(usize, &'static str)>,
    open: Vec<String>,
}

impl Sheet {
    fn of(plain: &str) -> Option<Self> {
        let mut sheet = Self::default();
        let mut in_style = false;
        for token in tokens(plain) {
            match token {
                Token::StartTag(tag) => {
                    let name = text(&tag.name);
                    in_style = name == "style" && !tag.attributes.contains_key(&b"media"[..]);
                    if let Err(message) = sheet.start(name) {
                        sheet.obstacle.get_or_insert((tag.span.start, message));
                    }
                }
                Token::EndTag(tag) => {
                    in_style = false;
                    if !sheet.end(&text(&tag.name)) {
                        let message = "Next to a style sheet every element is closed where it was opened, in every branch of a condition; this end tag is not that of the innermost one.";
                        sheet.obstacle.get_or_insert((tag.span.start, message));
                    }
                }
                Token::String(part) if in_style => sheet.css.push_str(&text(&part.value)),
                _ => {}
            }
        }
        (!sheet.css.trim().is_empty()).then_some(sheet)
    }

    fn start(&mut self, name: String) -> Result<(), &'static str> {
        self.elements += 1;
        if OTHER_WORLDS.contains(&&*name) {
            return Err("This element cannot stand in mail with a style sheet.");
        }
        if VOID.contains(&&*name) {
            return Ok(());
        }
        if self.open.len() >= DEPTH {
            return Err("Too many elements lie within each other; close those that end.");
        }
        // A paragraph or an item whose end was left out ends with the next.
        if END_OPTIONAL.contains(&&*name) && self.open.last() == Some(&name) {
            self.open.pop();
        }
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self, name: &str) -> bool {
        while let Some(innermost) = self.open.pop() {
            if innermost == name {
                return true;
            }
            if !END_OPTIONAL.contains(&&*innermost) {
                return false;
            }
        }
        VOID.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(css: &str, body: &str) -> String {
        format!("<!DOCTYPE html><html><head><style>{css}</style></head><body>\n{body}\n</body></html>")
    }

    fn code(html: &str) -> Option<(&'static str, Option<u32>)> {
        inline(html).err().and_then(|problems| problems.first().map(|problem| (problem.code, problem.line)))
    }

    #[test]
    fn style_sheets_are_written_into_elements() {
        assert_eq!(inline("<p class=a>{% if a < b %}x{% endif %}").expect("read"), None);
        let body = "<table class=\"t\">{% for row in vars.rows %}<tr><td class=\"c\">{{ row.name }}&nbsp;&amp; {{ '<' }}</td></tr>{% endfor %}</table>\
                    <a class=\"{{ vars.kind }}\" style=\"color:red\" href=\"{{ unsubscribe_url }}\">x</a>";
        let html =
            page("td.c{padding:1px} a{color:blue;margin:0} @media (max-width:9px){.t{width:1px}} a:hover{top:0}", body);
        let inlined = inline(&html).expect("inlined").expect("a style sheet");
        for piece in [
            "{% for row in vars.rows %}",
            "<td class=\"c\" style=\"padding: 1px;\">{{ row.name }}&nbsp;&amp; {{ '<' }}</td>",
            "{% endfor %}",
            "class=\"{{ vars.kind }}\"",
            "margin: 0",
            "@media (max-width:9px)",
            "a:hover",
        ] {
            assert!(inlined.contains(piece), "{piece} in {inlined}");
        }
        assert!(inlined.contains("color:red") || inlined.contains("color: red"), "{inlined}");
        assert!(!inlined.contains("color: blue") && !inlined.contains("tpl0x"), "{inlined}");
        assert!(inlined.find("{% for") < inlined.find("<td") && inlined.find("</td>") < inlined.find("{% endfor"));
    }

    #[test]
    fn what_would_come_back_otherwise_is_refused() {
        for (body, expected) in [
            ("{% if a %}<div class=x>{% else %}<div>{% endif %}x</div>", Some(("TEMPLATE_NESTING", Some(3)))),
            ("<p>{% if a %}<b>{% else %}<b class=x>{% endif %}x</b></p>", Some(("TEMPLATE_NESTING", Some(2)))),
            ("<b><p>x</b></p>", Some(("TEMPLATE_NESTING", Some(2)))),
            ("<p>\n<svg></svg></p>", Some(("TEMPLATE_NESTING", Some(3)))),
            ("<td {% if a %}class=x{% endif %}>x</td>", Some(("TEMPLATE_PLACE", Some(2)))),
            ("<p>one<p>two<ul><li>a<li>b</ul>", None),
        ] {
            let found = code(&page("p{top:0}", body));
            assert_eq!(found, expected, "{body}");
            assert!(inline(body).is_ok_and(|same| same.is_none()), "without a style sheet it is left as it is");
        }
    }

    #[test]
    fn c229_inlining_fetches_nothing_and_is_bounded() {
        let linked = page("p{top:0}", "<link rel=\"stylesheet\" href=\"file:///etc/passwd\"><p>x</p>");
        assert!(inline(&linked).is_ok_and(|html| html.is_some_and(|html| html.contains("file:///etc/passwd"))));
        let many = page(&"p{top:0}".repeat(2_000), &"<p>x</p>".repeat(2_000));
        assert_eq!(code(&many), Some(("TEMPLATE_TOO_COMPLEX", None)));
        let wide = page(&format!("p{{background:url({})}}", "x".repeat(1_000)), &"<p>x</p>".repeat(2_000));
        assert_eq!(code(&wide), Some(("TEMPLATE_TOO_LARGE", None)));
        let deep = |depth: usize| page("p{top:0}", &format!("{}x{}", "<div>".repeat(depth), "</div>".repeat(depth)));
        assert_eq!(code(&deep(DEPTH - 2)), None);
        assert_eq!(code(&deep(DEPTH)), Some(("TEMPLATE_NESTING", Some(2))));
        for css in [
            format!("{}p{}{{top:0}}", ":not(".repeat(9_000), ")".repeat(9_000)),
            format!("{}p{{top:0}}", "@media x{".repeat(9_000)),
            format!("{}p{{top:0}}", "@layer x{".repeat(9_000)),
            format!("p{{top:{}1{}}}", "calc(".repeat(9_000), ")".repeat(9_000)),
        ] {
            let _ = inline(&page(&css, "<p>x</p>"));
        }
    }
}
