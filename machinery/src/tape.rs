//! JSON text read once: a flat list of its values, each with its place and the place behind it, so that any part can be
//! gone to, or passed over, without reading the text again.

use std::borrow::Cow;

use crate::text::{Text, by_name, container_end, scalar_end, string_end};

/// The values of a JSON text, in the order in which they begin. The names of fields stand among them. The text of a container
/// is compact if the whole is.
pub struct Tape<'a> {
    json: &'a str,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
    /// The first value that is not in this one.
    next: u32,
}

/// A value of a tape.
#[derive(Clone, Copy)]
pub struct Value<'t> {
    tape: &'t Tape<'t>,
    at: usize,
}

impl<'a> Tape<'a> {
    /// None: the text is no JSON, or larger than any that is read. What is no JSON in another way than that it ends early may be
    /// read nevertheless.
    pub fn read(json: &'a str) -> Option<Self> {
        Self::read_but(json, "")
    }

    /// As [`Self::read`], but fields of the name `closed` are not looked into, and count as if nothing were in them. Only compact
    /// text is spared the work.
    pub fn read_but(json: &'a str, closed: &str) -> Option<Self> {
        const TYPICAL_VALUE_BYTES: usize = 8;
        const TYPICAL_DEPTH: usize = 16;
        let (bytes, _) = (json.as_bytes(), u32::try_from(json.len()).ok()?);
        let mut places: Vec<Place> = Vec::with_capacity(bytes.len() / TYPICAL_VALUE_BYTES);
        let (mut open, mut at) = (Vec::with_capacity(TYPICAL_DEPTH), 0);
        loop {
            let start = at;
            // Places fit in as many bits as the text's length does.
            match bytes.get(at)? {
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                    at += 1;
                    continue;
                }
                b'{' | b'[' if !closed.is_empty() && json[..start].ends_with(':') && is_string(places.last(), json, closed) => {
                    at += container_end(&bytes[start..])?;
                    places.push(Place { start: start as u32, end: at as u32, next: places.len() as u32 + 1 });
                }
                b'{' | b'[' => {
                    at += 1;
                    open.push(places.len());
                    places.push(Place { start: start as u32, end: at as u32, next: 0 });
                }
                b'}' | b']' => {
                    at += 1;
                    let next = places.len() as u32;
                    let container: &mut Place = places.get_mut(open.pop()?)?;
                    (container.end, container.next) = (at as u32, next);
                }
                first => {
                    at = if *first == b'"' { string_end(bytes, at)? } else { scalar_end(bytes, at) };
                    places.push(Place { start: start as u32, end: at as u32, next: places.len() as u32 + 1 });
                }
            }
            if open.is_empty() {
                let is_all = bytes[at..].iter().all(u8::is_ascii_whitespace);
                return (is_all && !places.is_empty()).then_some(Self { json, places });
            }
        }
    }

    pub fn root(&self) -> Value<'_> {
        Value { tape: self, at: 0 }
    }
}

impl<'t> Value<'t> {
    fn place(self) -> Place {
        self.tape.places[self.at]
    }

    /// The first value that is not in this one.
    fn next(self) -> usize {
        self.place().next as usize
    }

    pub fn text(self) -> Text<'t> {
        let Place { start, end, .. } = self.place();
        Text::new(self.tape.json.get(start as usize..end as usize).unwrap_or_default())
    }

    /// A list's elements; nothing of other values.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.within('[')
    }

    /// Whether this is an object or a list, and nothing is in it.
    pub fn is_empty(self) -> bool {
        (self.text().is_object() || self.text().is_list()) && self.next() == self.at + 1
    }

    /// An object's fields in the order in which they stand; nothing of other values.
    pub fn members(self) -> impl Iterator<Item = (Cow<'t, str>, Self)> {
        self.pairs().map(|(name, value)| (name.text().unquoted(), value))
    }

    /// The same, with names as they are written, so that one with escapes is not found among those that have none.
    pub fn written_members(self) -> impl Iterator<Item = (&'t str, Self)> {
        self.pairs().map(|(name, value)| (name.text().between_quotes(), value))
    }

    /// An object's fields, sorted by name; nothing of other values.
    pub fn fields(self) -> Vec<(Cow<'t, str>, Self)> {
        by_name(self.members())
    }

    /// The field of an object that has a name without escapes.
    pub fn get(self, name: &str) -> Option<Self> {
        let is_named = |text: &str| text.len() == name.len() + 2 && text.as_bytes()[1..].starts_with(name.as_bytes());
        self.pairs().find(|(found, _)| is_named(found.text().as_str())).map(|(_, value)| value)
    }

    fn pairs(self) -> impl Iterator<Item = (Self, Self)> {
        let mut values = self.within('{');
        std::iter::from_fn(move || Some((values.next()?, values.next()?)))
    }

    /// The values right within a container.
    fn within(self, opening: char) -> impl Iterator<Item = Self> {
        let mut at = self.at + 1;
        let end = if self.text().as_str().starts_with(opening) { self.next() } else { at };
        std::iter::from_fn(move || {
            let value = (at < end).then_some(Self { at, ..self })?;
            at = value.next();
            Some(value)
        })
    }
}

/// Whether a place is that of this string, which has no escapes.
fn is_string(place: Option<&Place>, json: &str, string: &str) -> bool {
    let text = place.and_then(|place| json.get(place.start as usize..place.end as usize));
    text.is_some_and(|text| Text::new(text).between_quotes() == string)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::tests::any_json;

    fn tree(value: Value<'_>) -> serde_json::Value {
        match value.text() {
            text if text.is_object() => value.members().map(|(name, value)| (name.into_owned(), tree(value))).collect(),
            text if text.is_list() => value.items().map(tree).collect(),
            text => text.to_value(),
        }
    }

    proptest! {
        #[test]
        fn a_tape_is_the_tree(value in any_json()) {
            let text = value.to_string();
            let tape = Tape::read(&text).unwrap();
            prop_assert_eq!(tree(tape.root()), value);
        }

        #[test]
        fn spaces_between_tokens_mean_nothing(value in any_json()) {
            let text = format!(" {}\r\n\t", serde_json::to_string_pretty(&value).unwrap());
            let tape = Tape::read(&text).unwrap();
            prop_assert_eq!(tree(tape.root()), value);
        }

        #[test]
        fn nothing_is_too_broken(text in "[\\[\\]{},:\"\\\\a1n]{0,40}", cut in 0..200_usize, value in any_json()) {
            let whole = value.to_string();
            let broken = whole.get(..cut.min(whole.len())).unwrap_or_default();
            for text in [text.as_str(), broken] {
                let _ = Tape::read(text).map(|tape| (tree(tape.root()), tape.root().get("a").is_some()));
            }
        }
    }

    #[test]
    fn closed_fields_are_passed_over() {
        let json = r#"{"a":{"b":[1,"}"],"c":"b"},"b":{"a":2},"d":["b",{"e":"b"}],"\"b":{"a":3}}"#;
        let tape = Tape::read_but(json, "b").unwrap();
        let b = tape.root().get("b").unwrap();
        assert_eq!((b.text().as_str(), b.members().count()), (r#"{"a":2}"#, 0));
        assert_eq!(tree(tape.root()), serde_json::json!({"a": {"b": [], "c": "b"}, "b": {}, "d": ["b", {"e": "b"}], "\"b": {"a": 3}}));
        assert!(Tape::read_but(r#"{"b":{"a":2}"#, "b").is_none() && Tape::read_but(r#"{"b":{"#, "b").is_none());
    }

    #[test]
    fn fields_are_found_by_name() {
        let tape = Tape::read(r#"{"a":{"b":[1,{"b":2}]},"b":"x,}"}"#).unwrap();
        let shown = |value: Option<Value<'_>>| value.map(|value| value.text().as_str().to_owned());
        assert_eq!(shown(tape.root().get("b")).as_deref(), Some(r#""x,}""#));
        assert_eq!(shown(tape.root().get("a").and_then(|a| a.get("b"))).as_deref(), Some(r#"[1,{"b":2}]"#));
        assert_eq!((shown(tape.root().get("c")), Tape::read("").is_none(), Tape::read("{").is_none()), (None, true, true));
    }
}
