//! The end of time, which people write, and which is later than the last moment that jiff knows.

use jiff::Timestamp;

/// RFC 3339 of the last two days of the year 9999: all of it is [`Timestamp::MAX`], which is a day earlier.
pub(crate) fn last_hours(text: &str) -> Option<Timestamp> {
    let time_of_day = text.strip_prefix("9999-12-30").or_else(|| text.strip_prefix("9999-12-31"))?;
    format!("9999-12-29{time_of_day}").parse::<Timestamp>().ok().map(|_| Timestamp::MAX)
}
