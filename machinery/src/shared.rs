//! Equal values, kept once: the pods of one ReplicaSet have one set of labels, and one list of owners, between them.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Values in use, each once. What nobody uses any more is dropped when the pool has doubled.
pub struct Pool<T: ?Sized>(Mutex<Known<T>>);

struct Known<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

/// A pool that is no larger is not swept.
const SMALL: usize = 256;

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashSet::new(), sweep_at: SMALL }))
    }
}

impl<T: ?Sized + Hash + Eq> Pool<T> {
    /// The value of the pool that equals `value`; made, where there is none.
    pub fn share(&self, value: &T, make: impl FnOnce(&T) -> Arc<T>) -> Arc<T> {
        let mut known = self.0.lock();
        if let Some(found) = known.values.get(value) {
            return found.clone();
        }
        if known.values.len() >= known.sweep_at {
            known.values.retain(|value| Arc::strong_count(value) > 1);
            known.sweep_at = (known.values.len() * 2).max(SMALL);
        }
        let shared = make(value);
        known.values.insert(shared.clone());
        shared
    }
}

/// The latest distinct values, of types that cannot be hashed. Siblings arrive together, so that a look at these finds
/// most of what can be shared.
pub struct Recent<T: ?Sized>(Mutex<Vec<Arc<T>>>);

const RECENT: usize = 64;

impl<T: ?Sized> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: ?Sized> Recent<T> {
    /// The recent value that `is_it` knows; made, where there is none.
    pub fn share_if(&self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut recent = self.0.lock();
        if let Some(at) = recent.iter().rposition(|known| is_it(known)) {
            let found = recent.remove(at);
            recent.push(found.clone());
            return found;
        }
        if recent.len() == RECENT {
            recent.remove(0);
        }
        let shared = make();
        recent.push(shared.clone());
        shared
    }
}

impl<T: Clone + PartialEq> Recent<[T]> {
    pub fn share_slice(&self, value: &[T]) -> Arc<[T]> {
        self.share_if(|known| known == value, || value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_while_they_are_used() {
        let made = |text: &str| text.into();
        let pool = Pool::<str>::default();
        let first = pool.share("a", made);
        assert!(Arc::ptr_eq(&first, &pool.share("a", made)));
        for number in 0..10 * SMALL {
            drop(pool.share(&number.to_string(), made));
        }
        assert!(pool.0.lock().values.len() <= 2 * SMALL, "what nobody uses goes");
        assert!(Arc::ptr_eq(&first, &pool.share("a", made)), "what is in use stays");
    }

    #[test]
    fn recent_values_are_found_and_old_ones_make_room() {
        let recent = Recent::<[i32]>::default();
        let first = recent.share_slice(&[1]);
        assert!(Arc::ptr_eq(&first, &recent.share_slice(&[1])));
        for number in 0..RECENT as i32 {
            recent.share_slice(&[2, number]);
        }
        assert!(!Arc::ptr_eq(&first, &recent.share_slice(&[1])));
        assert_eq!(recent.0.lock().len(), RECENT);
    }
}
