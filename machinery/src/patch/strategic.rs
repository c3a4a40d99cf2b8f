//! Strategic merge patch: a merge patch that consults the schema. Lists that carry the `merge` strategy merge
//! element by element (objects by their merge key, scalars as sets), and directives in the patch (`$patch`,
//! `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`) say what plain JSON cannot.
//!
//! Field tags decide, not the list types of server-side apply: a Service's ports merge by `port` here.

use std::collections::{HashMap, HashSet};
use std::mem;

use serde_json::{Map, Value};

use super::Error;
use crate::schema::{Node, NodeId, PatchStrategy, Schema};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";

/// The object, of the schema's type, after the patch.
pub fn apply(schema: &Schema, object: Value, patch: &Value) -> Result<Value, Error> {
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => return Ok(object),
        _ => return Err(Error::Malformed("a strategic merge patch is a JSON object".into())),
    };
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Merger { schema }.merge_object(&mut fields, patch, Some(schema.root_id()))?;
    Ok(Value::Object(fields))
}

struct Merger<'s> {
    schema: &'s Schema,
}

/// What the schema knows of a field; nothing where it does not know the field at all.
#[derive(Clone, Copy, Default)]
struct Place<'s> {
    node: Option<NodeId>,
    strategy: Option<&'s PatchStrategy>,
}

impl<'s> Place<'s> {
    fn merges(self) -> bool {
        self.strategy.is_some_and(|strategy| strategy.merge)
    }

    fn replaces(self) -> bool {
        self.strategy.is_some_and(|strategy| strategy.replace)
    }

    fn merge_key(self) -> Option<&'s str> {
        self.strategy.and_then(|strategy| strategy.merge_key.as_deref())
    }
}

impl<'s> Merger<'s> {
    fn merge_object(&self, target: &mut Map<String, Value>, patch: &Map<String, Value>, node: Option<NodeId>) -> Result<(), Error> {
        match patch.get(PATCH) {
            None => self.merge_fields(target, patch, node),
            Some(Value::String(directive)) if directive == "replace" => {
                target.clear();
                self.merge_fields(target, patch, node)
            }
            Some(Value::String(directive)) if directive == "delete" => {
                target.clear();
                Ok(())
            }
            // `merge` too: it is the default, and upstream refuses to have it spelled out.
            Some(directive) => Err(Error::Nonsense(format!("unknown {PATCH} directive {directive}"))),
        }
    }

    fn merge_fields(&self, target: &mut Map<String, Value>, patch: &Map<String, Value>, node: Option<NodeId>) -> Result<(), Error> {
        if let Some(kept) = patch.get(RETAIN_KEYS) {
            retain_keys(target, patch, kept)?;
        }
        let mut ordered = HashSet::new();
        for (name, order) in patch.iter().filter(|(name, _)| name.starts_with(SET_ELEMENT_ORDER)) {
            let list = directed_list(name, SET_ELEMENT_ORDER)?;
            self.merge_ordered(target, list, patch.get(list), order, node)?;
            ordered.insert(list);
        }
        for (name, change) in patch {
            if name.starts_with(DELETE_FROM_PRIMITIVE_LIST) {
                self.delete_scalars(target, directed_list(name, DELETE_FROM_PRIMITIVE_LIST)?, change, node)?;
            } else if !is_directive(name) && !ordered.contains(name.as_str()) {
                self.merge_field(target, name, change, node)?;
            }
        }
        Ok(())
    }

    fn merge_field(&self, target: &mut Map<String, Value>, name: &str, change: &Value, node: Option<NodeId>) -> Result<(), Error> {
        let place = self.place(node, name).unwrap_or_default();
        match (target.get_mut(name), change) {
            (_, Value::Null) => {
                target.remove(name);
            }
            (Some(Value::Object(fields)), Value::Object(change)) if !place.replaces() => self.merge_object(fields, change, place.node)?,
            (Some(Value::Array(items)), Value::Array(change)) if place.merges() => self.merge_list(items, change, change, place)?,
            // As it stands, directives included: where they are no fields, somebody is warned.
            (Some(present @ Value::Object(_)), Value::Object(_)) | (Some(present @ Value::Array(_)), Value::Array(_)) => {
                present.clone_from(change);
            }
            _ => match fresh(change) {
                Some(value) => drop(target.insert(name.to_owned(), value)),
                None => drop(target.remove(name)),
            },
        }
        Ok(())
    }

    /// Takes elements out of a list. Objects that are to be taken out are merged in instead, which nobody ever forbade.
    fn delete_scalars(&self, target: &mut Map<String, Value>, list: &str, doomed: &Value, node: Option<NodeId>) -> Result<(), Error> {
        match (target.get_mut(list), doomed) {
            (_, Value::Null) => drop(target.remove(list)),
            (Some(Value::Array(items)), Value::Array(doomed)) => match common_kind(items.iter().chain(doomed))? {
                Some(Kind::Object) => self.merge_list(items, doomed, doomed, self.place(node, list).unwrap_or_default())?,
                _ => {
                    let doomed: HashSet<&Value> = doomed.iter().collect();
                    items.retain(|item| !doomed.contains(item));
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// Merges a list whose final order the patch prescribes.
    fn merge_ordered(
        &self,
        target: &mut Map<String, Value>,
        list: &str,
        change: Option<&Value>,
        order: &Value,
        node: Option<NodeId>,
    ) -> Result<(), Error> {
        let not_a_list = || Error::Nonsense(format!("{SET_ELEMENT_ORDER}/{list}: not a list"));
        let order = order.as_array().ok_or_else(not_a_list)?;
        let place = self.place(node, list).ok_or_else(|| Error::Nonsense(format!("there is no field {list:?}")))?;
        let change = match change {
            Some(change) => Some(change.as_array().ok_or_else(not_a_list)?),
            None => None,
        };
        if let Some(Value::Array(_)) = target.get(list) {
            order.iter().try_for_each(|named| identity(named, place.merge_key()).map(drop))?;
        }
        check_order(change.map_or(&[], Vec::as_slice), order, place.merge_key())?;
        match (target.get_mut(list), change) {
            (Some(Value::Array(items)), Some(change)) if !place.merges() => {
                items.clone_from(change);
                self.merge_list(items, &[], order, place)
            }
            (Some(Value::Array(items)), change) => self.merge_list(items, change.map_or(&[], Vec::as_slice), order, place),
            (Some(_), _) => Err(not_a_list()),
            (None, Some(change)) => {
                let mut items: Vec<Value> = change.iter().filter_map(fresh).collect();
                reorder(&mut items, order, place.merge_key(), &HashMap::new())?;
                target.insert(list.to_owned(), Value::Array(items));
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Merges `change` into `items`. Elements named in `order` come in that order, the others keep theirs and are
    /// interleaved as they stood.
    fn merge_list(&self, items: &mut Vec<Value>, change: &[Value], order: &[Value], place: Place<'s>) -> Result<(), Error> {
        match common_kind(items.iter().chain(change))? {
            None => Ok(()),
            Some(Kind::Object) => {
                let key = place.merge_key().ok_or_else(|| Error::Nonsense("a list of objects cannot merge without a merge key".into()))?;
                self.merge_objects(items, change, order, key, self.items(place.node))
            }
            Some(_) => {
                let stood = positions(items, None)?;
                let mut seen = HashSet::new();
                items.retain(|item| seen.insert(item.clone()));
                items.extend(change.iter().filter(|scalar| seen.insert((*scalar).clone())).cloned());
                reorder(items, order, None, &stood)
            }
        }
    }

    fn merge_objects(
        &self,
        items: &mut Vec<Value>,
        change: &[Value],
        order: &[Value],
        key: &str,
        element: Option<NodeId>,
    ) -> Result<(), Error> {
        let plain = match obey_directives(items, change, key)? {
            Directed::Merge(plain) => plain,
            Directed::Replace(plain) => {
                *items = plain.into_iter().cloned().collect();
                return Ok(());
            }
        };
        let stood = positions(items, Some(key))?;
        let mut added = HashMap::new();
        for change in plain {
            let identity = identity(change, Some(key))?;
            let at = stood.get(identity).or_else(|| added.get(identity)).copied();
            match (at.and_then(|at| items.get_mut(at)), change) {
                (Some(Value::Object(fields)), Value::Object(change)) => self.merge_object(fields, change, element)?,
                _ => {
                    added.insert(identity, items.len());
                    items.push(change.clone());
                }
            }
        }
        reorder(items, order, Some(key), &stood)
    }

    fn place(&self, node: Option<NodeId>, name: &str) -> Option<Place<'s>> {
        match self.schema.node(node?) {
            Node::Struct { fields, .. } => fields.get(name).map(|field| Place { node: Some(field.node), strategy: Some(&field.strategy) }),
            Node::Map { values, .. } => Some(Place { node: Some(*values), strategy: None }),
            Node::List { .. } | Node::Scalar(_) | Node::Any => None,
        }
    }

    fn items(&self, list: Option<NodeId>) -> Option<NodeId> {
        match self.schema.node(list?) {
            Node::List { items, .. } => Some(*items),
            _ => None,
        }
    }
}

/// The elements of a patch list that are no directives, and what to do with them.
enum Directed<'c> {
    Merge(Vec<&'c Value>),
    Replace(Vec<&'c Value>),
}

/// Carries out the elements of `change` that are directives and returns the others.
fn obey_directives<'c>(items: &mut Vec<Value>, change: &'c [Value], key: &str) -> Result<Directed<'c>, Error> {
    let mut plain = Vec::with_capacity(change.len());
    let mut replace = false;
    let mut doomed = HashSet::new();
    for element in change {
        match element.get(PATCH).map(Value::as_str) {
            None => plain.push(element),
            Some(Some("delete")) => {
                doomed.insert(identity(element, Some(key))?);
            }
            Some(Some("replace")) => replace = true,
            Some(_) => return Err(Error::Nonsense(format!("unknown {PATCH} directive in a list: {}", element[PATCH]))),
        }
    }
    // At once: one by one would look at every element for every directive.
    if !doomed.is_empty() {
        items.retain(|item| item.get(key).is_none_or(|identity| !doomed.contains(identity)));
    }
    Ok(if replace { Directed::Replace(plain) } else { Directed::Merge(plain) })
}

fn is_directive(name: &str) -> bool {
    name == PATCH || name == RETAIN_KEYS || name.starts_with(SET_ELEMENT_ORDER)
}

/// The list that a directive such as `$setElementOrder/finalizers` is about.
fn directed_list<'n>(name: &'n str, directive: &str) -> Result<&'n str, Error> {
    name.strip_prefix(directive)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| Error::Malformed(format!("{name:?} is not of the form {directive}/<field>")))
}

/// Drops the keys that the patch does not list. Whatever the patch itself sets must be listed.
fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>, kept: &Value) -> Result<(), Error> {
    let kept = kept.as_array().ok_or_else(|| Error::Malformed(format!("{RETAIN_KEYS} is not a list")))?;
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let is_kept = |name: &str| kept.contains(name);
    for (name, change) in patch {
        let directive = is_directive(name) || name.starts_with(DELETE_FROM_PRIMITIVE_LIST);
        if !change.is_null() && !directive && !is_kept(name) {
            return Err(Error::Malformed(format!("the patch sets {name:?}, which its {RETAIN_KEYS} does not list")));
        }
    }
    target.retain(|name, _| is_kept(name));
    Ok(())
}

/// What a patch makes of nothing: itself, without nulls in objects, and without what says how to be merged, all of it.
/// Other directives stay, to be told of as fields that nobody knows.
fn fresh(change: &Value) -> Option<Value> {
    match change {
        Value::Object(change) if change.contains_key(PATCH) => None,
        Value::Object(change) => {
            let fields = change.iter().filter(|(_, value)| !value.is_null());
            Some(Value::Object(fields.filter_map(|(name, value)| Some((name.clone(), fresh(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(fresh).collect())),
        other => Some(other.clone()),
    }
}

/// What tells an element from its neighbours: the value of its merge key, or itself.
fn identity<'v>(element: &'v Value, key: Option<&str>) -> Result<&'v Value, Error> {
    match key {
        None => Ok(element),
        Some(key) => element.get(key).ok_or_else(|| Error::Nonsense(format!("a list element lacks its merge key {key:?}"))),
    }
}

/// Checks that the elements a patch sets come in the order that it prescribes.
fn check_order(change: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Error> {
    if order.is_empty() {
        return Ok(());
    }
    let mut order = order.iter();
    for element in change.iter().filter(|element| element.get(PATCH).is_none()) {
        let wanted = identity(element, key)?;
        loop {
            match order.next() {
                Some(named) if identity(named, key)? == wanted => break,
                Some(_) => {}
                None => return Err(Error::Nonsense(format!("the elements of a list disagree with its {SET_ELEMENT_ORDER}"))),
            }
        }
    }
    Ok(())
}

/// Where each identity stands first.
fn positions(items: &[Value], key: Option<&str>) -> Result<HashMap<Value, usize>, Error> {
    let mut positions = HashMap::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        positions.entry(identity(item, key)?.clone()).or_insert(at);
    }
    Ok(positions)
}

/// Puts merged elements in order: those that `order` names as it says, the others before the first of them that
/// they `stood` before.
fn reorder(items: &mut Vec<Value>, order: &[Value], key: Option<&str>, stood: &HashMap<Value, usize>) -> Result<(), Error> {
    let mut ranks = HashMap::with_capacity(order.len());
    for (rank, element) in order.iter().enumerate() {
        // A directive without the merge key orders nothing.
        if let Ok(identity) = identity(element, key) {
            ranks.entry(identity).or_insert(rank);
        }
    }
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in mem::take(items) {
        let identity = identity(&item, key)?;
        let before = stood.get(identity).copied();
        match ranks.get(identity).copied() {
            Some(rank) => named.push((rank, before, item)),
            None => others.push((before, item)),
        }
    }
    named.sort_by_key(|(rank, _, _)| *rank);
    let mut others = others.into_iter().peekable();
    for (_, before, item) in named {
        while let Some((_, other)) = others.next_if(|(other, _)| other.zip(before).is_some_and(|(other, named)| other < named)) {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others.map(|(_, other)| other));
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    String,
    Number,
    Boolean,
}

/// The kind that all elements share; `None` where there are none.
fn common_kind<'v>(elements: impl Iterator<Item = &'v Value>) -> Result<Option<Kind>, Error> {
    let different = || Error::Nonsense("the elements of a list that merges are of one type".into());
    let mut common = None;
    for element in elements {
        let kind = match element {
            Value::Object(_) => Kind::Object,
            Value::String(_) => Kind::String,
            Value::Number(_) => Kind::Number,
            Value::Bool(_) => Kind::Boolean,
            Value::Array(_) if common.is_none() => return Err(Error::DoesNotApply("lists of lists do not merge".into())),
            // A list among other things is of another type, which is told first.
            Value::Array(_) => return Err(different()),
            Value::Null => return Err(Error::Nonsense("null is no element of a list that merges".into())),
        };
        if *common.get_or_insert(kind) != kind {
            return Err(different());
        }
    }
    Ok(common)
}

#[cfg(test)]
mod tests;
