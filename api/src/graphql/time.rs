//! Days and instants as inputs: in the years 1 to 9999, in which every database can store and order them.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{InputType, InputValueError, InputValueResult, Value};
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// What a caller gives for a time; the schema's type is that of `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated<T>(T);

/// An instant as an input.
pub type Instant = Dated<DateTime<Utc>>;
/// A day as an input.
pub type Day = Dated<NaiveDate>;

impl<T> Dated<T> {
    /// The time.
    pub fn get(self) -> T {
        self.0
    }
}

impl<T: InputType + Datelike> InputType for Dated<T> {
    type RawValueType = T::RawValueType;

    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        let time = T::parse(value).map_err(InputValueError::propagate)?;
        if (1..=9999).contains(&time.year()) {
            Ok(Self(time))
        } else {
            Err(InputValueError::custom("the year is one of 1 to 9999"))
        }
    }

    fn to_value(&self) -> Value {
        self.0.to_value()
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_raw_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_years_that_can_be_stored_and_ordered() {
        let instant = |text: &str| Instant::parse(Some(Value::from(text)));
        for good in ["0001-01-01T00:00:00Z", "2026-01-01T00:00:00.123456+02:00", "9999-12-31T23:59:59.999999Z"] {
            assert!(instant(good).is_ok(), "{good}");
        }
        let days = ["-4713-01-01", "0000-12-31", "+10000-01-01", "+262142-12-31"];
        for bad in days
            .map(|day| format!("{day}T00:00:00Z"))
            .into_iter()
            .chain(["0001-01-01T00:00:00+01:00".to_owned(), "9999-12-31T23:59:59-01:00".to_owned()])
        {
            assert!(instant(&bad).is_err(), "{bad}");
        }
        for bad in days {
            assert!(Day::parse(Some(Value::from(bad))).is_err(), "{bad}");
        }
        assert!(Day::parse(Some(Value::from("2026-02-28"))).is_ok());
    }
}
