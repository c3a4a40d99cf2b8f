//! What expressions in CEL may do with values of a type: the type in CEL of a [`Schema`].

use super::{Cursor, ListMerge, Node, NodeId, Scalar, Schema};
use crate::cel::rules::escape;
use crate::cel::types::{Declared, Field, Identity, Shape, UNBOUNDED};

impl Schema {
    /// The type of the schema's values; `name` is what it is called in what is said of expressions.
    pub fn declared(&self, name: &str) -> Declared {
        declared(self.cursor(), name, &mut Vec::new())
    }
}

/// `above` has the types that this one is within: what is within itself is looked into once.
fn declared(at: Cursor<'_>, name: &str, above: &mut Vec<NodeId>) -> Declared {
    if above.contains(&at.id) {
        return Declared::any();
    }
    above.push(at.id);
    let found = match at.node() {
        Node::Struct { fields, others: None, .. } if !fields.is_empty() => {
            let field = |(json, field): (&str, &super::Field)| {
                let escaped = escape(json)?;
                let declared = declared(at.at(field.node), &format!("{name}.{escaped}"), above);
                Some((escaped, Field { json: json.to_owned(), declared }))
            };
            Declared::object(name, fields.iter().filter_map(field).collect::<Vec<_>>())
        }
        Node::Struct { .. } | Node::Any => Declared::any(),
        Node::Map { values, .. } => Declared::map(UNBOUNDED, declared(at.at(*values), &format!("{name}.@values"), above), UNBOUNDED),
        Node::List { items, merge } => {
            let identity = match merge {
                ListMerge::Atomic => Identity::Index,
                ListMerge::Set => Identity::Value,
                ListMerge::Map { keys } => Identity::Keys(keys.iter().map(|key| key.to_string()).collect()),
            };
            Declared::list(declared(at.at(*items), &format!("{name}.@items"), above), identity, UNBOUNDED)
        }
        Node::Scalar(scalar) => match scalar {
            Scalar::String => Declared::new(Shape::String),
            Scalar::Bytes => Declared::new(Shape::Bytes),
            Scalar::Boolean => Declared::new(Shape::Bool),
            Scalar::Int32 | Scalar::Int64 => Declared::new(Shape::Int),
            Scalar::Double => Declared::new(Shape::Double),
            Scalar::Time | Scalar::MicroTime => Declared::new(Shape::Timestamp),
            // Texts and numbers alike.
            Scalar::IntOrString | Scalar::Quantity => Declared::any(),
        },
    };
    above.pop();
    found
}
