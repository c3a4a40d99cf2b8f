//! The shape of a type, as far as generic machinery needs it: which fields there are, of what type, and how
//! lists and maps merge. Patches, server-side apply, strict decoding and pruning walk a JSON value beside it.
//!
//! A [`Schema`] is a graph in one arena: types refer to each other by [`NodeId`], so that recursive types
//! (JSONSchemaProps) are finite.

use std::collections::BTreeMap;

/// A type's place in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

/// A graph of types, and the one that a value of this schema has.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: NodeId,
}

/// The shape of one type.
#[derive(Clone, Debug)]
pub enum Node {
    /// An object with known fields. `atomic`: owned and replaced as a whole by server-side apply.
    Struct {
        fields: BTreeMap<Box<str>, Field>,
        atomic: bool,
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

/// A field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    pub node: NodeId,
    pub required: bool,
    /// What strategic merge patch does with the field, where that differs from what its type says.
    pub strategy: PatchStrategy,
    /// The default that the published schema names; server-side apply keys of list maps use it
    /// (`protocol: TCP` in a Service's ports).
    pub default: Option<serde_json::Value>,
}

/// How a list merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListMerge {
    Atomic,
    /// Scalars without order or repetition.
    Set,
    /// Objects told apart by the values of these fields.
    Map {
        keys: Vec<Box<str>>,
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

impl Schema {
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
}
