//! The order of findings. They are collected by kind and by name, but whoever reads them looks through a body from its
//! beginning, and Kubernetes names them in that order.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Finding;

/// Brings the findings about a JSON body into the order in which the body has them: unknown fields where they come first,
/// duplicate ones where they come again. Only what has findings below it is looked into.
pub fn by_place(body: &[u8], findings: Vec<Finding>) -> Vec<Finding> {
    if findings.len() < 2 {
        return findings;
    }
    let places = RefCell::new(Places { next: 0, of: vec![Place::default(); findings.len()] });
    let paths = findings.iter().enumerate().map(|(index, finding)| (index, finding.path())).collect();
    // The body was read before. Should it end early here, what was not met stays at the end.
    let _ = Search { paths, places: &places }.deserialize(&mut serde_json::Deserializer::from_slice(body));
    let places = places.into_inner().of;
    let mut placed: Vec<_> = findings.into_iter().zip(places).collect();
    placed.sort_by_key(|(finding, place)| match finding {
        Finding::Unknown(_) => place.first,
        Finding::Duplicate(_) | Finding::Repeated { .. } => place.second,
    });
    placed.into_iter().map(|(finding, _)| finding).collect()
}

struct Places {
    next: usize,
    of: Vec<Place>,
}

#[derive(Clone)]
struct Place {
    first: usize,
    second: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { first: usize::MAX, second: usize::MAX }
    }
}

impl Places {
    fn meet(&mut self, index: usize) {
        let place = &mut self.of[index];
        match place.first {
            usize::MAX => place.first = self.next,
            _ => place.second = place.second.min(self.next),
        }
        self.next += 1;
    }
}

/// Looks for paths, of which the part from here on is given.
struct Search<'s> {
    paths: Vec<(usize, &'s str)>,
    places: &'s RefCell<Places>,
}

impl<'s> Search<'s> {
    /// What is looked for below a step; those that end with it are met.
    fn below(&self, step: &str) -> Search<'s> {
        let mut paths = Vec::new();
        for (index, path) in &self.paths {
            match path.strip_prefix(step) {
                Some("") => self.places.borrow_mut().meet(*index),
                Some(rest) if rest.starts_with('[') => paths.push((*index, rest)),
                Some(rest) => paths.extend(rest.strip_prefix('.').map(|rest| (*index, rest))),
                None => {}
            }
        }
        Search { paths, places: self.places }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.paths.is_empty() {
            return IgnoredAny::deserialize(deserializer).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(self.below(&key))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while list.next_element_seed(self.below(&format!("[{index}]")))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
