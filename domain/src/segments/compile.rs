//! Conditions in SQL: the evaluator's answer for a row of `contacts`, held equal to it by a property test.
//!
//! SQL says TRUE or FALSE, or NULL where it cannot know: who is subscribed hangs on keyed hashes of addresses, which no
//! database can make, and the fold of consent has one implementation. Where NULL matters, the evaluator decides, and
//! Kleene's logic keeps what SQL does know.

use carillon_entities::wall::Fragment;
use serde_json::Value as Json;

use super::value::ContactField;
use super::{AttributeTest, Condition, TopicTest, Window};
use crate::contacts::{AttributeKind, AttributeValue};
use crate::error::Refusal;
use crate::time::Timestamp;

/// A condition as SQL has it, about the row `c` of `contacts`.
#[derive(Debug, Clone)]
pub struct CompiledCondition(Fragment);

impl CompiledCondition {
    pub(crate) fn fragment(&self) -> &Fragment {
        &self.0
    }
}

/// Compiles a condition as of an instant.
///
/// # Errors
/// What [`Condition::check`] finds, and `ONLY_IN_WORKFLOW` where it asks about a mail of a workflow's node.
pub fn compile(condition: &Condition, now: Timestamp) -> Result<CompiledCondition, Vec<Refusal>> {
    let mut findings = condition.check();
    if condition.may_be_unknown() {
        let message = "What somebody did with a mail can be asked inside its workflow only.";
        findings.push(Refusal::new("ONLY_IN_WORKFLOW", "", message));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut sql = Fragment::default();
    write(&mut sql, condition, now);
    Ok(CompiledCondition(sql))
}

fn write(sql: &mut Fragment, condition: &Condition, now: Timestamp) {
    match condition {
        Condition::And { of } => joined(sql, of, ("TRUE", " AND "), now),
        Condition::Or { of } => joined(sql, of, ("FALSE", " OR "), now),
        Condition::Not { of } => {
            sql.text("(NOT ");
            write(sql, of, now);
            sql.text(")");
        }
        Condition::Attribute { name, test } => match name.parse::<ContactField>() {
            Ok(field) => of_field(sql, field, test),
            Err(_) => of_attribute(sql, name, test),
        },
        Condition::Tag { tag } => {
            sql.text(
                "EXISTS (SELECT 1 FROM contact_tags AS t WHERE t.tenant_id = $1 AND t.contact_id = c.id AND t.tag = ",
            );
            sql.value(tag.as_str()).text(")");
        }
        // Who has no address is subscribed to nothing; of others only the hash of the address tells.
        Condition::Topic { test: TopicTest::Subscribed, .. } => {
            sql.text("(CASE WHEN c.email_norm IS NULL THEN FALSE ELSE NULL END)");
        }
        Condition::Topic { test: TopicTest::NotSubscribed, .. } => {
            sql.text("(CASE WHEN c.email_norm IS NULL THEN TRUE ELSE NULL END)");
        }
        Condition::Event { name, at_least, at_most, within } => {
            of_event(sql, name, (*at_least, *at_most), (*within, now));
        }
        // Refused before anything is written.
        Condition::Mail { .. } => drop(sql.text("NULL")),
    }
}

fn joined(sql: &mut Fragment, of: &[Condition], (none, between): (&'static str, &'static str), now: Timestamp) {
    sql.text("(");
    for (place, one) in of.iter().enumerate() {
        sql.text(if place == 0 { "" } else { between });
        write(sql, one, now);
    }
    sql.text(if of.is_empty() { none } else { "" }).text(")");
}

fn of_attribute(sql: &mut Fragment, name: &str, test: &AttributeTest) {
    let missing = matches!(test, AttributeTest::IsMissing);
    sql.text(if missing { "(NOT EXISTS (" } else { "(EXISTS (" });
    sql.text(
        "SELECT 1 FROM contact_attribute_values AS v JOIN attribute_definitions AS d ON d.tenant_id = $1 \
            AND d.id = v.attribute_id WHERE v.tenant_id = $1 AND v.contact_id = c.id AND d.name = ",
    );
    sql.value(name).text(" AND (");
    match test {
        AttributeTest::IsMissing => drop(sql.text("TRUE")),
        AttributeTest::Equals { value } => equal(sql, value),
        AttributeTest::In { values } => {
            for value in values {
                equal(sql, value);
                sql.text(" OR ");
            }
            sql.text("FALSE");
        }
        AttributeTest::Less { value } => ordered(sql, ("v.number_value < ", "v.date_value < "), value),
        AttributeTest::Greater { value } => ordered(sql, ("v.number_value > ", "v.date_value > "), value),
        AttributeTest::StartsWith { value } => begins(sql, "v.text_value", value),
    }
    sql.text(")))");
}

/// Text that is a day is equal to that day, too.
fn equal(sql: &mut Fragment, value: &Json) {
    let read = |kind| AttributeValue::from_json(kind, value).ok();
    let mut any = false;
    for kind in AttributeKind::ALL {
        let Some(value) = read(*kind) else { continue };
        sql.text(if any { " OR " } else { "(" });
        any = true;
        match value {
            AttributeValue::String(text) => sql.text("v.text_value = ").value(text),
            AttributeValue::Number(number) => sql.text("v.number_value = ").value(number),
            AttributeValue::Boolean(yes) => sql.text("v.bool_value = ").value(yes),
            AttributeValue::Date(day) => sql.text("v.date_value = ").value(day),
        };
    }
    sql.text(if any { ")" } else { "FALSE" });
}

fn ordered(sql: &mut Fragment, (number, day): (&'static str, &'static str), value: &Json) {
    let read = |kind| AttributeValue::from_json(kind, value).ok();
    match (read(AttributeKind::Number), read(AttributeKind::Date)) {
        (Some(AttributeValue::Number(wanted)), _) => drop(sql.text(number).value(wanted)),
        (_, Some(AttributeValue::Date(wanted))) => drop(sql.text(day).value(wanted)),
        _ => drop(sql.text("FALSE")),
    }
}

/// In characters, which both databases count alike.
fn begins(sql: &mut Fragment, column: &'static str, beginning: &str) {
    let length = i32::try_from(beginning.chars().count()).unwrap_or(i32::MAX);
    sql.text("substr(").text(column).text(", 1, ").value(length).text(") = ").value(beginning);
}

fn of_field(sql: &mut Fragment, field: ContactField, test: &AttributeTest) {
    let column = match field {
        ContactField::FirstName => "c.first_name",
        ContactField::LastName => "c.last_name",
        ContactField::Email => "c.email_norm",
        ContactField::Locale => "c.locale",
        ContactField::Country => "c.country",
        ContactField::Zone => "c.zone",
    };
    let read = |value: &Json| match AttributeValue::from_json(AttributeKind::String, value) {
        Ok(AttributeValue::String(wanted)) => Some(wanted),
        _ => None,
    };
    match test {
        AttributeTest::IsMissing => drop(sql.text("(").text(column).text(" IS NULL)")),
        AttributeTest::Equals { value } => one_of(sql, column, read(value).into_iter().collect()),
        AttributeTest::In { values } => one_of(sql, column, values.iter().filter_map(read).collect()),
        AttributeTest::Less { .. } | AttributeTest::Greater { .. } => drop(sql.text("FALSE")),
        AttributeTest::StartsWith { value } => {
            sql.text("(").text(column).text(" IS NOT NULL AND ");
            begins(sql, column, value);
            sql.text(")");
        }
    }
}

fn one_of(sql: &mut Fragment, column: &'static str, values: Vec<String>) {
    sql.text("(").text(column).text(" IS NOT NULL AND (FALSE");
    for value in values {
        sql.text(" OR ").text(column).text(" = ").value(value);
    }
    sql.text("))");
}

/// Counts no further than the answer needs.
fn of_event(
    sql: &mut Fragment,
    name: &str,
    (at_least, at_most): (u32, Option<u32>),
    (within, now): (Option<Window>, Timestamp),
) {
    let enough = at_most.map_or(at_least, |most| most.saturating_add(1).max(at_least));
    let since = within.map_or(Timestamp::UNIX_EPOCH, |window| window.start(now)).max(Timestamp::UNIX_EPOCH);
    sql.text(
        "((SELECT COUNT(*) FROM (SELECT 1 AS one FROM event_definitions AS d JOIN contact_events AS e \
            ON e.tenant_id = $1 AND e.event_id = d.id WHERE d.tenant_id = $1 AND e.contact_id = c.id AND d.name = ",
    );
    sql.value(name).text(" AND e.occurred_at >= ").value(since).text(" AND e.occurred_at <= ").value(now);
    sql.text(" LIMIT ").value(i64::from(enough)).text(") AS counted) BETWEEN ").value(i64::from(at_least));
    sql.text(" AND ").value(at_most.map_or(i64::MAX, i64::from)).text(")");
}
