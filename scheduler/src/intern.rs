//! [`Interner`]: one copy of each distinct value. The pods of a workload are alike in nearly all that the scheduler
//! keeps of them, so that what is shared makes up most of it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

/// Unused values are dropped when the table has grown to twice what was in use at the last look, from here on.
const FIRST_SWEEP: usize = 256;

/// Distinct values, shared. Values that nobody holds any more are dropped now and then.
pub struct Interner<T: ?Sized> {
    table: HashTable<Arc<T>>,
    hasher: RandomState,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), hasher: RandomState::new(), sweep_at: FIRST_SWEEP }
    }
}

impl<T: Hash + Eq + ?Sized> Interner<T> {
    /// The one copy of `value`.
    pub fn intern<V>(&mut self, value: V) -> Arc<T>
    where
        V: AsRef<T> + Into<Arc<T>>,
    {
        let hash = self.hasher.hash_one(value.as_ref());
        if let Some(known) = self.table.find(hash, |known| **known == *value.as_ref()) {
            return known.clone();
        }
        self.sweep();
        let new: Arc<T> = value.into();
        let hasher = &self.hasher;
        self.table.insert_unique(hash, new.clone(), |value| hasher.hash_one(&**value));
        new
    }

    fn sweep(&mut self) {
        if self.table.len() < self.sweep_at {
            return;
        }
        self.table.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = FIRST_SWEEP.max(self.table.len() * 2);
    }

    /// How many values are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut texts = Interner::<str>::default();
        assert!(Arc::ptr_eq(&texts.intern("a"), &texts.intern("a".to_owned())));
        let kept = texts.intern("kept");
        for i in 0..10 * FIRST_SWEEP {
            texts.intern(i.to_string());
        }
        assert!(texts.len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&kept, &texts.intern("kept")));
    }
}
