//! A small table that is looked into for every field of every object: by name, without comparing many names as texts.

use std::borrow::Borrow;

/// Values by name, sorted.
#[derive(Clone, Debug)]
pub(crate) struct ByName<N, T>(Box<[Entry<N, T>]>);

#[derive(Clone, Debug)]
struct Entry<N, T> {
    /// The first bytes of the name as a number, which orders names nearly as they are.
    head: u64,
    name: N,
    value: T,
}

impl<N, T> Default for ByName<N, T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<N: Borrow<str>, T> ByName<N, T> {
    /// A value, and its place among all in the order of their names.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &T)> {
        let head = head(name);
        let at = self.0.binary_search_by(|entry| entry.head.cmp(&head).then_with(|| entry.name.borrow().cmp(name))).ok()?;
        self.0.get(at).map(|entry| (at, &entry.value))
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> {
        self.0.iter().map(|entry| (entry.name.borrow(), &entry.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Of values of one name, the first counts.
impl<N: Borrow<str>, T> FromIterator<(N, T)> for ByName<N, T> {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(values: I) -> Self {
        let entry = |(name, value): (N, T)| Entry { head: head(name.borrow()), name, value };
        let mut entries: Vec<_> = values.into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.borrow().cmp(b.name.borrow()));
        entries.dedup_by(|later, first| later.name.borrow() == first.name.borrow());
        Self(entries.into())
    }
}

/// The first bytes of a name, the first of them the most significant.
fn head(name: &str) -> u64 {
    match name.as_bytes().first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => name.bytes().rev().fold(0, |head, byte| head >> 8 | u64::from(byte) << 56),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_is_found_and_no_other(names in prop::collection::vec("[ab\0é]{0,10}", 0..20), other in "[ab\0é]{0,10}") {
            let values = || names.iter().enumerate().map(|(at, name)| (name.as_str(), at));
            let (table, map): (ByName<_, _>, BTreeMap<_, _>) = (values().collect(), values().rev().collect());
            let expected: Vec<_> = map.iter().map(|(name, at)| (*name, at)).collect();
            prop_assert_eq!(table.iter().collect::<Vec<_>>(), expected);
            for (place, (name, value)) in map.iter().enumerate() {
                prop_assert_eq!(table.find(name), Some((place, value)));
            }
            prop_assert_eq!(table.find(&other).map(|(_, value)| value), map.get(other.as_str()));
        }
    }
}
