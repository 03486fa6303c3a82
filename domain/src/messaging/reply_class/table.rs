//! The rules as they are used: `rules.toml`, read once and held against what a table must be (C-51).

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{EnhancedCode, FailureClass, Operator};

/// The file as it was built in.
const TEXT: &str = include_str!("rules.toml");

/// The table of this build.
///
/// # Panics
/// When the file is no table: at every start, so in every test.
static TABLE: LazyLock<Table> = LazyLock::new(|| match Table::parse(TEXT) {
    Ok(table) => table,
    Err(why) => panic!("rules.toml: {why}"),
});

/// The table; every start reads it.
pub(super) fn table() -> &'static Table {
    &TABLE
}

/// All rules of one version.
pub(super) struct Table {
    pub version: u16,
    operators: Vec<OperatorRow>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u16,
    operator: Vec<OperatorRow>,
    rule: Vec<RuleRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorRow {
    id: String,
    hosts: Vec<String>,
    #[serde(default)]
    marks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRow {
    id: String,
    operator: Option<String>,
    code: Option<String>,
    #[serde(default)]
    basic: Vec<u16>,
    #[serde(default)]
    text: Vec<String>,
    class: FailureClass,
}

/// One rule; whether a code's class is 4 or 5 does not matter here, it decides whether the answer is final.
pub(super) struct Rule {
    /// Stable id.
    pub id: String,
    operator: Option<String>,
    /// Enhanced subject and detail; no detail means any.
    code: Option<(u16, Option<u16>)>,
    basic: Vec<u16>,
    /// Any of these in the lower-case text; none means any text.
    text: Vec<String>,
    /// What it means.
    pub class: FailureClass,
}

/// What a reply is looked up by.
pub(super) struct Asked<'a> {
    pub operator: Option<Operator>,
    pub code: u16,
    /// None where it tells nothing.
    pub enhanced: Option<EnhancedCode>,
    /// In lower case.
    pub text: &'a str,
}

impl Table {
    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let rules = file.rule.into_iter().map(Rule::try_from).collect::<Result<Vec<_>, _>>()?;
        let table = Self { version: file.version, operators: file.operator, rules };
        table.flaw().map_or(Ok(table), Err)
    }

    /// What is wrong with it as a whole.
    fn flaw(&self) -> Option<String> {
        let lower = |text: &String| *text == text.to_lowercase() && !text.trim().is_empty();
        let operators: HashSet<&str> = self.operators.iter().map(|row| row.id.as_str()).collect();
        let mut ids = HashSet::new();
        for rule in &self.rules {
            let known = rule.operator.as_deref().is_none_or(|operator| operators.contains(operator));
            if !known || !rule.text.iter().all(lower) || !ids.insert(rule.id.as_str()) {
                return Some(format!(
                    "rule {} names an operator that is not there, has upper case, or is there twice",
                    rule.id
                ));
            }
        }
        let mut words = self.operators.iter().flat_map(|row| row.hosts.iter().chain(&row.marks));
        let odd = operators.len() != self.operators.len() || self.version == 0 || !words.all(lower);
        odd.then(|| "operators are there twice or have upper case, or the version is none".to_owned())
    }

    /// The first rule that fits: an operator's own before those of all; by enhanced code where one tells, else by text; then
    /// by basic code (C-49, C-51).
    pub fn find(&self, asked: &Asked<'_>) -> Option<&Rule> {
        let main =
            |rule: &Rule| rule.basic.is_empty() && rule.code.is_some() == asked.enhanced.is_some() && rule.fits(asked);
        let basic = |rule: &Rule| rule.basic.contains(&asked.code) && rule.fits(asked);
        self.first(true, main)
            .or_else(|| self.first(false, main))
            .or_else(|| self.first(true, basic))
            .or_else(|| self.first(false, basic))
    }

    /// The first of the operators' own rules, or of those of all, that fits.
    fn first(&self, own: bool, fits: impl Fn(&Rule) -> bool) -> Option<&Rule> {
        self.rules.iter().find(|&rule| rule.operator.is_some() == own && fits(rule))
    }

    /// The operator of a mail server or a mailbox's domain.
    pub fn operator_of_host(&'static self, host: &str) -> Option<Operator> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_of = |domain: &String| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.operators.iter().find(|row| row.hosts.iter().any(is_of)).map(|row| Operator(&row.id))
    }

    /// The operator whose servers say such things.
    pub fn operator_of_text(&'static self, text: &str) -> Option<Operator> {
        let text = text.to_lowercase();
        let says = |row: &&OperatorRow| row.marks.iter().any(|mark| text.contains(mark.as_str()));
        self.operators.iter().find(says).map(|row| Operator(&row.id))
    }

    /// The operator with this id.
    pub fn operator(&'static self, id: &str) -> Option<Operator> {
        self.operators.iter().find(|row| row.id == id).map(|row| Operator(&row.id))
    }

    #[cfg(test)]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        let by_code = match (self.code, asked.enhanced) {
            (Some((subject, detail)), Some(code)) => {
                subject == code.subject && detail.is_none_or(|detail| detail == code.detail)
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        let of = self.operator.as_deref();
        let by_operator = of.is_none() || of == asked.operator.map(Operator::as_str);
        by_code
            && by_operator
            && (self.text.is_empty() || self.text.iter().any(|word| asked.text.contains(word.as_str())))
    }
}

impl TryFrom<RuleRow> for Rule {
    type Error = String;

    fn try_from(row: RuleRow) -> Result<Self, String> {
        let code = match row.code.as_deref() {
            None => None,
            Some(text) => {
                let (subject, detail) =
                    text.split_once('.').map_or((text, None), |(subject, detail)| (subject, Some(detail)));
                let number =
                    |text: &str| text.parse::<u16>().map_err(|_| format!("rule {}: {text} is no code", row.id));
                Some((number(subject)?, detail.map(number).transpose()?))
            }
        };
        if code.is_none() && row.basic.is_empty() && row.text.is_empty() {
            return Err(format!("rule {} fits everything", row.id));
        }
        let RuleRow { id, operator, basic, text, class, .. } = row;
        Ok(Self { id, operator, code, basic, text, class })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c051_the_table_of_this_build_is_one() {
        let table = table();
        assert!(table.version >= 2 && table.rules().len() > 60);
        for class in FailureClass::ALL.iter().filter(|class| **class != FailureClass::Unknown) {
            assert!(table.rules().iter().any(|rule| rule.class == *class), "no rule gives {class}");
        }
    }

    #[test]
    fn c051_what_is_no_table_is_refused() {
        let rule = |text: &str| format!("version = 1\noperator = []\n[[rule]]\n{text}");
        assert!(Table::parse(&rule("id = \"a\"\ncode = \"1.1\"\nclass = \"domain\"")).is_ok());
        let wrong = [
            "id = \"a\"\nclass = \"domain\"",
            "id = \"a\"\ncode = \"x\"\nclass = \"domain\"",
            "id = \"a\"\ncode = \"1.1\"\nclass = \"somebody_else\"",
            "id = \"a\"\ncode = \"1.1\"\nclass = \"domain\"\nwhy = \"so\"",
            "id = \"a\"\ncode = \"1.1\"\nclass = \"domain\"\noperator = \"nobody\"",
            "id = \"a\"\ntext = [\"SPAM\"]\nclass = \"domain\"",
            "id = \"a\"\nbasic = [450]\nclass = \"domain\"\n[[rule]]\nid = \"a\"\nbasic = [451]\nclass = \"domain\"",
        ];
        for text in wrong {
            assert!(Table::parse(&rule(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn c049_an_operator_is_known_by_its_servers_and_by_what_they_say() {
        let host = |name: &str| table().operator_of_host(name).map(Operator::as_str);
        assert_eq!(host("gmail-smtp-in.l.google.com"), Some("google"));
        assert_eq!(host("GMAIL.com."), Some("google"));
        assert_eq!(host("notgmail.com"), None);
        assert_eq!(host("mx.example.org"), None);
        let text = table().operator_of_text("No such user 4fb4d7f45d1cf-5c8 - gsmtp");
        assert_eq!(text.map(Operator::as_str), Some("google"));
        assert_eq!(table().operator_of_text("No such user"), None);
    }
}
