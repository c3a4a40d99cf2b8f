//! Functions of strings: CEL's own, its extension for strings, and Kubernetes' for patterns. Places and lengths are counted
//! in characters.

use super::native;
use crate::cel::Stop;
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::{Text, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    member("contains", "string, string", "bool", Cost::Product, contains),
    member("startsWith", "string, string", "bool", Cost::ReadLast, starts_with),
    member("endsWith", "string, string", "bool", Cost::ReadLast, ends_with),
    member("matches", "string, string", "bool", Cost::Pattern, matches),
    global("matches", "string, string", "bool", Cost::Pattern, matches),
    member("find", "string, string", "string", Cost::Pattern, find),
    member("findAll", "string, string", "list(string)", Cost::Pattern, find_all),
    member("findAll", "string, string, int", "list(string)", Cost::Pattern, find_all),
    member("charAt", "string, int", "string", ONE, char_at),
    member("indexOf", "string, string", "int", Cost::Read, index_of),
    member("indexOf", "string, string, int", "int", Cost::Read, index_of),
    member("lastIndexOf", "string, string", "int", Cost::Read, last_index_of),
    member("lastIndexOf", "string, string, int", "int", Cost::Read, last_index_of),
    member("lowerAscii", "string", "string", Cost::Read, lower_ascii),
    member("upperAscii", "string", "string", Cost::Read, upper_ascii),
    member("trim", "string", "string", Cost::Read, trim),
    member("substring", "string, int", "string", Cost::Read, substring),
    member("substring", "string, int, int", "string", Cost::Read, substring),
    member("replace", "string, string, string", "string", Cost::ReadWrite, replace),
    member("replace", "string, string, string, int", "string", Cost::ReadWrite, replace),
    member("split", "string, string", "list(string)", Cost::ReadWrite, split),
    member("split", "string, string, int", "list(string)", Cost::ReadWrite, split),
    member("join", "list(string)", "string", Cost::Elements, join),
    member("join", "list(string), string", "string", Cost::Elements, join),
    member("format", "string, list(dyn)", "string", Cost::Read, format),
    global("strings.quote", "string", "string", Cost::Read, quote),
    global("jsonpatch.escapeKey", "string", "string", Cost::Read, escape_key),
];

/// Bytes before the character at `place`; None beyond the end.
fn byte_at(text: &str, place: i64) -> Option<usize> {
    let place = usize::try_from(place).ok()?;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(place)
}

fn outside() -> Stop {
    Stop::failed("index out of range")
}

native! {
    contains(_run: V::String(text), V::String(part)) Ok(V::Bool(text.contains(&**part)));
    starts_with(_run: V::String(text), V::String(part)) Ok(V::Bool(text.starts_with(&**part)));
    ends_with(_run: V::String(text), V::String(part)) Ok(V::Bool(text.ends_with(&**part)));
    matches(run: V::String(text), V::String(pattern)) Ok(V::Bool(run.pattern(pattern)?.is_match(text)));
    find(run: V::String(text), V::String(pattern)) {
        let found = run.pattern(pattern)?.find(text).map_or("", |found| found.as_str()).to_owned();
        Ok(V::text(found))
    };
    char_at(_run: V::String(text), V::Int(place)) {
        let at = byte_at(text, *place).ok_or_else(outside)?;
        Ok(V::text(text[at..].chars().next().map(String::from).unwrap_or_default()))
    };
    lower_ascii(run: V::String(text)) {
        run.work(text.len())?;
        Ok(V::text(text.to_ascii_lowercase()))
    };
    upper_ascii(run: V::String(text)) {
        run.work(text.len())?;
        Ok(V::text(text.to_ascii_uppercase()))
    };
    trim(run: V::String(text)) {
        run.work(text.len())?;
        Ok(V::text(text.trim()))
    };
    quote(run: V::String(text)) {
        run.work(text.len() * 2)?;
        Ok(V::text(quoted(text)))
    };
    escape_key(run: V::String(text)) {
        run.work(text.len() * 2)?;
        Ok(V::text(text.replace('~', "~0").replace('/', "~1")))
    };
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn find_all<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, pattern, most) = match args {
        [V::String(text), V::String(pattern)] => (text, pattern, usize::MAX),
        // A negative limit is none.
        [V::String(text), V::String(pattern), V::Int(most)] => (text, pattern, usize::try_from(*most).unwrap_or(usize::MAX)),
        _ => return Err(Stop::overload("findAll")),
    };
    let found: Vec<String> = run.pattern(pattern)?.find_iter(text).take(most).map(|found| found.as_str().to_owned()).collect();
    run.work(found.len() * 4 + text.len())?;
    Ok(V::list(found.into_iter().map(V::text).collect()))
}

fn index_of<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, part, from) = match args {
        [V::String(text), V::String(part)] => (text, part, 0),
        [V::String(text), V::String(part), V::Int(from)] => (text, part, *from),
        _ => return Err(Stop::overload("indexOf")),
    };
    let from = byte_at(text, from).ok_or_else(outside)?;
    Ok(V::Int(text[from..].find(&**part).map_or(-1, |at| text[..from + at].chars().count() as i64)))
}

fn last_index_of<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, part, until) = match args {
        [V::String(text), V::String(part)] => (text, part, None),
        // A part found may begin where the search ends.
        [V::String(text), V::String(part), V::Int(from)] => (text, part, Some(*from)),
        _ => return Err(Stop::overload("lastIndexOf")),
    };
    let end = match until {
        None => text.len(),
        Some(until) => (byte_at(text, until).ok_or_else(outside)? + part.len()).min(text.len()),
    };
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Ok(V::Int(text[..end].rfind(&**part).map_or(-1, |at| text[..at].chars().count() as i64)))
}

fn substring<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, from, until) = match args {
        [V::String(text), V::Int(from)] => (text, *from, None),
        [V::String(text), V::Int(from), V::Int(until)] => (text, *from, Some(*until)),
        _ => return Err(Stop::overload("substring")),
    };
    let from = byte_at(text, from).ok_or_else(outside)?;
    let until = until.map_or(Some(text.len()), |until| byte_at(text, until)).ok_or_else(outside)?;
    run.work(text.len())?;
    text.get(from..until).map(V::text).ok_or_else(outside)
}

fn replace<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, old, new, most) = match args {
        [V::String(text), V::String(old), V::String(new)] => (text, old, new, usize::MAX),
        [V::String(text), V::String(old), V::String(new), V::Int(most)] => (text, old, new, usize::try_from(*most).unwrap_or(usize::MAX)),
        _ => return Err(Stop::overload("replace")),
    };
    // An empty text is found before each character and at the end.
    let places = (text.len() / old.len().max(1) + 1).min(most);
    run.work(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(V::text(text.replacen(&**old, new, most)))
}

fn split<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (text, separator, most) = match args {
        [V::String(text), V::String(separator)] => (text, separator, -1),
        [V::String(text), V::String(separator), V::Int(most)] => (text, separator, *most),
        _ => return Err(Stop::overload("split")),
    };
    run.work(text.len().saturating_mul(4))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<V<'v>> = match most {
        0 => Vec::new(),
        _ if separator.is_empty() => each_character(text, most),
        _ => text.splitn(most, &**separator).map(V::text).collect(),
    };
    Ok(V::list(parts))
}

/// Single characters, and all that is left as the last part.
fn each_character<'v>(text: &Text<'v>, most: usize) -> Vec<V<'v>> {
    let mut parts = Vec::new();
    let mut rest: &str = text;
    while let Some(c) = rest.chars().next() {
        let (first, after) = if parts.len() + 1 == most { (rest, "") } else { rest.split_at(c.len_utf8()) };
        parts.push(V::text(first));
        rest = after;
    }
    parts
}

fn join<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (list, separator) = match args {
        [V::List(list)] => (list, ""),
        [V::List(list), V::String(separator)] => (list, &**separator),
        _ => return Err(Stop::overload("join")),
    };
    let mut joined = String::new();
    for (at, element) in list.iter().enumerate() {
        let V::String(element) = element else { return Err(Stop::overload("join")) };
        run.work(element.len() + separator.len())?;
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&element);
    }
    run.spend(crate::cel::library::tenth(joined.len() as u64))?;
    Ok(V::text(joined))
}

fn format<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::String(pattern), V::List(values)] => super::text_format::format(run, pattern, values).map(V::text),
        _ => Err(Stop::overload("format")),
    }
}
