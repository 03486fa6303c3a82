//! When a campaign begins, when it is whose turn, and how many leave in an hour. Pure.

use chrono::TimeDelta;
use jiff::tz::TimeZone;

use super::Schedule;
use crate::messaging::INTENTS_MAX;
use crate::time::Timestamp;
use crate::workflows::local_time::{TimeOfDay, next_time_of_day, time_on_day};

/// The zone in which a day begins first is fourteen hours ahead of UTC, and an hour is left to write the audience down.
const BEFORE_THE_FIRST: TimeDelta = TimeDelta::hours(15);
/// One hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;

impl Schedule {
    /// When its audience is written down, if it is started at `now`.
    pub(super) fn begins_at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::At { at } => (*at).max(now),
            Self::LocalTime { day, time } => {
                let time = time.parse().unwrap_or(chrono::NaiveTime::MIN);
                (day.and_time(time).and_utc() - BEFORE_THE_FIRST).max(now)
            }
        }
    }

    /// When it is the turn of somebody in a zone. Where the local time was over before the audience was known, it is
    /// that time's next coming: nobody gets it in the middle of their night (C-178).
    pub(super) fn release_at(&self, zone: &TimeZone, as_of: Timestamp) -> Timestamp {
        let Self::LocalTime { day, time } = self else { return as_of };
        let Some(time) = TimeOfDay::parse(time) else { return as_of };
        let then = time_on_day(time, *day, zone).filter(|then| *then >= as_of);
        then.unwrap_or_else(|| next_time_of_day(time, zone, as_of))
    }
}

/// How many are released at once: half a thousand, or what leaves in a minute if that is less.
pub(super) fn at_once(per_hour: Option<u32>) -> usize {
    per_hour.map_or(INTENTS_MAX, |rate| usize::try_from(rate / 60).unwrap_or(INTENTS_MAX).clamp(1, INTENTS_MAX))
}

/// Instants at which messages may leave, so far apart that no hour has more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    first: Timestamp,
    apart: TimeDelta,
}

impl Slots {
    /// From the first free one on, which never lies in the past: what was not used is lost.
    pub(super) fn new(per_hour: Option<u32>, next: Option<Timestamp>, now: Timestamp) -> Self {
        let apart = per_hour.map_or(0, |rate| {
            let rate = i64::from(rate.max(1));
            (HOUR_US + rate - 1) / rate
        });
        Self { first: next.unwrap_or(now).max(now), apart: TimeDelta::microseconds(apart) }
    }

    /// The n-th, from 0.
    pub(super) fn at(self, place: usize) -> Timestamp {
        self.first + self.apart * i32::try_from(place).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflows::local_time::zone;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn local(day: &str, time: &str) -> Schedule {
        Schedule::LocalTime { day: day.parse().expect("a day"), time: time.to_owned() }
    }

    #[test]
    fn c178_everybody_has_their_own_nine_and_gaps_move_later() {
        let as_of = at("2027-03-01T00:00:00Z");
        let table = [
            ("2027-03-14", "02:30", "America/New_York", "2027-03-14T07:30:00Z"),
            ("2027-11-07", "01:30", "America/New_York", "2027-11-07T05:30:00Z"),
            ("2027-06-01", "09:00", "Europe/Vienna", "2027-06-01T07:00:00Z"),
            ("2027-06-01", "09:00", "Pacific/Kiritimati", "2027-05-31T19:00:00Z"),
            ("2027-10-03", "02:15", "Australia/Lord_Howe", "2027-10-02T15:45:00Z"),
        ];
        for (day, time, name, wanted) in table {
            let zone = zone(name).expect("a zone");
            assert_eq!(local(day, time).release_at(&zone, as_of), at(wanted), "{day} {time} {name}");
        }
    }

    #[test]
    fn c178_where_the_time_is_over_it_is_the_next_days() {
        let schedule = local("2027-06-01", "09:00");
        let as_of = at("2027-06-01T08:00:00Z");
        let [vienna, new_york] = ["Europe/Vienna", "America/New_York"].map(|name| zone(name).expect("a zone"));
        assert_eq!(schedule.release_at(&vienna, as_of), at("2027-06-02T07:00:00Z"));
        assert_eq!(schedule.release_at(&new_york, as_of), at("2027-06-01T13:00:00Z"));
    }

    #[test]
    fn it_begins_before_the_first_zone_and_never_in_the_past() {
        let schedule = local("2027-06-01", "09:00");
        assert_eq!(schedule.begins_at(at("2027-05-01T00:00:00Z")), at("2027-05-31T18:00:00Z"));
        assert_eq!(schedule.begins_at(at("2027-07-01T00:00:00Z")), at("2027-07-01T00:00:00Z"));
        let first = schedule.release_at(&zone("Pacific/Kiritimati").expect("a zone"), at("2027-05-31T18:00:00Z"));
        assert_eq!(first, at("2027-05-31T19:00:00Z"));
    }

    proptest! {
        #[test]
        fn no_hour_has_more_than_it_may(rate in 1u32..100_000, seconds in 0i64..1_000_000) {
            let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds);
            let slots = Slots::new(Some(rate), None, now);
            let places = usize::try_from(rate).unwrap();
            prop_assert!(slots.at(places) - slots.at(0) >= TimeDelta::hours(1));
            prop_assert!(at_once(Some(rate)) <= places.max(1));
        }
    }
}
