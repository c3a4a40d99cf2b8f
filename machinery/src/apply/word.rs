//! The texts of elements' names: keys and values as JSON, in the one form by which they are compared, which is that of Go's encoder.

use serde_json::Value;

use crate::text::Text;

/// Whether a byte stands for itself in a JSON string; with `html`, in one of Go's.
const fn is_plain(byte: u8, html: bool) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\' && !(html && matches!(byte, b'<' | b'>' | b'&' | 0xe2))
}

/// [`is_plain`] of each byte.
const fn plain_bytes(html: bool) -> [bool; 256] {
    let (mut plain, mut byte) = ([false; 256], 0);
    while byte < plain.len() {
        plain[byte] = is_plain(byte as u8, html);
        byte += 1;
    }
    plain
}

static PLAIN: [bool; 256] = plain_bytes(false);
static PLAIN_IN_GO: [bool; 256] = plain_bytes(true);

/// Appends the inside of a JSON string. With `html`, also escapes what Go's encoder escapes, as the texts of keys
/// and values are compared as they stand.
pub(super) fn escape_into(out: &mut String, text: &str, html: bool) {
    let plain = if html { &PLAIN_IN_GO } else { &PLAIN };
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !plain[usize::from(byte)]) {
        let (clean, special) = rest.split_at(at);
        out.push_str(clean);
        let Some(char) = special.chars().next() else { return };
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // The characters so escaped fit 16 bits.
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            // It only begins like one that is.
            other => out.push(other),
        }
        rest = &special[char.len_utf8()..];
    }
    out.push_str(rest);
}

/// A scalar (or whatever stands where one belongs) that is part of an element's name.
#[derive(Clone, Copy)]
pub(super) enum Word<'v> {
    Tree(&'v Value),
    Text(Text<'v>),
}

impl Word<'_> {
    pub(super) fn is_null(self) -> bool {
        match self {
            Self::Tree(value) => value.is_null(),
            Self::Text(text) => text.is_null(),
        }
    }

    /// Appends its JSON in the one form that all elements have.
    pub(super) fn write(self, out: &mut String) {
        match self {
            Self::Text(text) if is_canonical(text) => out.push_str(text.as_str()),
            Self::Text(text) => Word::Tree(&text.to_value()).write(out),
            Self::Tree(Value::String(text)) => {
                out.push('"');
                escape_into(out, text, true);
                out.push('"');
            }
            Self::Tree(other) => out.push_str(&other.to_string()),
        }
    }
}

/// Whether JSON is surely in the form in which [`Word::write`] leaves it.
fn is_canonical(text: Text<'_>) -> bool {
    const SURELY_WHOLE_DIGITS: usize = 18;
    let digits = text.as_str().as_bytes();
    let is_whole = digits.len() <= SURELY_WHOLE_DIGITS && digits.iter().all(u8::is_ascii_digit);
    is_whole || (text.is_string() && text.between_quotes().bytes().all(|byte| PLAIN_IN_GO[usize::from(byte)]))
}

/// Appends the keys of a list map's element, which must come sorted.
pub(super) fn write_keys<'k>(out: &mut String, keys: impl Iterator<Item = (&'k str, Word<'k>)>) {
    out.push('{');
    for (at, (name, value)) in keys.enumerate() {
        out.push_str(if at > 0 { ",\"" } else { "\"" });
        escape_into(out, name, true);
        out.push_str("\":");
        value.write(out);
    }
    out.push('}');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::tests::any_json;

    proptest! {
        #[test]
        fn words_are_written_alike_from_text_and_tree(value in any_json(), text in "[<>&\"\\\\a\u{2028}\u{e9}]{0,4}", number in "-?(0|[1-9][0-9]{0,24})") {
            for value in [value, text.into(), serde_json::from_str(&number).unwrap()] {
                let (text, mut of_tree, mut of_text) = (value.to_string(), String::new(), String::new());
                Word::Tree(&value).write(&mut of_tree);
                Word::Text(Text::new(&text)).write(&mut of_text);
                prop_assert_eq!(of_tree, of_text);
            }
        }
    }
}
