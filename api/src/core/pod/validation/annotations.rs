//! Annotations of pods that mean something to Kubernetes, most of which fields have replaced.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, Toleration};
use machinery::field::{Error, Errors, Path};

use super::validate_tolerations;
use super::volumes::descending_path;
use crate::core::pod::visit;

/// Says that the pod shows what a kubelet runs on its own account.
pub(in crate::core::pod) const MIRROR: &str = "kubernetes.io/config.mirror";
pub(in crate::core::pod) const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
pub(in crate::core::pod) const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(in crate::core::pod) const SECCOMP_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const LOCALHOST: &str = "localhost/";

pub(in crate::core::pod) type Annotations = BTreeMap<String, String>;

/// What is wrong with the annotations themselves; `path` is theirs.
pub(super) fn validate(path: &Path, annotations: Option<&Annotations>, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let Some(annotations) = annotations else { return errors };
    if let Some(value) = annotations.get(MIRROR)
        && spec.node_name.as_ref().is_none_or(String::is_empty)
    {
        errors.push(Error::invalid(&path.key(MIRROR), value, "needs spec.nodeName"));
    }
    if let Some(value) = annotations.get(TOLERATIONS).filter(|value| !value.is_empty()) {
        errors.extend(match serde_json::from_str::<Option<Vec<Toleration>>>(value) {
            Ok(tolerations) => validate_tolerations(&path.child(TOLERATIONS), &tolerations.unwrap_or_default()),
            Err(error) => vec![Error::invalid(path, TOLERATIONS, error.to_string())],
        });
    }
    if let Some(value) = annotations.get(DELETION_COST).filter(|value| !is_cost(value)) {
        errors.push(Error::invalid(&path.key(DELETION_COST), value, "must be an integer of 32 bits, without a plus or zeros before it"));
    }
    if let Some(profile) = annotations.get(SECCOMP) {
        errors.extend(validate_seccomp(&path.child(SECCOMP), profile));
    }
    for (key, profile) in annotations.range(SECCOMP_PREFIX.to_owned()..).take_while(|(key, _)| key.starts_with(SECCOMP_PREFIX)) {
        errors.extend(validate_seccomp(&path.child(key), profile));
    }
    for (key, profile) in app_armor(annotations) {
        let container = &key[APP_ARMOR_PREFIX.len()..];
        if !visit::containers(spec).any(|c| c.name() == container) {
            errors.push(Error::invalid(&path.key(key), container, "is no container of the pod"));
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with(LOCALHOST) {
            errors.push(Error::invalid(&path.key(key), profile, "is no AppArmor profile"));
        }
    }
    errors
}

fn app_armor(annotations: &Annotations) -> impl Iterator<Item = (&str, &str)> {
    let from = annotations.range(APP_ARMOR_PREFIX.to_owned()..);
    from.take_while(|(key, _)| key.starts_with(APP_ARMOR_PREFIX)).map(|(key, value)| (key.as_str(), value.as_str()))
}

fn is_cost(value: &str) -> bool {
    let plain = value == "0" || value.starts_with(|c: char| matches!(c, '-' | '1'..='9'));
    plain && value.parse::<i32>().is_ok()
}

fn validate_seccomp(path: &Path, profile: &str) -> Errors {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => Errors::new(),
        other => match other.strip_prefix(LOCALHOST) {
            Some(file) => descending_path(path, file),
            None => vec![Error::invalid(path, other, "is no seccomp profile")],
        },
    }
}

/// Where annotation and field both say which profile confines a container, they have to say the same. `path` is the spec's.
pub(super) fn validate_agreement(path: &Path, annotations: Option<&Annotations>, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let Some(annotations) = annotations else { return errors };
    let context = spec.security_context.as_ref();
    if let Some(field) = context.and_then(|c| c.seccomp_profile.as_ref())
        && let Some(annotation) = annotations.get(SECCOMP)
    {
        errors.extend(disagreement(&path.child("securityContext").child("seccompProfile"), &of_seccomp(field), annotation));
    }
    for container in visit::containers(spec) {
        if let Some(field) = container.security().and_then(|c| c.seccomp_profile.as_ref())
            && let Some(annotation) = annotations.get(&format!("{SECCOMP_PREFIX}{}", container.name()))
        {
            let at = container.path(path).child("securityContext").child("seccompProfile");
            errors.extend(disagreement(&at, &of_seccomp(field), annotation));
        }
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors;
    }
    for container in visit::containers(spec) {
        let own = container.security().and_then(|c| c.app_armor_profile.as_ref());
        if let Some(field) = own.or(context.and_then(|c| c.app_armor_profile.as_ref()))
            && let Some(annotation) = annotations.get(&format!("{APP_ARMOR_PREFIX}{}", container.name()))
        {
            let at = container.path(path).child("securityContext").child("appArmorProfile");
            errors.extend(disagreement(&at, &of_app_armor(field), annotation));
        }
    }
    errors
}

/// A profile as a field names it, and the texts that say the same in an annotation.
struct Profile<'a> {
    kind: &'a str,
    localhost: Option<&'a str>,
    defaults: &'static [&'static str],
}

fn of_seccomp(field: &SeccompProfile) -> Profile<'_> {
    Profile { kind: &field.type_, localhost: field.localhost_profile.as_deref(), defaults: &["runtime/default", "docker/default"] }
}

fn of_app_armor(field: &AppArmorProfile) -> Profile<'_> {
    Profile { kind: &field.type_, localhost: field.localhost_profile.as_deref(), defaults: &["runtime/default"] }
}

fn disagreement(path: &Path, field: &Profile<'_>, annotation: &str) -> Option<Error> {
    let (part, agrees) = match field.kind {
        "Unconfined" => ("type", annotation == "unconfined"),
        "RuntimeDefault" => ("type", field.defaults.contains(&annotation)),
        "Localhost" => match annotation.strip_prefix(LOCALHOST) {
            None => ("type", false),
            Some(profile) => ("localhostProfile", field.localhost == Some(profile)),
        },
        _ => return None,
    };
    (!agrees).then(|| Error::forbidden(&path.child(part), "must be what the annotation says"))
}

/// What an update may not do to annotations: the mirror's and those of AppArmor stay as they are. `path` is theirs.
pub(super) fn validate_update(path: &Path, new: Option<&Annotations>, old: Option<&Annotations>) -> Errors {
    let fixed = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR_PREFIX);
    let value = |of: Option<&Annotations>, key: &str| of.and_then(|a| a.get(key)).cloned();
    let changed = old.into_iter().flatten().filter(|(key, was)| fixed(key) && value(new, key).as_ref() != Some(*was));
    let added = new.into_iter().flatten().filter(|(key, _)| fixed(key) && value(old, key).is_none());
    changed.chain(added).map(|(key, _)| Error::forbidden(&path.key(key), "cannot be added, changed or removed")).collect()
}

/// The profile that an annotation asks for, as a field says it.
pub(in crate::core::pod) fn app_armor_field(annotation: &str) -> Option<AppArmorProfile> {
    let (kind, localhost) = match annotation {
        "runtime/default" => ("RuntimeDefault", None),
        "unconfined" => ("Unconfined", None),
        other => ("Localhost", Some(other.strip_prefix(LOCALHOST).filter(|profile| !profile.is_empty())?)),
    };
    Some(AppArmorProfile { type_: kind.to_owned(), localhost_profile: localhost.map(str::to_owned) })
}
