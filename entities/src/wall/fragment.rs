//! The compiled part of a statement: static text and bound values, so that nothing from outside is ever read as SQL.
//!
//! A statement with `{condition}` in its text is registered like any other, and is tested with `TRUE` there;
//! [`super::TenantTx::sql_where`] runs it with a [`Fragment`] in its place.

use std::fmt::Write;

use sea_orm::Value;

/// A boolean expression; in its text `$1` is the tenant, and it has no other places of its own.
#[derive(Debug, Clone, Default)]
pub struct Fragment(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(&'static str),
    Value(Value),
}

impl Fragment {
    /// Adds text of the program.
    pub fn text(&mut self, text: &'static str) -> &mut Self {
        self.0.push(Piece::Text(text));
        self
    }

    /// Adds a value, which is bound.
    pub fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.0.push(Piece::Value(value.into()));
        self
    }

    /// The text, with places behind those that the scalars have; the values are added to these.
    pub(super) fn render(&self, scalars: &mut Vec<Value>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Value(value) => {
                    scalars.push(value.clone());
                    let _ = write!(text, "${}", scalars.len());
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c205_values_are_bound_behind_the_scalars_and_never_text() {
        let mut fragment = Fragment::default();
        fragment.text("(a = ").value("x' OR '1'='1").text(" AND b < ").value(5_i64).text(")");
        let mut scalars = vec![Value::from("tenant"), Value::from(1_i64)];
        assert_eq!(fragment.render(&mut scalars), "(a = $3 AND b < $4)");
        assert_eq!(scalars[2..], [Value::from("x' OR '1'='1"), Value::from(5_i64)]);
    }
}
