//! The language of templates: which statements, operators, filters and variables there are (C-229).
//!
//! What is left out are the ways to build something large from something small: a text can be written as often as the
//! output has room for, but not joined, repeated or captured, so no expression grows faster than its source. Everything
//! is refused when it is published, with its line, rather than when it is rendered.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, ForLoop, Stmt};
use minijinja::machinery::{Span, parse};

use super::{PROBLEMS, Part, TemplateProblem, bounds};

/// The filters there are; all but `join` and `replace` are the engine's own.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "first",
    "float",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "replace",
    "round",
    "string",
    "title",
    "trim",
    "upper",
    "urlencode",
];
/// The tests there are.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "in",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "undefined",
];
/// Filters that give a number or fail.
const NUMERIC_FILTERS: &[&str] = &["abs", "count", "float", "int", "length", "round"];
/// Variables of one value.
const NAMES: &[&str] = &[
    "contact.first_name",
    "contact.last_name",
    "contact.email",
    "contact.external_id",
    "contact.locale",
    "unsubscribe_url",
    "brand.name",
    "sender.postal_address",
];
/// In front of the name of a declared attribute.
pub(super) const ATTRIBUTE: &str = "contact.attributes.";
/// In front of the name of an event's property.
pub(super) const EVENT: &str = "event.";
/// What templates may not give another value to.
const ROOTS: &[&str] = &["contact", "event", "unsubscribe_url", "brand", "sender", "vars", "loop", "range"];

/// A variable that a part reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// Such as `contact.first_name`.
    pub path: String,
    /// Line in the part, from 1.
    pub line: u32,
}

/// Checks one part and gives the variables it uses, in the order in which it does.
pub(super) fn check(source: &str, part: Part) -> Result<Vec<Use>, Vec<TemplateProblem>> {
    walk(source, part, Walk::finish)
}

/// Checks a piece that other templates include: its names are theirs, and are judged where it is included.
pub(super) fn check_partial(source: &str, part: Part) -> Result<(), Vec<TemplateProblem>> {
    walk(source, part, |walk| if walk.problems.is_empty() { Ok(()) } else { Err(walk.problems) })
}

fn walk<'a, T>(
    source: &'a str,
    part: Part,
    end: impl FnOnce(Walk<'a>) -> Result<T, Vec<TemplateProblem>>,
) -> Result<T, Vec<TemplateProblem>> {
    bounds::check(source, part).map_err(|problem| vec![problem])?;
    let template = parse(source, part.as_str(), minijinja::syntax::SyntaxConfig::default()).map_err(|error| {
        let line = error.line().and_then(|line| u32::try_from(line).ok());
        let message = error.detail().unwrap_or("The template cannot be read.").to_owned();
        vec![TemplateProblem::new("TEMPLATE_SYNTAX", part, line, message)]
    })?;
    let mut walk = Walk { part, locals: BTreeSet::new(), uses: Vec::new(), problems: Vec::new() };
    walk.statement(&template);
    end(walk)
}

struct Walk<'a> {
    part: Part,
    /// Names that loops and assignments bring, anywhere.
    locals: BTreeSet<&'a str>,
    /// Names that are read, with their line.
    uses: Vec<(String, u16)>,
    problems: Vec<TemplateProblem>,
}

impl<'a> Walk<'a> {
    fn refuse(&mut self, code: &'static str, line: u16, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(TemplateProblem::new(code, self.part, Some(u32::from(line)), message));
        }
    }

    fn forbid(&mut self, span: Span, message: &'static str) {
        self.refuse("TEMPLATE_FORBIDDEN", span.start_line, message);
    }

    fn statements(&mut self, statements: &[Stmt<'a>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'a>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => self.for_loop(each, each.span()),
            Stmt::IfCond(branch) => {
                self.expression(&branch.expr);
                self.statements(&branch.true_body);
                self.statements(&branch.false_body);
            }
            Stmt::WithBlock(block) => {
                for (target, value) in &block.assignments {
                    self.target(target);
                    self.expression(value);
                }
                self.statements(&block.body);
            }
            Stmt::Set(set) => {
                self.target(&set.target);
                self.expression(&set.expr);
            }
            Stmt::SetBlock(set) => {
                self.forbid(set.span(), "Captured blocks are not available; write the text in place.");
            }
            Stmt::FilterBlock(block) => self.forbid(block.span(), "Filter blocks are not available."),
            Stmt::AutoEscape(block) => self.forbid(block.span(), "Escaping cannot be turned off."),
            Stmt::Do(call) => self.forbid(call.span(), "This statement is not available."),
        }
    }

    fn for_loop(&mut self, each: &ForLoop<'a>, span: Span) {
        if each.recursive {
            self.forbid(span, "Recursive loops are not available.");
        }
        self.target(&each.target);
        self.expression(&each.iter);
        if let Some(filter) = &each.filter_expr {
            self.expression(filter);
        }
        self.statements(&each.body);
        self.statements(&each.else_body);
    }

    /// What a value is given to: names of their own, nothing that has a meaning already.
    fn target(&mut self, target: &Expr<'a>) {
        match target {
            Expr::Var(name) if ROOTS.contains(&name.id) => {
                self.forbid(name.span(), "This name has a meaning and cannot be given another.");
            }
            Expr::Var(name) => _ = self.locals.insert(name.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.target(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.target(item)),
            other => self.forbid(other.span(), "A value can only be given to a name."),
        }
    }

    fn expression(&mut self, expr: &Expr<'a>) {
        match expr {
            Expr::Const(_) => {}
            Expr::Var(name) => self.uses.push((name.id.to_owned(), name.span().start_line)),
            Expr::GetAttr(get) => match dotted(expr) {
                Some(path) => self.uses.push((path, get.span().start_line)),
                None => self.expression(&get.expr),
            },
            Expr::GetItem(get) => {
                if let Some(path) = named_property(expr) {
                    self.uses.push((path, get.span().start_line));
                } else {
                    self.expression(&get.expr);
                    self.expression(&get.subscript_expr);
                }
            }
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(|bound| self.expression(bound));
            }
            Expr::UnaryOp(op) => self.expression(&op.expr),
            Expr::BinOp(op) => {
                self.operator(op.op, &op.left, &op.right, op.span());
                self.expression(&op.left);
                self.expression(&op.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|other| self.expression(other));
            }
            Expr::Filter(filter) => {
                self.known(FILTERS, filter.name, "filter", filter.span());
                filter.expr.iter().for_each(|inner| self.expression(inner));
                self.arguments(&filter.args, filter.span());
            }
            Expr::Test(test) => {
                self.known(TESTS, test.name, "test", test.span());
                self.expression(&test.expr);
                self.arguments(&test.args, test.span());
            }
            Expr::Call(call) => {
                if !matches!(&call.expr, Expr::Var(name) if name.id == "range") {
                    self.forbid(call.span(), "The only function is range.");
                }
                self.arguments(&call.args, call.span());
            }
            Expr::List(list) => self.constants(&list.items, list.span()),
            Expr::Tuple(tuple) => self.constants(&tuple.items, tuple.span()),
            Expr::Map(map) => self.forbid(map.span(), "Objects cannot be written in a template."),
        }
    }

    fn arguments(&mut self, args: &[CallArg<'a>], span: Span) {
        for arg in args {
            match arg {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => self.forbid(span, "Arguments cannot be unpacked."),
            }
        }
    }

    /// A list in a list in a list, each with the one before twice, would be large without being long.
    fn constants(&mut self, items: &[Expr<'a>], span: Span) {
        if !items.iter().all(|item| matches!(item, Expr::Const(_))) {
            self.forbid(span, "A list can only hold plain texts and numbers.");
        }
    }

    fn operator(&mut self, op: BinOpKind, left: &Expr<'a>, right: &Expr<'a>, span: Span) {
        match op {
            BinOpKind::Concat => self.forbid(span, "Texts are not joined with ~; write them one after another."),
            BinOpKind::Pow | BinOpKind::FloorDiv => self.forbid(span, "This operator is not available."),
            BinOpKind::Add if !is_number(left) && !is_number(right) => {
                self.forbid(span, "Only numbers are added; write x|float + y.");
            }
            BinOpKind::Mul if !is_number(left) || !is_number(right) => {
                self.forbid(span, "Only numbers are multiplied; write x|float * y|float.");
            }
            _ => {}
        }
    }

    fn known(&mut self, names: &[&str], name: &str, what: &str, span: Span) {
        if !names.contains(&name) {
            let message = format!("There is no {what} of this name. There are: {}.", names.join(", "));
            self.refuse("TEMPLATE_FORBIDDEN", span.start_line, message);
        }
    }

    /// Locals may be read before the walk has met them, so names are judged last.
    fn finish(mut self) -> Result<Vec<Use>, Vec<TemplateProblem>> {
        let mut uses = Vec::new();
        for (path, line) in std::mem::take(&mut self.uses) {
            let root = path.split('.').next().unwrap_or_default();
            if root == "loop" || self.locals.contains(root) {
                continue;
            }
            if is_variable(&path, root) {
                uses.push(Use { path, line: u32::from(line) });
            } else {
                let known = NAMES.join(", ");
                let message = format!(
                    "There is no such variable. There are: {known}, contact.attributes.<name>, event.<property>, vars.<name>."
                );
                self.refuse("TEMPLATE_VARIABLE", line, message);
            }
        }
        if self.problems.is_empty() { Ok(uses) } else { Err(self.problems) }
    }
}

fn is_variable(path: &str, root: &str) -> bool {
    let attribute = path.strip_prefix(ATTRIBUTE);
    NAMES.contains(&path)
        || root == "vars"
        || path.starts_with(EVENT)
        || attribute.is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

/// `a.b.c` as text, if that is all it is.
fn dotted(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(name) => Some(name.id.to_owned()),
        Expr::GetAttr(get) => dotted(&get.expr).map(|path| format!("{path}.{}", get.name)),
        _ => None,
    }
}

/// `event["a name"]`, for names that cannot be written after a dot.
fn named_property(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::GetItem(get) if matches!(&get.expr, Expr::Var(name) if name.id == "event") => match &get.subscript_expr {
            Expr::Const(constant) => constant.value.as_str().map(|name| format!("{EVENT}{name}")),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression gives a number or fails.
fn is_number(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(constant) => constant.value.is_number(),
        Expr::UnaryOp(op) => is_number(&op.expr),
        // The operators that are allowed give numbers; comparisons give booleans, which count as numbers.
        Expr::BinOp(op) => !matches!(op.op, BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::Concat),
        Expr::Filter(filter) => NUMERIC_FILTERS.contains(&filter.name),
        Expr::GetAttr(_) => {
            dotted(expr).is_some_and(|path| ["loop.index", "loop.index0", "loop.length"].contains(&&*path))
        }
        _ => false,
    }
}
