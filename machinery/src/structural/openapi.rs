//! Schemas of custom resources as OpenAPI publishes them: in version 3 as they are, with what every object has besides; in
//! version 2 without what it cannot say, and without what kubectl would take for more than is said.

use serde_json::{Map, Value, json};

const OBJECT_META: &str = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Adds type and metadata to the schema of a whole object, and to those of objects within it. Metadata is a reference to
/// the definition that all kinds share.
pub fn publish(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        add_below(fields);
        add_meta(fields);
    }
}

fn add_below(fields: &mut Map<String, Value>) {
    each_below(fields, &mut |schema| {
        add_below(schema);
        if is_set(schema, "x-kubernetes-embedded-resource") {
            add_meta(schema);
            require(schema, &["kind", "apiVersion"]);
        }
    });
}

fn add_meta(fields: &mut Map<String, Value>) {
    let Value::Object(properties) = fields.entry("properties").or_insert_with(|| json!({})) else { return };
    let text = |description: &str| json!({ "type": "string", "description": description });
    properties.insert("apiVersion".to_owned(), text("APIVersion defines the group and the version whose schema the object follows."));
    properties.insert("kind".to_owned(), text("Kind is what the object is, as its definition names it."));
    properties.insert("metadata".to_owned(), json!({ "$ref": OBJECT_META, "description": "Standard object's metadata." }));
}

fn require(fields: &mut Map<String, Value>, names: &[&str]) {
    let Value::Array(required) = fields.entry("required").or_insert_with(|| json!([])) else { return };
    for name in names {
        if !required.iter().any(|known| known == name) {
            required.push((*name).into());
        }
    }
}

/// Takes out of a published schema what OpenAPI v2 cannot say.
pub fn reduce_to_v2(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if is_set(fields, "x-kubernetes-preserve-unknown-fields") {
        // Of an object with known fields, kubectl would refuse all others.
        *schema = json!({ "type": "object" });
        return;
    }
    reduce(fields);
}

fn reduce(fields: &mut Map<String, Value>) {
    for junctor in ["allOf", "anyOf", "oneOf", "not"] {
        fields.remove(junctor);
    }
    let (nullable, preserves) = (is_set(fields, "nullable"), is_set(fields, "x-kubernetes-preserve-unknown-fields"));
    if nullable || preserves {
        // kubectl makes nothing of fields and items of what may be something else.
        fields.remove("items");
        fields.remove("properties");
        fields.remove("nullable");
    }
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    if nullable || preserves && kind == "object" || kind == "array" && !fields.contains_key("items") {
        fields.remove("type");
    }
    forget_required(fields);
    each_below(fields, &mut reduce);
}

/// What may be null may be missing, as far as version 2 can tell.
fn forget_required(fields: &mut Map<String, Value>) {
    let is_nullable = |schema: &Value| schema.get("nullable").and_then(Value::as_bool).unwrap_or_default();
    if fields.get("additionalProperties").is_some_and(is_nullable) {
        fields.remove("required");
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let nullable: Vec<String> =
        properties.into_iter().flatten().filter(|(_, schema)| is_nullable(schema)).map(|(name, _)| name.clone()).collect();
    let Some(Value::Array(required)) = fields.get_mut("required") else { return };
    required.retain(|name| !nullable.iter().any(|nullable| name == nullable));
    if required.is_empty() {
        fields.remove("required");
    }
}

/// The schemas of properties, items and values.
fn each_below(fields: &mut Map<String, Value>, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(&mut *change);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(Value::Object(schema)) = fields.get_mut(name) {
            change(schema);
        }
    }
}

fn is_set(fields: &Map<String, Value>, flag: &str) -> bool {
    fields.get(flag).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_types_and_metadata() {
        let mut schema = json!({"type": "object", "properties": {
            "tpl": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}}},
        }});
        publish(&mut schema);
        let metadata = json!({"$ref": OBJECT_META, "description": "Standard object's metadata."});
        assert_eq!(schema["properties"]["metadata"], metadata);
        assert_eq!(schema["properties"]["tpl"]["properties"]["metadata"], metadata);
        assert_eq!(schema["properties"]["tpl"]["required"], json!(["kind", "apiVersion"]));
        assert_eq!(schema.get("required"), None);
    }

    #[test]
    fn version_2_says_less() {
        let mut schema = json!({"type": "object", "required": ["a", "b"], "not": {}, "properties": {
            "a": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}},
            "b": {"type": "array", "items": {"type": "integer", "anyOf": [{"minimum": 1}]}},
            "c": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"x": {"type": "string"}}},
            "d": {"type": "object", "required": ["x"], "additionalProperties": {"type": "string", "nullable": true}},
        }});
        reduce_to_v2(&mut schema);
        let reduced = json!({"type": "object", "required": ["b"], "properties": {
            "a": {},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"x-kubernetes-preserve-unknown-fields": true},
            "d": {"type": "object", "additionalProperties": {}},
        }});
        assert_eq!(schema, reduced);
        let mut open = json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}});
        reduce_to_v2(&mut open);
        assert_eq!(open, json!({"type": "object"}));
    }
}
