//! What is wrong with a definition. Paths are those of Kubernetes' internal form, which causes name: what all versions
//! have alike (schema, subresources, columns, selectable fields) stands there once, at the spec's own level, and
//! `spec.version` is the name of the first version.

mod approval;
mod conversion;
mod keywords;
mod names;
mod rules;
mod schema;
mod structure;
#[cfg(test)]
mod tests;
mod versions;
mod walk;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use machinery::field::{Error, Errors, Path};

use super::{condition, is_true};
use crate::validate::{choice, immutable, required, text};

pub(super) use walk::unknown_formats;

pub(super) fn check_new(definition: &CustomResourceDefinition) -> Errors {
    let spec = &definition.spec;
    let name = text(&definition.metadata.name);
    let wanted = format!("{}.{}", spec.names.plural, spec.group);
    let mut errors = Errors::new();
    if !name.is_empty() && name != wanted {
        let why = format!("must be `spec.names.plural+\".\"+spec.group`: {wanted:?}");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), name, why));
    }
    errors.extend(check_spec(spec, CaBundle::Whatever));
    errors.extend(check_status(definition));
    errors.extend(versions::check_stored(definition));
    errors.extend(approval::check(definition, None));
    errors.extend(check_preserved(spec, None));
    errors
}

pub(super) fn check_update(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Errors {
    let path = Path::new("spec");
    let (spec, was) = (&new.spec, &old.spec);
    let established = is_true(old, condition::ESTABLISHED);
    let ca_bundle = if established && conversion::has_good_bundle(was) { CaBundle::Valid } else { CaBundle::Whatever };
    let mut errors = check_spec(spec, ca_bundle);
    if established {
        errors.extend(immutable(&path.child("scope"), &spec.scope, &was.scope));
        errors.extend(immutable(&path.child("names").child("kind"), &spec.names.kind, &was.names.kind));
    }
    errors.extend(immutable(&path.child("group"), &spec.group, &was.group));
    errors.extend(immutable(&path.child("names").child("plural"), &spec.names.plural, &was.names.plural));
    errors.extend(check_status(new));
    errors.extend(versions::check_stored(new));
    errors.extend(approval::check(new, Some(old)));
    errors.extend(check_preserved(spec, Some(was)));
    errors
}

pub(super) fn check_status(definition: &CustomResourceDefinition) -> Errors {
    let accepted = definition.status.as_ref().and_then(|status| status.accepted_names.as_ref());
    accepted.map(|accepted| names::check(&Path::new("status").child("acceptedNames"), accepted)).unwrap_or_default()
}

/// What the certificates of a conversion webhook must be. They may be wrong while nobody relies on them, and stay wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CaBundle {
    Whatever,
    Valid,
}

fn check_spec(spec: &CustomResourceDefinitionSpec, ca_bundle: CaBundle) -> Errors {
    let path = Path::new("spec");
    let mut errors = names::check_group(&path.child("group"), &spec.group);
    errors.extend(choice(&path.child("scope"), &spec.scope, &["Cluster", "Namespaced"]));
    errors.extend(versions::check(&path, spec));
    let names = &spec.names;
    for (field, name) in
        [("plural", &*names.plural), ("singular", text(&names.singular)), ("kind", &*names.kind), ("listKind", text(&names.list_kind))]
    {
        errors.extend(required(&path.child("names").child(field), name));
    }
    errors.extend(names::check(&path.child("names"), names));
    errors.extend(versions::check_common(&path, spec));
    errors.extend(conversion::check(&path.child("conversion"), spec, ca_bundle));
    errors
}

/// Objects whose unknown fields are all kept were a thing of older versions of the API.
fn check_preserved(spec: &CustomResourceDefinitionSpec, old: Option<&CustomResourceDefinitionSpec>) -> Option<Error> {
    let preserves = |spec: &CustomResourceDefinitionSpec| spec.preserve_unknown_fields == Some(true);
    let is_new = preserves(spec) && !old.is_some_and(preserves);
    let path = Path::new("spec").child("preserveUnknownFields");
    is_new.then(|| Error::invalid(&path, true, "cannot be true; set x-kubernetes-preserve-unknown-fields in the versions' schemas instead"))
}

/// The one schema of a list's elements, if there is just one.
fn one_schema(items: Option<&JSONSchemaPropsOrArray>) -> Option<&Schema> {
    match items {
        Some(JSONSchemaPropsOrArray::Schema(schema)) => Some(schema),
        _ => None,
    }
}

/// The schema of a map's values, if there is one.
fn or_bool(additional: Option<&JSONSchemaPropsOrBool>) -> Option<&Schema> {
    match additional {
        Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(schema),
        _ => None,
    }
}

type Schema = k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

/// Whether a list says anything: Kubernetes does not tell an empty one from none.
fn some<T>(list: Option<&Vec<T>>) -> &[T] {
    list.map(Vec::as_slice).unwrap_or_default()
}
