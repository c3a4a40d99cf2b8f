//! Environment variables and where their values come from; selectors of the pod's own fields.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, PodSpec, ResourceFieldSelector,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::volumes::no_backsteps;
use crate::core::pod::visit;
use crate::validate::{complaints, text};

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
        errors.extend(validate_file_key(&path.child("fileKeyRef"), selector));
    }
    match sources {
        0 => errors.push(Error::invalid(path, "", "must name a source of the value")),
        _ if !value.is_empty() => errors.push(Error::invalid(path, "", "may not be given beside `value`")),
        1 => {}
        _ => errors.push(Error::invalid(path, "", "may not name more than one source")),
    }
    errors
}

/// A missing name is a bad one here, since both are told by the same grammar.
fn validate_key(path: &Path, name: &str, key: &str) -> Errors {
    let mut errors = complaints(&path.child("name"), name, names::dns1123_subdomain(name, false));
    errors.extend(match key {
        "" => vec![Error::required(&path.child("key"), "")],
        key => complaints(&path.child("key"), key, names::config_map_key(key)),
    });
    errors
}

/// A line of a file that an init container left in a volume.
fn validate_file_key(path: &Path, selector: &FileKeySelector) -> Errors {
    let (key, volume) = (path.child("key"), path.child("volumeName"));
    let mut errors = match selector.key.as_str() {
        "" => vec![Error::required(&key, "")],
        given => complaints(&key, given, names::environment_variable(given)),
    };
    errors.extend(match selector.volume_name.as_str() {
        "" => vec![Error::required(&volume, "")],
        given => complaints(&volume, given, names::dns1123_label(given, false)),
    });
    errors.extend(match selector.path.as_str() {
        "" => vec![Error::required(&path.child("path"), "")],
        given => no_backsteps(&path.child("path"), given),
    });
    errors
}

/// The volumes of such files have to be the pod's own directories. `path` is the spec's.
pub(super) fn validate_file_volumes(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for place in visit::containers(spec) {
        for (j, variable) in place.env().iter().enumerate() {
            let Some(selector) = variable.value_from.as_ref().and_then(|s| s.file_key_ref.as_ref()) else { continue };
            let at = place.path(path).child("env").index(j).child("valueFrom").child("fileKeyRef").child("volumeName");
            // Of volumes with the same name the last one counts.
            match spec.volumes.iter().flatten().rev().find(|v| v.name == selector.volume_name) {
                None => errors.push(Error::not_found(&at, &selector.volume_name)),
                Some(volume) if volume.empty_dir.is_none() => {
                    errors.push(Error::invalid(&at, &selector.volume_name, "must be a volume of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
    errors
}

/// A selector of a field of the pod; labels and annotations may be selected one by one.
pub(super) fn validate_field(path: &Path, selector: &ObjectFieldSelector, allowed: &[&str]) -> Errors {
    let version = text(&selector.api_version);
    if version.is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    let at = path.child("fieldPath");
    let field = match selector.field_path.as_str() {
        "" => return vec![Error::required(&at, "")],
        // What the field was called before version 1.
        "spec.host" => "spec.nodeName",
        field => field,
    };
    if version != "v1" {
        return vec![Error::invalid(&at, field, "is a field of version v1 only")];
    }
    if let Some((map, key)) = field.strip_suffix("']").and_then(|f| f.split_once("['")).filter(|(map, _)| !map.is_empty()) {
        // Kubernetes reports keys at the selector.
        return match map {
            "metadata.annotations" => complaints(path, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => complaints(path, key, names::qualified_name(key)),
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
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    let mut errors = Errors::new();
    if in_volume && text(&selector.container_name).is_empty() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !huge && !RESOURCES.contains(&resource) {
        errors.push(Error::not_supported(&path.child("resource"), resource, &RESOURCES));
    }
    let divisors: &[&str] = match resource {
        "limits.cpu" | "requests.cpu" => &["1m", "1"],
        known if huge || RESOURCES.contains(&known) => &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
        _ => return errors,
    };
    let divisor = selector.divisor.as_ref().map(Quantity::of).unwrap_or_default();
    if !divisor.is_zero() && !divisors.contains(&divisor.to_string().as_str()) {
        let why = format!("must be one of {}", divisors.join(", "));
        errors.push(Error::invalid(&path.child("divisor"), divisor.to_string(), why));
    }
    errors
}

pub(super) fn validate_env_from(path: &Path, sources: &[EnvFromSource]) -> Errors {
    let mut errors = Errors::new();
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(&source.prefix);
        if !prefix.is_empty() {
            errors.extend(complaints(&at.child("prefix"), prefix, names::environment_variable(prefix)));
        }
        for (field, name) in
            [("configMapRef", source.config_map_ref.as_ref().map(|r| &r.name)), ("secretRef", source.secret_ref.as_ref().map(|r| &r.name))]
        {
            let Some(name) = name else { continue };
            let at = at.child(field).child("name");
            // Names are held to the grammar of prefixes of names: a last dash passes.
            errors.extend(match name.as_str() {
                "" => vec![Error::required(&at, "")],
                given => complaints(&at, given, names::dns1123_subdomain(given, true)),
            });
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
