//! The schema of a version: first whether it is structural and its defaults fit, then what each keyword may say.
//! Of a schema that cannot be taken for a structural one at all, only the keywords are told of.

use machinery::field::{Error, Errors, Path};
use machinery::structural::Structural;

use super::{Schema, keywords, structure};
use crate::validate::text;

/// `path` is that of what has the schema.
pub(super) fn check(path: &Path, schema: &Schema, has_status: bool) -> Errors {
    let at = path.child("openAPIV3Schema");
    let mut errors = check_root(&at, schema, has_status);
    let unusable = structure::unusable(schema);
    if unusable.is_none() {
        let wrong = structure::check(&at, schema);
        if wrong.is_empty() {
            errors.extend(check_defaults(&at, schema));
        }
        errors.extend(wrong);
    }
    errors.extend(keywords::check(&at, schema));
    if errors.is_empty() {
        errors.extend(unusable.map(|why| Error::invalid(&at, "", why)));
    }
    // Expressions mean nothing over a schema that is wrong.
    if errors.is_empty() {
        errors.extend(machinery::cel::rules::check(&at, schema));
    }
    errors
}

fn check_defaults(path: &Path, schema: &Schema) -> Errors {
    let compiled = serde_json::to_value(schema).map_err(|error| error.to_string());
    match compiled.and_then(|schema| Structural::compile(&schema).map_err(|error| error.to_string())) {
        Ok(compiled) => {
            let wrong = compiled.validate_defaults(path);
            if wrong.is_empty() { machinery::cel::rules::validate_defaults(path, schema) } else { wrong }
        }
        Err(why) => vec![Error::invalid(path, "", why)],
    }
}

/// What the schema of a whole object may not say.
fn check_root(path: &Path, schema: &Schema, has_status: bool) -> Errors {
    let mut errors = Errors::new();
    if has_status {
        errors.extend(check_status_root(path, schema));
    }
    if schema.nullable == Some(true) {
        errors.push(Error::forbidden(&path.child("nullable"), "an object itself cannot be null"));
    }
    errors
}

/// A status is validated apart, by its own part of the schema; what says something of the whole object would be lost.
fn check_status_root(path: &Path, schema: &Schema) -> Option<Error> {
    let why = "has keywords that may not stand at the root where there is a status subresource";
    let kind = text(&schema.type_);
    if schema.id.is_some() || schema.schema.is_some() || schema.ref_path.is_some() {
        return Some(Error::bare_invalid(path, why));
    }
    if !kind.is_empty() && kind != "object" {
        return Some(Error::invalid(&path.child("type"), kind, "must be object where there is a status subresource"));
    }
    let is_wrong = [
        schema.default.is_some(),
        schema.nullable == Some(true),
        schema.enum_.is_some(),
        schema.max_properties.is_some(),
        schema.min_properties.is_some(),
        schema.all_of.is_some(),
        schema.any_of.is_some(),
        schema.one_of.is_some(),
        schema.not.is_some(),
        schema.additional_properties.is_some(),
        schema.additional_items.is_some(),
        schema.pattern_properties.is_some(),
        schema.dependencies.is_some(),
        schema.definitions.is_some(),
        schema.x_kubernetes_embedded_resource == Some(true),
        schema.x_kubernetes_int_or_string == Some(true),
        schema.x_kubernetes_list_map_keys.is_some(),
        schema.x_kubernetes_list_type.is_some(),
        schema.x_kubernetes_map_type.is_some(),
    ];
    is_wrong.contains(&true).then(|| Error::bare_invalid(path, why))
}
