//! A template ready to be rendered: compiled once for a version, rendered once per recipient.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, filters, tests};

use super::{MessageClass, Part, RenderData, TemplateProblem, TemplateSource, html, language, max_size};

/// Steps of one part; a list of some thousand items fits.
const FUEL: u64 = 50_000;
/// Octets that one filter may give.
const FILTER_MAX: usize = 64 * 1024;
/// Numbers that `range` may give.
const RANGE_MAX: usize = 1_000;

/// A rendered mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// Html part.
    pub html: String,
    /// Text part.
    pub text: String,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rendered(..)")
    }
}

/// Why a template gives no mail for a recipient; a content error of that one message, told without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderError {
    /// Which part.
    pub part: Part,
    /// Line of the part's source, where known.
    pub line: Option<u32>,
    /// What.
    pub kind: RenderErrorKind,
}

/// What a rendering can fail by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RenderErrorKind {
    /// A variable without a value was written.
    Undefined,
    /// More steps than there may be (C-229).
    TooManySteps,
    /// More output than there may be (C-31, C-229).
    TooLarge,
    /// The subject has a line break, NUL or another control character (C-24).
    HeaderControl,
    /// The subject is empty.
    EmptySubject,
    /// A link that runs a script or leads to neither web, mailbox nor telephone (C-229, C-84).
    Script,
    /// Marketing mail without its way out (C-15).
    NoUnsubscribe,
    /// A value of the wrong kind.
    Value,
}

impl RenderErrorKind {
    /// Stable lower-case reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undefined => "template_undefined",
            Self::TooManySteps => "template_steps",
            Self::TooLarge => "template_too_large",
            Self::HeaderControl => "template_header_control",
            Self::EmptySubject => "template_empty_subject",
            Self::Script => "template_script",
            Self::NoUnsubscribe => "template_no_unsubscribe",
            Self::Value => "template_value",
        }
    }
}

impl std::fmt::Display for RenderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.kind.as_str(), self.part.as_str())?;
        self.line.map_or(Ok(()), |line| write!(f, " line {line}"))
    }
}

impl std::error::Error for RenderError {}

/// A template version ready to be rendered; cheap to clone and to share between threads.
#[derive(Clone)]
pub struct CompiledTemplate {
    environment: Arc<Environment<'static>>,
    class: MessageClass,
    /// Whether a link takes its whole address from data, so that every rendering must be looked at.
    dynamic_links: bool,
}

impl std::fmt::Debug for CompiledTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompiledTemplate({})", self.class.as_str())
    }
}

impl CompiledTemplate {
    /// Compiles a template; checks the language again, for rules may have become stricter since it was published.
    pub fn compile(source: &TemplateSource, class: MessageClass) -> Result<Self, Vec<TemplateProblem>> {
        let mut environment = environment();
        for part in [Part::Subject, Part::Html, Part::Text] {
            language::check(source.part(part), part)?;
            let text = source.part(part).to_owned();
            environment.add_template_owned(part.as_str(), text).map_err(|error| {
                let line = error.line().and_then(|line| u32::try_from(line).ok());
                vec![TemplateProblem::new("TEMPLATE_SYNTAX", part, line, "The template cannot be read.")]
            })?;
        }
        let dynamic_links = html::inspect(&source.html).dynamic_links;
        Ok(Self { environment: Arc::new(environment), class, dynamic_links })
    }

    /// Renders for one recipient, in one pass: what is merged in is never read as template (C-33).
    pub fn render(&self, data: &RenderData) -> Result<Rendered, RenderError> {
        let value = data.to_value();
        let rendered = Rendered {
            subject: self.render_part(Part::Subject, &value)?,
            html: self.render_part(Part::Html, &value)?,
            text: self.render_part(Part::Text, &value)?,
        };
        self.check(&rendered, data.unsubscribe_url.as_deref())?;
        Ok(rendered)
    }

    fn render_part(&self, part: Part, value: &Value) -> Result<String, RenderError> {
        let mut out = Capped { bytes: Vec::new(), left: max_size(part, self.class) };
        let done = self
            .environment
            .get_template(part.as_str())
            .and_then(|template| template.render_captured_to(value.clone(), &mut out).map(drop));
        match done {
            Ok(()) => {
                String::from_utf8(out.bytes).map_err(|_| RenderError { part, line: None, kind: RenderErrorKind::Value })
            }
            Err(error) => Err(render_error(part, &error)),
        }
    }

    fn check(&self, rendered: &Rendered, unsubscribe_url: Option<&str>) -> Result<(), RenderError> {
        let fail = |part, kind| Err(RenderError { part, line: None, kind });
        if rendered.subject.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return fail(Part::Subject, RenderErrorKind::HeaderControl);
        }
        if rendered.subject.trim().is_empty() {
            return fail(Part::Subject, RenderErrorKind::EmptySubject);
        }
        if self.dynamic_links && html::leads_astray(&rendered.html) {
            return fail(Part::Html, RenderErrorKind::Script);
        }
        if self.class == MessageClass::Marketing {
            // A condition may have hidden what was there when it was published.
            let Some(url) = unsubscribe_url.filter(|url| !url.is_empty()) else {
                return fail(Part::Html, RenderErrorKind::NoUnsubscribe);
            };
            if !rendered.html.contains(&*escape_html(url)) {
                return fail(Part::Html, RenderErrorKind::NoUnsubscribe);
            }
            if !rendered.text.contains(url) {
                return fail(Part::Text, RenderErrorKind::NoUnsubscribe);
            }
        }
        Ok(())
    }
}

/// An output that ends at its limit instead of growing.
struct Capped {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The kind and place of an engine's error; its text may quote data and is dropped (L9).
fn render_error(part: Part, error: &Error) -> RenderError {
    let kind = match error.kind() {
        ErrorKind::UndefinedError => RenderErrorKind::Undefined,
        ErrorKind::OutOfFuel => RenderErrorKind::TooManySteps,
        ErrorKind::WriteFailure => RenderErrorKind::TooLarge,
        _ => RenderErrorKind::Value,
    };
    RenderError { part, line: error.line().and_then(|line| u32::try_from(line).ok()), kind }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    // Writing what is not there fails, asking whether it is there does not.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment
        .set_auto_escape_callback(|name| if name == Part::Html.as_str() { AutoEscape::Html } else { AutoEscape::None });
    environment.set_formatter(write_value);
    environment.add_function("range", range);
    add_filters(&mut environment);
    add_tests(&mut environment);
    environment
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("abs", filters::abs);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("count", filters::length);
    environment.add_filter("d", filters::default);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("join", join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", replace);
    environment.add_filter("round", filters::round);
    environment.add_filter("string", filters::string);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("urlencode", urlencode);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("divisibleby", tests::is_divisibleby);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("even", tests::is_even);
    environment.add_test("in", tests::is_in);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("string", tests::is_string);
    environment.add_test("undefined", tests::is_undefined);
}

/// Writes one value: texts escaped in html, whole numbers without a fraction, nothing for null, never a whole list.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let text: Cow<'_, str> = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => return Ok(()),
        ValueKind::Bool => Cow::Borrowed(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => Cow::Owned(number_text(value)),
        ValueKind::String => value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed),
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "a list or object cannot be written")),
    };
    let text = if matches!(state.auto_escape(), AutoEscape::Html) { escape_html(&text) } else { text };
    out.write_str(&text).map_err(Error::from)
}

fn number_text(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'', '`']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '`' => escaped.push_str("&#96;"),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn too_large() -> Error {
    Error::from(ErrorKind::WriteFailure)
}

/// `range(n)` and `range(from, to)`.
fn range(first: i64, second: Option<i64>) -> Result<Vec<i64>, Error> {
    let (from, to) = second.map_or((0, first), |to| (first, to));
    let length = to.checked_sub(from).ok_or_else(too_large)?;
    if usize::try_from(length.max(0)).is_ok_and(|length| length <= RANGE_MAX) {
        Ok((from..to).collect())
    } else {
        Err(too_large())
    }
}

/// The engine's own, which makes three octets of one: what is too long already is not encoded once more.
fn urlencode(value: &Value) -> Result<String, Error> {
    if value.as_str().is_some_and(|text| text.len() > FILTER_MAX) {
        Err(too_large())
    } else {
        filters::urlencode(value)
    }
}

/// The items of a list with a text between them; no longer than a filter's result may be.
fn join(list: &Value, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    for (i, item) in list.try_iter()?.enumerate() {
        if i > 0 {
            joined.push_str(&between);
        }
        match item.kind() {
            ValueKind::Number => joined.push_str(&number_text(&item)),
            _ => joined.push_str(item.as_str().ok_or(ErrorKind::InvalidOperation)?),
        }
        if joined.len() > FILTER_MAX {
            return Err(too_large());
        }
    }
    Ok(joined)
}

/// One text for another; no longer than a filter's result may be.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over by value")]
fn replace(text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    if from.is_empty() {
        return Err(Error::from(ErrorKind::InvalidOperation));
    }
    if text.len() + text.matches(&*from).count() * to.len() > FILTER_MAX {
        return Err(too_large());
    }
    Ok(text.replace(&*from, &to))
}
