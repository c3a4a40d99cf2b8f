//! `'%d of %s'.format([…])`.

use std::fmt::Write;

use crate::cel::evaluate::Run;
use crate::cel::value::{List, Value as V};
use crate::cel::{Stop, text};

/// Places after the point, where a format does not say how many.
const DEFAULT_PRECISION: usize = 6;
const MOST_PRECISION: usize = 1000;

pub(super) fn format<'v>(run: &mut Run<'v>, pattern: &str, values: &List<'v>) -> Result<String, Stop> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut next = 0;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(after)?;
        let mut letters = after.chars();
        let letter = letters.next().ok_or_else(|| Stop::failed("a format ends within a clause"))?;
        rest = letters.as_str();
        let value = values.get(next).ok_or_else(|| Stop::failed(format!("there is no argument {next} to format")))?;
        next += 1;
        let before = out.len();
        clause(run, &mut out, letter, precision, &value)?;
        run.work(out.len() - before)?;
    }
    out.push_str(rest);
    run.work(out.len())?;
    run.spend(crate::cel::library::tenth(out.len() as u64))?;
    Ok(out)
}

fn precision(clause: &str) -> Result<(Option<usize>, &str), Stop> {
    let Some(after) = clause.strip_prefix('.') else { return Ok((None, clause)) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    match after[..digits].parse() {
        Ok(precision) if precision <= MOST_PRECISION => Ok((Some(precision), &after[digits..])),
        _ => Err(Stop::failed("a precision is a number up to 1000")),
    }
}

fn clause<'v>(run: &mut Run<'v>, out: &mut String, letter: char, precision: Option<usize>, value: &V<'v>) -> Result<(), Stop> {
    let places = precision.unwrap_or(DEFAULT_PRECISION);
    let wrong = || Stop::failed(format!("%{letter} does not format a {}", value.type_name()));
    let written = match (letter, value) {
        ('s', value) => return show(run, out, value),
        ('d', V::Int(number)) => write!(out, "{number}"),
        ('d', V::Uint(number)) => write!(out, "{number}"),
        ('f' | 'e' | 'd', V::Double(number)) if !number.is_finite() => write!(out, "{}", text::double(*number)),
        ('f', number) => write!(out, "{:.places$}", as_double(number).ok_or_else(wrong)?),
        ('e', number) => {
            let scientific = format!("{:.places$e}", as_double(number).ok_or_else(wrong)?);
            let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            write!(out, "{mantissa}e{sign}{digits:0>2}")
        }
        ('b', V::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('b', V::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:b}")),
        ('b', V::Uint(number)) => write!(out, "{number:b}"),
        ('o', V::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:o}")),
        ('o', V::Uint(number)) => write!(out, "{number:o}"),
        ('x', V::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:x}")),
        ('X', V::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:X}")),
        ('x', V::Uint(number)) => write!(out, "{number:x}"),
        ('X', V::Uint(number)) => write!(out, "{number:X}"),
        ('x' | 'X', V::String(text)) => hex(out, text.as_bytes(), letter),
        ('x' | 'X', V::Bytes(bytes)) => hex(out, bytes, letter),
        _ => return Err(wrong()),
    };
    // Writing to a string does not fail.
    written.map_err(|_| Stop::failed("formatting failed"))
}

fn signed(out: &mut String, number: i64, write: fn(&mut String, u64) -> std::fmt::Result) -> std::fmt::Result {
    if number < 0 {
        out.push('-');
    }
    write(out, number.unsigned_abs())
}

fn hex(out: &mut String, bytes: &[u8], letter: char) -> std::fmt::Result {
    bytes.iter().try_for_each(|byte| if letter == 'x' { write!(out, "{byte:02x}") } else { write!(out, "{byte:02X}") })
}

fn as_double(value: &V<'_>) -> Option<f64> {
    match value {
        V::Double(number) => Some(*number),
        V::Int(number) => Some(*number as f64),
        V::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

/// Any value as text: lists and maps with their elements, keys sorted.
fn show<'v>(run: &mut Run<'v>, out: &mut String, value: &V<'v>) -> Result<(), Stop> {
    run.work(1)?;
    match value {
        V::Null => out.push_str("null"),
        V::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        V::Type(name) => out.push_str(name),
        V::List(list) => {
            out.push('[');
            for (at, element) in list.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                show(run, out, &element)?;
            }
            out.push(']');
        }
        V::Map(map) => {
            out.push('{');
            for (at, key) in map.keys().iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                show(run, out, &key.value())?;
                out.push_str(": ");
                if let Some(value) = map.get(key).transpose()? {
                    show(run, out, &value)?;
                }
            }
            out.push('}');
        }
        other => match text::plain(other) {
            Some(text) => {
                run.work(text.len())?;
                out.push_str(&text);
            }
            None => return Err(Stop::failed(format!("%s does not format a {}", other.type_name()))),
        },
    }
    Ok(())
}
