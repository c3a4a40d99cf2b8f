//! From the JSON of a schema to [`Node`]s. What is not a structural schema's is left aside: definitions were validated.

use serde_json::{Map, Value};

use super::node::{Additional, Bound, Checks, ListType, Node, Pattern, Range, Type};
use super::{Error, formats};

/// How deep schemas may nest, which is deeper than a body can.
const MOST_DEPTH: usize = 200;

/// `path` has the steps that lead to the schema.
pub(super) fn node(schema: &Value, path: &mut Vec<String>) -> Result<Node, Error> {
    let Value::Object(fields) = schema else { return Err(Error::NotAnObject(path.join("."))) };
    if path.len() > MOST_DEPTH {
        return Err(Error::Invalid(path.join("."), "nested too deeply"));
    }
    let default = fields.get("default").filter(|default| !default.is_null()).cloned();
    let mut properties = std::collections::BTreeMap::new();
    for (name, schema) in object(fields, "properties") {
        properties.insert(name.as_str().into(), below(schema, name, path)?);
    }
    let items = match fields.get("items") {
        Some(schema @ Value::Object(_)) => Some(Box::new(below(schema, "items", path)?)),
        _ => None,
    };
    let kind = kind(text(fields, "type"));
    let int_or_string = flag(fields, "x-kubernetes-int-or-string");
    Ok(Node {
        kind,
        int_or_string,
        nullable: flag(fields, "nullable"),
        preserve_unknown: flag(fields, "x-kubernetes-preserve-unknown-fields"),
        embedded: flag(fields, "x-kubernetes-embedded-resource"),
        default_size: default.as_ref().map_or(0, size),
        default,
        properties,
        additional: additional(fields, path)?,
        items,
        list: list_type(fields),
        checks: checks(fields, kind.filter(|_| !int_or_string), path)?,
    })
}

fn below(schema: &Value, step: &str, path: &mut Vec<String>) -> Result<Node, Error> {
    path.push(step.to_owned());
    let node = node(schema, path)?;
    path.pop();
    Ok(node)
}

fn additional(fields: &Map<String, Value>, path: &mut Vec<String>) -> Result<Option<Additional>, Error> {
    Ok(match fields.get("additionalProperties") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(allowed)) => Some(Additional::Allowed(*allowed)),
        Some(schema) => Some(Additional::Schema(Box::new(below(schema, "additionalProperties", path)?))),
    })
}

fn kind(name: &str) -> Option<Type> {
    Some(match name {
        "object" => Type::Object,
        "array" => Type::Array,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "string" => Type::String,
        "boolean" => Type::Boolean,
        _ => return None,
    })
}

fn list_type(fields: &Map<String, Value>) -> ListType {
    match text(fields, "x-kubernetes-list-type") {
        "set" => ListType::Set,
        "map" => ListType::Map(texts(fields, "x-kubernetes-list-map-keys").collect()),
        _ => ListType::Atomic,
    }
}

fn checks(fields: &Map<String, Value>, kind: Option<Type>, path: &mut Vec<String>) -> Result<Checks, Error> {
    let bound = |key, exclusive| {
        let value = fields.get(key).and_then(Value::as_f64)?;
        Some(Bound { value, exclusive: flag(fields, exclusive) })
    };
    let range = |least, most| {
        let count = |key| fields.get(key).and_then(Value::as_f64).map(|count| count as i64);
        Range { least: count(least), most: count(most) }
    };
    let mut nodes = |key: &str| -> Result<Vec<Node>, Error> { array(fields, key).map(|schema| below(schema, key, path)).collect() };
    let (all_of, any_of, one_of) = (nodes("allOf")?, nodes("anyOf")?, nodes("oneOf")?);
    let not = match fields.get("not") {
        Some(schema @ Value::Object(_)) => Some(Box::new(below(schema, "not", path)?)),
        _ => None,
    };
    let format = Some(text(fields, "format")).filter(|format| formats::applies(format, kind));
    Ok(Checks {
        enumerated: array(fields, "enum").cloned().collect(),
        format: format.map(Box::from),
        pattern: Some(text(fields, "pattern")).filter(|text| !text.is_empty()).map(Pattern::new),
        minimum: bound("minimum", "exclusiveMinimum"),
        maximum: bound("maximum", "exclusiveMaximum"),
        multiple_of: fields.get("multipleOf").and_then(Value::as_f64),
        length: range("minLength", "maxLength"),
        items: range("minItems", "maxItems"),
        properties: range("minProperties", "maxProperties"),
        required: texts(fields, "required").collect(),
        all_of,
        any_of,
        one_of,
        not,
    })
}

/// The bytes of a value, roughly.
fn size(value: &Value) -> usize {
    const EACH: usize = 16;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    }
}

fn text<'v>(fields: &'v Map<String, Value>, key: &str) -> &'v str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn flag(fields: &Map<String, Value>, key: &str) -> bool {
    fields.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn array<'v>(fields: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = &'v Value> {
    fields.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn texts(fields: &Map<String, Value>, key: &str) -> impl Iterator<Item = Box<str>> {
    array(fields, key).filter_map(Value::as_str).map(Box::from)
}

fn object<'v>(fields: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    fields.get(key).and_then(Value::as_object).into_iter().flatten()
}
