//! The schedules of CronJobs: five fields (minute, hour, day of month, month, day of week), or one of the
//! descriptors `@hourly`, `@daily`, … and `@every <duration>`.

use std::time::Duration;

/// A parsed schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Fields(Fields),
    Every(Duration),
}

/// The values that each field admits, as sets of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub minute: u64,
    pub hour: u64,
    pub day_of_month: u64,
    pub month: u64,
    /// 0 is Sunday.
    pub day_of_week: u64,
    /// Whether the day fields admit any day. Where both restrict, a day that satisfies either will do.
    pub any_day_of_month: bool,
    pub any_day_of_week: bool,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("expected 5 fields, found {0}")]
    FieldCount(usize),
    #[error("unknown descriptor {0:?}")]
    Descriptor(String),
    #[error("{0:?} is not a duration")]
    Duration(String),
    #[error("{0:?} is not a number or name")]
    Value(String),
    #[error("{0:?} is out of the range {1}-{2}")]
    Range(String, u32, u32),
    #[error("{0:?} has a step of 0")]
    Step(String),
}

struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { least: 0, most: 59, names: &[] };
const HOUR: Bounds = Bounds { least: 0, most: 23, names: &[] };
const DAY_OF_MONTH: Bounds = Bounds { least: 1, most: 31, names: &[] };
const MONTH: Bounds =
    Bounds { least: 1, most: 12, names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] };
const DAY_OF_WEEK: Bounds = Bounds { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => match text.strip_prefix("@every ") {
                Some(duration) => return every(duration),
                None if text.starts_with('@') => return Err(ScheduleError::Descriptor(text.to_owned())),
                None => text,
            },
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
            return Err(ScheduleError::FieldCount(fields.len()));
        };
        let (day_of_month, any_day_of_month) = field(day_of_month, &DAY_OF_MONTH)?;
        let (day_of_week, any_day_of_week) = field(day_of_week, &DAY_OF_WEEK)?;
        Ok(Self::Fields(Fields {
            minute: field(minute, &MINUTE)?.0,
            hour: field(hour, &HOUR)?.0,
            day_of_month,
            month: field(month, &MONTH)?.0,
            day_of_week,
            any_day_of_month,
            any_day_of_week,
        }))
    }
}

/// A field's set, and whether it admits anything.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    text.split(',').filter(|part| !part.is_empty()).try_fold((0, false), |(set, any), part| {
        let (more, more_any) = range(part, bounds)?;
        Ok((set | more, any || more_any))
    })
}

/// `*`, `n`, `n-m`, each with an optional `/step`; `n/step` runs to the end.
fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, Some(number(step)?)),
        None => (text, None),
    };
    let any = matches!(span, "*" | "?");
    let (first, last) = match span.split_once('-') {
        _ if any => (bounds.least, bounds.most),
        Some((first, last)) => (value(first, bounds)?, value(last, bounds)?),
        None => {
            let only = value(span, bounds)?;
            (only, if step.is_some() { bounds.most } else { only })
        }
    };
    if first < bounds.least || last > bounds.most || first > last {
        return Err(ScheduleError::Range(text.to_owned(), bounds.least, bounds.most));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(ScheduleError::Step(text.to_owned()));
    }
    let set = (first..=last).step_by(step as usize).fold(0, |set, bit| set | 1 << bit);
    Ok((set, any && step == 1))
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, ScheduleError> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named.and_then(|at| u32::try_from(at).ok()) {
        Some(at) => Ok(at + bounds.least),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, ScheduleError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| ScheduleError::Value(text.to_owned()))
}

/// A duration as Go writes it: `1h30m`, `90s`, `1.5h`.
fn every(text: &str) -> Result<Schedule, ScheduleError> {
    let bad = || ScheduleError::Duration(text.to_owned());
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0).ok_or_else(bad)?;
        let number: f64 = rest[..number_end].parse().map_err(|_| bad())?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit_end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit_end..];
    }
    if text.is_empty() {
        return Err(bad());
    }
    // Less than a second becomes one.
    Duration::try_from_secs_f64(seconds.floor().max(1.0)).map(Schedule::Every).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["* * * * *", "*/5 0-6,22 1 jan-mar mon,WED", "0 0 ? * 0", "@hourly", "@every 1h30m", " 5 4 * * sun "] {
            assert!(Schedule::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "5-1 * * * *"] {
            assert!(Schedule::parse(bad).is_err(), "{bad}");
        }
        for bad in ["*/0 * * * *", "a * * * *", "+1 * * * *", "@often", "@every", "@every 5", "@every x", "1-2-3 * * * *"] {
            assert!(Schedule::parse(bad).is_err(), "{bad}");
        }
        let Ok(Schedule::Fields(fields)) = Schedule::parse("*/20 6 * * 1-2") else { panic!("five fields") };
        assert_eq!(fields.minute, 1 | 1 << 20 | 1 << 40);
        assert_eq!((fields.any_day_of_month, fields.any_day_of_week), (true, false));
        assert_eq!(Schedule::parse("@every 90s"), Ok(Schedule::Every(Duration::from_secs(90))));
    }
}
