//! Checks that several kinds share. Each returns what is wrong, with paths below the one given.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde::Serialize;

/// An `Invalid` for each complaint about a value.
pub fn complaints(path: &Path, value: &str, wrong: Vec<String>) -> Errors {
    wrong.into_iter().map(|why| Error::invalid(path, value, why)).collect()
}

pub fn non_negative(path: &Path, value: i64) -> Errors {
    if value < 0 { vec![Error::invalid(path, value, "must be greater than or equal to 0")] } else { Errors::new() }
}

pub fn positive(path: &Path, value: i64) -> Errors {
    if value <= 0 { vec![Error::invalid(path, value, "must be greater than 0")] } else { Errors::new() }
}

/// `Required` where empty, `NotSupported` where not one of `supported`.
pub fn one_of(path: &Path, value: Option<&str>, supported: &[&str]) -> Errors {
    match value.unwrap_or_default() {
        "" => vec![Error::required(path, "")],
        value => supported_value(path, value, supported),
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

/// Labels, reported at the map's own path.
pub fn labels(path: &Path, labels: Option<&BTreeMap<String, String>>) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(complaints(path, key, names::qualified_name(key)));
        errors.extend(complaints(path, value, names::label_value(value)));
    }
    errors
}

/// Annotations, reported at the map's own path.
pub fn annotations(path: &Path, annotations: Option<&BTreeMap<String, String>>) -> Errors {
    const MOST_BYTES: usize = 256 << 10;
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        // Annotation keys, unlike label keys, may have capitals before the slash.
        errors.extend(complaints(path, key, names::qualified_name(&key.to_lowercase())));
        bytes += key.len() + value.len();
    }
    if bytes > MOST_BYTES {
        errors.push(Error::too_long(path, MOST_BYTES));
    }
    errors
}

/// A finalizer: one of Kubernetes' own, or a name with a domain.
pub fn finalizer(path: &Path, name: &str) -> Errors {
    const OWN: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let mut errors = complaints(path, name, names::qualified_name(name));
    if errors.is_empty() && !name.contains('/') && !OWN.contains(&name) {
        errors.push(Error::invalid(path, name, "is neither one of Kubernetes' own finalizers nor has it a domain"));
    }
    errors
}

pub fn label_selector(path: &Path, selector: &LabelSelector) -> Errors {
    let mut errors = labels(&path.child("matchLabels"), selector.match_labels.as_ref());
    for (i, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(i);
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(Error::required(&at.child("values"), "must be given for `In` and `NotIn`"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.push(Error::forbidden(&at.child("values"), "may not be given for `Exists` and `DoesNotExist`"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
        }
        errors.extend(complaints(&at.child("key"), &requirement.key, names::qualified_name(&requirement.key)));
        for (j, value) in values.iter().enumerate() {
            errors.extend(complaints(&at.child("values").index(j), value, names::label_value(value)));
        }
    }
    errors
}
