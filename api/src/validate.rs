//! Checks that several kinds share, besides those of `machinery`. Each returns what is wrong, with paths below the
//! one given.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta};
use machinery::field::{Error, Errors, Path};
pub use machinery::objectmeta::complaints;
use machinery::{names, objectmeta};
use serde::Serialize;
use serde_json::Value;

/// A text, or nothing where it is absent: Kubernetes seldom tells absent and empty texts apart.
pub fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

pub fn non_negative(path: &Path, value: i64) -> Errors {
    if value < 0 { vec![Error::invalid(path, value, "must be greater than or equal to 0")] } else { Errors::new() }
}

pub fn positive(path: &Path, value: i64) -> Errors {
    if value <= 0 { vec![Error::invalid(path, value, "must be greater than 0")] } else { Errors::new() }
}

/// `Required` where empty.
pub fn required(path: &Path, value: &str) -> Errors {
    if value.is_empty() { vec![Error::required(path, "")] } else { Errors::new() }
}

/// `Required` where empty, `NotSupported` where not one of `supported`.
pub fn choice(path: &Path, value: &str, supported: &[&str]) -> Errors {
    match value {
        "" => vec![Error::required(path, "")],
        value => supported_value(path, value, supported),
    }
}

/// [`choice`], of a field that may be absent.
pub fn one_of(path: &Path, value: Option<&str>, supported: &[&str]) -> Errors {
    choice(path, value.unwrap_or_default(), supported)
}

/// Stands for an empty text in a field whose type cannot tell that from none, until validation refuses it as what it is.
pub(crate) const EMPTY: &str = "\"\"";

/// Puts [`EMPTY`] in the place of an empty text.
pub(crate) fn mark_empty(field: Option<&mut Value>) {
    if let Some(field) = field.filter(|field| field.as_str() == Some("")) {
        *field = EMPTY.into();
    }
}

/// The text that is meant where [`EMPTY`] may stand, which is unlike none; see [`mark_empty`].
pub(crate) fn marked(text: &str) -> Option<&str> {
    match text {
        "" => None,
        EMPTY => Some(""),
        text => Some(text),
    }
}

/// `NotSupported` where not one of `supported`.
pub fn supported_value(path: &Path, value: &str, supported: &[&str]) -> Errors {
    if supported.contains(&value) { Errors::new() } else { vec![Error::not_supported(path, value, supported)] }
}

/// An update that changes what stays as it was created.
pub fn immutable<T: PartialEq + Serialize>(path: &Path, new: &T, old: &T) -> Errors {
    if new == old { Errors::new() } else { vec![Error::invalid(path, new, "field is immutable")] }
}

/// A finalizer: one of Kubernetes' own, or a name with a domain.
pub fn finalizer(path: &Path, name: &str) -> Errors {
    let mut errors = complaints(path, name, names::qualified_name(name));
    errors.extend(complaints(path, name, names::finalizer_domain(name)));
    errors
}

/// Labels, reported at the map's own path.
pub fn labels(path: &Path, labels: Option<&BTreeMap<String, String>>) -> Errors {
    objectmeta::validate_labels(labels, path)
}

/// Annotations, reported at the map's own path.
pub fn annotations(path: &Path, annotations: Option<&BTreeMap<String, String>>) -> Errors {
    objectmeta::validate_annotations(annotations, path)
}

pub fn label_selector(path: &Path, selector: &LabelSelector) -> Errors {
    machinery::labels::validate(selector, path)
}

/// `domain/path`, as controllers and signers are named.
pub(crate) fn domain_path(path: &Path, text: &str) -> Errors {
    if text.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = text.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty()) else {
        return vec![Error::invalid(path, text, "must be a path with a domain before it, such as \"example.com/name\"")];
    };
    let mut errors = complaints(path, domain, names::dns1123_subdomain(domain, false));
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-.~%!$&'()*+,;=:".contains(&b)) {
        errors.push(Error::invalid(path, rest, "has characters that a path may not have"));
    }
    errors
}

/// The conditions of a status, each of a type of its own.
pub(crate) fn conditions(path: &Path, conditions: &[Condition]) -> Errors {
    let mut errors = Errors::new();
    for (i, condition) in conditions.iter().enumerate() {
        let before = conditions[..i].iter().any(|before| before.type_ == condition.type_);
        let path = path.index(i);
        errors.extend(complaints(&path.child("type"), &condition.type_, names::qualified_name(&condition.type_)));
        if before {
            errors.push(Error::duplicate(&path.child("type"), &condition.type_));
        }
        errors.extend(supported_value(&path.child("status"), &condition.status, &["False", "True", "Unknown"]));
        if let Some(generation) = condition.observed_generation {
            errors.extend(non_negative(&path.child("observedGeneration"), generation));
        }
        errors.extend(required(&path.child("reason"), &condition.reason));
    }
    errors
}

/// The name of a driver of storage or of devices: a DNS name in letters of any case.
pub(crate) fn driver_name(path: &Path, name: &str) -> Errors {
    const MOST_BYTES: usize = 63;
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > MOST_BYTES {
        errors.push(Error::too_long(path, MOST_BYTES));
    }
    errors.extend(complaints(path, name, names::dns1123_subdomain(&name.to_lowercase(), false)));
    errors
}

/// The metadata of an object that is to be made from a template: labels and annotations, and nothing else.
pub(crate) fn template_metadata(path: &Path, meta: &ObjectMeta) -> Errors {
    let mut errors = annotations(&path.child("annotations"), meta.annotations.as_ref());
    errors.extend(labels(&path.child("labels"), meta.labels.as_ref()));
    let others = [
        ("name", meta.name.is_some()),
        ("generateName", meta.generate_name.is_some()),
        ("namespace", meta.namespace.is_some()),
        // Kubernetes spells it like this here.
        ("uID", meta.uid.is_some()),
        ("resourceVersion", meta.resource_version.is_some()),
        ("generation", meta.generation.is_some()),
        ("creationTimestamp", meta.creation_timestamp.is_some()),
        ("deletionTimestamp", meta.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())),
        ("finalizers", meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())),
        ("managedFields", meta.managed_fields.as_ref().is_some_and(|fields| !fields.is_empty())),
    ];
    errors.extend(others.iter().filter(|(_, given)| *given).map(|(field, _)| Error::forbidden(&path.child(field), "cannot be set")));
    errors
}
