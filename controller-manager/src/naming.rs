//! Names that controllers give. A generated name is a function of who makes the object and of which attempt it is,
//! not of chance: a controller that decides from a stale world asks again for a name that exists, and is refused
//! instead of making a second object.

use std::collections::HashSet;

use crate::world::World;

/// Kubernetes' alphabet for generated suffixes: no vowels, and nothing that reads like another letter.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// A label value, which many names end up as.
const MOST_NAME: usize = 63;

/// FNV-1a with a final mix, over parts that are kept apart. Names depend on it: it must not change between releases.
pub fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash ^= u64::from(byte);
            hash = hash.wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash
}

/// `count` letters of the suffix alphabet for a hash.
pub fn letters(mut hash: u64, count: usize) -> String {
    let base = ALPHABET.len() as u64;
    (0..count)
        .map(|_| {
            let letter = ALPHABET[(hash % base) as usize];
            hash /= base;
            char::from(letter)
        })
        .collect()
}

/// The `pod-template-hash` or revision hash of a text.
pub fn template_hash(json: &[u8], collisions: i32) -> String {
    let text = String::from_utf8_lossy(json);
    letters(hash(&[&text, &collisions.to_string()]), 10)
}

/// `base` followed by `suffix`, the base cut so that the whole fits a label.
pub fn joined(base: &str, suffix: &str) -> String {
    let room = MOST_NAME.saturating_sub(suffix.len());
    let mut end = base.len().min(room);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// Free names, each of them `<base><5 letters>`.
pub struct Names<'a> {
    taken: Box<dyn Fn(&str) -> bool + 'a>,
    base: String,
    seed: String,
    attempt: u32,
    given: HashSet<String>,
}

impl<'a> Names<'a> {
    /// Names that begin with `base` (with its dash), for the maker that `seed` identifies.
    pub fn new(base: &str, seed: &str, taken: impl Fn(&str) -> bool + 'a) -> Self {
        let base = base.chars().take(MOST_NAME - SUFFIX).collect();
        Self { taken: Box::new(taken), base, seed: seed.to_owned(), attempt: 0, given: HashSet::new() }
    }

    /// Names of pods, none of which exists or did until recently.
    pub fn of_pods(world: &'a World, namespace: &'a str, base: &str, seed: &str) -> Self {
        Self::new(base, seed, move |name| world.pod_name_taken(namespace, name))
    }

    /// The next name that is free.
    pub fn next_free(&mut self) -> String {
        loop {
            let suffix = letters(hash(&[&self.seed, &self.attempt.to_string()]), SUFFIX);
            self.attempt = self.attempt.wrapping_add(1);
            let name = format!("{}{suffix}", self.base);
            if !(self.taken)(&name) && self.given.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_repeat_and_depend_on_the_maker_alone() {
        let world = World::default();
        let take = |seed: &str| -> Vec<String> {
            let mut names = Names::of_pods(&world, "default", "web-abc-", seed);
            (0..500).map(|_| names.next_free()).collect()
        };
        let first = take("one");
        assert_eq!(first, take("one"));
        assert_ne!(first, take("two"));
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 500);
        assert!(first.iter().all(|n| n.len() == "web-abc-".len() + 5));
    }

    #[test]
    fn long_bases_are_cut() {
        assert_eq!(joined(&"x".repeat(80), "-0").len(), 63);
        assert_eq!(joined("web", "-0"), "web-0");
    }
}
