//! The fields that an applied configuration names, which its applier thereby owns. On the way the configuration is
//! checked against the schema: an applier cannot own what is not there.

use serde_json::Value;

use super::list::Naming;
use super::set::{Element, Node as SetNode, Set, Step};
use crate::schema::{Cursor, Node, Scalar, Schema};

/// Why a configuration does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Mismatch {
    /// The field, such as `.spec.containers[name="web"].image`.
    pub path: String,
    pub why: String,
}

impl Mismatch {
    fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    fn below(mut self, element: &Element<'_>) -> Self {
        self.path.insert_str(0, &element.to_string());
        self
    }
}

/// The set of all fields in `config`.
pub fn fields_of<'a>(schema: &'a Schema, config: &'a Value) -> Result<Set<'a>, Mismatch> {
    extract(schema.cursor(), config)
}

fn extract<'a>(at: Cursor<'a>, value: &'a Value) -> Result<Set<'a>, Mismatch> {
    match (at.node(), value) {
        (_, Value::Null) => Ok(Set::new()),
        (Node::Scalar(scalar), value) => check_scalar(*scalar, value).map(|()| Set::new()),
        (Node::Struct { .. } | Node::Map { .. } | Node::Any, Value::Object(fields)) => {
            let atomic = is_atomic(at);
            let mut set = Set::new();
            for (name, value) in fields {
                let element = Element::field(name.as_str());
                let Some(child) = at.child(name) else { return Err(Mismatch::new("field not declared in schema").below(&element)) };
                let below = extract(child, value).map_err(|error| error.below(&element))?;
                if !atomic {
                    set.push(element, at.field(name).is_none() || owns_itself(child, value), below);
                }
            }
            Ok(set)
        }
        (Node::List { .. }, Value::Array(items)) => match Naming::of(at) {
            Some(naming) => extract_elements(&naming, items),
            None => {
                let Some(item) = at.items() else { return Ok(Set::new()) };
                for (index, value) in items.iter().enumerate() {
                    extract(item, value).map_err(|error| error.below(&Element { step: Step::Index, text: index.to_string().into() }))?;
                }
                Ok(Set::new())
            }
        },
        (Node::Any, _) => Ok(Set::new()),
        (Node::Struct { .. } | Node::Map { .. }, other) => Err(Mismatch::new(format!("expected an object, got {}", kind_of(other)))),
        (Node::List { .. }, other) => Err(Mismatch::new(format!("expected a list, got {}", kind_of(other)))),
    }
}

fn extract_elements<'a>(naming: &Naming<'a>, items: &'a [Value]) -> Result<Set<'a>, Mismatch> {
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        if item.is_null() {
            return Err(Mismatch::new("an element of the list is null"));
        }
        let element = naming.name(item).ok_or_else(|| Mismatch::new("an element of the list has none of the list's keys"))?;
        let below = extract(naming.items(), item).map_err(|error| error.below(&element))?;
        nodes.push(SetNode { element, member: true, below });
    }
    nodes.sort_by(|a, b| a.element.cmp(&b.element));
    if let Some(pair) = nodes.windows(2).find(|pair| pair[0].element == pair[1].element) {
        return Err(Mismatch::new("the element is there twice").below(&pair[0].element));
    }
    Ok(Set::from_nodes(nodes))
}

/// Whether naming a field of a struct owns the field itself, not just what is in it.
fn owns_itself(at: Cursor<'_>, value: &Value) -> bool {
    match (at.node(), value) {
        (_, Value::Null) => true,
        (_, Value::Object(fields)) => fields.is_empty() || is_atomic(at),
        (Node::List { .. }, _) => Naming::of(at).is_none(),
        _ => true,
    }
}

fn is_atomic(at: Cursor<'_>) -> bool {
    match at.node() {
        Node::Struct { atomic, .. } | Node::Map { atomic, .. } => *atomic,
        // What structs hold unread (a revision's data) is one value.
        Node::Any => at.schema().is_of_structs(),
        _ => false,
    }
}

/// Numbers and the texts of times and quantities are not looked into here; decoding does that.
fn check_scalar(scalar: Scalar, value: &Value) -> Result<(), Mismatch> {
    let (fits, expected) = match scalar {
        Scalar::String | Scalar::Bytes => (value.is_string(), "a string"),
        Scalar::Boolean => (value.is_boolean(), "a boolean"),
        Scalar::Int32 | Scalar::Int64 | Scalar::Double => (value.is_number(), "a number"),
        Scalar::IntOrString | Scalar::Quantity | Scalar::Time | Scalar::MicroTime => (!value.is_object() && !value.is_array(), "a scalar"),
    };
    if fits { Ok(()) } else { Err(Mismatch::new(format!("expected {expected}, got {}", kind_of(value)))) }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
