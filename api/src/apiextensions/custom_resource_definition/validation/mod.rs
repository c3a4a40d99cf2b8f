//! What is wrong with a definition. Paths are those of Kubernetes' internal form, which causes name: what all versions
//! have alike (schema, subresources, columns, selectable fields) stands there once, at the spec's own level, and
//! `spec.version` is the name of the first version.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::{condition, is_true};
use crate::validate::{choice, complaints, immutable, required, text};

pub(super) fn check_new(definition: &CustomResourceDefinition) -> Errors {
    let spec = &definition.spec;
    let name = text(&definition.metadata.name);
    let wanted = format!("{}.{}", spec.names.plural, spec.group);
    let mut errors = Errors::new();
    if name != wanted {
        let why = format!("must be `spec.names.plural+\".\"+spec.group`: {wanted:?}");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), name, why));
    }
    errors.extend(check_spec(spec));
    errors.extend(check_status(definition));
    errors.extend(check_stored_versions(definition));
    errors
}

pub(super) fn check_update(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Errors {
    let path = Path::new("spec");
    let (spec, was) = (&new.spec, &old.spec);
    let mut errors = check_spec(spec);
    if is_true(old, condition::ESTABLISHED) {
        errors.extend(immutable(&path.child("scope"), &spec.scope, &was.scope));
        errors.extend(immutable(&path.child("names").child("kind"), &spec.names.kind, &was.names.kind));
    }
    errors.extend(immutable(&path.child("group"), &spec.group, &was.group));
    errors.extend(immutable(&path.child("names").child("plural"), &spec.names.plural, &was.names.plural));
    errors.extend(check_status(new));
    errors.extend(check_stored_versions(new));
    errors
}

pub(super) fn check_status(definition: &CustomResourceDefinition) -> Errors {
    let accepted = definition.status.as_ref().and_then(|status| status.accepted_names.as_ref());
    accepted.map(|names| check_names(&Path::new("status").child("acceptedNames"), names)).unwrap_or_default()
}

fn check_spec(spec: &CustomResourceDefinitionSpec) -> Errors {
    let path = Path::new("spec");
    let mut errors = check_group(&path.child("group"), &spec.group);
    errors.extend(choice(&path.child("scope"), &spec.scope, &["Cluster", "Namespaced"]));
    let names = &spec.names;
    for (field, name) in
        [("plural", &*names.plural), ("singular", text(&names.singular)), ("kind", &*names.kind), ("listKind", text(&names.list_kind))]
    {
        errors.extend(required(&path.child("names").child(field), name));
    }
    errors.extend(check_names(&path.child("names"), names));
    errors
}

fn check_group(path: &Path, group: &str) -> Errors {
    if group.is_empty() {
        return vec![Error::required(path, "")];
    }
    let wrong = names::dns1123_subdomain(group, false);
    if wrong.is_empty() && !group.contains('.') {
        return vec![Error::invalid(path, group, "must be a domain with at least one dot")];
    }
    complaints(path, group, wrong)
}

/// Names that are empty say nothing; whether they may be is the spec's business.
fn check_names(path: &Path, names: &CustomResourceDefinitionNames) -> Errors {
    let label = |path: &Path, name: &str| complaints(path, name, names::dns1035_label(name, false));
    let mixed = |path: &Path, name: &str| complaints(path, name, names::dns1035_label(&name.to_lowercase(), false));
    let mut errors = Errors::new();
    for (field, name) in [("plural", &*names.plural), ("singular", text(&names.singular))] {
        if !name.is_empty() {
            errors.extend(label(&path.child(field), name));
        }
    }
    for (field, name) in [("kind", &*names.kind), ("listKind", text(&names.list_kind))] {
        if !name.is_empty() {
            errors.extend(mixed(&path.child(field), name));
        }
    }
    for (i, name) in names.short_names.iter().flatten().enumerate() {
        errors.extend(label(&path.child("shortNames").index(i), name));
    }
    if !names.kind.is_empty() && names.list_kind.as_ref() == Some(&names.kind) {
        errors.push(Error::invalid(&path.child("listKind"), &names.kind, "must not be the kind"));
    }
    for (i, name) in names.categories.iter().flatten().enumerate() {
        errors.extend(label(&path.child("categories").index(i), name));
    }
    errors
}

/// Versions in which objects may be stored cannot go.
fn check_stored_versions(definition: &CustomResourceDefinition) -> Errors {
    let path = Path::new("status").child("storedVersions");
    let stored = definition.status.as_ref().and_then(|status| status.stored_versions.as_deref()).unwrap_or_default();
    let known = |name: &str| definition.spec.versions.iter().any(|version| version.name == name);
    let gone = stored.iter().enumerate().filter(|(_, name)| !known(name));
    gone.map(|(i, name)| Error::invalid(&path.index(i), name, "must be one of the versions in spec.versions")).collect()
}
