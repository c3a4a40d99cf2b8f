//! The elements of lists that are maps or sets, told apart as field sets do.

use std::borrow::Cow;

use serde_json::Value;

use super::set::{Element, Step};
use super::word::{Word, write_keys};
use crate::schema::{Cursor, ListMerge, Node, Scalar};
use crate::tape;
use crate::text::Text;

/// Names the elements of one list.
#[derive(Clone, Copy)]
pub(super) struct Naming<'s> {
    items: Cursor<'s>,
    /// The keys of a list map, sorted; `None` for a set.
    keys: Option<&'s [Box<str>]>,
}

impl<'s> Naming<'s> {
    /// The naming of a list's elements; `None` where the list is atomic (or no list).
    pub(super) fn of(list: Cursor<'s>) -> Option<Self> {
        let keys = match list.list_merge()? {
            ListMerge::Atomic => return None,
            ListMerge::Set => None,
            ListMerge::Map { keys } => Some(&**keys),
        };
        Some(Self { items: list.items()?, keys })
    }

    pub(super) fn items(&self) -> Cursor<'s> {
        self.items
    }

    /// The name of an element; `None` where it has none of the keys. A key that is null is not there.
    pub(super) fn name(&self, item: &Value) -> Option<Element<'static>> {
        match self.keys {
            None => Some(self.value(Word::Tree(item))),
            Some(keys) => {
                let item = item.as_object()?;
                self.keyed(keys, |key| item.get(key).map(Word::Tree))
            }
        }
    }

    /// As [`Self::name`], of an element that is text, whose fields are found by name.
    fn name_by<'v>(&self, item: Text<'v>, field: impl Fn(&str) -> Option<Text<'v>>) -> Option<Element<'static>> {
        match self.keys {
            None => Some(self.value(Word::Text(item))),
            Some(_) if !item.is_object() => None,
            Some(keys) => self.keyed(keys, |key| field(key).map(Word::Text)),
        }
    }

    /// The name of a set's element. Null is stored as the empty text, and so it is the same element.
    fn value(&self, item: Word<'_>) -> Element<'static> {
        let mut text = String::with_capacity(32);
        match self.items.node() {
            Node::Scalar(Scalar::String) if item.is_null() => text.push_str("\"\""),
            _ => item.write(&mut text),
        }
        Element { step: Step::Value, text: Cow::Owned(text) }
    }

    fn keyed<'v>(&self, keys: &'s [Box<str>], value: impl Fn(&str) -> Option<Word<'v>>) -> Option<Element<'static>>
    where
        's: 'v,
    {
        let mut text = String::with_capacity(32);
        let given = |key: &'s str| value(key).filter(|value| !value.is_null());
        let with_default = |key: &'s str| given(key).or_else(|| self.items.default_of(key).map(Word::Tree));
        write_keys(&mut text, keys.iter().filter_map(|key| Some((&**key, with_default(key)?))));
        (text != "{}").then_some(Element { step: Step::Key, text: Cow::Owned(text) })
    }

    /// The elements by name, sorted; those of one name are together, in the order of the list. Elements without a
    /// name are left out.
    pub(super) fn sorted<'v>(&self, list: Option<Text<'v>>) -> Sorted<Text<'v>> {
        let name = |item: Text<'v>| self.name_by(item, |key| item.members().find(|(name, _)| name == key).map(|(_, value)| value));
        in_order(list.into_iter().flat_map(Text::items).map(|item| Some((name(item)?, item))))
    }

    /// As [`Self::sorted`], of a list on a tape.
    pub(super) fn sorted_values<'t>(&self, list: tape::Value<'t>) -> Sorted<tape::Value<'t>> {
        let name = |item: tape::Value<'t>| self.name_by(item.text(), |key| item.get(key).map(tape::Value::text));
        in_order(list.items().map(|item| Some((name(item)?, item))))
    }
}

/// Elements by name, and whether others have none.
pub(super) type Sorted<T> = (Vec<(Element<'static>, T)>, bool);

fn in_order<T>(items: impl Iterator<Item = Option<(Element<'static>, T)>>) -> Sorted<T> {
    let mut nameless = false;
    let mut named: Vec<_> = items.inspect(|item| nameless |= item.is_none()).flatten().collect();
    // Stable, so that elements of one name keep their order.
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    (named, nameless)
}
