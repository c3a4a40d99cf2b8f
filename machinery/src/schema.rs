//! The shape of a type, as far as generic machinery needs it: which fields there are, of what type, and how
//! lists and maps merge. Patches, server-side apply, strict decoding and pruning walk a JSON value beside it.
//!
//! A [`Schema`] is a graph in one arena: types refer to each other by [`NodeId`], so that recursive types
//! (JSONSchemaProps) are finite. It is built from published JSON schemas ([`Definitions`]); walkers go
//! through it with a [`Cursor`].

mod build;
mod declared;
pub mod definitions;

pub use definitions::{Definitions, referenced};

use crate::by_name::ByName;

/// A type's place in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

/// A graph of types, and the one that a value of this schema has.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) nodes: Box<[Node]>,
    pub(crate) root: NodeId,
    pub(crate) of_structs: bool,
}

/// The shape of one type.
#[derive(Clone, Debug)]
pub enum Node {
    /// An object with known fields. `atomic`: owned and replaced as a whole by server-side apply. `others`: the type of
    /// fields that are not known, where they are kept (parts of custom resources).
    Struct {
        fields: Fields,
        atomic: bool,
        others: Option<NodeId>,
    },
    /// An object with free keys.
    Map {
        values: NodeId,
        atomic: bool,
    },
    List {
        items: NodeId,
        merge: ListMerge,
    },
    Scalar(Scalar),
    /// Any JSON (RawExtension, FieldsV1, unstructured parts of custom resources): kept as it is.
    Any,
}

/// The fields of a struct, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Fields(ByName<Box<str>, Field>);

/// A field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    pub node: NodeId,
    pub required: bool,
    /// What strategic merge patch does with the field, where that differs from what its type says.
    pub strategy: PatchStrategy,
    /// The default that the published schema names (`protocol: TCP` in a Service's ports; `{}`, `""` or `0` where
    /// the field is a value that is always there). Keys of list maps and field ownership use it.
    pub default: Option<Box<serde_json::Value>>,
}

/// How a list merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListMerge {
    Atomic,
    /// Scalars without order or repetition.
    Set,
    /// Objects told apart by the values of these fields, which are sorted.
    Map {
        keys: Box<[Box<str>]>,
    },
}

/// The strategic merge tags of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists: merge rather than replace.
    pub merge: bool,
    /// Objects: replace rather than merge (a PodDisruptionBudget's selector).
    pub replace: bool,
    /// Objects: drop keys that the patch does not name in `$retainKeys`.
    pub retain_keys: bool,
    /// Lists of objects: the field that tells elements apart.
    pub merge_key: Option<Box<str>>,
}

/// A leaf type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    /// Base64 in JSON.
    Bytes,
    Boolean,
    Int32,
    Int64,
    Double,
    IntOrString,
    Quantity,
    /// RFC 3339, to the second.
    Time,
    /// RFC 3339, to the microsecond.
    MicroTime,
}

impl Fields {
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.find(name).map(|(_, field)| field)
    }

    /// A field, and its place among all in the order of their names.
    pub fn find(&self, name: &str) -> Option<(usize, &Field)> {
        self.0.find(name)
    }

    /// All fields in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Field)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<(Box<str>, Field)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Field)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Schema {
    /// The schema of one of the API's types. Takes about a millisecond for a large type: build it once per kind.
    pub fn of<T: schemars::JsonSchema>() -> Self {
        let mut definitions = Definitions::new();
        let root = definitions.add::<T>();
        Self { of_structs: true, ..Self::build(&definitions.into_map(), &root) }
    }

    /// Whether objects of this type come from structs, in which fields with an empty default (`spec: {}`) are always
    /// there, written or not. Custom resources have just the fields that somebody wrote.
    pub fn is_of_structs(&self) -> bool {
        self.of_structs
    }

    pub fn root_id(&self) -> NodeId {
        self.root
    }

    pub fn root(&self) -> &Node {
        self.node(self.root)
    }

    pub fn node(&self, id: NodeId) -> &Node {
        // An id comes from this schema's own nodes, so it is in range.
        &self.nodes[id.0 as usize]
    }

    /// A cursor at the root.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { schema: self, id: self.root }
    }
}

/// A place in a schema, for walking it beside a value. Copied freely.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'s> {
    schema: &'s Schema,
    id: NodeId,
}

impl<'s> Cursor<'s> {
    pub fn schema(self) -> &'s Schema {
        self.schema
    }

    pub fn node(self) -> &'s Node {
        self.schema.node(self.id)
    }

    /// The node `id` of the same schema.
    pub fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    /// The named field of a struct, and its type.
    pub fn field(self, name: &str) -> Option<(&'s Field, Self)> {
        self.field_at(name).map(|(_, field, below)| (field, below))
    }

    /// The same, with the field's place among all in the order of their names.
    pub fn field_at(self, name: &str) -> Option<(usize, &'s Field, Self)> {
        match self.node() {
            Node::Struct { fields, .. } => fields.find(name).map(|(at, field)| (at, field, self.at(field.node))),
            _ => None,
        }
    }

    /// The type of what an object of this type holds under `key`: a struct's field or a map's value.
    pub fn child(self, key: &str) -> Option<Self> {
        match self.node() {
            Node::Struct { fields, others, .. } => fields.get(key).map(|field| field.node).or(*others).map(|node| self.at(node)),
            Node::Map { values, .. } => Some(self.at(*values)),
            Node::Any => Some(self),
            Node::List { .. } | Node::Scalar(_) => None,
        }
    }

    /// The type of a list's elements.
    pub fn items(self) -> Option<Self> {
        match self.node() {
            Node::List { items, .. } => Some(self.at(*items)),
            Node::Any => Some(self),
            _ => None,
        }
    }

    /// How the elements of a list merge.
    pub fn list_merge(self) -> Option<&'s ListMerge> {
        match self.node() {
            Node::List { merge, .. } => Some(merge),
            _ => None,
        }
    }

    /// The default of the field `name` in elements of this type, as keys of list maps use it.
    pub fn default_of(self, name: &str) -> Option<&'s serde_json::Value> {
        self.field(name).and_then(|(field, _)| field.default.as_deref())
    }
}

#[cfg(test)]
mod tests;
