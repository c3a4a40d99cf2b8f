//! The names of a resource, as its definition wants them and as they were accepted.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionNames;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{complaints, text};

pub(super) fn check_group(path: &Path, group: &str) -> Errors {
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
pub(super) fn check(path: &Path, names: &CustomResourceDefinitionNames) -> Errors {
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
    // A body of a kind that is its own list's could not be told from the list.
    if !names.kind.is_empty() && names.list_kind.as_ref() == Some(&names.kind) {
        errors.push(Error::invalid(&path.child("listKind"), &names.kind, "must not be the kind"));
    }
    for (i, name) in names.categories.iter().flatten().enumerate() {
        errors.extend(label(&path.child("categories").index(i), name));
    }
    errors
}
