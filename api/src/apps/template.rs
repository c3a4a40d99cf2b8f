//! What the workload kinds ask of their selectors and pod templates beyond what any pod template must satisfy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::selector;
use crate::core::pod::{default_pod_template, validate_pod_template, warnings_of_template};
use crate::{validate, zero};

/// A selector that must be there and the template of pods that run for ever, whose labels it has to match.
/// Where the selector's grammar is bad, the template is not looked at.
pub(crate) fn check_selected(spec: &Path, selector: &LabelSelector, template: &PodTemplateSpec) -> Errors {
    let (mut errors, sound) = check_match(spec, selector, template);
    if sound {
        let path = spec.child("template");
        errors.extend(check(&path, template));
        errors.extend(runs_forever(&path, template));
    }
    errors
}

/// What is wrong with a selector and the labels that it has to match, and whether its grammar is sound.
pub(crate) fn check_match(spec: &Path, selector: &LabelSelector, template: &PodTemplateSpec) -> (Errors, bool) {
    let path = spec.child("selector");
    let mut errors = selector::check(&path, selector);
    if !validate::label_selector(&path, selector).is_empty() {
        errors.push(Error::invalid(&path, selector, "is not a valid selector"));
        return (errors, false);
    }
    if selector::is_absent(selector) || !selector::matches(selector, labels(template)) {
        errors.push(mismatch(&spec.child("template"), template));
    }
    (errors, true)
}

/// Pods are named after their owner, and a name that is no label may surprise as a host name.
pub(crate) fn name_warning(meta: &ObjectMeta) -> Option<String> {
    let name = meta.name.as_deref().unwrap_or_default();
    let wrong = names::dns1123_label(name, false);
    (!wrong.is_empty())
        .then(|| format!("metadata.name: pods and their host names are made of it, so that a DNS label is better: {}", wrong.join("; ")))
}

/// What the writer of a template in a workload's spec is warned of.
pub(crate) fn warnings(spec: &Path, template: &PodTemplateSpec) -> Vec<String> {
    warnings_of_template(&spec.child("template"), template)
}

/// Whether a change is one of the spec, so that its writer is warned of the template.
pub(crate) fn is_new(new: &ObjectMeta, old: &ObjectMeta) -> bool {
    new.generation != old.generation
}

/// The labels of the template's pods.
pub(crate) fn labels(template: &PodTemplateSpec) -> Option<&BTreeMap<String, String>> {
    template.metadata.as_ref().and_then(|m| m.labels.as_ref())
}

/// The error for a selector that does not match the template's labels.
pub(crate) fn mismatch(path: &Path, template: &PodTemplateSpec) -> Error {
    Error::invalid(&path.child("metadata").child("labels"), &labels(template), "`selector` does not match the template's labels")
}

/// Pods that are restarted always, and have no deadline.
pub(crate) fn runs_forever(path: &Path, template: &PodTemplateSpec) -> Errors {
    let path = path.child("spec");
    let restart = template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or_default();
    let mut errors = validate::supported_value(&path.child("restartPolicy"), restart, &["Always"]);
    if template.spec.as_ref().is_some_and(|s| s.active_deadline_seconds.is_some()) {
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), "pods of this kind have no deadline"));
    }
    errors
}

/// Fills what the template leaves out.
pub(crate) fn default(template: &mut PodTemplateSpec) {
    default_pod_template(template);
}

/// Everything wrong with the template as such.
pub(crate) fn check(path: &Path, template: &PodTemplateSpec) -> Errors {
    validate_pod_template(path, template)
}

/// The template as a StatefulSet's pods come to be: each claim is a volume of its name, unless the template has one, and
/// the names in the network are the pods' own.
pub(crate) fn with_identity<'a>(template: &'a PodTemplateSpec, claims: &[PersistentVolumeClaim]) -> Cow<'a, PodTemplateSpec> {
    let is_named = template.spec.as_ref().is_some_and(|s| s.hostname.is_some() || s.subdomain.is_some());
    if claims.is_empty() && !is_named {
        return Cow::Borrowed(template);
    }
    let mut template = template.clone();
    let spec = zero::keep(&mut template.spec);
    (spec.hostname, spec.subdomain) = (None, None);
    let volumes = zero::keep(&mut spec.volumes);
    for name in claims.iter().map(|claim| claim.metadata.name.clone().unwrap_or_default()) {
        if !volumes.iter().any(|volume| volume.name == name) {
            let source = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None };
            volumes.push(Volume { name, persistent_volume_claim: Some(source), ..Volume::default() });
        }
    }
    Cow::Owned(template)
}
