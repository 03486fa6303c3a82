//! A version as it is published: its partials in place, MJML made html of, style sheets inlined, a text part if none was
//! written, and every check passed by the result.
//!
//! All of it is work for a processor and may take a while: callers stay off the threads that serve (C-229).

use std::collections::BTreeSet;

use super::include::{self, Partials, Whole};
use super::language::{self, ATTRIBUTE, EVENT, Use};
use super::{Checked, PART_MAX, Part, TemplateProblem, TemplateSource, html, inline, mjml, plain_text, validate};
use crate::messaging::{MessageClass, TemplateFormat};

/// A template as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Subject.
    pub subject: String,
    /// Html or MJML.
    pub html: String,
    /// Text part; made of the html where there is none.
    pub text: Option<String>,
    /// What the html part is written in.
    pub format: TemplateFormat,
}

/// What the tenant has declared or learned, so that a template can name it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Names of declared attributes.
    pub attributes: BTreeSet<String>,
    /// Names of the event's properties; `None` where the version names no event.
    pub event: Option<BTreeSet<String>>,
}

/// A template ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// What is rendered.
    pub source: TemplateSource,
    /// The variables it uses, and what its author should know.
    pub checked: Checked,
}

/// Makes what is published of what was written, or says all that is wrong with it. Lines are those of what was written;
/// where only the result is wrong there is none.
pub fn build(
    written: &Written,
    class: MessageClass,
    partials: &Partials,
    known: &Known,
) -> Result<Built, Vec<TemplateProblem>> {
    let html = include::resolve(&written.html, Part::Html, partials);
    let text = written.text.as_deref().map(|text| include::resolve(text, Part::Text, partials)).transpose();
    let parts = match (html, text) {
        (Ok(html), Ok(text)) => Parts { subject: &written.subject, html, text },
        (html, text) => return Err(html.err().into_iter().chain(text.err()).collect()),
    };
    let mut problems = parts.problems(known);
    let html = match written.format {
        _ if problems.is_empty() => parts.html(written.format)?,
        TemplateFormat::Html => parts.html.text.clone(),
        TemplateFormat::Mjml => return Err(problems),
    };
    let text = parts.text.as_ref().map_or_else(|| plain_text::of_html(&html), |text| text.text.clone());
    let source = TemplateSource { subject: written.subject.clone(), html, text };
    match validate(&source, class) {
        Ok(checked) if problems.is_empty() => return Ok(Built { source, checked }),
        Ok(_) => {}
        Err(found) => {
            for problem in found {
                let problem = parts.as_written(&source, problem);
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
    }
    Err(problems)
}

/// The parts with their partials in place.
struct Parts<'a> {
    subject: &'a str,
    html: Whole,
    text: Option<Whole>,
}

impl Parts<'_> {
    /// What is wrong with the parts before anything is made of them.
    fn problems(&self, known: &Known) -> Vec<TemplateProblem> {
        let mut problems = Vec::new();
        let written = [
            Some((Part::Subject, self.subject)),
            Some((Part::Html, &*self.html.text)),
            self.text.as_ref().map(|text| (Part::Text, &*text.text)),
        ];
        for (part, text) in written.into_iter().flatten() {
            if text.len() > PART_MAX {
                let message = format!("This part is longer than {PART_MAX} octets.");
                problems.push(TemplateProblem::new("TEMPLATE_TOO_LARGE", part, None, message));
                continue;
            }
            match language::check(text, part) {
                Ok(uses) => problems.extend(uses.iter().filter_map(|one| unknown(one, part, known))),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(html::inspect(&self.html.text).problems);
        problems.into_iter().map(|problem| self.line(problem)).collect()
    }

    /// The html as it is sent.
    fn html(&self, format: TemplateFormat) -> Result<String, Vec<TemplateProblem>> {
        let told = |problems: Vec<TemplateProblem>| -> Vec<TemplateProblem> {
            problems.into_iter().map(|problem| self.line(problem)).collect()
        };
        match format {
            TemplateFormat::Html => {
                let inlined = inline::inline(&self.html.text).map_err(told)?;
                Ok(inlined.unwrap_or_else(|| self.html.text.clone()))
            }
            TemplateFormat::Mjml => {
                let html = mjml::to_html(&self.html.text).map_err(told)?;
                let inlined = inline::inline(&html)
                    .map_err(|problems| problems.into_iter().map(without_line).collect::<Vec<_>>())?;
                Ok(inlined.unwrap_or(html))
            }
        }
    }

    /// A problem of the result, with the line where it was written if that is what is sent.
    fn as_written(&self, result: &TemplateSource, problem: TemplateProblem) -> TemplateProblem {
        let same = match problem.part {
            Part::Subject => true,
            Part::Html => result.html == self.html.text,
            Part::Text => self.text.is_some(),
        };
        if same { self.line(problem) } else { without_line(problem) }
    }

    fn line(&self, mut problem: TemplateProblem) -> TemplateProblem {
        let whole = match problem.part {
            Part::Subject => None,
            Part::Html => Some(&self.html),
            Part::Text => self.text.as_ref(),
        };
        if let Some(whole) = whole {
            problem.line = problem.line.map(|line| whole.line(line));
        }
        problem
    }
}

fn without_line(mut problem: TemplateProblem) -> TemplateProblem {
    problem.line = None;
    problem
}

/// An attribute that nobody declared, a property that the event does not have: a typing error, most of the time.
fn unknown(used: &Use, part: Part, known: &Known) -> Option<TemplateProblem> {
    let message = if let Some(name) = used.path.strip_prefix(ATTRIBUTE) {
        if known.attributes.contains(name) {
            return None;
        }
        format!("No attribute \"{name}\" is declared.")
    } else {
        let property = used.path.strip_prefix(EVENT)?;
        match &known.event {
            // What is below a property is the event's own.
            Some(properties)
                if properties.contains(property)
                    || property.split_once('.').is_some_and(|(name, _)| properties.contains(name)) =>
            {
                return None;
            }
            Some(_) => format!("The event has no property \"{property}\"; declare it, or send one such event."),
            None => "Name the event whose properties the template uses.".to_owned(),
        }
    };
    Some(TemplateProblem::new("TEMPLATE_VARIABLE", part, Some(used.line), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &str = "<p><a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>";

    fn written(html: &str, text: Option<&str>) -> Written {
        Written { subject: "Hi".into(), html: html.into(), text: text.map(Into::into), format: TemplateFormat::Html }
    }

    fn mjml(inner: &str) -> Written {
        let html =
            format!("<mjml><mj-body><mj-section><mj-column>\n{inner}\n</mj-column></mj-section></mj-body></mjml>");
        Written { format: TemplateFormat::Mjml, ..written(&html, None) }
    }

    fn known() -> Known {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known { attributes: names(&["size"]), event: Some(names(&["total", "order", "item name"])) }
    }

    fn codes(written: &Written, known: &Known) -> Vec<(&'static str, Part, Option<u32>)> {
        let built = build(written, MessageClass::Marketing, &Partials::default(), known);
        built.err().unwrap_or_default().into_iter().map(|problem| (problem.code, problem.part, problem.line)).collect()
    }

    #[test]
    fn a_text_part_is_made_of_the_html_and_keeps_the_way_out() {
        let built =
            build(&written(&format!("<h1>T</h1>{OUT}"), None), MessageClass::Marketing, &Partials::default(), &known());
        let built = built.expect("built");
        assert_eq!(built.source.text, "T\n\nAbmelden <{{ unsubscribe_url }}>");
        assert_eq!(built.source.html, format!("<h1>T</h1>{OUT}"));
    }

    #[test]
    fn mjml_is_published_as_html() {
        let template = mjml(
            "{% for item in event.order.items %}<mj-text css-class=\"big\">{{ item.name }}</mj-text>{% endfor %}\
             <mj-button href=\"https://example.org/?a=1&amp;b={{ event.total }}\">Go</mj-button>\
             <mj-text><a href=\"{{ unsubscribe_url }}\">Abmelden</a></mj-text>",
        );
        let built = build(&template, MessageClass::Marketing, &Partials::default(), &known()).expect("built");
        assert!(built.source.html.starts_with("<!DOCTYPE html>"), "{}", built.source.html);
        assert!(
            built.source.text.contains("Go <https://example.org/?a=1&b={{ event.total }}>"),
            "{}",
            built.source.text
        );
        assert!(built.source.text.ends_with("Abmelden <{{ unsubscribe_url }}>"), "{}", built.source.text);
    }

    #[test]
    fn what_nobody_declared_is_unknown() {
        let good = format!(
            "{{{{ contact.attributes.size }}}} {{{{ event.total }}}} {{{{ event.order.id }}}} {{{{ event[\"item name\"] }}}} {{{{ vars.any.thing }}}}{OUT}"
        );
        assert_eq!(codes(&written(&good, None), &known()), []);
        let bad = format!(
            "a\n{{{{ contact.attributes.sise }}}}\n{{{{ event.totl|default(1) }}}}{{{{ event.order }}}}\n{OUT}"
        );
        let expected = [("TEMPLATE_VARIABLE", Part::Html, Some(2)), ("TEMPLATE_VARIABLE", Part::Html, Some(3))];
        assert_eq!(codes(&written(&bad, Some("{{ unsubscribe_url }}")), &known()), expected);
        let eventless = Known { event: None, ..known() };
        assert_eq!(codes(&written(&bad, Some("{{ unsubscribe_url }}")), &eventless).len(), 3);
        assert_eq!(codes(&written(OUT, Some("x\n{{ event.x }}{{ unsubscribe_url }}")), &known()).len(), 1);
        assert_eq!(
            codes(&mjml("<mj-text>{{ event.x }}</mj-text>"), &known()),
            [("TEMPLATE_VARIABLE", Part::Html, Some(2))]
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let template = written("{{ contact.attributes.x }}\n<a href=\"ftp://a.example\">x</a>", Some("x"));
        let found = codes(&template, &known());
        assert_eq!(
            found,
            [
                ("TEMPLATE_VARIABLE", Part::Html, Some(1)),
                ("TEMPLATE_LINK", Part::Html, Some(2)),
                ("TEMPLATE_UNSUBSCRIBE", Part::Html, None),
                ("TEMPLATE_UNSUBSCRIBE", Part::Text, None),
            ]
        );
    }

    #[test]
    fn c015_a_style_sheet_cannot_hide_the_way_out() {
        for css in ["a{display:none}", ".out{font-size:0}", "p a{color:#fff}", "a{font:0/0 a}"] {
            let html =
                format!("<style>{css}</style><p><a class=\"out\" href=\"{{{{ unsubscribe_url }}}}\">Abmelden</a></p>");
            let found = codes(&written(&html, Some("{{ unsubscribe_url }}")), &known());
            assert_eq!(found, [("TEMPLATE_UNSUBSCRIBE", Part::Html, None)], "{css}");
        }
        let hidden = mjml("<mj-text font-size=\"0\"><a href=\"{{ unsubscribe_url }}\">Abmelden</a></mj-text>");
        assert!(codes(&hidden, &known()).iter().any(|found| found.0 == "TEMPLATE_UNSUBSCRIBE"));
    }

    #[test]
    fn c031_the_limit_is_that_of_the_result() {
        let partials = Partials([("big".to_owned(), ("x".repeat(60_000), String::new()))].into());
        let source = |times: usize| {
            written(&format!("{}{OUT}", "{% include \"big\" %}".repeat(times)), Some("{{ unsubscribe_url }}"))
        };
        assert!(build(&source(1), MessageClass::Marketing, &partials, &known()).is_ok());
        let problems = build(&source(2), MessageClass::Marketing, &partials, &known()).expect_err("too large");
        assert_eq!(problems.first().map(|problem| problem.code), Some("TEMPLATE_TOO_LARGE"));
        let styled = format!("<style>p{{background:url({})}}</style>{}{OUT}", "x".repeat(2_000), "<p>x</p>".repeat(60));
        assert_eq!(codes(&written(&styled, None), &known()).first().map(|found| found.0), Some("TEMPLATE_TOO_LARGE"));
    }
}
