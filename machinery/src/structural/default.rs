//! Defaulting, and nulls: a field that is null and may not be is one that is not there.

use serde_json::Value;

use super::node::{Additional, Node};
use super::{embedded, prune, validate};
use crate::field::{Error, Errors, Path};

/// What defaults may add to an object, in bytes. Nothing nearly as large can be stored.
const MOST_ADDED: usize = 32 << 20;

impl Node {
    fn forbids_null(&self) -> bool {
        !self.nullable
    }
}

/// Drops the nulls of fields that are neither nullable nor have a default.
pub(super) fn drop_nulls(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(child) = node.child(name) else { return true };
            if value.is_null() {
                return !(child.forbids_null() && child.default.is_none());
            }
            drop_nulls(child, value);
            true
        }),
        Value::Array(items) => {
            if let Some(below) = &node.items {
                items.iter_mut().for_each(|item| drop_nulls(below, item));
            }
        }
        _ => {}
    }
}

/// Fills in defaults, from the top to the bottom, so that what a default brings is filled in, too. False where there was
/// too much.
pub(super) fn fill(node: &Node, value: &mut Value) -> bool {
    let mut fill = Fill { room: MOST_ADDED };
    fill.value(node, value);
    fill.room > 0
}

struct Fill {
    room: usize,
}

impl Fill {
    /// The default of a value, as long as there is room.
    fn take(&mut self, node: &Node) -> Option<Value> {
        let default = node.default.as_ref()?;
        self.room = self.room.saturating_sub(node.default_size);
        (self.room > 0).then(|| default.clone())
    }

    fn value(&mut self, node: &Node, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, child) in node.properties.iter().filter(|(_, child)| child.default.is_some()) {
                    let is_missing = fields.get(&**name).is_none_or(|value| value.is_null() && child.forbids_null());
                    if let Some(default) = is_missing.then(|| self.take(child)).flatten() {
                        fields.insert((**name).to_owned(), default);
                    }
                }
                for (name, value) in fields.iter_mut() {
                    match (node.properties.get(name.as_str()), &node.additional) {
                        (Some(child), _) => self.value(child, value),
                        (None, Some(Additional::Schema(child))) => self.element(child, value),
                        _ => {}
                    }
                }
            }
            Value::Array(items) => {
                if let Some(below) = &node.items {
                    items.iter_mut().for_each(|item| self.element(below, item));
                }
            }
            _ => {}
        }
    }

    /// A value of a map or a list, which may have a default that takes the place of null.
    fn element(&mut self, node: &Node, value: &mut Value) {
        if value.is_null()
            && node.forbids_null()
            && let Some(default) = self.take(node)
        {
            *value = default;
        }
        self.value(node, value);
    }
}

/// What is wrong with the defaults of a schema and of those below it.
pub(super) fn validate_all(node: &Node, path: &Path, within_meta: bool, errors: &mut Errors) {
    if let Some(default) = &node.default {
        errors.extend(validate_one(node, &path.child("default"), default, within_meta));
    }
    if let Some(items) = &node.items {
        validate_all(items, &path.child("items"), within_meta, errors);
    }
    for (name, child) in &node.properties {
        let is_meta = node.embedded && matches!(&**name, "apiVersion" | "kind" | "metadata");
        let within_meta = is_meta || within_meta && !child.embedded;
        validate_all(child, &path.child("properties").key(name), within_meta, errors);
    }
}

fn validate_one(node: &Node, path: &Path, default: &Value, within_meta: bool) -> Errors {
    let mut errors = Errors::new();
    if !within_meta {
        let mut pruned = default.clone();
        prune::prune(node, &mut pruned, &mut Vec::new());
        if pruned != *default {
            errors.push(Error::invalid(path, default, "must not have unknown fields"));
        }
        if let Err(error) = embedded::conform_part(node, &mut pruned, &mut Vec::new()) {
            errors.push(Error::invalid(path, default, error.to_string()));
            return errors;
        }
        let wrong = embedded::validate(node, path, default);
        if !wrong.is_empty() {
            errors.extend(wrong);
            return errors;
        }
    }
    let of_any_type = without_int_or_string(node.clone());
    // Paths begin anew at the default, as upstream joins them.
    let list = path.as_str().len();
    errors.extend(validate::validate(&of_any_type, path, default, None).into_iter().map(|error| {
        let below = error.field.as_str().get(list..).filter(|below| below.starts_with('[')).map(|below| path.child(below));
        Error { field: below.unwrap_or_else(|| error.field.clone()), ..error }
    }));
    errors
}

/// The schema by which defaults are looked at: what may be a number or text may be anything there.
fn without_int_or_string(mut node: Node) -> Node {
    node.int_or_string = false;
    node.properties = node.properties.into_iter().map(|(name, child)| (name, without_int_or_string(child))).collect();
    node.items = node.items.map(|items| Box::new(without_int_or_string(*items)));
    if let Some(Additional::Schema(child)) = node.additional {
        node.additional = Some(Additional::Schema(Box::new(without_int_or_string(*child))));
    }
    node
}
