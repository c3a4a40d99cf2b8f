//! Leaves: whether a JSON value is one of the type's, and the form in which the API keeps it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::json::OUT_OF_RANGE;
use crate::quantity;
use crate::schema::Scalar;
use crate::time::last_hours;

/// Checks and normalises a leaf; the error says what was expected.
pub(super) fn conform(value: &mut Value, scalar: Scalar) -> Result<(), &'static str> {
    match scalar {
        Scalar::String if value.is_string() => Ok(()),
        Scalar::String => Err("a string"),
        Scalar::Boolean if value.is_boolean() => Ok(()),
        Scalar::Boolean => Err("true or false"),
        Scalar::Int32 if is_int32(value) => Ok(()),
        Scalar::Int32 => Err("an integer of 32 bits"),
        Scalar::Int64 if value.is_i64() => Ok(()),
        Scalar::Int64 => Err("an integer of 64 bits"),
        Scalar::Double if value.as_f64().is_some_and(|number| number.abs() < OUT_OF_RANGE) => Ok(()),
        Scalar::Double => Err("a number"),
        Scalar::IntOrString if value.is_string() || is_int32(value) => Ok(()),
        Scalar::IntOrString => Err("a string or an integer of 32 bits"),
        Scalar::Bytes => bytes(value).ok_or("a string of base64"),
        Scalar::Quantity => amount(value).ok_or("a quantity, such as 500m, 1.5 or 2Gi"),
        Scalar::Time => time(value).ok_or("a time, such as 2006-01-02T15:04:05Z"),
        Scalar::MicroTime => micro_time(value).ok_or("a time with microseconds, such as 2006-01-02T15:04:05.000000Z"),
    }
}

fn is_int32(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

/// Base64 may be broken into lines, as the tools that make it do.
fn bytes(value: &mut Value) -> Option<()> {
    let text = value.as_str()?;
    if text.contains(['\n', '\r']) {
        *value = text.replace(['\n', '\r'], "").into();
    }
    STANDARD.decode(value.as_str()?).ok().map(drop)
}

fn amount(value: &mut Value) -> Option<()> {
    let stored = match value {
        Value::String(text) => {
            quantity::stored_form(text.trim()).ok()?.or_else(|| (text.trim().len() < text.len()).then(|| text.trim().into()))
        }
        Value::Number(number) => Some(amount_of_number(number)?),
        _ => return None,
    };
    if let Some(stored) = stored {
        *value = stored.into();
    }
    Some(())
}

/// Whether an amount is as it is kept.
pub(super) fn is_kept_amount(text: &str) -> bool {
    text.trim().len() == text.len() && matches!(quantity::stored_form(text), Ok(None))
}

fn amount_of_number(number: &Number) -> Option<String> {
    let text = number.to_string();
    Some(quantity::stored_form(&text).ok()?.unwrap_or(text))
}

/// Times are kept in UTC, to the second.
fn time(value: &mut Value) -> Option<()> {
    let text = value.as_str()?;
    let time = parse_time(text)?;
    if !is_kept_as(text, time) {
        *value = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    Some(())
}

fn is_kept_as(text: &str, time: Timestamp) -> bool {
    text.len() == "2006-01-02T15:04:05Z".len() && time < Timestamp::MAX
}

pub(super) fn is_kept_time(text: &str) -> bool {
    parse_time(text).is_some_and(|time| is_kept_as(text, time))
}

/// These have six digits of fraction, no more and no less, also when clients send them.
fn micro_time(value: &mut Value) -> Option<()> {
    let text = value.as_str()?;
    let time = parse_micro_time(text)?;
    if !is_kept_as_micro(text, time) {
        *value = time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into();
    }
    Some(())
}

fn parse_micro_time(text: &str) -> Option<Timestamp> {
    let fraction = text.get(19..)?.strip_prefix('.')?;
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 6 { parse_time(text) } else { None }
}

fn is_kept_as_micro(text: &str, time: Timestamp) -> bool {
    text.ends_with('Z') && time < Timestamp::MAX
}

pub(super) fn is_kept_micro_time(text: &str) -> bool {
    parse_micro_time(text).is_some_and(|time| is_kept_as_micro(text, time))
}

/// RFC 3339, which is narrower than what [`Timestamp`] reads: a time of an offset may also be in no year that has
/// four digits.
fn parse_time(text: &str) -> Option<Timestamp> {
    const YEAR_0: i64 = -62_167_219_200;
    let time: Timestamp = if is_rfc3339(text) { text.parse().ok().or_else(|| last_hours(text))? } else { return None };
    (time.as_second() >= YEAR_0).then_some(time)
}

fn is_rfc3339(text: &str) -> bool {
    let shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(c, like)| if like == b'0' { c.is_ascii_digit() } else { c == like })
    };
    let Some((seconds, rest)) = text.split_at_checked(19) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let fraction_digits = rest.len() - zone.len();
    shape(seconds, "0000-00-00T00:00:00") && fraction_digits != 1 && (zone == "Z" || shape(zone, "+00:00") || shape(zone, "-00:00"))
}
