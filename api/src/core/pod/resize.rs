//! The `resize` subresource: CPU and memory of containers change while they run.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use machinery::field::{Error, Errors, Path};

use super::ephemeral::keep_all_but_spec;
use super::{count_generation, quality_of_service, validation};
use crate::scheduling::resources::is_sidecar;
use crate::strategy::{Context, UpdateStrategy};

const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub(super) struct Resize;

impl UpdateStrategy<Pod> for Resize {
    /// Everything but resources and resize policies is dropped from the write.
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        let wanted = new.spec.take().unwrap_or_default();
        keep_all_but_spec(new, old);
        if let Some(spec) = &mut new.spec {
            take_resources(&mut spec.containers, wanted.containers);
            let sidecars = wanted.init_containers.unwrap_or_default().into_iter().filter(is_sidecar).collect();
            take_resources(spec.init_containers.as_deref_mut().unwrap_or_default(), sidecars);
        }
        count_generation(new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(validation::MIRROR_ANNOTATION)) {
            return vec![Error::forbidden(&Path::root(), "a static pod cannot be resized")];
        }
        let mut errors = validation::validate_pod(new);
        let path = Path::new("spec");
        if quality_of_service(new) != quality_of_service(old) {
            errors.push(Error::invalid(&path, quality_of_service(new), "the class of service cannot change by resizing"));
        }
        if let (Some(new), Some(old)) = (&new.spec, &old.spec) {
            errors.extend(validate_removals(&path, new, old));
            if with_sizes_of(new, old) != *old {
                errors.push(Error::forbidden(&path, "only CPU and memory can be resized"));
            }
        }
        errors
    }
}

fn take_resources(containers: &mut [Container], wanted: Vec<Container>) {
    for wanted in wanted {
        if let Some(container) = containers.iter_mut().find(|c| c.name == wanted.name) {
            container.resources = wanted.resources;
            container.resize_policy = wanted.resize_policy;
        }
    }
}

/// Requests and limits that there are stay, of whatever size.
fn validate_removals(path: &Path, new: &PodSpec, old: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let init = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    let lists = [("initContainers", init(new), init(old)), ("containers", new.containers.clone(), old.containers.clone())];
    for (field, new, old) in lists {
        for (i, (new, old)) in new.iter().zip(&old).enumerate() {
            let at = path.child(field).index(i).child("resources");
            errors.extend(validate_kept(&at, new.resources.as_ref(), old.resources.as_ref()));
        }
    }
    errors
}

fn validate_kept(path: &Path, new: Option<&ResourceRequirements>, old: Option<&ResourceRequirements>) -> Errors {
    let (new, old) = (new.cloned().unwrap_or_default(), old.cloned().unwrap_or_default());
    [("requests", new.requests, old.requests), ("limits", new.limits, old.limits)]
        .into_iter()
        .filter(|(_, new, old)| {
            let lacks = |name: &&str| !new.as_ref().is_some_and(|l| l.contains_key(*name));
            RESIZABLE.iter().any(|name| old.as_ref().is_some_and(|l| l.contains_key(*name)) && lacks(name))
        })
        .map(|(field, ..)| Error::forbidden(&path.child(field), "cannot be removed by resizing"))
        .collect()
}

/// The new spec, with the sizes of the old one.
fn with_sizes_of(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut same = new.clone();
    let old_init = old.init_containers.as_deref().unwrap_or_default();
    for (container, old) in same.containers.iter_mut().zip(&old.containers) {
        put_back(container, old);
    }
    for (container, old) in same.init_containers.iter_mut().flatten().zip(old_init) {
        put_back(container, old);
    }
    same
}

fn put_back(container: &mut Container, old: &Container) {
    container.resize_policy.clone_from(&old.resize_policy);
    let was = old.resources.clone().unwrap_or_default();
    let Some(resources) = &mut container.resources else { return };
    for (list, was) in [(&mut resources.limits, was.limits), (&mut resources.requests, was.requests)] {
        for name in RESIZABLE {
            match was.as_ref().and_then(|l| l.get(name)) {
                Some(amount) => drop(list.get_or_insert_default().insert(name.to_owned(), amount.clone())),
                None => drop(list.as_mut().and_then(|l| l.remove(name))),
            }
        }
        // A list that came to be with the new sizes was not there.
        if was.is_none() && list.as_ref().is_some_and(|l| l.is_empty()) {
            *list = None;
        }
    }
}
