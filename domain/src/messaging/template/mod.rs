//! Templates of a mail: subject, html and text, checked when they are published and rendered once per recipient.
//!
//! A template is a tenant's program and is treated as one: a closed language ([`language`]), a bound on its shape
//! ([`bounds`]), on steps, on what it may build in memory and on what it may write (C-229). What it merges in is data:
//! escaped in html, never parsed as template again (C-33), never able to start a header line (C-24).

mod bounds;
mod build;
mod data;
mod engine;
mod html;
mod include;
mod inline;
mod language;
mod links;
mod mjml;
mod plain_text;
mod style;
mod tags;

use std::collections::BTreeSet;

pub use build::{Built, Known, Written, build};
pub use data::{ContactData, InvalidVariables, RenderData, Variables};
pub use engine::{CompiledTemplate, RenderError, RenderErrorKind, Rendered};
pub use include::{INCLUDE_DEPTH, INCLUDES_MAX, Partials, included};

use super::MessageClass;
use crate::error::Refusal;

/// Octets of html above which a publisher is warned (C-31).
pub const HTML_WARN: usize = 80_000;
/// Octets of html that marketing mail may have, or providers hide its end and the way out (C-31).
pub const HTML_MAX: usize = 100_000;
/// Octets of html or text that any mail may have.
pub const PART_MAX: usize = 500_000;
/// Octets of a partial's html or text.
pub const PARTIAL_MAX: usize = 100_000;
/// Octets of a subject, as source and rendered.
pub const SUBJECT_MAX: usize = 998;
/// Problems that a part's author is told at once.
const PROBLEMS: usize = 50;

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The subject line.
    Subject,
    /// The html part.
    Html,
    /// The text part.
    Text,
}

impl Part {
    /// Its name in inputs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Html => "html",
            Self::Text => "text",
        }
    }
}

/// The source of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// Subject; space around it is cut.
    pub subject: String,
    /// Html part.
    pub html: String,
    /// Text part (C-31).
    pub text: String,
}

impl TemplateSource {
    fn part(&self, part: Part) -> &str {
        match part {
            Part::Subject => self.subject.trim(),
            Part::Html => &self.html,
            Part::Text => &self.text,
        }
    }
}

/// Something wrong with, or doubtful in, a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Stable upper-case code.
    pub code: &'static str,
    /// Where.
    pub part: Part,
    /// Line in the part, from 1, where known.
    pub line: Option<u32>,
    /// What, for the author.
    pub message: String,
}

impl TemplateProblem {
    pub(in crate::messaging) fn new(
        code: &'static str,
        part: Part,
        line: Option<u32>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, part, line, message: message.into() }
    }
}

impl From<TemplateProblem> for Refusal {
    fn from(problem: TemplateProblem) -> Self {
        let message = match problem.line {
            Some(line) => format!("Line {line}: {}", problem.message),
            None => problem.message,
        };
        Self::new(problem.code, problem.part.as_str(), message)
    }
}

/// A template that may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The variables it uses, such as `contact.first_name`, `vars.order.id`.
    pub variables: BTreeSet<String>,
    /// What its author should know.
    pub warnings: Vec<TemplateProblem>,
}

/// Checks a template before it is published; all problems at once.
pub fn validate(source: &TemplateSource, class: MessageClass) -> Result<Checked, Vec<TemplateProblem>> {
    let mut problems = Vec::new();
    let mut variables = BTreeSet::new();
    let mut has_text_way_out = false;
    for part in [Part::Subject, Part::Html, Part::Text] {
        if let Some(problem) = check_text(source, part, class) {
            problems.push(problem);
            continue;
        }
        match language::check(source.part(part), part) {
            Ok(uses) => {
                has_text_way_out |= part == Part::Text && uses.iter().any(|one| one.path == UNSUBSCRIBE_URL);
                variables.extend(uses.into_iter().map(|one| one.path));
            }
            Err(found) => problems.extend(found),
        }
    }
    if source.part(Part::Subject).contains(char::is_control) {
        let message = "The subject is one line without control characters.";
        problems.push(TemplateProblem::new("TEMPLATE_SUBJECT", Part::Subject, None, message));
    }
    let html = html::inspect(&source.html);
    problems.extend(html.problems);
    if class == MessageClass::Marketing {
        problems.extend(html.unsubscribe.err());
        if !has_text_way_out {
            let message = "Marketing mail needs {{ unsubscribe_url }} in its text part.";
            problems.push(TemplateProblem::new("TEMPLATE_UNSUBSCRIBE", Part::Text, None, message));
        }
    }
    if problems.is_empty() { Ok(Checked { variables, warnings: warnings(source) }) } else { Err(problems) }
}

/// Checks the html and text of a partial: what they are part of is checked as a whole when it is published.
pub fn validate_partial(html: &str, text: &str) -> Result<(), Vec<TemplateProblem>> {
    let mut problems = Vec::new();
    for (part, source) in [(Part::Html, html), (Part::Text, text)] {
        if source.len() > PARTIAL_MAX {
            let message = format!("This part is longer than {PARTIAL_MAX} octets.");
            problems.push(TemplateProblem::new("TEMPLATE_TOO_LARGE", part, None, message));
        } else if source.contains('\0') {
            problems.push(TemplateProblem::new("TEMPLATE_CONTROL", part, None, "This part must not hold NUL."));
        } else {
            problems.extend(language::check_partial(&include::without(source), part).err().into_iter().flatten());
        }
    }
    problems.extend(html::inspect(html).problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The variable that holds the way out.
const UNSUBSCRIBE_URL: &str = "unsubscribe_url";

/// The most a part may have, as source and rendered.
fn max_size(part: Part, class: MessageClass) -> usize {
    match (part, class) {
        (Part::Subject, _) => SUBJECT_MAX,
        (Part::Html, MessageClass::Marketing) => HTML_MAX,
        (Part::Html | Part::Text, _) => PART_MAX,
    }
}

fn check_text(source: &TemplateSource, part: Part, class: MessageClass) -> Option<TemplateProblem> {
    let (text, max) = (source.part(part), max_size(part, class));
    if text.trim().is_empty() {
        return Some(TemplateProblem::new("TEMPLATE_EMPTY", part, None, "This part must not be empty."));
    }
    // PostgreSQL stores no NUL, and no mail program shows one.
    if text.contains('\0') {
        return Some(TemplateProblem::new("TEMPLATE_CONTROL", part, None, "This part must not hold NUL."));
    }
    (text.len() > max).then(|| {
        TemplateProblem::new("TEMPLATE_TOO_LARGE", part, None, format!("This part is longer than {max} octets."))
    })
}

fn warnings(source: &TemplateSource) -> Vec<TemplateProblem> {
    let message = "The html is longer than 80,000 octets; some mailboxes cut mails at about 100,000.";
    let large = source.html.len() > HTML_WARN;
    large.then(|| TemplateProblem::new("TEMPLATE_LARGE", Part::Html, None, message)).into_iter().collect()
}

#[cfg(test)]
mod tests;
