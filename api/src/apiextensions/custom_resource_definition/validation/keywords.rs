//! What each keyword of a schema may say, wherever the schema stands.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, JSONSchemaPropsOrStringArray,
};
use machinery::field::{Error, Errors, Path};

use super::{Schema, one_schema, or_bool, rules, some};
use crate::validate::text;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// Where a schema stands, as far as keywords mind.
#[derive(Clone, Copy, Default)]
struct Place {
    is_root: bool,
    /// It describes an object's type or metadata.
    in_meta: bool,
    forbids_defaults: bool,
}

pub(super) fn check(path: &Path, schema: &Schema) -> Errors {
    let mut errors = Errors::new();
    check_one(path, schema, Place { is_root: true, ..Place::default() }, &mut errors);
    errors
}

fn check_one(path: &Path, schema: &Schema, place: Place, errors: &mut Errors) {
    check_supported(path, schema, place, errors);
    check_below(path, schema, Place { is_root: false, ..place }, place.is_root, errors);
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        errors.push(Error::invalid(&path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or not there"));
    }
    check_map_type(path, schema, errors);
    check_list_type(path, schema, errors);
    check_list_keys(path, schema, errors);
    check_elements(path, schema, errors);
    rules::check(path, schema, errors);
}

fn check_supported(path: &Path, schema: &Schema, place: Place, errors: &mut Errors) {
    let kind = text(&schema.type_);
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(Error::not_supported(&path.child("type"), kind, &TYPES));
    }
    if schema.default.is_some() && place.forbids_defaults {
        errors.push(Error::forbidden(&path.child("default"), "must not be set in an object's own metadata"));
    }
    let unsupported = [
        ("id", schema.id.is_some()),
        ("additionalItems", schema.additional_items.is_some()),
        ("patternProperties", schema.pattern_properties.is_some()),
        ("definitions", schema.definitions.is_some()),
        ("dependencies", schema.dependencies.is_some()),
        ("$ref", schema.ref_path.is_some()),
    ];
    for (name, _) in unsupported.into_iter().filter(|(_, is_there)| *is_there) {
        errors.push(Error::forbidden(&path.child(name), "is not supported"));
    }
    if kind == "null" {
        errors.push(Error::forbidden(&path.child("type"), "cannot be null; say nullable instead"));
    }
    if matches!(&schema.items, Some(JSONSchemaPropsOrArray::Schemas(schemas)) if !schemas.is_empty()) {
        errors.push(Error::forbidden(&path.child("items"), "must be one schema, not a list of them"));
    }
    if place.in_meta && schema.x_kubernetes_embedded_resource == Some(true) {
        errors.push(Error::forbidden(&path.child("x-kubernetes-embedded-resource"), "must not be used in metadata"));
    }
    if schema.unique_items == Some(true) {
        let why = "cannot be true, since its cost would grow with the square of the list; say x-kubernetes-list-type: set";
        errors.push(Error::forbidden(&path.child("uniqueItems"), why));
    }
}

fn check_below(path: &Path, schema: &Schema, place: Place, is_root: bool, errors: &mut Errors) {
    if let Some(additional) = &schema.additional_properties {
        let at = path.child("additionalProperties");
        let has_properties = schema.properties.as_ref().is_some_and(|properties| !properties.is_empty());
        if has_properties && *additional != JSONSchemaPropsOrBool::Bool(true) {
            errors.push(Error::forbidden(&at, "must not be used together with properties"));
        }
        if let Some(values) = or_bool(Some(additional)) {
            check_one(&at, values, Place { forbids_defaults: place.forbids_defaults || place.in_meta, ..place }, errors);
        }
    }
    for (name, property) in schema.properties.iter().flatten() {
        let embedded = schema.x_kubernetes_embedded_resource == Some(true);
        let is_meta = (is_root || embedded) && META.contains(&name.as_str());
        let place = Place { in_meta: place.in_meta || is_meta, forbids_defaults: place.forbids_defaults || is_meta && is_root, ..place };
        check_one(&path.child("properties").key(name), property, place, errors);
    }
    if let Some(not) = &schema.not {
        check_one(&path.child("not"), not, place, errors);
    }
    for (name, list) in [("allOf", &schema.all_of), ("oneOf", &schema.one_of), ("anyOf", &schema.any_of)] {
        for (i, one) in some(list.as_ref()).iter().enumerate() {
            check_one(&path.child(name).index(i), one, place, errors);
        }
    }
    for (name, definition) in schema.definitions.iter().flatten() {
        check_one(&path.child("definitions").key(name), definition, place, errors);
    }
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => check_one(&path.child("items"), items, place, errors),
        Some(JSONSchemaPropsOrArray::Schemas(schemas)) => {
            schemas.iter().enumerate().for_each(|(i, items)| check_one(&path.child("items").index(i), items, place, errors));
        }
        None => {}
    }
    for (name, dependency) in schema.dependencies.iter().flatten() {
        if let JSONSchemaPropsOrStringArray::Schema(schema) = dependency {
            check_one(&path.child("dependencies").key(name), schema, place, errors);
        }
    }
}

/// The type that an extension asks for.
fn typed(path: &Path, schema: &Schema, wanted: &str, extension: &str) -> Option<Error> {
    let (at, kind) = (path.child("type"), text(&schema.type_));
    let why = format!("must be {wanted} if {extension} is specified");
    match kind {
        kind if kind == wanted => None,
        "" => Some(Error::required(&at, why)),
        kind => Some(Error::invalid(&at, kind, why)),
    }
}

fn check_map_type(path: &Path, schema: &Schema, errors: &mut Errors) {
    const NAME: &str = "x-kubernetes-map-type";
    let Some(map_type) = &schema.x_kubernetes_map_type else { return };
    errors.extend(typed(path, schema, "object", NAME));
    if !["atomic", "granular"].contains(&map_type.as_str()) {
        errors.push(Error::not_supported(&path.child(NAME), map_type, &["atomic", "granular"]));
    }
}

fn check_list_type(path: &Path, schema: &Schema, errors: &mut Errors) {
    const NAME: &str = "x-kubernetes-list-type";
    let Some(list_type) = schema.x_kubernetes_list_type.as_deref() else { return };
    let items = one_schema(schema.items.as_ref());
    match (typed(path, schema, "array", NAME), items) {
        (Some(wrong), _) => errors.push(wrong),
        (None, Some(items)) if list_type == "set" => {
            // Lists are atomic unless they say otherwise, objects are not.
            let wrong = match text(&items.type_) {
                "array" if items.x_kubernetes_list_type.as_deref().is_some_and(|of| of != "atomic") => Some(NAME),
                "object" if items.x_kubernetes_map_type.as_deref() != Some("atomic") => Some("x-kubernetes-map-type"),
                _ => None,
            };
            let complain = |name| Error::bare_invalid(&path.child("items").child(name), "must be atomic in a list that is a set");
            errors.extend(wrong.map(complain));
        }
        _ => {}
    }
    if !["atomic", "set", "map"].contains(&list_type) {
        errors.push(Error::not_supported(&path.child(NAME), list_type, &["atomic", "set", "map"]));
    }
}

/// The keys of a list that is a map.
fn check_list_keys(path: &Path, schema: &Schema, errors: &mut Errors) {
    let list_type = schema.x_kubernetes_list_type.as_deref();
    let keys = some(schema.x_kubernetes_list_map_keys.as_ref());
    let (at, is_map) = (path.child("x-kubernetes-list-map-keys"), list_type == Some("map"));
    if !keys.is_empty() && !is_map {
        let why = "must be map if there are x-kubernetes-list-map-keys";
        let at = path.child("x-kubernetes-list-type");
        errors.push(list_type.map_or_else(|| Error::required(&at, why), |other| Error::invalid(&at, other, why)));
    }
    if !is_map {
        return;
    }
    if keys.is_empty() {
        errors.push(Error::required(&at, "a list that is a map has keys"));
    }
    let items = path.child("items");
    let Some(schema) = one_schema(schema.items.as_ref()) else {
        let why = "must be one schema in a list that is a map";
        errors.push(if schema.items.is_none() { Error::required(&items, why) } else { Error::bare_invalid(&items, why) });
        return;
    };
    let kind = text(&schema.type_);
    if kind != "object" {
        errors.push(Error::invalid(&items.child("type"), kind, "must be object in a list that is a map"));
        return;
    }
    for (i, key) in keys.iter().enumerate() {
        match schema.properties.as_ref().and_then(|properties| properties.get(key)).map(|key| text(&key.type_)) {
            None => errors.push(Error::invalid(&at, keys, "must be names of the items' properties")),
            Some(kind @ ("array" | "object")) => {
                errors.push(Error::invalid(&items.child("properties").key(key).child("type"), kind, "must be a scalar, being a key"));
            }
            Some(_) => {}
        }
        if keys[..i].contains(key) {
            errors.push(Error::invalid(&at, keys, "must be there once each"));
        }
    }
}

/// What tells the elements of sets and maps apart must be there.
fn check_elements(path: &Path, schema: &Schema, errors: &mut Errors) {
    let list_type = schema.x_kubernetes_list_type.as_deref().unwrap_or_default();
    let Some(items) = one_schema(schema.items.as_ref()).filter(|_| matches!(list_type, "set" | "map")) else { return };
    let at = path.child("items");
    if items.nullable == Some(true) {
        errors.push(Error::forbidden(&at.child("nullable"), format!("elements of a {list_type} cannot be null")));
    }
    if list_type != "map" {
        return;
    }
    for key in some(schema.x_kubernetes_list_map_keys.as_ref()) {
        let Some(property) = items.properties.as_ref().and_then(|properties| properties.get(key)) else { continue };
        let at = at.child("properties").key(key);
        if !some(items.required.as_ref()).contains(key) && property.default.is_none() {
            errors.push(Error::required(&at.child("default"), "a key has a default, or is required"));
        }
        if property.nullable == Some(true) {
            errors.push(Error::forbidden(&at.child("nullable"), "a key cannot be null"));
        }
    }
}
