//! Merging an applied configuration into the live object, and pruning from the result what the applier named last
//! time and no longer does.

use std::collections::HashMap;
use std::mem;

use serde_json::{Map, Value};

use super::list::Naming;
use super::set::{Set, Step};
use crate::schema::{Cursor, Node, Schema};

/// Lays `config` over `live`: what it names takes its value, everything else stays.
pub fn merge(schema: &Schema, live: Value, config: &Value) -> Value {
    let mut merged = live;
    lay(schema.cursor(), &mut merged, config);
    merged
}

fn lay(at: Cursor<'_>, live: &mut Value, config: &Value) {
    let granular = match at.node() {
        Node::Struct { atomic, .. } | Node::Map { atomic, .. } => !*atomic,
        Node::List { .. } => Naming::of(at).is_some(),
        Node::Any => config.is_object() || config.is_null() && live.is_object(),
        Node::Scalar(_) => false,
    };
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if granular => lay_fields(at, live, config),
        (Value::Array(live), Value::Array(config)) if granular && !live.is_empty() && !config.is_empty() => {
            if let Some(naming) = Naming::of(at) {
                *live = lay_elements(&naming, mem::take(live), config);
            }
        }
        // Naming nothing of a container takes nothing out of it.
        (Value::Object(live), Value::Null) if granular && !live.is_empty() => {}
        (Value::Array(live), config) if granular && !live.is_empty() && is_empty_list(config) => {}
        (live, config) => live.clone_from(config),
    }
}

fn is_empty_list(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn lay_fields(at: Cursor<'_>, live: &mut Map<String, Value>, config: &Map<String, Value>) {
    for (name, config) in config {
        match (live.get_mut(name), at.child(name)) {
            (Some(live), Some(child)) => lay(child, live, config),
            (Some(live), None) => live.clone_from(config),
            (None, _) => {
                live.insert(name.clone(), config.clone());
            }
        }
    }
}

/// Merges keyed lists. Elements that the configuration names come in its order; the others stay before the named
/// element that they stood before.
fn lay_elements(naming: &Naming<'_>, live: Vec<Value>, config: &[Value]) -> Vec<Value> {
    // Live elements that share a name with an earlier one are dropped, as are elements without a name.
    let mut names = Vec::with_capacity(live.len());
    let mut elements: HashMap<String, Option<Value>> = HashMap::with_capacity(live.len());
    for item in live {
        let Some(name) = naming.name(&item) else { continue };
        elements.entry(name.text.into_owned()).or_insert_with_key(|name| {
            names.push(name.clone());
            Some(item)
        });
    }
    let config: Vec<(String, &Value)> = config.iter().filter_map(|item| Some((naming.name(item)?.text.into_owned(), item))).collect();
    let places: HashMap<&str, usize> = config.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
    // The places in the configuration whose elements are live, in order.
    let shared: Vec<usize> = (0..config.len()).filter(|at| elements.contains_key(&config[*at].0)).collect();
    let mut shared = shared.into_iter().peekable();

    let mut merged = Vec::with_capacity(names.len() + config.len());
    let mut laid = 0;
    for name in &names {
        match places.get(name.as_str()) {
            None => merged.extend(elements.get_mut(name).and_then(Option::take)),
            Some(at) if shared.next_if_eq(at).is_some() => {
                lay_all(naming, &config[laid..=*at], &mut elements, &mut merged);
                laid = at + 1;
            }
            // Another shared element has to come before it.
            Some(_) => {}
        }
    }
    lay_all(naming, &config[laid..], &mut elements, &mut merged);
    merged
}

fn lay_all(naming: &Naming<'_>, config: &[(String, &Value)], elements: &mut HashMap<String, Option<Value>>, merged: &mut Vec<Value>) {
    for (name, config) in config {
        merged.push(match elements.get_mut(name).and_then(Option::take) {
            Some(mut live) => {
                lay(naming.items(), &mut live, config);
                live
            }
            None => (*config).clone(),
        });
    }
}

/// Removes from `object` the fields in `last` that are not in `managed`, with all below them.
pub(super) fn prune(schema: &Schema, object: &mut Value, last: &Set<'_>, managed: &Set<'_>) {
    prune_below(schema.cursor(), object, last, managed);
}

fn prune_below(at: Cursor<'_>, value: &mut Value, last: &Set<'_>, managed: &Set<'_>) {
    match value {
        Value::Object(fields) => {
            for node in last.nodes().iter().filter(|node| node.element.step == Step::Field) {
                let name = node.element.text.as_ref();
                let Some(child) = at.child(name) else { continue };
                let holder = managed.get(&node.element);
                // A field of a struct counts as owned where something in it is.
                let of_struct = at.field(name).is_some();
                let was_owned = node.member || of_struct;
                let is_owned = holder.is_some_and(|holder| holder.member || of_struct);
                if was_owned && !is_owned {
                    fields.remove(name);
                } else if let Some(value) = fields.get_mut(name) {
                    prune_below(child, value, &node.below, holder.map_or(&NOTHING, |holder| &holder.below));
                    let emptied = match value {
                        // An object that is still named, without anything in it, is meant to be there.
                        Value::Object(fields) => fields.is_empty() && !holder.is_some_and(|holder| holder.member),
                        Value::Array(items) => items.is_empty(),
                        _ => false,
                    };
                    if emptied && !node.below.is_empty() {
                        fields.remove(name);
                    }
                }
            }
        }
        Value::Array(items) => {
            let Some(naming) = Naming::of(at) else { return };
            items.retain_mut(|item| {
                let Some(element) = naming.name(item) else { return true };
                let Some(node) = last.get(&element) else { return true };
                let holder = managed.get(&element);
                if node.member && !holder.is_some_and(|holder| holder.member) {
                    return false;
                }
                prune_below(naming.items(), item, &node.below, holder.map_or(&NOTHING, |holder| &holder.below));
                true
            });
        }
        _ => {}
    }
}

static NOTHING: Set<'static> = Set::new();
