//! The elements of lists that are maps or sets, told apart as field sets do.

use std::borrow::Cow;

use serde_json::Value;

use super::codec::{write_json, write_keys};
use super::set::{Element, Step};
use crate::schema::{Cursor, ListMerge};

/// Names the elements of one list.
#[derive(Clone)]
pub(super) struct Naming<'s> {
    items: Cursor<'s>,
    /// The keys of a list map, sorted; `None` for a set.
    keys: Option<Vec<&'s str>>,
}

impl<'s> Naming<'s> {
    /// The naming of a list's elements; `None` where the list is atomic (or no list).
    pub(super) fn of(list: Cursor<'s>) -> Option<Self> {
        let keys = match list.list_merge()? {
            ListMerge::Atomic => return None,
            ListMerge::Set => None,
            ListMerge::Map { keys } => {
                let mut keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
                keys.sort_unstable();
                Some(keys)
            }
        };
        Some(Self { items: list.items()?, keys })
    }

    pub(super) fn items(&self) -> Cursor<'s> {
        self.items
    }

    /// The name of an element; `None` where it has none of the keys.
    pub(super) fn name(&self, item: &Value) -> Option<Element<'static>> {
        let mut text = String::with_capacity(32);
        let step = match &self.keys {
            None => {
                write_json(&mut text, item);
                Step::Value
            }
            Some(keys) => {
                let item = item.as_object()?;
                let value = |key: &'s str| item.get(key).or_else(|| self.items.default_of(key)).map(|value| (key, value));
                write_keys(&mut text, keys.iter().filter_map(|key| value(key)));
                if text == "{}" {
                    return None;
                }
                Step::Key
            }
        };
        Some(Element { step, text: Cow::Owned(text) })
    }

    /// The elements by name, sorted; those of one name are together, in the order of the list. Elements without a
    /// name are left out.
    pub(super) fn sorted<'v>(&self, list: Option<&'v Value>) -> Vec<(Element<'static>, &'v Value)> {
        let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut named: Vec<_> = items.iter().filter_map(|item| Some((self.name(item)?, item))).collect();
        // Stable, so that elements of one name keep their order.
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named
    }
}
