//! The JSON form of field sets, `fieldsV1`: an object per level whose keys are `f:<name>`, `k:<keys>`, `v:<value>` or
//! `i:<index>`, and `.` for the level itself.
//!
//! Most writes leave most managers' sets alone, so a set can be compared with another without being decoded
//! ([`count_common`]), and changed where something changes, the rest being copied ([`edit`]). Sets are read from text and from
//! JSON trees alike.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::set::{Element, Node, Set, Step};
use super::word::{Word, escape_into, write_keys};
use crate::text::Text;

/// Writes the JSON text of a set.
pub(super) fn encode(set: &Set<'_>) -> String {
    let mut out = String::with_capacity(32 * set.len() + 2);
    write_set(set, false, &mut out);
    out
}

fn write_set(set: &Set<'_>, member: bool, out: &mut String) {
    out.push('{');
    if member && !set.is_empty() {
        out.push_str("\".\":{}");
    }
    for (at, node) in set.nodes().iter().enumerate() {
        if at > 0 || member {
            out.push(',');
        }
        write_element(&node.element, out);
        write_set(&node.below, node.member, out);
    }
    out.push('}');
}

/// Appends the name of an element, and a colon.
pub(super) fn write_element(element: &Element<'_>, out: &mut String) {
    out.push_str(match element.step {
        Step::Field => "\"f:",
        Step::Key => "\"k:",
        Step::Value => "\"v:",
        Step::Index => "\"i:",
    });
    escape_into(out, &element.text, false);
    out.push_str("\":");
}

/// The encoded set `fields` less `removed`, and with `written`; None where nothing is left. Levels in which nothing changes
/// are copied.
pub(super) fn edit(fields: &str, removed: &Set<'_>, written: &Set<'_>) -> Result<Option<String>, serde_json::Error> {
    let edit = Edit { removes: false, removed, writes: false, written };
    edit.level(Text::new(fields), false)
}

/// What becomes of a level: whether it is a member no longer, or from now on, and the same of what is below.
struct Edit<'s> {
    removes: bool,
    removed: &'s Set<'s>,
    writes: bool,
    written: &'s Set<'s>,
}

impl Edit<'_> {
    /// The level after the edit. One that is empty is a member itself, unless it is the outermost.
    fn level(&self, level: Text<'_>, inner: bool) -> Result<Option<String>, serde_json::Error> {
        let parts: Vec<_> = level.members().collect();
        let was_member = inner && is_member(level);
        let member = self.writes || (was_member && !self.removes);
        let mut kept = Vec::with_capacity(parts.len());
        for (key, below) in parts.into_iter().filter(|(key, _)| key != ".") {
            let Some(element) = parse_element(key)? else { continue };
            let below = match self.below(&element) {
                None => Some(Cow::Borrowed(below.as_str())),
                Some(edit) => edit.level(below, true)?.map(Cow::Owned),
            };
            kept.extend(below.map(|below| (element, below)));
        }
        // They are in order, unless somebody else wrote them.
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut text = String::from(if member { "{\".\":{}" } else { "{" });
        let empty = text.len();
        let mut put = |element: &Element<'_>, below: &dyn Fn(&mut String)| {
            if text.len() > "{".len() {
                text.push(',');
            }
            write_element(element, &mut text);
            below(&mut text);
        };
        let mut added = self.written.nodes().iter().peekable();
        let new = |node: &Node<'_>, out: &mut String| write_set(&node.below, node.member, out);
        for (element, below) in &kept {
            while let Some(node) = added.next_if(|node| node.element < *element) {
                put(&node.element, &|out| new(node, out));
            }
            added.next_if(|node| node.element == *element);
            put(element, &|out| out.push_str(below));
        }
        added.for_each(|node| put(&node.element, &|out| new(node, out)));
        if text.len() == empty {
            return Ok(member.then(|| "{}".to_owned()));
        }
        text.push('}');
        Ok(Some(text))
    }

    /// What becomes of the level of an element; None: nothing.
    fn below(&self, element: &Element<'_>) -> Option<Edit<'_>> {
        static NOTHING: Set<'static> = Set::new();
        let (removed, written) = (self.removed.get(element), self.written.get(element));
        (removed.is_some() || written.is_some()).then(|| Edit {
            removes: removed.is_some_and(|node| node.member),
            removed: removed.map_or(&NOTHING, |node| &node.below),
            writes: written.is_some_and(|node| node.member),
            written: written.map_or(&NOTHING, |node| &node.below),
        })
    }
}

/// Reads a set.
pub(super) fn decode<'de, D: Deserializer<'de>>(fields: D) -> Result<Set<'de>, D::Error> {
    Level.deserialize(fields).map(|(_, set)| set)
}

/// How many members of `set` are members of the encoded set `fields` too. Passes over what `set` does not name.
pub(super) fn count_common(fields: Text<'_>, set: &Set<'_>) -> Result<usize, serde_json::Error> {
    let counts = fields.members().filter(|_| !set.is_empty()).map(|(key, below)| {
        let element = if key == "." { None } else { parse_element(key)? };
        let Some(node) = element.and_then(|element| set.get(&element)) else { return Ok(0) };
        Ok(count_common(below, &node.below)? + usize::from(node.member && is_member(below)))
    });
    counts.sum()
}

/// Whether a level that is not the outermost is a member itself, which it says first.
fn is_member(level: Text<'_>) -> bool {
    level.members().next().is_none_or(|(key, _)| key == ".")
}

/// The element that a key names; `None` for kinds of elements that are not known.
fn parse_element(key: Cow<'_, str>) -> Result<Option<Element<'_>>, serde_json::Error> {
    let step = match key.as_bytes() {
        [b'f', b':', ..] => Step::Field,
        [b'k', b':', ..] => Step::Key,
        [b'v', b':', ..] => Step::Value,
        [b'i', b':', ..] => Step::Index,
        [_, b':', ..] => return Ok(None),
        _ => return Err(serde_json::Error::custom(format!("{key:?} is no path element"))),
    };
    let text = match key {
        Cow::Borrowed(key) => Cow::Borrowed(&key[2..]),
        Cow::Owned(mut key) => {
            key.drain(..2);
            Cow::Owned(key)
        }
    };
    let text = match step {
        Step::Field => text,
        Step::Key => canonical_keys(&text)?.into(),
        Step::Value => {
            let mut canonical = String::with_capacity(text.len());
            Word::Tree(&serde_json::from_str(&text)?).write(&mut canonical);
            canonical.into()
        }
        Step::Index => text.parse::<u32>().map_err(serde_json::Error::custom)?.to_string().into(),
    };
    Ok(Some(Element { step, text }))
}

fn canonical_keys(text: &str) -> Result<String, serde_json::Error> {
    let keys: Map<String, Value> = serde_json::from_str(text)?;
    let mut canonical = String::with_capacity(text.len());
    write_keys(&mut canonical, keys.iter().map(|(name, value)| (name.as_str(), Word::Tree(value))));
    Ok(canonical)
}

/// A key of a level, borrowed from the text where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path element")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// One level of a set: whether it is a member itself, and what is below.
struct Level;

impl<'de> DeserializeSeed<'de> for Level {
    type Value = (bool, Set<'de>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = (bool, Set<'de>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of path elements")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut nodes, mut dot, mut bare) = (Vec::new(), false, true);
        while let Some(key) = map.next_key_seed(Key)? {
            bare = false;
            if key == "." {
                dot = true;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match parse_element(key).map_err(A::Error::custom)? {
                Some(element) => {
                    let (member, below) = map.next_value_seed(Self)?;
                    nodes.push(Node { element, member, below });
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok((dot || bare, Set::from_nodes(nodes)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Set<'_>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let set = decode(&mut deserializer)?;
        deserializer.end().map(|()| set)
    }

    fn common(set: &Set<'_>) -> usize {
        count_common(Text::new(TEXT), set).unwrap()
    }

    const TEXT: &str = concat!(
        r#"{"f:data":{".":{},"f:a":{},"f:z\"":{}},"f:metadata":{"f:finalizers":{"v:\"x\"":{}}},"#,
        r#""f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"#,
        r#""k:{\"port\":443,\"protocol\":\"TCP\"}":{}}}}"#
    );

    #[test]
    fn sets_survive_the_round_trip() {
        let set = read(TEXT).unwrap();
        assert_eq!(encode(&set), TEXT);
        assert_eq!(set.len(), 7);
        assert_eq!(encode(&Set::new()), "{}");
        assert!(read("{}").unwrap().is_empty());
        let tree: Value = serde_json::from_str(TEXT).unwrap();
        assert_eq!(decode(&tree).unwrap(), set);
    }

    #[test]
    fn foreign_spellings_are_read() {
        let set = read(r#"{ "k:{\"b\": 1, \"a\":\"<\"}" : {}, "f:x":{}, "q:new":{"deep":1}, "i:07":{} }"#).unwrap();
        assert_eq!(encode(&set), r#"{"f:x":{},"k:{\"a\":\"\\u003c\",\"b\":1}":{},"i:7":{}}"#);
        for bad in ["[]", "{\"f\":{}}", "{\"f:x\":1}", "{\"k:x\":{}}", "{\"i:x\":{}}", "{", "{}{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    fn any_set() -> impl Strategy<Value = Set<'static>> {
        let element = prop_oneof![
            "[ab.\"<]".prop_map(Element::field),
            prop_oneof![Just(r#"{"n":9}"#), Just(r#"{"n":10}"#)].prop_map(|text| Element { step: Step::Key, text: text.into() }),
            Just(Element { step: Step::Value, text: "\"x\"".into() }),
        ];
        let leaf = Just(Set::new()).boxed();
        leaf.prop_recursive(3, 20, 4, move |below| {
            let node = (element.clone(), any::<bool>(), below).prop_map(|(element, member, below)| Node { element, member, below });
            prop::collection::vec(node, 0..4).prop_map(Set::from_nodes)
        })
    }

    proptest! {
        #[test]
        fn a_set_is_edited_as_if_it_were_decoded(set in any_set(), removed in any_set(), written in any_set()) {
            let edited = edit(&encode(&set), &removed, &written).unwrap();
            let expected = set.difference(&removed).union(written);
            prop_assert_eq!(edited, (!expected.is_empty()).then(|| encode(&expected)));
        }
    }

    #[test]
    fn foreign_spellings_are_edited() {
        let text = r#"{"q:new":{},"f:z":{"f:y":{}},"f:b":{"k:{\"b\": 1, \"a\":2}":{}}}"#;
        let edited = edit(text, &Set::of_fields(&["z.y"]), &Set::of_fields(&["a", "b.c"])).unwrap();
        assert_eq!(edited.as_deref(), Some(r#"{"f:a":{},"f:b":{"f:c":{},"k:{\"a\":2,\"b\":1}":{}}}"#));
        assert!(edit(r#"{"f":{}}"#, &Set::new(), &Set::new()).is_err());
    }

    #[test]
    fn common_members_are_counted_without_decoding() {
        let set = read(TEXT).unwrap();
        assert_eq!(common(&set), set.len());
        assert_eq!(common(&Set::of_fields(&["data", "data.a", "data.b", "spec.ports"])), 2);
        assert_eq!(common(&Set::new()), 0);
    }
}
