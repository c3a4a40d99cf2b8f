//! The `ephemeralcontainers` subresource: debuggers join a pod, and stay as they came.

use k8s_openapi::api::core::v1::Pod;
use machinery::field::{Error, Errors, Path};

use super::validation::annotations::MIRROR;
use super::validation::whole;
use super::{count_generation, validation};
use crate::strategy::{Context, UpdateStrategy};

pub(super) struct EphemeralContainers;

impl UpdateStrategy<Pod> for EphemeralContainers {
    /// Everything but the ephemeral containers is dropped from the write.
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        let wanted = new.spec.take().and_then(|s| s.ephemeral_containers);
        keep_all_but_spec(new, old);
        if let Some(spec) = &mut new.spec {
            spec.ephemeral_containers = wanted;
        }
        count_generation(new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR)) {
            return vec![Error::forbidden(&whole(), "a static pod takes no ephemeral containers")];
        }
        let mut errors = validation::validate_pod(new);
        errors.extend(validation::validate_annotations_update(new, old));
        let path = Path::new("spec").child("ephemeralContainers");
        let all = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.ephemeral_containers.clone()).unwrap_or_default();
        let wanted = all(new);
        for old in all(old) {
            match wanted.iter().find(|c| c.name == old.name) {
                None => errors.push(Error::forbidden(&path, format!("{:?} cannot be removed", old.name))),
                Some(new) if *new != old => {
                    errors.push(Error::forbidden(&path, format!("{:?} cannot be changed", old.name)));
                }
                Some(_) => {}
            }
        }
        errors
    }
}

/// Puts back the spec, the status and the metadata that a narrow view of the pod does not write.
pub(super) fn keep_all_but_spec(new: &mut Pod, old: &Pod) {
    new.spec.clone_from(&old.spec);
    new.status.clone_from(&old.status);
    new.metadata.labels.clone_from(&old.metadata.labels);
    new.metadata.annotations.clone_from(&old.metadata.annotations);
    new.metadata.finalizers.clone_from(&old.metadata.finalizers);
    new.metadata.owner_references.clone_from(&old.metadata.owner_references);
}
