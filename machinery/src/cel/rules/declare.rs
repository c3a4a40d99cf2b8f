//! Types of expressions from schemas. What a schema says nothing about cannot be referred to; sizes that it does not bound
//! are bounded by what fits into a request.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps as Schema, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::escape;
use crate::cel::types::{Declared, Field, Identity, Shape};

/// Bytes of a request, at most.
const REQUEST_BYTES: u64 = 3 << 20;
/// Bytes of a character, at most.
const CHARACTER_BYTES: u64 = 4;
const DURATION_CHARACTERS: u64 = 32;
const DATE_CHARACTERS: u64 = 10;
const TIME_CHARACTERS: u64 = 30;

/// The type of values of a schema, and the fewest bytes that one takes in JSON.
struct Sized {
    declared: Declared,
    fewest_bytes: u64,
}

/// The type of `self` for rules of a schema, if rules can be about it. `root` is the schema of a whole object, of which
/// the kind and some metadata are always known.
pub fn declare(schema: &Schema, root: bool) -> Option<Declared> {
    sized(schema, root, "self").map(|sized| sized.declared)
}

fn sized(schema: &Schema, root: bool, name: &str) -> Option<Sized> {
    let of = |shape, most, fewest_bytes| Some(Sized { declared: Declared::at_most(shape, most), fewest_bytes });
    if schema.x_kubernetes_int_or_string == Some(true) {
        return of(Shape::Any, longest(schema), 1);
    }
    match schema.type_.as_deref()? {
        "boolean" => of(Shape::Bool, 1, 4),
        "number" => of(Shape::Double, 1, 1),
        "integer" => of(Shape::Int, 1, 1),
        "string" => match schema.format.as_deref() {
            Some("byte") => of(Shape::Bytes, schema.max_length.map_or(REQUEST_BYTES - 2, not_negative), 2),
            Some("duration") => of(Shape::Duration, DURATION_CHARACTERS, 4),
            Some("date") => of(Shape::Timestamp, DATE_CHARACTERS, 12),
            Some("date-time") => of(Shape::Timestamp, TIME_CHARACTERS, 22),
            _ => of(Shape::String, longest(schema), 2),
        },
        "array" => list(schema, name),
        "object" => object(schema, root, name),
        _ => None,
    }
}

fn not_negative(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The longest text of a schema.
fn longest(schema: &Schema) -> u64 {
    let choices = schema.enum_.iter().flatten().filter_map(|choice| choice.0.as_str()).map(|text| text.len() as u64);
    match (schema.max_length, choices.max()) {
        (Some(most), _) => not_negative(most).saturating_mul(CHARACTER_BYTES),
        (None, Some(longest)) => longest,
        (None, None) => REQUEST_BYTES - 2,
    }
}

fn list(schema: &Schema, name: &str) -> Option<Sized> {
    let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else { return None };
    let element = sized(items, items.x_kubernetes_embedded_resource == Some(true), &format!("{name}.@items"))?;
    let most = schema.max_items.map_or((REQUEST_BYTES - 2) / (element.fewest_bytes + 1), not_negative);
    Some(Sized { declared: Declared::list(element.declared, identity(schema), most), fewest_bytes: 2 })
}

pub(super) fn identity(schema: &Schema) -> Identity {
    match schema.x_kubernetes_list_type.as_deref() {
        Some("set") => Identity::Value,
        Some("map") => Identity::Keys(schema.x_kubernetes_list_map_keys.clone().unwrap_or_default()),
        _ => Identity::Index,
    }
}

/// The schema of a map's values.
pub(super) fn values(schema: &Schema) -> Option<&Schema> {
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values),
        _ => None,
    }
}

/// How many values a map has at most.
pub(super) fn most_values(schema: &Schema, fewest_bytes: u64) -> u64 {
    schema.max_properties.map_or((REQUEST_BYTES - 2) / (fewest_bytes + 6), not_negative)
}

fn object(schema: &Schema, root: bool, name: &str) -> Option<Sized> {
    if let Some(values) = values(schema) {
        let value = sized(values, values.x_kubernetes_embedded_resource == Some(true), &format!("{name}.@values"))?;
        let most = most_values(schema, value.fewest_bytes);
        return Some(Sized { declared: Declared::map(REQUEST_BYTES - 2, value.declared, most), fewest_bytes: 2 });
    }
    let mut fields: Vec<(String, Field)> = Vec::new();
    // As much as `{}` takes, and each field that has to be there.
    let mut fewest_bytes = 2;
    for (json, property) in schema.properties.iter().flatten() {
        if root && matches!(json.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let escaped = escape(json);
        let below = format!("{name}.{}", escaped.as_deref().unwrap_or(json));
        let Some(sized) = sized(property, property.x_kubernetes_embedded_resource == Some(true), &below) else { continue };
        let required = schema.required.iter().flatten().any(|name| name == json);
        if required && property.default.is_none() {
            fewest_bytes += json.len() as u64 + sized.fewest_bytes + 4;
        }
        fields.extend(escaped.map(|escaped| (escaped, Field { json: json.clone(), declared: sized.declared })));
    }
    if root {
        fields.extend(of_each_object(name));
    }
    Some(Sized { declared: Declared::object(name, fields), fewest_bytes })
}

/// The fields that rules see of each object, whatever its schema says.
fn of_each_object(name: &str) -> [(String, Field); 3] {
    let field = |json: &str, declared| (json.to_owned(), Field { json: json.to_owned(), declared });
    let text = || Declared::at_most(Shape::String, REQUEST_BYTES - 2);
    let metadata = Declared::object(format!("{name}.metadata"), [field("name", text()), field("generateName", text())]);
    [field("apiVersion", text()), field("kind", text()), field("metadata", metadata)]
}

/// The fewest bytes that a value of a schema takes.
pub(super) fn fewest_bytes(schema: &Schema) -> u64 {
    sized(schema, false, "").map_or(1, |sized| sized.fewest_bytes)
}

/// How many times a schema below a list can stand in an object.
pub(super) fn most_items(schema: &Schema) -> u64 {
    let fewest = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => fewest_bytes(items),
        _ => 1,
    };
    schema.max_items.map_or((REQUEST_BYTES - 2) / (fewest + 1), not_negative)
}

/// The word that errors have for the value of a schema.
pub(super) fn type_word(schema: &Schema) -> Value {
    schema.type_.clone().unwrap_or_default().into()
}
