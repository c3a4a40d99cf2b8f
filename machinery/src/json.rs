//! Reading JSON bodies, bounded, and with an eye for duplicate keys: of two equal keys the last one holds, and
//! the caller is told, because strict field validation refuses them.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::finding::{Duplicates, Finding, Path};

/// How deep arrays and objects may nest. Upstream stops at 10,000, which no recursive walk of ours would survive
/// on a small stack; and clients that read our answers with serde_json stop at 128, with lists, watch events
/// and managed fields around the object. No published type nests deeper than 30.
pub const MOST_DEPTH: usize = 100;

/// What stands for a number that is out of range: no type takes this one for a number.
pub const OUT_OF_RANGE: f64 = f64::MAX;

/// A body that is not JSON, or nests too deep.
#[derive(Debug, thiserror::Error)]
#[error("the body is not valid JSON: {0}")]
pub struct Error(#[from] serde_json::Error);

/// What is wrong with a value that is not of the type that it is to become.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

impl Mismatch {
    /// Leaves out where in the text it was found, since nobody sent that text.
    fn of(error: &serde_json::Error) -> Self {
        let mut said = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        if said.ends_with(&place) {
            said.truncate(said.len() - place.len());
        }
        Self(said)
    }
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub value: Value,
    /// The keys that occur twice in their object.
    pub duplicates: Vec<Finding>,
}

/// What becomes of a key's earlier value where it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It goes.
    Replaces,
    /// The later value is laid over it, as Go reads an object of a type that it knows.
    Merges,
}

/// Reads one JSON value. Bytes that are not UTF-8, and halves of surrogate pairs, are read as U+FFFD, as upstream reads them.
pub fn parse(body: &[u8]) -> Result<Parsed, Error> {
    parse_with(body, Again::Replaces)
}

/// The same, where it is to be said what becomes of keys that come again.
pub fn parse_with(body: &[u8], again: Again) -> Result<Parsed, Error> {
    let text = String::from_utf8_lossy(body);
    parse_text(&text, again).or_else(|error| {
        let mut repaired = with_whole_pairs(&text);
        if again == Again::Merges {
            repaired = with_finite_numbers(repaired.as_deref().unwrap_or(&text)).or(repaired);
        }
        repaired.map_or(Err(error), |repaired| parse_text(&repaired, again))
    })
}

/// The text with [`OUT_OF_RANGE`] in the place of numbers that no float holds; None if it has none. In a type that is known
/// they are no worse than other numbers where nobody reads them.
fn with_finite_numbers(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut repaired, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if text[at..end].parse::<f64>().is_ok_and(f64::is_infinite) {
                    repaired.push_str(&text[copied..at]);
                    repaired.push_str(&(OUT_OF_RANGE.copysign(if bytes[at] == b'-' { -1.0 } else { 1.0 })).to_string());
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    repaired.push_str(&text[copied..]);
    (copied > 0).then_some(repaired)
}

/// Where the string that starts at `start` has ended.
fn after_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The typed value of a tree, by way of its text: code that makes every type of a tree, beside that which makes it of text,
/// would be several percent of the program.
pub fn to_typed<T: DeserializeOwned>(value: &Value) -> Result<T, Mismatch> {
    serde_json::from_str(&value.to_string()).map_err(|error| Mismatch::of(&error))
}

/// The text with U+FFFD in the place of escaped halves of surrogate pairs; None if it has none.
fn with_whole_pairs(text: &str) -> Option<String> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut repaired, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                repaired.push_str(&text[copied..at]);
                repaired.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
            // Another escape: two bytes, the second of which may be the end of the text or of several bytes.
            None => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    repaired.push_str(&text[copied..]);
    (copied > 0).then_some(repaired)
}

fn parse_text(text: &str, again: Again) -> Result<Parsed, Error> {
    let duplicates = RefCell::<Duplicates>::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed { path: &Path::Root, depth: 0, again, duplicates: &duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed { value, duplicates: duplicates.into_inner().findings })
}

/// Lays a value over an earlier one: object over object field by field, list over list element by element.
fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.entry(key) {
                    Entry::Vacant(entry) => _ = entry.insert(value),
                    Entry::Occupied(entry) => lay(entry.into_mut(), value),
                }
            }
        }
        (Value::Array(under), Value::Array(over)) => {
            under.truncate(over.len());
            let mut over = over.into_iter();
            under.iter_mut().zip(&mut over).for_each(|(under, over)| lay(under, over));
            under.extend(over);
        }
        (under, over) => *under = over,
    }
}

/// Reads a value at a path.
#[derive(Clone, Copy)]
struct Seed<'s> {
    path: &'s Path<'s>,
    depth: usize,
    again: Again,
    duplicates: &'s RefCell<Duplicates>,
}

impl<'s> Seed<'s> {
    fn below<'b>(&'b self, path: &'b Path<'b>) -> Seed<'b> {
        Seed { path, depth: self.depth + 1, ..*self }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < MOST_DEPTH { Ok(()) } else { Err(E::custom(format_args!("it nests deeper than {MOST_DEPTH} levels"))) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match (self.again, i64::try_from(value)) {
            // Where the type is not known, integers are of 64 bits with a sign.
            (Again::Replaces, Err(_)) => self.visit_f64(value as f64),
            _ => Ok(value.into()),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self.below(&Path::Index(self.path, list.len())))? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.below(&Path::Key(self.path, &key)))?;
            match map.entry(key) {
                Entry::Vacant(entry) => _ = entry.insert(value),
                Entry::Occupied(mut entry) => {
                    let path = Path::Key(self.path, entry.key());
                    self.duplicates.borrow_mut().report(|| Finding::Duplicate(path.shown()));
                    match self.again {
                        Again::Replaces => _ = entry.insert(value),
                        Again::Merges => lay(entry.get_mut(), value),
                    }
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicates_are_reported_and_the_last_holds() {
        let parsed = parse(br#"{"a":1,"b":[{"c":1,"c":2,"c":3}],"a":{"x":1}}"#).unwrap();
        assert_eq!(parsed.value, serde_json::json!({"a": {"x": 1}, "b": [{"c": 3}]}));
        assert_eq!(parsed.duplicates, ["b[0].c", "a"].map(|path| Finding::Duplicate(path.to_owned())));
    }

    #[test]
    fn a_mismatch_names_no_place_in_a_text_that_nobody_sent() {
        let said = to_typed::<u8>(&serde_json::json!("x")).unwrap_err().to_string();
        assert_eq!(said, "invalid type: string \"x\", expected u8");
    }

    #[test]
    fn what_comes_again_is_laid_over_in_a_known_type() {
        let body = br#"{"a":{"x":1,"y":1},"l":[{"p":1},{"p":2}],"a":{"y":2,"z":3},"l":[{"q":3}],"s":[1],"s":[2,3],"a":{"x":9}}"#;
        let parsed = parse_with(body, Again::Merges).unwrap();
        assert_eq!(parsed.value, serde_json::json!({"a": {"x": 9, "y": 2, "z": 3}, "l": [{"p": 1, "q": 3}], "s": [2, 3]}));
        assert_eq!(parsed.duplicates.len(), 3);
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        let parsed = parse(br#"{"a":"x\ud800y","b":"\ud83d\ude00","c":"\\ud800","d":"\udc00\u0041\u00e9"}"#).unwrap();
        assert_eq!(parsed.value, serde_json::json!({"a": "x\u{fffd}y", "b": "\u{1f600}", "c": "\\ud800", "d": "\u{fffd}A\u{e9}"}));
        assert!(parse(br#"{"a":"\ud800"#).is_err() && parse("{\"\\\u{1f600}".as_bytes()).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_read_where_the_type_is_known() {
        let body = br#"{"a":[1e400,-1E+999,1e-999,1.5],"1e400":"-1e400\"1e400"}"#;
        assert!(parse(body).is_err());
        let parsed = parse_with(body, Again::Merges).unwrap().value;
        let most = OUT_OF_RANGE;
        assert_eq!(parsed, serde_json::json!({"a": [most, -most, 0.0, 1.5], "1e400": "-1e400\"1e400"}));
        assert_eq!(parse(b"9223372036854775808").unwrap().value, serde_json::json!(9_223_372_036_854_775_808.0));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MOST_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MOST_DEPTH + 1).as_bytes()).unwrap_err().to_string().contains("nests deeper"));
        assert!(parse("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json() {
        for body in ["", "{", "{}x", "{a:1}", "[1,]", "nul", "01", "\"\\x\""] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(parse(b"\"\xff\"").unwrap().value, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in "[\\[\\]{}\",:0-9a-c eE.-]{0,40}") {
            let ours = parse(text.as_bytes()).ok().map(|parsed| parsed.value);
            prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
        }
    }
}
