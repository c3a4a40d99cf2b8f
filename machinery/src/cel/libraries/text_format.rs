//! `'%d of %s'.format([…])`.

use std::fmt::Write;

use super::strings::quoted;
use crate::cel::evaluate::Run;
use crate::cel::types::Type;
use crate::cel::value::{List, Map, Value as V};
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

/// The letters of a pattern's clauses, in order.
pub fn clauses(pattern: &str) -> Result<Vec<char>, String> {
    let (mut letters, mut rest) = (Vec::new(), pattern);
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        let (_, after) = precision(after).map_err(|stop| stop.to_string())?;
        let mut remaining = after.chars();
        let letter = remaining.next().ok_or("a format ends within a clause")?;
        if !"sdfebxXo".contains(letter) {
            return Err(format!("there is no clause %{letter}"));
        }
        letters.push(letter);
        rest = remaining.as_str();
    }
    Ok(letters)
}

/// Whether a clause may format values of this type. What some texts stand for (`NaN`) counts as a number with a point.
pub fn may_format(letter: char, value: &Type) -> bool {
    match letter {
        _ if value.is_dyn() => true,
        'd' | 'o' => matches!(value, Type::Int | Type::Uint),
        'f' | 'e' => matches!(value, Type::Double | Type::String),
        'b' => matches!(value, Type::Int | Type::Uint | Type::Bool),
        'x' | 'X' => matches!(value, Type::Int | Type::Uint | Type::String | Type::Bytes),
        _ => true,
    }
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
        ('f', V::Double(number)) => fixed(out, *number, places),
        ('e', V::Double(number)) => scientific(out, *number),
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

/// With the thousands apart, as in English.
fn fixed(out: &mut String, number: f64, places: usize) -> std::fmt::Result {
    let written = format!("{number:.places$}");
    let (whole, rest) = written.split_once('.').map_or((&*written, None), |(whole, rest)| (whole, Some(rest)));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    out.push_str(&whole[..whole.len() - digits.len()]);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    rest.map_or(Ok(()), |rest| write!(out, ".{rest}"))
}

/// `1.500000×10⁰³`, whatever precision is asked for.
fn scientific(out: &mut String, number: f64) -> std::fmt::Result {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let written = format!("{number:.DEFAULT_PRECISION$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("⁻", digits));
    write!(out, "{mantissa}×10{sign}")?;
    let raised = format!("{digits:0>2}");
    out.extend(raised.chars().filter_map(|digit| digit.to_digit(10)).map(|digit| RAISED[digit as usize]));
    Ok(())
}

/// A value of its own as text.
fn show<'v>(run: &mut Run<'v>, out: &mut String, value: &V<'v>) -> Result<(), Stop> {
    match value {
        V::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        V::String(_) | V::Timestamp(_) | V::Duration(_) | V::Double(_) => out.push_str(&text::plain(value).unwrap_or_default()),
        value => return show_within(run, out, value),
    }
    run.work(1)
}

/// A value within others as text: as it would be written in an expression, or nearly so; keys sorted by their text.
fn show_within<'v>(run: &mut Run<'v>, out: &mut String, value: &V<'v>) -> Result<(), Stop> {
    run.work(1)?;
    match value {
        V::Null => out.push_str("null"),
        V::Bytes(bytes) => out.push_str(&format!("b{}", quoted(&String::from_utf8_lossy(bytes)))),
        V::String(text) => {
            run.work(text.len())?;
            out.push_str(&quoted(text));
        }
        V::Double(number) if number.is_finite() => out.push_str(&format!("{number:.DEFAULT_PRECISION$}")),
        V::Timestamp(_) => out.push_str(&format!("timestamp({:?})", text::plain(value).unwrap_or_default())),
        V::Duration(_) => out.push_str(&format!("duration({:?})", text::plain(value).unwrap_or_default())),
        V::Type(name) => out.push_str(name),
        V::List(list) => {
            out.push('[');
            for (at, element) in list.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                show_within(run, out, &element)?;
            }
            out.push(']');
        }
        V::Map(map) => show_map(run, out, map)?,
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

fn show_map<'v>(run: &mut Run<'v>, out: &mut String, map: &Map<'v>) -> Result<(), Stop> {
    let mut entries = Vec::new();
    for key in map.keys() {
        let mut entry = String::new();
        show_within(run, &mut entry, &key.value())?;
        let key_length = entry.len();
        entry.push(':');
        if let Some(value) = map.get(&key).transpose()? {
            show_within(run, &mut entry, &value)?;
        }
        entries.push((key_length, entry));
    }
    entries.sort_by(|(a_length, a), (b_length, b)| a[..*a_length].cmp(&b[..*b_length]));
    out.push('{');
    for (at, (_, entry)) in entries.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        out.push_str(entry);
    }
    out.push('}');
    Ok(())
}
