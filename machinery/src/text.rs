//! JSON that stays text. Two states of an object are mostly the same, and to see that, they need not be made into
//! trees: equal text is an equal value, and only what differs is looked into, a level at a time.

use std::borrow::Cow;

use serde_json::Value;

/// A JSON value as compact text: no spaces between its tokens, as serde_json and this server write it.
///
/// Of text that is no JSON, the readable beginning counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    pub const NULL: Text<'static> = Text("null");
    pub const TRUE: Text<'static> = Text("true");
    pub const FALSE: Text<'static> = Text("false");
    pub const EMPTY_OBJECT: Text<'static> = Text("{}");

    pub const fn new(json: &'a str) -> Self {
        Self(json)
    }

    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Where in `whole`, of which this is a part, it begins.
    pub fn start_in(self, whole: &str) -> usize {
        self.0.as_ptr() as usize - whole.as_ptr() as usize
    }

    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub fn is_boolean(self) -> bool {
        self == Self::TRUE || self == Self::FALSE
    }

    pub fn is_number(self) -> bool {
        self.0.starts_with(|first: char| first == '-' || first.is_ascii_digit())
    }

    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub fn is_list(self) -> bool {
        self.0.starts_with('[')
    }

    /// Null, or a container without contents.
    pub fn is_hollow(self) -> bool {
        matches!(self.0, "null" | "{}" | "[]")
    }

    pub fn to_value(self) -> Value {
        serde_json::from_str(self.0).unwrap_or_default()
    }

    /// The value at the head of `text`, and what follows it; None where there is none.
    pub fn split_first(text: &'a str) -> Option<(Self, &'a str)> {
        split_value(text).map(|(value, rest)| (Self(value), rest))
    }

    /// What a JSON string has between its quotes; other values as they are.
    pub(crate) fn between_quotes(self) -> &'a str {
        self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(self.0)
    }

    /// The string that a JSON string stands for; other values as they are.
    pub fn unquoted(self) -> Cow<'a, str> {
        let inside = self.between_quotes();
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Cow::Borrowed(inside);
        }
        serde_json::from_str(self.0).map_or(Cow::Borrowed(inside), Cow::Owned)
    }

    /// Whether both are the same value. Text that differs may still be, by the order of an object's fields.
    pub fn is(self, other: Self) -> bool {
        self.0 == other.0 || (self.has_parts() && other.has_parts() && self.to_value() == other.to_value())
    }

    fn has_parts(self) -> bool {
        self.is_object() || self.is_list()
    }

    /// An object's fields in the order in which they stand; nothing of other values.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)> {
        let mut rest = self.0.strip_prefix('{').unwrap_or_default();
        std::iter::from_fn(move || {
            let (name, after) = split_value(rest).filter(|(name, _)| name.starts_with('"'))?;
            let (value, after) = after.strip_prefix(':').and_then(split_value)?;
            rest = after.strip_prefix(',').unwrap_or_default();
            Some((Self(name).unquoted(), Self(value)))
        })
    }

    /// An object's fields, sorted by name; nothing of other values.
    pub fn fields(self) -> Vec<(Cow<'a, str>, Self)> {
        by_name(self.members())
    }

    /// A list's elements; nothing of other values.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let mut rest = self.0.strip_prefix('[').unwrap_or_default();
        std::iter::from_fn(move || {
            let (item, after) = split_value(rest)?;
            rest = after.strip_prefix(',').unwrap_or_default();
            Some(Self(item))
        })
    }
}

/// Fields, sorted by name.
pub(crate) fn by_name<'a, T>(members: impl Iterator<Item = (Cow<'a, str>, T)>) -> Vec<(Cow<'a, str>, T)> {
    let mut fields: Vec<_> = members.collect();
    if !fields.is_sorted_by(|(a, _), (b, _)| a <= b) {
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    fields
}

/// The value at the head of `text`, and what follows it; None at the end of a container.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes, 0)?,
        b'{' | b'[' => container_end(bytes)?,
        b'}' | b']' => return None,
        _ => scalar_end(bytes, 0),
    };
    text.split_at_checked(end)
}

/// The place behind the container that opens at the head.
pub(crate) fn container_end(json: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match json.get(at)? {
            b'"' => {
                at = string_end(json, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// The place behind the number, truth value or null that begins at `start`.
pub(crate) fn scalar_end(json: &[u8], start: usize) -> usize {
    let rest = json.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(rest.len())
}

/// The place behind the string that opens at `open`.
pub(crate) fn string_end(json: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += quote_or_escape(json.get(at..)?)?;
        match json.get(at)? {
            b'"' => return Some(at + 1),
            // The escaped byte, whatever it is, does not end the string.
            _ => at += 2,
        }
    }
}

/// Where the first quote or backslash is. Most strings are so short that a word at a time is sooner there than a vector.
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const SHORT_BYTES: usize = 32;
    let (words, _) = text.as_chunks::<8>();
    for (at, word) in words.iter().take(SHORT_BYTES / 8).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ repeat(b'"')) | zero_bytes(word ^ repeat(b'\\'));
        if found != 0 {
            return Some(at * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let scanned = (words.len() * 8).min(SHORT_BYTES);
    Some(scanned + memchr::memchr2(b'"', b'\\', &text[scanned..])?)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is zero; of those above the first, perhaps of others, too.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(0x01)) & !word & repeat(0x80)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_found() {
        let text = r#"{"z":[1,"a,]\"",{"b":[]},null],"a":{"x":"}"},"\u0062":-1.5e3,"e":{}}"#;
        let fields = Text::new(text).fields();
        let shown: Vec<_> = fields.iter().map(|(name, value)| (&**name, value.as_str())).collect();
        assert_eq!(shown, [("a", r#"{"x":"}"}"#), ("b", "-1.5e3"), ("e", "{}"), ("z", r#"[1,"a,]\"",{"b":[]},null]"#)]);
        let items: Vec<_> = fields[3].1.items().map(Text::as_str).collect();
        assert_eq!(items, ["1", r#""a,]\"""#, r#"{"b":[]}"#, "null"]);
        assert!(Text::EMPTY_OBJECT.fields().is_empty() && Text::new("[]").items().next().is_none() && Text::NULL.fields().is_empty());
    }

    #[test]
    fn order_makes_no_difference() {
        assert!(Text::new(r#"{"a":1,"b":[{}]}"#).is(Text::new(r#"{"b":[{}],"a":1}"#)));
        assert!(!Text::new("1").is(Text::new("2")) && !Text::new("[1,2]").is(Text::new("[2,1]")));
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_split_is_what_is_there(value in any_json()) {
            let text = value.to_string();
            let text = Text::new(&text);
            prop_assert_eq!(&text.to_value(), &value);
            let fields: Vec<_> = text.fields().into_iter().map(|(name, value)| (name.into_owned(), value.to_value())).collect();
            let expected: Vec<_> = value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(fields, expected);
            let items: Vec<_> = text.items().map(Text::to_value).collect();
            prop_assert_eq!(items, value.as_array().cloned().unwrap_or_default());
        }

        #[test]
        fn the_first_quote_or_backslash_is_found(text in "[a-z!#\\[\u{80}-\u{7ff}]{0,60}(\"|\\\\)?.{0,20}") {
            let bytes = text.as_bytes();
            prop_assert_eq!(quote_or_escape(bytes), bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')));
        }

        #[test]
        fn nothing_is_too_broken(text in ".{0,40}", cut in 0..200_usize, value in any_json()) {
            let whole = value.to_string();
            let broken = whole.get(..cut.min(whole.len())).unwrap_or_default();
            for text in [text.as_str(), broken] {
                let text = Text::new(text);
                let _ = (text.fields(), text.items().count(), text.is(Text::NULL));
            }
        }
    }
}
