//! Times of day in somebody's zone (C-178): a gap moves them later, an overlap takes the first, never twice. Pure.

use chrono::{Datelike, NaiveDate, TimeDelta};
use jiff::civil::Time;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::time::Timestamp;

/// A time of day in whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay(Time);

impl TimeOfDay {
    /// Reads `09:30`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = |text: &str| if is_number(text) { text.parse::<i8>().ok() } else { None };
        Time::new(digits(hour)?, digits(minute)?, 0, 0).ok().map(Self)
    }
}

/// A zone by its name; none if the database does not know it.
pub fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::db().get(name).ok()
}

/// The first instant after `from` at which it is this time of day in the zone: who has just waited for it waits a day.
pub fn next_time_of_day(time: TimeOfDay, zone: &TimeZone, from: Timestamp) -> Timestamp {
    let Ok(start) = jiff::Timestamp::from_microsecond(from.timestamp_micros()) else { return from };
    let mut day = zone.to_datetime(start).date();
    // One day is skipped where a zone crossed the date line; nowhere are two.
    for _ in 0..4 {
        if let Some(at) = instant(zone, day.to_datetime(time.0)).filter(|at| *at > from) {
            return at;
        }
        match day.tomorrow() {
            Ok(next) => day = next,
            Err(_) => return from,
        }
    }
    from + TimeDelta::days(1)
}

/// The instant at which it is this time on this day in the zone; none where the zone has no such day.
pub fn time_on_day(time: TimeOfDay, day: NaiveDate, zone: &TimeZone) -> Option<Timestamp> {
    let part = |number: u32| i8::try_from(number).ok();
    let date = jiff::civil::Date::new(i16::try_from(day.year()).ok()?, part(day.month())?, part(day.day())?).ok()?;
    instant(zone, date.to_datetime(time.0))
}

/// The instant of a local time: in a gap with the offset before it, in an overlap the first (RFC 5545 s3.3.5).
fn instant(zone: &TimeZone, local: jiff::civil::DateTime) -> Option<Timestamp> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
    };
    let at = offset.to_timestamp(local).ok()?;
    Timestamp::from_timestamp_micros(at.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn next(time: &str, name: &str, from: &str) -> Timestamp {
        next_time_of_day(TimeOfDay::parse(time).expect("a time"), &zone(name).expect("a zone"), at(from))
    }

    #[test]
    fn c178_gaps_move_later_and_overlaps_come_once() {
        let table = [
            ("02:30", "America/New_York", "2027-03-14T05:00:00Z", "2027-03-14T07:30:00Z"),
            ("01:30", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z"),
            // Past the first 01:30 the second of the same day is none.
            ("01:30", "America/New_York", "2026-11-01T05:30:01Z", "2026-11-02T06:30:00Z"),
            // Lord Howe moves by half an hour.
            ("02:15", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T15:45:00Z"),
            // Apia had no 30 December 2011.
            ("09:00", "Pacific/Apia", "2011-12-29T20:00:00Z", "2011-12-30T19:00:00Z"),
            ("09:00", "Asia/Kathmandu", "2026-06-01T00:00:00Z", "2026-06-01T03:15:00Z"),
            ("09:00", "Africa/Casablanca", "2026-06-01T00:00:00Z", "2026-06-01T08:00:00Z"),
            ("00:00", "UTC", "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"),
        ];
        for (time, zone, from, wanted) in table {
            assert_eq!(next(time, zone, from), at(wanted), "{time} {zone} from {from}");
        }
    }

    #[test]
    fn only_hours_and_minutes_are_a_time_of_day() {
        for text in ["", "9:30", "24:00", "12:60", "09:30:00", "-1:00", "0930", "09:3x", "+9:30"] {
            assert!(TimeOfDay::parse(text).is_none(), "{text}");
        }
        assert!(TimeOfDay::parse("00:00").is_some() && TimeOfDay::parse("23:59").is_some());
    }

    proptest::proptest! {
        #[test]
        fn c178_the_next_time_is_never_in_the_past_and_within_two_days(
            seconds in 1_500_000_000i64..2_200_000_000, hour in 0u8..24, minute in 0u8..60, place in 0usize..6,
        ) {
            let names = ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "America/Sao_Paulo"];
            let from = Timestamp::from_timestamp(seconds, 0).unwrap();
            let time = TimeOfDay::parse(&format!("{hour:02}:{minute:02}")).unwrap();
            let next = next_time_of_day(time, &zone(names[place]).unwrap(), from);
            proptest::prop_assert!(next > from && next - from <= TimeDelta::hours(26));
        }
    }
}
