//! Timestamps and durations as CEL has them: durations are Go's, of 64 bits of nanoseconds.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::time::last_hours;

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// `1h30m`, `-1.5s`: numbers with units, in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_length = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let nanos = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(nanos)?)?;
        // Digits beyond these are less than a nanosecond of any unit.
        let fraction = &fraction[..fraction.len().min(17)];
        if !fraction.is_empty() {
            total = total.checked_add(fraction.parse::<i128>().ok()? * nanos / 10i128.pow(fraction.len() as u32))?;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// As Go writes durations in CEL: seconds, with a fraction where there is one.
pub(super) fn duration_text(nanos: i64) -> String {
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:09}") };
    format!("{sign}{seconds}{}s", fraction.trim_end_matches('0'))
}

/// An RFC 3339 timestamp of the years 1 to 9999.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let shape = text.as_bytes();
    // The standard has more forms (week dates, no separators) than RFC 3339.
    if shape.len() < 20
        || !matches!(shape[10], b'T' | b't')
        || shape[4] != b'-'
        || shape[7] != b'-'
        || shape[13] != b':'
        || text.contains('[')
    {
        return None;
    }
    match text.parse() {
        Ok(time) => in_range(time),
        Err(_) => last_hours(text),
    }
}

/// The value of a field with the format `date-time` or `date`.
pub(super) fn parse_declared(text: &str) -> Option<Timestamp> {
    parse_timestamp(text).or_else(|| {
        let date: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
        Some(date.in_tz("UTC").ok()?.timestamp())
    })
}

pub(super) fn in_range(time: Timestamp) -> Option<Timestamp> {
    const FIRST_SECOND: i64 = -62_135_596_800;
    const LAST_SECOND: i64 = 253_402_300_799;
    (FIRST_SECOND..=LAST_SECOND).contains(&time.as_second()).then_some(time)
}

/// As CEL writes timestamps: RFC 3339 in UTC, with as much of a fraction as there is.
pub(super) fn timestamp_text(time: Timestamp) -> String {
    time.to_string()
}

pub(super) fn add(time: Timestamp, nanos: i64) -> Option<Timestamp> {
    in_range(time.checked_add(jiff::SignedDuration::from_nanos(nanos)).ok()?)
}

/// From the second to the first; None where that does not fit into a duration.
pub(super) fn between(a: Timestamp, b: Timestamp) -> Option<i64> {
    i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok()
}
