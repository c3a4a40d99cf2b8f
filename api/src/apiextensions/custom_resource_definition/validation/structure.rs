//! Whether a schema is structural: every value has one type, said outside of `allOf`, `anyOf`, `oneOf` and `not`; those
//! say only what values there may be.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use machinery::cel;
use machinery::field::{Error, Errors, Path};

use super::{Schema, one_schema, or_bool, some, walk};
use crate::validate::text;

const META: [&str; 2] = ["kind", "apiVersion"];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Why a schema cannot be taken for a structural one at all, if it cannot.
pub(super) fn unusable(schema: &Schema) -> Option<&'static str> {
    let found = |is: &dyn Fn(&Schema) -> bool| walk::any(schema, is);
    if found(&|schema| schema.id.is_some() || schema.schema.is_some()) {
        return Some("id and $schema are not supported");
    }
    if found(&|schema| schema.ref_path.as_ref().is_some_and(|path| !path.is_empty())) {
        return Some("$ref is not supported");
    }
    if found(&|schema| {
        schema.pattern_properties.is_some()
            || schema.dependencies.is_some()
            || schema.additional_items.is_some()
            || schema.definitions.is_some()
    }) {
        return Some("patternProperties, dependencies, additionalItems and definitions are not supported");
    }
    if found(&|schema| matches!(schema.items, Some(JSONSchemaPropsOrArray::Schemas(_)))) {
        return Some("items must be one schema");
    }
    found(&|schema| schema.x_kubernetes_preserve_unknown_fields == Some(false))
        .then_some("x-kubernetes-preserve-unknown-fields must be true or not there")
}

/// What keeps a schema from being structural, in the order of the paths.
pub(super) fn check(path: &Path, schema: &Schema) -> Errors {
    let mut errors = Errors::new();
    check_one(path, schema, Level::Root, &mut errors);
    check_described(schema, Some(schema), path, &mut errors);
    errors.sort_by(|a, b| a.field.cmp(&b.field).then_with(|| a.kind.reason().cmp(b.kind.reason())));
    errors
}

fn is_set(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn check_one(path: &Path, schema: &Schema, level: Level, errors: &mut Errors) {
    let kind = text(&schema.type_);
    match one_schema(schema.items.as_ref()) {
        None if kind == "array" => errors.push(Error::required(&path.child("items"), "arrays have a schema for their items")),
        None => {}
        Some(items) => check_one(&path.child("items"), items, Level::Item, errors),
    }
    for (name, property) in schema.properties.iter().flatten() {
        check_one(&path.child("properties").key(name), property, Level::Field, errors);
    }
    if let Some(additional) = &schema.additional_properties {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&at, "must not be used at the root"));
        }
        if let Some(values) = or_bool(Some(additional)) {
            check_one(&at, values, Level::Field, errors);
        }
    }
    let (int_or_string, preserves) = (is_set(schema.x_kubernetes_int_or_string), is_set(schema.x_kubernetes_preserve_unknown_fields));
    let embedded = is_set(schema.x_kubernetes_embedded_resource);
    for (name, flag) in [("x-kubernetes-preserve-unknown-fields", preserves), ("x-kubernetes-embedded-resource", embedded)] {
        if int_or_string && flag {
            errors.push(Error::invalid(&path.child(name), true, "must be false if x-kubernetes-int-or-string is true"));
        }
    }
    check_values(path, schema, errors);
    check_type(path, schema, level, errors);
    if embedded {
        check_embedded(path, schema, errors);
    }
    if level == Level::Root || embedded {
        check_meta(path, schema, level, errors);
    }
}

fn check_type(path: &Path, schema: &Schema, level: Level, errors: &mut Errors) {
    let (at, kind) = (path.child("type"), text(&schema.type_));
    let may_be_open = is_set(schema.x_kubernetes_int_or_string) || is_set(schema.x_kubernetes_preserve_unknown_fields);
    if is_set(schema.x_kubernetes_embedded_resource) && kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() { Error::required(&at, why) } else { Error::invalid(&at, kind, why) });
    } else if kind.is_empty() && !may_be_open {
        errors.push(Error::required(&at, "every value has a type"));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(&at, kind, "must be object at the root"));
    }
}

fn check_embedded(path: &Path, schema: &Schema, errors: &mut Errors) {
    if schema.additional_properties.is_some() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), why));
    }
    if !is_set(schema.x_kubernetes_preserve_unknown_fields) && schema.properties.as_ref().is_none_or(|properties| properties.is_empty()) {
        let why = "an embedded resource has properties, or x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&path.child("properties"), why));
    }
}

/// What a schema may say of an object's type and metadata, which every object has.
fn check_meta(path: &Path, schema: &Schema, level: Level, errors: &mut Errors) {
    let property = |name: &str| schema.properties.as_ref().and_then(|properties| properties.get(name));
    let at = |name: &str| path.child("properties").key(name);
    for name in META {
        if let Some(kind) = property(name).map(|schema| text(&schema.type_)).filter(|kind| *kind != "string") {
            errors.push(Error::invalid(&at(name).child("type"), kind, "must be string"));
        }
    }
    let Some(metadata) = property("metadata") else { return };
    let kind = text(&metadata.type_);
    if kind != "object" {
        errors.push(Error::invalid(&at("metadata").child("type"), kind, "must be object"));
    }
    if level == Level::Root && !says_names_only(metadata) {
        errors.push(Error::forbidden(&at("metadata"), "can say something of name and generateName only"));
    }
}

fn says_names_only(metadata: &Schema) -> bool {
    let mut rest = metadata.clone();
    let only_names = |name: &String| name == "name" || name == "generateName";
    if rest.properties.as_ref().is_some_and(|properties| properties.keys().all(only_names)) {
        rest.properties = None;
    }
    (rest.type_, rest.default) = (None, None);
    rest == Schema::default()
}

/// `anyOf: [{type: integer}, {type: string}]`, with which a number or a text may be described.
fn is_int_or_string(any_of: &[Schema]) -> bool {
    let only = |kind: &str| Schema { type_: Some(kind.to_owned()), ..Schema::default() };
    any_of.len() == 2 && any_of[0] == only("integer") && any_of[1] == only("string")
}

/// What a schema says of values, by its junctors.
fn check_values(path: &Path, schema: &Schema, errors: &mut Errors) {
    check_junctors(path, schema, is_int_or_string(some(schema.any_of.as_ref())), errors);
}

fn check_junctors(path: &Path, schema: &Schema, may_skip_any_of: bool, errors: &mut Errors) {
    for (name, list) in [("anyOf", &schema.any_of), ("allOf", &schema.all_of), ("oneOf", &schema.one_of)] {
        if name == "anyOf" && may_skip_any_of {
            continue;
        }
        for (i, one) in some(list.as_ref()).iter().enumerate() {
            // The same form, one level below: what a number or a text is, and something more of it.
            let may_skip = name == "allOf" && i == 0 && is_int_or_string(some(one.any_of.as_ref()));
            check_nested(&path.child(name).index(i), one, may_skip, errors);
        }
    }
    if let Some(not) = &schema.not {
        check_nested(&path.child("not"), not, false, errors);
    }
    let pattern = text(&schema.pattern);
    if !pattern.is_empty()
        && let Err(why) = cel::compile_pattern(pattern)
    {
        errors.push(Error::invalid(&path.child("pattern"), pattern, why));
    }
}

/// A schema within a junctor, which may not say what a value is.
fn check_nested(path: &Path, schema: &Schema, may_skip_any_of: bool, errors: &mut Errors) {
    check_junctors(path, schema, may_skip_any_of, errors);
    if let Some(items) = one_schema(schema.items.as_ref()) {
        check_nested(&path.child("items"), items, false, errors);
    }
    for (name, property) in schema.properties.iter().flatten() {
        check_nested(&path.child("properties").key(name), property, false, errors);
    }
    let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let allows_more = !matches!(schema.additional_properties, None | Some(JSONSchemaPropsOrBool::Bool(false)));
    let forbidden = [
        ("type", says(&schema.type_)),
        ("additionalProperties", allows_more),
        ("default", schema.default.is_some()),
        ("title", says(&schema.title)),
        ("description", says(&schema.description)),
        ("nullable", is_set(schema.nullable)),
        ("x-kubernetes-preserve-unknown-fields", is_set(schema.x_kubernetes_preserve_unknown_fields)),
        ("x-kubernetes-embedded-resource", is_set(schema.x_kubernetes_embedded_resource)),
        ("x-kubernetes-int-or-string", is_set(schema.x_kubernetes_int_or_string)),
        ("x-kubernetes-list-map-keys", !some(schema.x_kubernetes_list_map_keys.as_ref()).is_empty()),
        ("x-kubernetes-list-type", schema.x_kubernetes_list_type.is_some()),
        ("x-kubernetes-map-type", schema.x_kubernetes_map_type.is_some()),
        ("x-kubernetes-validations", !some(schema.x_kubernetes_validations.as_ref()).is_empty()),
    ];
    let why = "says what a value is, which must not be said within allOf, anyOf, oneOf or not";
    errors.extend(forbidden.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| Error::forbidden(&path.child(name), why)));
    if schema.properties.as_ref().is_some_and(|properties| properties.contains_key("metadata")) {
        errors.push(Error::forbidden(&path.child("properties").key("metadata"), "must not be restricted within a junctor"));
    }
}

/// Whatever junctors say something of has to be described outside of them.
fn check_described(junctors: &Schema, described: Option<&Schema>, path: &Path, errors: &mut Errors) {
    let lists = [&junctors.all_of, &junctors.any_of, &junctors.one_of];
    let nested = lists.into_iter().flat_map(|list| some(list.as_ref())).chain(junctors.not.as_deref());
    nested.for_each(|nested| check_nested_described(nested, described, path, errors));
}

fn check_nested_described(nested: &Schema, described: Option<&Schema>, path: &Path, errors: &mut Errors) {
    let Some(schema) = described else {
        errors.push(Error::required(path, "because a junctor says something of it"));
        return;
    };
    check_described(nested, described, path, errors);
    if let Some(items) = one_schema(nested.items.as_ref()) {
        check_nested_described(items, one_schema(schema.items.as_ref()), &path.child("items"), errors);
    }
    for (name, property) in nested.properties.iter().flatten() {
        let known = schema.properties.as_ref().and_then(|properties| properties.get(name));
        check_nested_described(property, known, &path.child("properties").key(name), errors);
    }
}
