//! Bounds on the shape of a part, judged on its tokens before the engine's parser sees it (C-229).
//!
//! The engine's parser and compiler call themselves for every operator, bracket and `elif`, so a tag without end would
//! take the stack, and with it the process. The engine's tokenizer does not, and nothing here calls itself. Blocks
//! other than `if` are bounded by the parser.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{Part, TemplateProblem};

/// Tokens of one tag.
const TAG_TOKENS: usize = 300;
/// Octets of one tag.
const TAG_OCTETS: usize = 4_000;
/// Brackets within each other in a tag.
const BRACKETS: usize = 20;
/// Branches around a place: each `if` within another counts, and each `elif` before it.
const BRANCHES: usize = 50;
/// Values given to names in a part, each of which may hold the largest text a filter gives.
const ASSIGNMENTS: usize = 200;

/// Refuses a part that the engine should not be asked to read.
pub(super) fn check(source: &str, part: Part) -> Result<(), TemplateProblem> {
    let mut shape = Shape::default();
    // What is no token ends the parser at the same place, with a message of its own.
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        if let Err(message) = shape.token(&token, (span.start_offset, span.end_offset)) {
            let line = Some(u32::from(span.start_line));
            return Err(TemplateProblem::new("TEMPLATE_TOO_COMPLEX", part, line, message));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Shape {
    /// Where the tag starts.
    start: u32,
    /// Tokens of the tag so far.
    tokens: usize,
    /// Brackets that are open in it.
    brackets: usize,
    /// It stands between `{%` and `%}`.
    is_statement: bool,
    /// Branches so far of each `if` that is open.
    ifs: Vec<usize>,
    /// Their sum.
    branches: usize,
    assignments: usize,
}

impl Shape {
    fn token(&mut self, token: &Token<'_>, (start, end): (u32, u32)) -> Result<(), String> {
        match token {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => return Ok(()),
            Token::VariableStart | Token::BlockStart => {
                self.is_statement = matches!(token, Token::BlockStart);
                (self.start, self.tokens, self.brackets) = (start, 0, 0);
                return Ok(());
            }
            Token::Ident(keyword) if self.is_statement && self.tokens == 0 => self.statement(keyword),
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.brackets += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                self.brackets = self.brackets.saturating_sub(1);
            }
            Token::Assign => self.assignments += 1,
            _ => {}
        }
        self.tokens += 1;
        let length = usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let bounds = [
            (self.tokens > TAG_TOKENS, TAG_TOKENS, "words and signs in one tag"),
            (length > TAG_OCTETS, TAG_OCTETS, "octets in one tag"),
            (self.brackets > BRACKETS, BRACKETS, "brackets within each other"),
            (self.branches > BRANCHES, BRANCHES, "branches of if within or after each other"),
            (self.assignments > ASSIGNMENTS, ASSIGNMENTS, "values given to names"),
        ];
        match bounds.into_iter().find(|(passed, ..)| *passed) {
            Some((_, bound, what)) => Err(format!("There may be no more than {bound} {what}.")),
            None => Ok(()),
        }
    }

    /// What does not belong to the innermost `if` ends the parser, so it need not be told apart here.
    fn statement(&mut self, keyword: &str) {
        match keyword {
            "if" => {
                self.ifs.push(1);
                self.branches += 1;
            }
            "elif" => {
                if let Some(innermost) = self.ifs.last_mut() {
                    *innermost += 1;
                    self.branches += 1;
                }
            }
            "endif" => self.branches -= self.ifs.pop().unwrap_or(0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{CompiledTemplate, MessageClass, RenderData, TemplateSource, Variables, validate};
    use super::*;

    fn source(html: String) -> TemplateSource {
        TemplateSource { subject: "s".into(), html, text: "t".into() }
    }

    /// Tags that grow with `times`, once in each way that the engine calls itself for an expression.
    fn tags(times: usize) -> Vec<String> {
        let many = |piece: &str| piece.repeat(times);
        let mut shapes = Vec::new();
        for before in [
            "-",
            "not ",
            "- -",
            "(",
            "[",
            "{1: ",
            "not (",
            "-(",
            "range(",
            "1 if (",
            "1 if 1 else (",
            "vars[",
            "vars.a is divisibleby -",
        ] {
            shapes.push(format!("{{{{ {}1", many(before)));
            shapes.push(format!("{{% set a = {}1 %}}", many(before)));
            shapes.push(format!("{{% for a in {}1 %}}{{% endfor %}}", many(before)));
        }
        for after in [
            ".a",
            ".0",
            "[0]",
            "[:1]",
            "()",
            "(1)",
            "|trim",
            "|default(1)",
            " is defined",
            " is not defined",
            " == 1",
            " not in 1",
            " + 1",
            " * 1",
            " ** 1",
            " ~ 1",
            " or 1",
            " and 1",
            " if 1",
            " if 1 else 1",
            " \"a\"",
            ", 1",
        ] {
            shapes.push(format!("{{{{ vars.a{} }}}}", many(after)));
            shapes.push(format!("{{% if vars.a{} %}}{{% endif %}}", many(after)));
        }
        shapes
    }

    /// Tags after and within each other, and what is given to names.
    fn blocks(times: usize) -> Vec<String> {
        let many = |piece: &str| piece.repeat(times);
        let mut shapes = Vec::new();
        for block in [
            "if 1",
            "for a in vars.b",
            "with a = 1",
            "with",
            "set a",
            "filter upper",
            "autoescape true",
            "if 1 %}{% elif 1",
            "if 1 %}{% else",
        ] {
            let end = block.split(' ').next().unwrap_or_default();
            shapes.push(many(&format!("{{% {block} %}}")));
            shapes.push(format!("{}{}", many(&format!("{{% {block} %}}")), many(&format!("{{% end{end} %}}"))));
        }
        shapes.push(format!("{{% if 1 %}}{}{{% endif %}}", many("{% elif 1 %}")));
        shapes.push(format!("{{% for {}a{} in vars.b %}}{{% endfor %}}", many("("), many(")")));
        shapes.push(format!("{{% set {}a{} = 1 %}}", many("("), many(")")));
        shapes.push(format!("{{% set a{} = 1 %}}", many(".a")));
        shapes.push(many("{% set a = 1 %}"));
        shapes.push(format!("{{{{ \"{}\" }}}}", many("a")));
        shapes
    }

    #[test]
    fn c229_no_shape_takes_the_stack() {
        for times in [1, 10, 15, 40, 70, 90, 140, 290, 10_000] {
            for html in tags(times).into_iter().chain(blocks(times)) {
                let source = source(html);
                // Long texts are refused by their length; what is stored is compiled without a look at it.
                let checked = validate(&source, MessageClass::Transactional);
                let compiled = CompiledTemplate::compile(&source, MessageClass::Transactional);
                let start = &source.html[..source.html.len().min(60)];
                assert!(times < 1_000 || (checked.is_err() && compiled.is_err()), "{start}");
                if let Ok(compiled) = compiled {
                    let vars = Variables::parse(&json!({"a": 1, "b": [1]})).expect("variables");
                    let _ = compiled.render(&RenderData { vars, ..RenderData::default() });
                }
            }
        }
    }

    #[test]
    fn c229_a_branch_within_a_branch_counts_as_both() {
        let codes = |html: String| match validate(&source(html), MessageClass::Transactional) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|problem| (problem.code, problem.line)).collect(),
        };
        let branches = |times: usize| format!("{{% if 1 %}}{}", "{% elif 1 %}".repeat(times - 1));
        let ended = |times: usize| format!("{}{{% endif %}}\n", branches(times));
        assert_eq!(codes(ended(BRANCHES).repeat(9)), []);
        assert_eq!(codes(format!("\n{}", ended(BRANCHES + 1))), [("TEMPLATE_TOO_COMPLEX", Some(2))]);
        let nested =
            |block: &str| format!("{}{}", format!("{}{block}", branches(10)).repeat(9), "{% endif %}".repeat(9));
        for block in
            ["x", "{% set a %}{% endset %}", "{% for a in vars.b %}{% endfor %}", "{% raw %}{% endif %}{% endraw %}"]
        {
            assert_eq!(codes(nested(block)), [("TEMPLATE_TOO_COMPLEX", Some(1))], "{block}");
        }
    }

    #[test]
    fn c229_what_a_rendering_holds_is_bounded() {
        let big = json!({"a": "%".repeat(30_000)});
        let render = |html: &str| {
            let compiled =
                CompiledTemplate::compile(&source(html.into()), MessageClass::Transactional).expect("compiles");
            let vars = Variables::parse(&big).expect("variables");
            compiled.render(&RenderData { vars, ..RenderData::default() }).map_err(|error| error.kind.as_str())
        };
        assert!(render("{{ vars.a|urlencode|length }}").is_ok());
        assert_eq!(render("{{ vars.a|urlencode|urlencode|length }}").err(), Some("template_too_large"));
    }
}
