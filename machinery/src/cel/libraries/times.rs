//! Parts of timestamps, in UTC or in a named zone, and of durations.

use jiff::Zoned;
use jiff::tz::{Offset, TimeZone};

use super::native;
use crate::cel::Stop;
use crate::cel::evaluate::Evaluated;
use crate::cel::library::{Function, ONE, member};
use crate::cel::value::Value as V;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    member("getFullYear", "timestamp", "int", ONE, full_year), member("getFullYear", "timestamp, string", "int", ONE, full_year),
    member("getMonth", "timestamp", "int", ONE, month), member("getMonth", "timestamp, string", "int", ONE, month),
    member("getDayOfYear", "timestamp", "int", ONE, day_of_year), member("getDayOfYear", "timestamp, string", "int", ONE, day_of_year),
    member("getDate", "timestamp", "int", ONE, date), member("getDate", "timestamp, string", "int", ONE, date),
    member("getDayOfMonth", "timestamp", "int", ONE, day_of_month), member("getDayOfMonth", "timestamp, string", "int", ONE, day_of_month),
    member("getDayOfWeek", "timestamp", "int", ONE, day_of_week), member("getDayOfWeek", "timestamp, string", "int", ONE, day_of_week),
    member("getHours", "timestamp", "int", ONE, hours), member("getHours", "timestamp, string", "int", ONE, hours),
    member("getMinutes", "timestamp", "int", ONE, minutes), member("getMinutes", "timestamp, string", "int", ONE, minutes),
    member("getSeconds", "timestamp", "int", ONE, seconds), member("getSeconds", "timestamp, string", "int", ONE, seconds),
    member("getMilliseconds", "timestamp", "int", ONE, milliseconds),
    member("getMilliseconds", "timestamp, string", "int", ONE, milliseconds),
    member("getHours", "duration", "int", ONE, duration_hours),
    member("getMinutes", "duration", "int", ONE, duration_minutes),
    member("getSeconds", "duration", "int", ONE, duration_seconds),
    member("getMilliseconds", "duration", "int", ONE, duration_milliseconds),
];

/// A zone by its name, or as `+02:00`.
fn zone(name: &str) -> Option<TimeZone> {
    let Some((hours, minutes)) = name.split_once(':') else { return TimeZone::get(name).ok() };
    let (sign, hours) = match hours.strip_prefix(['+', '-']) {
        Some(rest) if hours.starts_with('-') => (-1, rest),
        Some(rest) => (1, rest),
        None => (1, hours),
    };
    let (hours, minutes): (i32, i32) = (hours.parse::<u8>().ok()?.into(), minutes.parse::<u8>().ok()?.into());
    Some(TimeZone::fixed(Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?))
}

fn part<'v>(args: &[V<'v>], part: fn(&Zoned) -> i64) -> Evaluated<'v> {
    let (time, zone) = match args {
        [V::Timestamp(time)] => (time, TimeZone::UTC),
        [V::Timestamp(time), V::String(name)] => (time, zone(name).ok_or_else(|| Stop::failed("unknown time zone"))?),
        _ => return Err(Stop::overload("timestamp")),
    };
    Ok(V::Int(part(&time.to_zoned(zone))))
}

macro_rules! parts {
    ($($name:ident: $part:expr;)*) => {
        $(
            fn $name<'v>(_: &mut crate::cel::evaluate::Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
                part(args, $part)
            }
        )*
    };
}

parts! {
    full_year: |time| time.year().into();
    // Counted from zero, as all but the date are.
    month: |time| i64::from(time.month()) - 1;
    day_of_year: |time| i64::from(time.day_of_year()) - 1;
    date: |time| time.day().into();
    day_of_month: |time| i64::from(time.day()) - 1;
    day_of_week: |time| time.weekday().to_sunday_zero_offset().into();
    hours: |time| time.hour().into();
    minutes: |time| time.minute().into();
    seconds: |time| time.second().into();
    milliseconds: |time| time.millisecond().into();
}

native! {
    duration_hours(_run: V::Duration(nanos)) Ok(V::Int(nanos / 3_600_000_000_000));
    duration_minutes(_run: V::Duration(nanos)) Ok(V::Int(nanos / 60_000_000_000));
    duration_seconds(_run: V::Duration(nanos)) Ok(V::Int(nanos / 1_000_000_000));
    duration_milliseconds(_run: V::Duration(nanos)) Ok(V::Int(nanos / 1_000_000));
}
