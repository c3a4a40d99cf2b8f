//! What a write changed: the fields that it added or gave another value, and those that it removed.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::iter::Peekable;

use serde_json::Value;

use super::list::Naming;
use super::set::{Element, Set};
use crate::schema::{Cursor, Field, Node, Schema};
use crate::text::Text;

/// The difference between two objects of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Fields that are new or have another value.
    pub written: Set<'a>,
    /// Fields that are gone.
    pub removed: Set<'a>,
    /// Whether an element of a list that is a map has none of its keys: nobody can be said to own it.
    pub nameless: bool,
}

impl<'a> Changes<'a> {
    /// What leads from `old` to `new`. Objects that do not exist yet are compared as `{}`.
    pub fn between(schema: &'a Schema, old: Option<Text<'a>>, new: Text<'a>) -> Self {
        let mut changes = Self::default();
        compare(schema.cursor(), Some(old.unwrap_or(Text::EMPTY_OBJECT)), Some(new), &mut changes);
        changes
    }

    /// As [`Self::between`], of objects that differ in no more than a field that both have.
    pub fn within(schema: &'a Schema, name: &'a str, old: Text<'a>, new: Text<'a>) -> Self {
        let mut changes = Self::default();
        if let Some((at, _)) = part(schema.cursor(), name, schema.is_of_structs()) {
            compare_part(at, Element::field(name), (Some(old), Some(new)), &mut changes);
        }
        changes
    }

    /// The changes but for `reset` and what is below it.
    pub fn without(self, reset: &Set<'_>) -> Self {
        Self { written: self.written.without(reset), removed: self.removed.without(reset), nameless: self.nameless }
    }

    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }

    fn push(&mut self, element: Element<'a>, this: This, below: Self) {
        self.nameless |= below.nameless;
        match (this.written || !below.written.is_empty(), this.removed || !below.removed.is_empty()) {
            (true, true) => {
                self.written.push(element.clone(), this.written, below.written);
                self.removed.push(element, this.removed, below.removed);
            }
            (true, false) => self.written.push(element, this.written, below.written),
            (false, true) => self.removed.push(element, this.removed, below.removed),
            (false, false) => {}
        }
    }
}

/// What happened to a value itself, as opposed to what is below it.
#[derive(Clone, Copy, Default)]
struct This {
    written: bool,
    removed: bool,
}

impl This {
    /// A value that changes as a whole.
    fn leaf(old: Option<Text<'_>>, new: Option<Text<'_>>) -> Self {
        let same = match (old, new) {
            (Some(old), Some(new)) => old.is(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        Self { written: new.is_some() && !same, removed: new.is_none() && old.is_some() }
    }

    /// A value whose parts change.
    fn branch(old: Option<Text<'_>>, new: Option<Text<'_>>) -> Self {
        Self { written: old.is_none(), removed: new.is_none() }
    }
}

fn compare<'a>(at: Cursor<'a>, old: Option<Text<'a>>, new: Option<Text<'a>>, below: &mut Changes<'a>) -> This {
    // Most of an object is what it was.
    if old == new {
        return This::default();
    }
    // An empty object or list is owned as a whole: it has no parts.
    if old.is_none_or(Text::is_hollow) && new.is_none_or(Text::is_hollow) {
        return This::leaf(old, new);
    }
    match at.node() {
        Node::Struct { atomic: false, .. } | Node::Map { atomic: false, .. } => {
            if is_object_or_none(old) && is_object_or_none(new) {
                compare_objects(at, old, new, below);
                return This::branch(old, new);
            }
        }
        Node::List { .. } => {
            if let Some(naming) = Naming::of(at).filter(|_| is_list_or_none(old) && is_list_or_none(new)) {
                compare_lists(&naming, old, new, below);
                return This::branch(old, new);
            }
        }
        Node::Any if !at.schema().is_of_structs() => return compare_anything(at, old, new, below),
        // What structs hold unread (a revision's data) is one value.
        Node::Struct { .. } | Node::Map { .. } | Node::Scalar(_) | Node::Any => {}
    }
    This::leaf(old, new)
}

pub(super) fn is_object_or_none(value: Option<Text<'_>>) -> bool {
    value.is_none_or(|value| value.is_object() || value.is_null())
}

pub(super) fn is_list_or_none(value: Option<Text<'_>>) -> bool {
    value.is_none_or(|value| value.is_list() || value.is_null())
}

/// Where the schema says nothing, objects have parts and lists have none.
fn compare_anything<'a>(at: Cursor<'a>, old: Option<Text<'a>>, new: Option<Text<'a>>, below: &mut Changes<'a>) -> This {
    match (old.filter(|old| old.is_object()), new.filter(|new| new.is_object())) {
        (None, None) => This::leaf(old, new),
        (old_object, new_object) => {
            compare_objects(at, old_object, new_object, below);
            if is_object_or_none(old) && is_object_or_none(new) { This::branch(old, new) } else { This::leaf(old, new) }
        }
    }
}

fn compare_objects<'a>(at: Cursor<'a>, old: Option<Text<'a>>, new: Option<Text<'a>>, below: &mut Changes<'a>) {
    let of_structs = at.schema().is_of_structs();
    let (old, new) = (old.filter(|old| old.is_object()), new.filter(|new| new.is_object()));
    for (name, old_value, new_value) in zip_fields(old, new) {
        let Some((child, field)) = part(at, &name, of_structs) else { continue };
        let old_value = old_value.or_else(|| old.and_then(|_| unwritten(field, new_value)));
        let new_value = new_value.or_else(|| new.and_then(|_| unwritten(field, old_value)));
        compare_part(child, Element::field(name), (old_value, new_value), below);
    }
}

fn compare_part<'a>(at: Cursor<'a>, element: Element<'a>, (old, new): (Option<Text<'a>>, Option<Text<'a>>), below: &mut Changes<'a>) {
    let mut deeper = Changes::default();
    let this = compare(at, old, new, &mut deeper);
    below.push(element, this, deeper);
}

/// The type of what stands under a name, and the struct's field, where the struct has it even if its JSON leaves it out.
pub(super) fn part<'a>(at: Cursor<'a>, name: &str, of_structs: bool) -> Option<(Cursor<'a>, Option<&'a Field>)> {
    let field = at.field(name);
    let child = field.map(|(_, child)| child).or_else(|| at.child(name))?;
    // A struct that must be there and has no default is a pointer: while it is not there, it is left out.
    let is_pointer = matches!(child.node(), Node::Struct { .. });
    Some((child, field.map(|(field, _)| field).filter(|field| of_structs && !(is_pointer && field.default.is_none()))))
}

/// What a struct has in a field that its JSON leaves out: values that are always there are empty or zero, and what
/// cannot be left out is null. (The other side shows a null where both have one.)
pub(super) fn unwritten(field: Option<&Field>, other: Option<Text<'_>>) -> Option<Text<'static>> {
    let field = field?;
    match field.default.as_deref() {
        Some(default) => zero(default),
        None if field.required || other.is_some_and(Text::is_null) => Some(Text::NULL),
        None => None,
    }
}

/// The text of a default that is empty or zero.
fn zero(default: &Value) -> Option<Text<'static>> {
    match default {
        Value::Object(fields) if fields.is_empty() => Some(Text::EMPTY_OBJECT),
        Value::String(text) if text.is_empty() => Some(Text::new("\"\"")),
        Value::Number(number) if number.as_i64() == Some(0) => Some(Text::new("0")),
        Value::Bool(false) => Some(Text::new("false")),
        Value::Null => Some(Text::NULL),
        _ => None,
    }
}

/// The fields of both objects, in order.
fn zip_fields<'a>(
    old: Option<Text<'a>>,
    new: Option<Text<'a>>,
) -> impl Iterator<Item = (Cow<'a, str>, Option<Text<'a>>, Option<Text<'a>>)> {
    let fields = |object: Option<Text<'a>>| object.map(Text::fields).unwrap_or_default().into_iter().peekable();
    Zip { old: fields(old), new: fields(new) }
}

struct Zip<I: Iterator> {
    old: Peekable<I>,
    new: Peekable<I>,
}

impl<'a, I: Iterator<Item = (Cow<'a, str>, Text<'a>)>> Iterator for Zip<I> {
    type Item = (Cow<'a, str>, Option<Text<'a>>, Option<Text<'a>>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.old.peek(), self.new.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let (old_name, old) = if order.is_le() { self.old.next() } else { None }.unzip();
        let (new_name, new) = if order.is_ge() { self.new.next() } else { None }.unzip();
        Some((old_name.or(new_name)?, old, new))
    }
}

fn compare_lists<'a>(naming: &Naming<'a>, old: Option<Text<'a>>, new: Option<Text<'a>>, below: &mut Changes<'a>) {
    let (old, (new, nameless)) = (naming.sorted(old).0, naming.sorted(new));
    below.nameless |= nameless;
    let (mut old, mut new) = (old.as_slice(), new.as_slice());
    while let Some((name, _)) = match (old.first(), new.first()) {
        (Some(old), Some(new)) => Some(if old.0 <= new.0 { old } else { new }),
        (old, new) => old.or(new),
    } {
        let name = name.clone();
        let (old_items, new_items) = (take_named(&mut old, &name), take_named(&mut new, &name));
        let value = |items: &[(Element<'_>, Text<'a>)]| items.first().map(|(_, value)| *value);
        let mut deeper = Changes::default();
        let this = match (old_items, new_items) {
            ([] | [_], [] | [_]) => compare(naming.items(), value(old_items), value(new_items), &mut deeper),
            // Elements that share a name are owned together.
            (_, []) => This { written: false, removed: true },
            ([one], _) => {
                compare(naming.items(), Some(one.1), None, &mut deeper);
                This { written: true, removed: false }
            }
            _ => This { written: !are(old_items, new_items), removed: false },
        };
        below.push(name, this, deeper);
    }
}

fn are(old: &[(Element<'_>, Text<'_>)], new: &[(Element<'_>, Text<'_>)]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|((_, old), (_, new))| old.is(*new))
}

/// Splits off the leading elements of that name.
fn take_named<'i, 'v>(items: &mut &'i [(Element<'static>, Text<'v>)], name: &Element<'_>) -> &'i [(Element<'static>, Text<'v>)] {
    let (named, rest) = items.split_at(items.iter().take_while(|(other, _)| other == name).count());
    *items = rest;
    named
}
