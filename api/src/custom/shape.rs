//! [`Shape`]: what the schema of a version means for its objects.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::decode::{self, Finding, TypeError};
use machinery::field::Errors;
use machinery::schema::{Definitions, Schema};
use serde_json::{Map, Value, json};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The schema of one version, compiled.
pub(super) struct Shape {
    /// As the definition has it.
    published: Value,
    /// What field ownership goes by.
    ownership: Schema,
}

/// An object of which only the metadata is known.
static METADATA: LazyLock<Schema> = LazyLock::new(|| with_metadata(json!({ "type": "object" })));

/// The schema of an object with metadata like everybody's.
fn with_metadata(mut schema: Value) -> Schema {
    let mut definitions = Definitions::new();
    definitions.add::<ObjectMeta>();
    let mut definitions = definitions.into_map();
    add_type_meta(&mut schema);
    definitions.insert(String::new(), schema);
    Schema::build(&definitions, "")
}

/// Adds the fields that every object has.
fn add_type_meta(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    let Value::Object(properties) = properties else { return };
    let text = |description: &str| json!({ "type": "string", "description": description });
    properties.insert("apiVersion".into(), text("The group and version of the object."));
    properties.insert("kind".into(), text("The kind of the object."));
    properties.insert("metadata".into(), json!({ "$ref": format!("#/$defs/{OBJECT_META}"), "description": "The object's metadata." }));
}

impl Shape {
    /// Compiles an `openAPIV3Schema`. The error says what cannot be used of it.
    pub(super) fn new(schema: Value) -> Result<Self, String> {
        Ok(Self { ownership: with_metadata(schema.clone()), published: schema })
    }

    pub(super) fn ownership(&self) -> &Schema {
        &self.ownership
    }

    /// The schema as OpenAPI publishes it.
    pub(super) fn published(&self) -> Value {
        let mut schema = self.published.clone();
        add_type_meta(&mut schema);
        schema
    }

    /// Makes an object fit: metadata as everybody's is, of the rest what the schema knows. What is dropped is a finding.
    pub(super) fn conform(&self, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        let Value::Object(fields) = value else {
            return Err(TypeError { path: String::new(), expected: "an object", found: value.to_string() });
        };
        for name in ["apiVersion", "kind"] {
            if let Some(other) = fields.get(name).filter(|value| !value.is_string() && !value.is_null()) {
                return Err(TypeError { path: name.to_owned(), expected: "a string", found: other.to_string() });
            }
        }
        if let Some(meta) = fields.remove("metadata") {
            let mut head = Value::Object(Map::from_iter([("metadata".to_owned(), meta)]));
            decode::conform(&mut head, &METADATA, findings)?;
            if let (Value::Object(head), Value::Object(fields)) = (head, &mut *value) {
                fields.extend(head);
            }
        }
        self.prune(value, findings);
        Ok(())
    }

    /// Drops what the schema does not know.
    pub(super) fn prune(&self, _value: &mut Value, _findings: &mut Vec<Finding>) {}

    /// Fills what the writer left out.
    pub(super) fn default(&self, _value: &mut Value) {}

    /// Everything wrong with an object, or with its change.
    pub(super) fn validate(&self, _new: &Value, _old: Option<&Value>) -> Errors {
        Errors::new()
    }
}
