//! Scalars as text, as Go writes them.

use super::time;
use super::value::Value;

/// The text of a value that `string()` takes; None for other values.
pub(super) fn plain(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::String(text) => text.to_string(),
        Value::Timestamp(time) => time::timestamp_text(*time),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(block) => block.to_string(),
        _ => return None,
    })
}

/// The shortest text that reads as the same number; with an exponent where it is below -4 or above 5.
pub(super) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
