//! When a [`Schedule`] comes round: the search for its next point in time, in some time zone.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::schedule::{Fields, Schedule};

/// A schedule that does not come round within so many years (30 February) never does.
const MOST_YEARS: i16 = 5;

impl Schedule {
    /// The first point after `after`; None if there is none. Hours that a clock change skips are skipped, and hours
    /// that it repeats come round twice.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(interval) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(SignedDuration::try_from(*interval).ok()?).ok()
            }
            Self::Fields(fields) => next(fields, after, zone),
        }
    }
}

fn next(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let minute_after = after.as_second().checked_add(60)?;
    let mut at = Timestamp::from_second(minute_after - minute_after.rem_euclid(60)).ok()?.to_zoned(zone.clone());
    // Zones are whole minutes off in our times; where they were not, local minutes begin elsewhere.
    let last_year = at.year().checked_add(MOST_YEARS)?;
    while at.year() <= last_year {
        let date = at.date();
        if !has(fields.month, date.month()) {
            at = start_of(date.last_of_month().tomorrow().ok()?, zone)?;
        } else if !admits_day(fields, date) {
            at = start_of(date.tomorrow().ok()?, zone)?;
        } else if !has(fields.hour, at.hour()) {
            at = later(&at, 60 - i64::from(at.minute()))?;
        } else if !has(fields.minute, at.minute()) {
            at = later(&at, 1)?;
        } else {
            return Some(at.timestamp());
        }
    }
    None
}

fn later(at: &Zoned, minutes: i64) -> Option<Zoned> {
    at.checked_add(SignedDuration::from_mins(minutes)).ok()
}

fn start_of(date: Date, zone: &TimeZone) -> Option<Zoned> {
    // Where midnight is skipped, the day begins at the first moment that there is.
    date.to_datetime(Time::midnight()).to_zoned(zone.clone()).ok()
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|bit| set & (1_u64 << bit) != 0)
}

/// If both kinds of days are restricted, one of them is enough.
fn admits_day(fields: &Fields, date: Date) -> bool {
    let of_month = has(fields.day_of_month, date.day());
    let of_week = has(fields.day_of_week, date.weekday().to_sunday_zero_offset());
    if fields.any_day_of_month || fields.any_day_of_week { of_month && of_week } else { of_month || of_week }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn next(schedule: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let next = Schedule::parse(schedule).unwrap().next_after(after.parse().unwrap(), &zone);
        next.map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn schedules_come_round() {
        for (schedule, after, want) in [
            ("* * * * *", "2024-03-01T08:00:00Z", "2024-03-01T08:01:00Z"),
            ("* * * * *", "2024-03-01T08:00:59Z", "2024-03-01T08:01:00Z"),
            ("*/15 * * * *", "2024-03-01T08:50:00Z", "2024-03-01T09:00:00Z"),
            ("0 0 31 * *", "2024-03-31T00:00:00Z", "2024-05-31T00:00:00Z"),
            ("0 0 29 2 *", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 30 2 *", "2024-03-01T00:00:00Z", "never"),
            ("30 4 1,15 * 5", "2024-03-01T05:00:00Z", "2024-03-08T04:30:00Z"),
            ("0 12 * * mon", "2024-03-05T00:00:00Z", "2024-03-11T12:00:00Z"),
            ("@every 90s", "2024-03-01T08:00:10Z", "2024-03-01T08:01:40Z"),
            ("@yearly", "2024-03-01T08:00:10Z", "2025-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, after, "UTC"), want, "{schedule} after {after}");
        }
    }

    #[test]
    fn clocks_that_change_skip_and_repeat() {
        // On 31 March 2024 Berlin's clocks went from 2:00 to 3:00, on 27 October from 3:00 to 2:00.
        assert_eq!(next("30 2 * * *", "2024-03-30T12:00:00Z", "Europe/Berlin"), "2024-04-01T00:30:00Z");
        assert_eq!(next("30 2 * * *", "2024-10-26T12:00:00Z", "Europe/Berlin"), "2024-10-27T00:30:00Z");
        assert_eq!(next("30 2 * * *", "2024-10-27T00:30:00Z", "Europe/Berlin"), "2024-10-27T01:30:00Z");
        assert_eq!(next("0 9 * * *", "2024-03-01T08:00:00Z", "Asia/Kolkata"), "2024-03-02T03:30:00Z");
    }
}
