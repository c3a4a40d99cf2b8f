//! The names of custom resources, kept for as long as the program runs. Names are handed about everywhere, in logs,
//! metrics, discovery and paths, and those of built-in kinds are constants; a pool that keeps each distinct text once lets those
//! of custom resources be the same. What it holds is bounded by the distinct names that definitions ever had, which whoever
//! may write definitions decides, and validation holds each to 253 bytes.

use std::collections::HashSet;
use std::sync::Mutex;

static TEXTS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
static LISTS: Mutex<Option<HashSet<&'static [&'static str]>>> = Mutex::new(None);

/// This text, for ever.
pub fn text(text: &str) -> &'static str {
    let mut pool = TEXTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pool = pool.get_or_insert_default();
    if let Some(known) = pool.get(text) {
        return known;
    }
    let kept: &'static str = Box::leak(text.into());
    pool.insert(kept);
    kept
}

/// A list of texts, for ever.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> &'static [&'static str] {
    let texts: Vec<&'static str> = texts.into_iter().map(text).collect();
    let mut pool = LISTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pool = pool.get_or_insert_default();
    if let Some(known) = pool.get(texts.as_slice()) {
        return known;
    }
    let kept: &'static [&'static str] = Box::leak(texts.into());
    pool.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once() {
        let again: String = ["lam", "ps"].concat();
        let (one, other) = (text("lamps"), text(&again));
        assert!(std::ptr::eq(one, other));
        assert!(std::ptr::eq(list(["a", "b"]), list(["a".to_owned(), "b".to_owned()].iter().map(String::as_str))));
    }
}
