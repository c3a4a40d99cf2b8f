//! Builds a [`Schema`] from JSON schema definitions with Kubernetes' extensions.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::definitions::referenced;
use super::{Field, ListMerge, Node, NodeId, PatchStrategy, Scalar, Schema};

impl Schema {
    /// The schema of the definition `root`, which refers to others among `definitions` as `#/$defs/<name>`.
    /// What is not defined, or not described further, is [`Node::Any`].
    pub fn build(definitions: &Map<String, Value>, root: &str) -> Self {
        let mut builder = Builder { definitions, nodes: Vec::new(), named: HashMap::new(), scalars: Vec::new() };
        let root = builder.named(root, None);
        Self { nodes: builder.nodes.into(), root, of_structs: false }
    }
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Required fields that are left out where they are empty, unlike others.
const LEFT_OUT: [&str; 1] = ["validationActions"];

struct Builder<'d> {
    definitions: &'d Map<String, Value>,
    nodes: Vec<Node>,
    /// The node of each definition, and of its variants whose atomicity a field overrides.
    named: HashMap<(&'d str, Option<bool>), NodeId>,
    scalars: Vec<(Scalar, NodeId)>,
}

impl<'d> Builder<'d> {
    fn push(&mut self, node: Node) -> NodeId {
        // A published type has thousands of nodes at most.
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    fn scalar(&mut self, scalar: Scalar) -> NodeId {
        if let Some((_, id)) = self.scalars.iter().find(|(known, _)| *known == scalar) {
            return *id;
        }
        let id = self.push(Node::Scalar(scalar));
        self.scalars.push((scalar, id));
        id
    }

    fn named(&mut self, name: &str, atomic: Option<bool>) -> NodeId {
        let definitions = self.definitions;
        let Some((name, definition)) = definitions.get_key_value(name) else { return self.push(Node::Any) };
        if let Some(id) = self.named.get(&(name.as_str(), atomic)) {
            return *id;
        }
        // The node's place is taken before its fields are built: they may lead back to it.
        let id = self.push(Node::Any);
        self.named.insert((name, atomic), id);
        self.nodes[id.0 as usize] = match well_known(name) {
            Some(node) => node,
            None => {
                let atomic = atomic.unwrap_or_else(|| is_atomic(definition).unwrap_or(false));
                self.described(definition, atomic)
            }
        };
        id
    }

    /// The type of a field, an element or a value.
    fn typed(&mut self, schema: &'d Value) -> NodeId {
        if let Some(name) = referenced(schema) {
            return self.named(name, is_atomic(schema));
        }
        match self.described(schema, is_atomic(schema).unwrap_or(false)) {
            Node::Scalar(scalar) => self.scalar(scalar),
            node => self.push(node),
        }
    }

    fn described(&mut self, schema: &'d Value, atomic: bool) -> Node {
        let format = text(schema, "format");
        match text(schema, "type") {
            _ if schema.get("x-kubernetes-int-or-string").and_then(Value::as_bool).unwrap_or_default() => Node::Scalar(Scalar::IntOrString),
            "object" => match (schema.get("properties"), schema.get("additionalProperties")) {
                (None, Some(values)) => Node::Map { values: self.typed(values), atomic },
                (properties, _) => self.structure(schema, properties.and_then(Value::as_object), atomic),
            },
            "array" => {
                let items = match schema.get("items") {
                    Some(items) => self.typed(items),
                    None => self.push(Node::Any),
                };
                Node::List { items, merge: list_merge(schema) }
            }
            "string" if format == "byte" => Node::Scalar(Scalar::Bytes),
            "string" => Node::Scalar(Scalar::String),
            "boolean" => Node::Scalar(Scalar::Boolean),
            "integer" if format == "int32" => Node::Scalar(Scalar::Int32),
            "integer" => Node::Scalar(Scalar::Int64),
            "number" => Node::Scalar(Scalar::Double),
            _ => Node::Any,
        }
    }

    fn structure(&mut self, schema: &'d Value, properties: Option<&'d Map<String, Value>>, atomic: bool) -> Node {
        let is_set = |extension: &str| schema.get(extension).and_then(Value::as_bool).unwrap_or_default();
        let always_there = |name: &&str| !LEFT_OUT.contains(name);
        let required: Vec<&str> = array(schema, "required").filter_map(Value::as_str).filter(always_there).collect();
        let known = properties.into_iter().flatten().map(|(name, property)| {
            let field = Field {
                node: self.typed(property),
                required: required.contains(&name.as_str()),
                strategy: patch_strategy(property),
                default: property.get("default").cloned().map(Box::new),
            };
            (name.as_str().into(), field)
        });
        let mut fields: Vec<(Box<str>, Field)> = known.collect();
        if is_set("x-kubernetes-embedded-resource") {
            fields.splice(0..0, self.meta_fields());
        }
        let others = is_set("x-kubernetes-preserve-unknown-fields").then(|| self.push(Node::Any));
        Node::Struct { fields: fields.into_iter().collect(), atomic, others }
    }

    /// What every object has, those within custom resources too.
    fn meta_fields(&mut self) -> [(Box<str>, Field); 3] {
        let text = self.scalar(Scalar::String);
        let metadata = self.named(OBJECT_META, None);
        [("apiVersion", text), ("kind", text), ("metadata", metadata)].map(|(name, node)| {
            let strategy = PatchStrategy::default();
            (name.into(), Field { node, required: false, strategy, default: None })
        })
    }
}

/// Types whose schema does not tell all that their name does.
fn well_known(name: &str) -> Option<Node> {
    let scalar = match name.strip_prefix("io.k8s.apimachinery.pkg.")? {
        "apis.meta.v1.Time" => Scalar::Time,
        "apis.meta.v1.MicroTime" => Scalar::MicroTime,
        "api.resource.Quantity" => Scalar::Quantity,
        "util.intstr.IntOrString" => Scalar::IntOrString,
        "apis.meta.v1.FieldsV1" | "apis.meta.v1.Patch" | "runtime.RawExtension" => return Some(Node::Any),
        _ => return None,
    };
    Some(Node::Scalar(scalar))
}

fn is_atomic(schema: &Value) -> Option<bool> {
    Some(schema.get("x-kubernetes-map-type")?.as_str()? == "atomic")
}

fn list_merge(schema: &Value) -> ListMerge {
    match text(schema, "x-kubernetes-list-type") {
        "set" => ListMerge::Set,
        "map" => {
            let mut keys: Vec<Box<str>> = array(schema, "x-kubernetes-list-map-keys").filter_map(Value::as_str).map(Box::from).collect();
            keys.sort_unstable();
            ListMerge::Map { keys: keys.into() }
        }
        _ => ListMerge::Atomic,
    }
}

fn patch_strategy(schema: &Value) -> PatchStrategy {
    let mut strategy = PatchStrategy::default();
    for word in text(schema, "x-kubernetes-patch-strategy").split(',') {
        match word {
            "merge" => strategy.merge = true,
            "replace" => strategy.replace = true,
            "retainKeys" => strategy.retain_keys = true,
            _ => {}
        }
    }
    strategy.merge_key = schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(Box::from);
    strategy
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn array<'v>(schema: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}
