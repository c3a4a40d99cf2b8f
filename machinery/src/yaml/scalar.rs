//! What a plain scalar means, by YAML 1.1's rules as Kubernetes applies them.

use serde_json::{Number, Value};

use super::Error;

/// The value of a plain scalar without a tag.
pub(super) fn resolve(text: &str) -> Result<Value, Error> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return Err(Error::NotFinite);
        }
        _ if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
            let plain = text.replace('_', "");
            match integer(&plain) {
                Some(number) => Value::Number(number),
                // What no float can hold is taken for a text.
                None => is_float(&plain).then(|| float(&plain)).flatten().unwrap_or_else(|| text.into()),
            }
        }
        _ => text.into(),
    })
}

/// An integer in base 10, or with the prefix `0x`, `0b`, `0o` or just `0` (octal) in another.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // A second sign is no digit, though from_str_radix would take it.
    let magnitude = u64::from_str_radix(digits, radix).ok().filter(|_| digits.as_bytes()[0].is_ascii_alphanumeric())?;
    if negative { 0i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(magnitude.into()) }
}

/// Digits with an optional point and an optional exponent.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    all_digits(whole)
        && all_digits(fraction)
        && mantissa.len() > usize::from(mantissa.contains('.'))
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// A float; one without a fraction becomes an integer, as in the JSON that Kubernetes makes of it (`2.0` is
/// good for an integer field in YAML, though not in JSON). None: it is out of range.
fn float(text: &str) -> Option<Value> {
    // 2^53: up to there every integer is exactly a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Some((value as i64).into());
    }
    Number::from_f64(value).map(Value::Number)
}
