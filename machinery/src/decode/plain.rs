//! Bodies that say what they say plainly. Most programs send objects in just the form in which the API keeps them; that is seen
//! in one walk over the text, and then the typed object can be read from it, without a tree between.

use std::borrow::Cow;

use super::scalar;
use crate::json::MOST_DEPTH;
use crate::protobuf::Shape;
use crate::schema::{Cursor, Field, Node, Scalar, Schema};
use crate::tape::Value;
use crate::text::Text;

/// More fields than any published type has.
const MOST_FIELDS: usize = 128;

/// Whether [`super::conform`] would leave a value of this schema as it is, without a finding (but for null fields, which are
/// as good as absent), and nothing in it is empty or zero that would be the same if it were left out. `shape` is that of the
/// type in Go. Of JSON that is none, or has leaves of a wrong type, anything may be said: it does not decode.
pub fn is_plain(value: Value<'_>, schema: &Schema, shape: Option<Shape>) -> bool {
    let place = Place { shape, above: None };
    value.text().is_object() && is_plain_at(value, schema.cursor(), place, 0)
}

/// The fields that lead to a value, each on the stack of the call that went into it.
#[derive(Clone, Copy)]
struct Place<'p> {
    /// Of the whole object.
    shape: Option<Shape>,
    above: Option<(&'p Place<'p>, &'p str)>,
}

impl Place<'_> {
    /// The shape of the value here. Found from the top, since it is rarely asked for.
    fn shape(&self) -> Option<Shape> {
        self.above.map_or(self.shape, |(parent, name)| parent.shape()?.below(name))
    }
}

fn is_plain_at(value: Value<'_>, cursor: Cursor<'_>, place: Place<'_>, depth: usize) -> bool {
    if depth > MOST_DEPTH {
        return false;
    }
    match cursor.node() {
        Node::Struct { .. } => value.text().is_object() && has_plain_fields(value, cursor, place, depth),
        Node::Map { values, .. } => {
            let below = cursor.at(*values);
            value.text().is_object() && is_map_of(value, |value| is_plain_element(value, below, place, depth + 1))
        }
        Node::List { items, .. } => {
            let below = cursor.at(*items);
            value.text().is_list() && value.items().all(|value| is_plain_element(value, below, place, depth + 1))
        }
        Node::Scalar(scalar) => is_kept(value.text(), *scalar),
        Node::Any => is_anything(value, depth),
    }
}

fn has_plain_fields(value: Value<'_>, cursor: Cursor<'_>, place: Place<'_>, depth: usize) -> bool {
    let mut seen = 0_u128;
    value.written_members().all(|(name, value)| {
        let Some((at, field, below)) = cursor.field_at(name).filter(|(at, ..)| *at < MOST_FIELDS) else { return false };
        let bit = 1 << at;
        let is_first = seen & bit == 0;
        seen |= bit;
        let is_plain = || {
            let here = Place { above: Some((&place, name)), ..place };
            !says_nothing(value, field, name, place) && is_plain_at(value, below, here, depth + 1)
        };
        is_first && (value.text().is_null() || is_plain())
    })
}

/// Whether a field may be the same as no field.
fn says_nothing(value: Value<'_>, field: &Field, name: &str, place: Place<'_>) -> bool {
    if field.required || field.default.is_some() {
        return false;
    }
    let is_zero = matches!(value.text().as_str(), "\"\"" | "0" | "false");
    value.is_empty() || (is_zero && place.shape().and_then(|shape| shape.is_pointer(name)) != Some(true))
}

fn is_plain_element(value: Value<'_>, cursor: Cursor<'_>, place: Place<'_>, depth: usize) -> bool {
    !value.text().is_null() && is_plain_at(value, cursor, place, depth)
}

/// Whether all that an object has, each under a name of its own, is such.
fn is_map_of(value: Value<'_>, mut is_such: impl FnMut(Value<'_>) -> bool) -> bool {
    let fields = value.fields();
    fields.windows(2).all(|pair| pair[0].0 != pair[1].0) && fields.into_iter().all(|(_, value)| is_such(value))
}

fn is_anything(value: Value<'_>, depth: usize) -> bool {
    depth <= MOST_DEPTH
        && is_map_of(value, |value| is_anything(value, depth + 1))
        && value.items().all(|value| is_anything(value, depth + 1))
}

/// Whether a leaf of this type, if it is one, is in the form in which it is kept.
fn is_kept(text: Text<'_>, scalar: Scalar) -> bool {
    let inside = || if text.is_string() { text.unquoted() } else { Cow::Borrowed("") };
    match scalar {
        Scalar::String | Scalar::Bytes => text.is_string(),
        Scalar::Boolean => text.is_boolean(),
        Scalar::Int32 | Scalar::Int64 | Scalar::Double => text.is_number(),
        Scalar::IntOrString => text.is_string() || text.is_number(),
        Scalar::Quantity => scalar::is_kept_amount(&inside()),
        Scalar::Time => scalar::is_kept_time(&inside()),
        Scalar::MicroTime => scalar::is_kept_micro_time(&inside()),
    }
}
