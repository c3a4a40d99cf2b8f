//! YAML answers, in the style of Kubernetes' own: block form, keys in order, list items under their key, and
//! quotes wherever a plain word would read as something else, in YAML 1.1 too.

use std::fmt::Write as _;

use serde_json::Value;

/// The document of a JSON value.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => array(&mut out, items, 0),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// `inline`: the first key stands behind a list item's dash.
fn object(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize, inline: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline {
            indent(out, depth);
        }
        folded(out, key, None);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                object(out, map, depth + 1, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                array(out, items, depth);
            }
            other => {
                out.push(' ');
                scalar(out, other, depth);
                out.push('\n');
            }
        }
    }
}

fn array(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(out, depth);
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => object(out, map, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                // A list directly within a list: its own items follow one level deeper.
                out.pop();
                out.push('\n');
                array(out, inner, depth + 1);
            }
            other => {
                scalar(out, other, depth);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Writing to a string cannot fail.
        Value::Number(number) => _ = write!(out, "{number}"),
        Value::String(string) => text(out, string, depth),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn text(out: &mut String, string: &str, depth: usize) {
    if string.contains('\n') && is_block(string) {
        block(out, string, depth);
    } else {
        folded(out, string, Some(depth));
    }
}

/// How a string is written on one line, or on several that read as one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

impl Style {
    fn of(string: &str) -> Self {
        match string {
            _ if reads_otherwise(string) || string.chars().any(|c| c.is_control() || c == '\u{feff}') => Self::Double,
            _ if is_plain(string) => Self::Plain,
            _ => Self::Single,
        }
    }

    fn quote(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Single => "'",
            Self::Double => "\"",
        }
    }
}

/// A string without line breaks of its own. Below a `depth` it goes on in the next line where it is long; keys do not.
fn folded(out: &mut String, string: &str, depth: Option<usize>) {
    const MOST_COLUMNS: usize = 80;
    let style = Style::of(string);
    out.push_str(style.quote());
    let mut column = out[out.rfind('\n').map_or(0, |at| at + 1)..].chars().count();
    let mut before = ' ';
    let mut rest = string.chars().peekable();
    while let Some(c) = rest.next() {
        // A space that a line ends with instead: neither the first nor the last, nor beside another.
        let can_break = c == ' ' && before != ' ' && rest.peek().is_some_and(|next| *next != ' ' || style == Style::Double);
        if let Some(depth) = depth.filter(|_| can_break && column > MOST_COLUMNS) {
            out.push('\n');
            indent(out, depth + 1);
            if rest.peek() == Some(&' ') {
                out.push('\\');
            }
            column = 2 * (depth + 1);
        } else {
            let start = out.len();
            character(out, c, style);
            column += out[start..].chars().count();
        }
        before = c;
    }
    out.push_str(style.quote());
}

fn character(out: &mut String, c: char, style: Style) {
    match (style, c) {
        (Style::Single, '\'') => out.push_str("''"),
        (Style::Plain | Style::Single, c) => out.push(c),
        (Style::Double, '"' | '\\') => out.extend(['\\', c]),
        (Style::Double, '\0') => out.push_str("\\0"),
        (Style::Double, '\u{7}') => out.push_str("\\a"),
        (Style::Double, '\u{8}') => out.push_str("\\b"),
        (Style::Double, '\t') => out.push_str("\\t"),
        (Style::Double, '\n') => out.push_str("\\n"),
        (Style::Double, '\u{b}') => out.push_str("\\v"),
        (Style::Double, '\u{c}') => out.push_str("\\f"),
        (Style::Double, '\r') => out.push_str("\\r"),
        (Style::Double, '\u{1b}') => out.push_str("\\e"),
        (Style::Double, '\u{85}') => out.push_str("\\N"),
        (Style::Double, '\u{feff}') => out.push_str("\\uFEFF"),
        // Writing to a string cannot fail.
        (Style::Double, c) if c.is_control() => _ = write!(out, "\\x{:02X}", u32::from(c)),
        (Style::Double, c) => out.push(c),
    }
}

/// Whether the literal style keeps the string: no tabs or other controls, and no space where YAML would lose it.
fn is_block(string: &str) -> bool {
    !string.starts_with('\n') && !string.contains(" \n") && !string.ends_with(' ') && string.chars().all(|c| c == '\n' || !c.is_control())
}

fn block(out: &mut String, string: &str, depth: usize) {
    out.push('|');
    if string.starts_with(' ') {
        // How far the lines are indented cannot be told by the first.
        out.push('2');
    }
    let body = string.trim_end_matches('\n');
    match string.len() - body.len() {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    let kept = if string.len() - body.len() > 1 { string.strip_suffix('\n').unwrap_or(string) } else { body };
    for line in kept.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth + 1);
            out.push_str(line);
        }
    }
}

/// Whether a string would read as something other than a string without quotes.
fn reads_otherwise(string: &str) -> bool {
    const WORDS: [&str; 14] = ["", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf", "-.inf"];
    WORDS.contains(&string.to_ascii_lowercase().as_str()) || is_number(string) || is_time(string)
}

/// Whether a string needs no quotes to read as one.
fn is_plain(string: &str) -> bool {
    let Some(first) = string.chars().next() else { return false };
    // The marks of a document's start and end.
    if string.starts_with("---") || string.starts_with("...") {
        return false;
    }
    if "-?:,[]{}#&*!|>'\"%@` ".contains(first) && !dash_word(string) {
        return false;
    }
    !string.ends_with([' ', ':']) && !string.contains(": ") && !string.contains(" #")
}

/// `-x`, `?x` and `:x` are plain; `- x` is not.
fn dash_word(string: &str) -> bool {
    let mut chars = string.chars();
    matches!(chars.next(), Some('-' | '?' | ':')) && chars.next().is_some_and(|c| !c.is_whitespace())
}

/// Whether it would read as a number: decimal, octal, hexadecimal, binary, floating, or with base 60's colons.
fn is_number(string: &str) -> bool {
    let digits = string.strip_prefix(['-', '+']).unwrap_or(string);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let cleaned = digits.replace('_', "");
    let radix = |prefix: &str, radix| cleaned.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(radix)));
    cleaned.parse::<f64>().is_ok()
        || radix("0x", 16)
        || radix("0o", 8)
        || radix("0b", 2)
        || (cleaned.contains(':') && cleaned.split(':').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit())))
}

fn is_time(string: &str) -> bool {
    let date: Vec<&str> = string.split(['T', 't', ' ']).next().unwrap_or_default().split('-').collect();
    matches!(date.as_slice(), [y, m, d] if y.len() == 4 && (1..=2).contains(&m.len()) && (1..=2).contains(&d.len())
        && [y, m, d].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_as_kubernetes_does() {
        let value = json!({
            "data": {"bool": "true", "multi": "a\nb\n", "none": "", "open": "a\nb"},
            "list": [{"name": "y", "nested": {"k": 1}}, {"e": {}}],
            "time": "2024-05-01T10:00:00Z", "n": "1", "yes": "no", "ratio": "1:30", "address": "10.0.0.1", "dash": "-x",
        });
        let text = concat!(
            "address: 10.0.0.1\ndash: -x\ndata:\n  bool: \"true\"\n  multi: |\n    a\n    b\n  none: \"\"\n  open: |-\n    a\n    b\nlist:\n",
            "- name: \"y\"\n  nested:\n    k: 1\n- e: {}\n\"n\": \"1\"\nratio: \"1:30\"\ntime: \"2024-05-01T10:00:00Z\"\n\"yes\": \"no\"\n",
        );
        assert_eq!(document(&value), text);
    }

    #[test]
    fn what_is_written_reads_back() {
        const LONG: &str =
            "words that go on: and on and on and on  and on and on and on and on and on, and on and on and\ton  and on and on";
        let (single, plain) = (LONG.replace('\t', " "), LONG.replace([':', '\t'], ""));
        for string in [
            LONG,
            &single,
            &plain,
            "",
            " a",
            "a ",
            "a: b",
            "a #b",
            "#",
            "- a",
            "0x1f",
            "1e3",
            ".5",
            "1_000",
            "null",
            "~",
            "\t",
            "a\tb\nc",
            "\n",
            "é",
            "{a}",
            "a\n\n",
            "a\n b\n",
            " a\nb",
            "---",
            "it's: \"x\"",
            "\u{7}\u{1b}\u{2}",
            "=",
        ] {
            let value = json!({ "k": string, "l": [string, [string]] });
            let back: Value = serde_yaml::from_str(&document(&value)).unwrap();
            assert_eq!(back, value, "{}", document(&value));
        }
    }
}
