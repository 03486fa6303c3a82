//! Partials that several templates share: `{% include "name" %}` is replaced by its piece when a version is published.
//!
//! So a version is whole and never changes (L7), and what is rendered includes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::tags::offset;
use super::{PART_MAX, Part, TemplateProblem};

/// Partials within partials.
pub const INCLUDE_DEPTH: usize = 5;
/// Partials in one part.
pub const INCLUDES_MAX: usize = 500;

/// Partials by name: html and text.
#[derive(Debug, Clone, Default)]
pub struct Partials(pub BTreeMap<String, (String, String)>);

impl Partials {
    fn get(&self, name: &str, part: Part) -> Option<&str> {
        self.0.get(name).map(|(html, text)| if part == Part::Text { text.as_str() } else { html.as_str() })
    }
}

/// A part with its partials in place.
pub(super) struct Whole {
    pub text: String,
    /// For each line of the text the line of the part in which it was written.
    lines: Vec<u32>,
}

impl Whole {
    /// The line of the part as it was written.
    pub(super) fn line(&self, line: u32) -> u32 {
        let place = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.lines.get(place).or(self.lines.last()).copied().unwrap_or(line)
    }
}

/// The names of the partials that a part includes.
pub fn included(source: &str) -> BTreeSet<String> {
    includes(source).filter_map(|include| include.name).collect()
}

/// The part with other text of as many lines in the place of its includes, so that it can be read by itself.
pub(super) fn without(source: &str) -> String {
    let (mut out, mut end) = (String::with_capacity(source.len()), 0);
    for include in includes(source).filter(|include| include.name.is_some()) {
        out.push_str(&source[end..include.place.start]);
        out.extend(source[include.place.clone()].chars().filter(|c| *c == '\n'));
        end = include.place.end;
    }
    out.push_str(&source[end..]);
    out
}

/// Puts partials in the place of includes.
pub(super) fn resolve(source: &str, part: Part, partials: &Partials) -> Result<Whole, TemplateProblem> {
    let mut resolving = Resolving {
        part,
        partials,
        whole: Whole { text: String::new(), lines: vec![1] },
        within: Vec::new(),
        count: 0,
    };
    resolving.put(source, None)?;
    Ok(resolving.whole)
}

struct Resolving<'a> {
    part: Part,
    partials: &'a Partials,
    whole: Whole,
    /// The partials around the present one, outermost first.
    within: Vec<String>,
    count: usize,
}

impl Resolving<'_> {
    /// Puts a source; `line` is that of the include in the part, for all lines of a piece.
    fn put(&mut self, source: &str, line: Option<u32>) -> Result<(), TemplateProblem> {
        let (mut end, mut own) = (0, 1);
        for include in includes(source) {
            let before = &source[end..include.place.start];
            let tag = &source[include.place.clone()];
            // `{%-` and `-%}` cut space, as in every tag.
            self.push(if tag.starts_with("{%-") { before.trim_end() } else { before }, line, &mut own);
            let at = line.unwrap_or(include.line);
            self.include(include.name.as_deref(), at)?;
            own = include.line;
            self.push(&tag.chars().filter(|c| *c == '\n').collect::<String>(), line, &mut own);
            end = include.place.end;
            if tag.ends_with("-%}") {
                let rest = &source[end..];
                let space = rest.len() - rest.trim_start().len();
                own += u32::try_from(rest[..space].matches('\n').count()).unwrap_or(0);
                end += space;
            }
        }
        self.push(&source[end..], line, &mut own);
        Ok(())
    }

    fn push(&mut self, text: &str, line: Option<u32>, own: &mut u32) {
        for _ in text.matches('\n') {
            *own += 1;
            self.whole.lines.push(line.unwrap_or(*own));
        }
        self.whole.text.push_str(text);
    }

    fn include(&mut self, name: Option<&str>, line: u32) -> Result<(), TemplateProblem> {
        let refuse = |message: String| Err(TemplateProblem::new("TEMPLATE_INCLUDE", self.part, Some(line), message));
        let Some(name) = name else {
            return refuse("Write {% include \"name\" %} with the name of a partial.".into());
        };
        let Some(piece) = self.partials.get(name, self.part) else {
            return refuse(format!("There is no partial \"{name}\"."));
        };
        if self.within.iter().any(|outer| outer == name) {
            return refuse(format!("The partial \"{name}\" includes itself."));
        }
        if self.within.len() >= INCLUDE_DEPTH {
            return refuse(format!("Partials lie within each other no deeper than {INCLUDE_DEPTH}."));
        }
        self.count += 1;
        if self.count > INCLUDES_MAX || self.whole.text.len() + piece.len() > PART_MAX {
            let message =
                format!("With its partials this part has more than {PART_MAX} octets or {INCLUDES_MAX} partials.");
            return Err(TemplateProblem::new("TEMPLATE_TOO_LARGE", self.part, Some(line), message));
        }
        self.within.push(name.to_owned());
        // The line break at a file's end is not meant as one, as everywhere in this language.
        self.put(piece.strip_suffix('\n').unwrap_or(piece), Some(line))?;
        self.within.pop();
        Ok(())
    }
}

struct Include {
    place: Range<usize>,
    /// `None` where it is no plain text.
    name: Option<String>,
    line: u32,
}

/// The includes of a source; what cannot be read ends them, and is told by the parser.
fn includes(source: &str) -> impl Iterator<Item = Include> + '_ {
    let mut tokens = tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok);
    std::iter::from_fn(move || {
        loop {
            let (token, start) = tokens.next()?;
            if !matches!(token, Token::BlockStart) || !matches!(tokens.next()?.0, Token::Ident("include")) {
                continue;
            }
            let mut inside = Vec::new();
            let end = loop {
                match tokens.next()? {
                    (Token::BlockEnd, span) => break span,
                    (token, _) => inside.push(token),
                }
            };
            let name = match &inside[..] {
                [Token::Str(name)] => Some((*name).to_owned()),
                [Token::String(name)] => Some(name.to_string()),
                _ => None,
            };
            let place = offset(start.start_offset)..offset(end.end_offset);
            return Some(Include { place, name, line: u32::from(start.start_line) });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partials(partials: &[(&str, &str)]) -> Partials {
        Partials(
            partials.iter().map(|(name, html)| ((*name).to_owned(), ((*html).to_owned(), String::new()))).collect(),
        )
    }

    #[test]
    fn pieces_stand_in_the_place_of_includes() {
        let partials = partials(&[
            ("head", "<h1>\n{{ vars.t }}\n</h1>\n"),
            ("page", "{% include 'head' %}-{% include \"head\" %}"),
        ]);
        let whole = resolve("a\n {%- include \"page\" -%} \nb\n{{ c }}", Part::Html, &partials).expect("whole");
        assert_eq!(whole.text, "a<h1>\n{{ vars.t }}\n</h1>-<h1>\n{{ vars.t }}\n</h1>b\n{{ c }}");
        let lines: Vec<u32> = (1..=6).map(|line| whole.line(line)).collect();
        assert_eq!(lines, [1, 2, 2, 2, 2, 4]);
        assert_eq!(included("{% include \"a\" %}{% if x %}{% include 'b' %}{% endif %}").len(), 2);
        assert_eq!(without("a{% include\n\"a\" %}b"), "a\nb");
    }

    #[test]
    fn c229_pieces_within_pieces_are_bounded() {
        let refused = |start: &str, all: &[(&str, &str)]| {
            resolve(start, Part::Html, &partials(all)).err().map(|problem| (problem.code, problem.line))
        };
        let include = "{% include \"a\" %}";
        assert_eq!(refused(&format!("\n{include}"), &[]), Some(("TEMPLATE_INCLUDE", Some(2))));
        assert_eq!(refused(include, &[("a", include)]), Some(("TEMPLATE_INCLUDE", Some(1))));
        let circle = [("a", "{% include \"b\" %}"), ("b", "{% include \"a\" %}")];
        assert_eq!(refused(include, &circle), Some(("TEMPLATE_INCLUDE", Some(1))));
        assert_eq!(refused("{% include vars.x %}", &[]), Some(("TEMPLATE_INCLUDE", Some(1))));
        // A chain of seven, then three levels of many.
        let chain: Vec<(String, String)> =
            (0..7).map(|n| (format!("p{n}"), format!("{{% include \"p{}\" %}}", n + 1))).collect();
        let many: Vec<(String, String)> = (0..3)
            .map(|n| (format!("p{n}"), format!("{{% include \"p{}\" %}}", n + 1).repeat(9)))
            .chain([("p3".to_owned(), String::new())])
            .collect();
        for (all, code) in [(chain, "TEMPLATE_INCLUDE"), (many, "TEMPLATE_TOO_LARGE")] {
            let all: Vec<(&str, &str)> = all.iter().map(|(name, text)| (&**name, &**text)).collect();
            assert_eq!(refused("{% include \"p0\" %}", &all), Some((code, Some(1))));
        }
    }
}
