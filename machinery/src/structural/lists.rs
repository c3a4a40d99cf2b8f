//! Lists that are sets or maps: no element, and no key, is there twice.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::node::{Additional, ListType, Node};
use crate::field::{Error, Errors, Path};

pub(super) fn validate(node: &Node, path: &Path, value: &Value) -> Errors {
    let mut errors = Errors::new();
    walk(node, path, value, &mut errors);
    errors
}

fn walk(node: &Node, path: &Path, value: &Value, errors: &mut Errors) {
    match value {
        Value::Object(fields) => {
            if node.properties.is_empty() && !matches!(node.additional, Some(Additional::Schema(_))) {
                return;
            }
            for (name, value) in fields.iter().filter(|(_, value)| value.is_array() || value.is_object()) {
                match (node.properties.get(name.as_str()), &node.additional) {
                    (Some(child), _) => walk(child, &path.child(name), value, errors),
                    (None, Some(Additional::Schema(child))) => walk(child, &path.key(name), value, errors),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            match &node.list {
                ListType::Atomic => {}
                ListType::Set => {
                    errors.extend(repeated(items.iter()).into_iter().map(|at| Error::duplicate(&path.index(at), &items[at])));
                }
                ListType::Map(keys) => errors.extend(repeated_keys(keys, path, items)),
            }
            let Some(below) = &node.items else { return };
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_array() || item.is_object()) {
                walk(below, &path.index(index), item, errors);
            }
        }
        _ => {}
    }
}

fn repeated_keys(keys: &[Box<str>], path: &Path, items: &[Value]) -> Errors {
    if let Some((at, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        return vec![Error::invalid(&path.index(at), item, "must be an object, as all elements of a list of type map are")];
    }
    let key = |item: &Value| -> Value {
        let of = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
        keys.iter().filter_map(|name| of(name)).collect::<Map<_, _>>().into()
    };
    let keys: Vec<Value> = items.iter().map(key).collect();
    repeated(keys.iter()).into_iter().map(|at| Error::duplicate(&path.index(at), &keys[at])).collect()
}

/// The places of the second of equal values; further ones are not told.
fn repeated<'v>(values: impl ExactSizeIterator<Item = &'v Value>) -> Vec<usize> {
    if values.len() < 2 {
        return Vec::new();
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(values.len());
    let mut places = Vec::new();
    for (at, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            places.push(at);
        }
    }
    places
}
