//! Environment variables and where their values come from; selectors of the pod's own fields.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use crate::validate::{complaints, required, text};

/// Fields of the pod that a variable can show.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a selector may name at all; the rest is no field.
const OTHER_FIELDS: [&str; 5] = ["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];

pub(super) fn validate_env(path: &Path, variables: &[EnvVar]) -> Errors {
    let mut errors = Errors::new();
    for (i, variable) in variables.iter().enumerate() {
        let at = path.index(i);
        let name = at.child("name");
        errors.extend(match variable.name.as_str() {
            "" => vec![Error::required(&name, "")],
            given => complaints(&name, given, names::environment_variable(given)),
        });
        if let Some(source) = &variable.value_from {
            errors.extend(validate_source(&at.child("valueFrom"), source, text(&variable.value)));
        }
    }
    errors
}

fn validate_source(path: &Path, source: &EnvVarSource, value: &str) -> Errors {
    let mut errors = Errors::new();
    let mut sources = 0;
    if let Some(selector) = &source.field_ref {
        sources += 1;
        errors.extend(validate_field(&path.child("fieldRef"), selector, &ENV_FIELDS));
    }
    if let Some(selector) = &source.resource_field_ref {
        sources += 1;
        errors.extend(validate_resource(&path.child("resourceFieldRef"), selector, false));
    }
    if let Some(selector) = &source.config_map_key_ref {
        sources += 1;
        errors.extend(validate_key(&path.child("configMapKeyRef"), &selector.name, &selector.key));
    }
    if let Some(selector) = &source.secret_key_ref {
        sources += 1;
        errors.extend(validate_key(&path.child("secretKeyRef"), &selector.name, &selector.key));
    }
    if let Some(selector) = &source.file_key_ref {
        sources += 1;
        let at = path.child("fileKeyRef");
        errors.extend(required(&at.child("key"), &selector.key));
        errors.extend(required(&at.child("volumeName"), &selector.volume_name));
        errors.extend(required(&at.child("path"), &selector.path));
    }
    match sources {
        0 => errors.push(Error::invalid(path, "", "must name a source of the value")),
        _ if !value.is_empty() => errors.push(Error::invalid(path, "", "may not be given beside `value`")),
        1 => {}
        _ => errors.push(Error::invalid(path, "", "may not name more than one source")),
    }
    errors
}

fn validate_key(path: &Path, name: &str, key: &str) -> Errors {
    let mut errors = required(&path.child("name"), name);
    errors.extend(match key {
        "" => vec![Error::required(&path.child("key"), "")],
        key => complaints(&path.child("key"), key, names::config_map_key(key)),
    });
    errors
}

/// A selector of a field of the pod; labels and annotations may be selected one by one.
pub(super) fn validate_field(path: &Path, selector: &ObjectFieldSelector, allowed: &[&str]) -> Errors {
    if text(&selector.api_version).is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    let at = path.child("fieldPath");
    let field = selector.field_path.as_str();
    if field.is_empty() {
        return vec![Error::required(&at, "")];
    }
    if let Some((map, key)) = field.strip_suffix("']").and_then(|f| f.split_once("['")) {
        return match map {
            "metadata.annotations" => complaints(&at, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => complaints(&at, key, names::qualified_name(key)),
            _ => vec![Error::invalid(&at, field, "has no entries")],
        };
    }
    if !ENV_FIELDS.contains(&field) && !OTHER_FIELDS.contains(&field) {
        return vec![Error::invalid(&at, field, "is no field that can be selected")];
    }
    if allowed.contains(&field) { Errors::new() } else { vec![Error::not_supported(&at, field, allowed)] }
}

/// A selector of a container's own requests and limits.
pub(super) fn validate_resource(path: &Path, selector: &ResourceFieldSelector, in_volume: bool) -> Errors {
    const RESOURCES: [&str; 6] =
        ["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];
    let resource = selector.resource.as_str();
    if in_volume && text(&selector.container_name).is_empty() {
        return vec![Error::required(&path.child("containerName"), "")];
    }
    if resource.is_empty() {
        return vec![Error::required(&path.child("resource"), "")];
    }
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if !huge && !RESOURCES.contains(&resource) {
        return vec![Error::not_supported(&path.child("resource"), resource, &RESOURCES)];
    }
    let divisors: &[&str] = match resource.rsplit('.').next() {
        Some("cpu") => &["1m", "1"],
        _ => &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
    };
    let divisor = selector.divisor.as_ref().map(Quantity::of).unwrap_or_default();
    if divisor.is_zero() || divisors.contains(&divisor.to_string().as_str()) {
        return Errors::new();
    }
    let why = format!("must be one of {}", divisors.join(", "));
    vec![Error::invalid(&path.child("divisor"), divisor.to_string(), why)]
}

pub(super) fn validate_env_from(path: &Path, sources: &[EnvFromSource]) -> Errors {
    let mut errors = Errors::new();
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(&source.prefix);
        if !prefix.is_empty() {
            errors.extend(complaints(&at.child("prefix"), prefix, names::environment_variable(prefix)));
        }
        if let Some(map) = &source.config_map_ref {
            errors.extend(required(&at.child("configMapRef").child("name"), &map.name));
        }
        if let Some(secret) = &source.secret_ref {
            errors.extend(required(&at.child("secretRef").child("name"), &secret.name));
        }
        // Kubernetes leaves the index out of these two.
        match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => errors.push(Error::invalid(path, "", "must name a ConfigMap or a Secret")),
            (Some(_), Some(_)) => errors.push(Error::invalid(path, "", "may not name more than one source")),
            _ => {}
        }
    }
    errors
}
