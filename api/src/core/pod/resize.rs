//! The `resize` subresource: CPU and memory of containers, or of the pod as a whole, change while they run.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use machinery::field::{Error, Errors, Path};

use super::ephemeral::keep_all_but_spec;
use super::validation::annotations::MIRROR;
use super::validation::whole;
use super::{count_generation, quality_of_service, validation};
use crate::scheduling::resources::{List, is_sidecar};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::text;

const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub(super) struct Resize;

impl UpdateStrategy<Pod> for Resize {
    /// Everything but resources and resize policies is dropped from the write, unless it has other containers: then it is
    /// refused for all that it changes.
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        let wanted = new.spec.clone().unwrap_or_default();
        let was = old.spec.clone().unwrap_or_default();
        let count = |spec: &PodSpec| (spec.containers.len(), init(spec).len());
        if count(&wanted) == count(&was) {
            keep_all_but_spec(new, old);
            if let Some(spec) = &mut new.spec {
                spec.resources = wanted.resources;
                take_resources(&mut spec.containers, wanted.containers);
                if let Some(containers) = &mut spec.init_containers {
                    take_resources(containers, wanted.init_containers.unwrap_or_default());
                }
            }
        }
        count_generation(new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR)) {
            return vec![Error::forbidden(&whole(), "a static pod cannot be resized")];
        }
        if old.spec.as_ref().and_then(|s| s.os.as_ref()).is_some_and(|os| os.name == "windows") {
            return vec![Error::forbidden(&whole(), "a pod on Windows cannot be resized")];
        }
        let mut errors = validation::validate_pod(new);
        let path = Path::new("spec");
        let recorded = old.status.as_ref().map(|s| text(&s.qos_class)).filter(|class| !class.is_empty());
        if quality_of_service(new) != recorded.unwrap_or_else(|| quality_of_service(old)) {
            errors.push(Error::invalid(&path, quality_of_service(new), "the class of service cannot change by resizing"));
        }
        if !node_can_resize(old) {
            errors.push(Error::forbidden(&path, "the pod's node cannot resize"));
        }
        if let (Some(new), Some(old)) = (&new.spec, &old.spec) {
            let before = errors.len();
            let rest = validate_spec(&path, new, old, before == 0);
            errors.extend(rest);
        }
        errors
    }
}

fn init(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

/// Containers in another order, or with other names, are left for validation to refuse.
fn take_resources(containers: &mut Vec<Container>, wanted: Vec<Container>) {
    if containers.iter().zip(&wanted).any(|(container, wanted)| container.name != wanted.name) {
        *containers = wanted;
        return;
    }
    for (container, wanted) in containers.iter_mut().zip(wanted) {
        container.resources = wanted.resources;
        container.resize_policy = wanted.resize_policy;
    }
}

/// A kubelet that reports what running containers have can change it.
fn node_can_resize(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    let mut running = statuses.filter(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()));
    running.next().is_none_or(|status| status.resources.is_some())
}

/// `good_so_far`: the rest of the spec is compared only where nothing else is wrong.
fn validate_spec(path: &Path, new: &PodSpec, old: &PodSpec, good_so_far: bool) -> Errors {
    let mut same = new.clone();
    let mut errors = Errors::new();
    if is_sized(new) || is_sized(old) {
        errors.extend(validate_pod_level(path, &mut same, old));
    }
    let order = validate_order(path, new, old);
    if !order.is_empty() {
        errors.extend(order);
        return errors;
    }
    for (field, new, old) in [("initContainers", init(new), init(old)), ("containers", &new.containers, &old.containers)] {
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            let at = path.child(field).index(i).child("resources");
            let none = ResourceRequirements::default();
            errors.extend(validate_kept(&at, new.resources.as_ref().unwrap_or(&none), old.resources.as_ref().unwrap_or(&none)));
        }
    }
    const WHY: &str = "only CPU and memory can be resized";
    for (container, old) in same.containers.iter_mut().zip(&old.containers) {
        put_back(container, old);
        if container != old {
            errors.push(Error::forbidden(path, WHY));
        }
    }
    for (i, (container, old)) in same.init_containers.iter_mut().flatten().zip(init(old)).enumerate() {
        let at = path.child("initContainers").index(i);
        let is_resized = container != old;
        put_back(container, old);
        if container != old {
            errors.push(Error::forbidden(&at, WHY));
        }
        if is_resized && !is_sidecar(container) {
            let restarted = container.resize_policy.iter().flatten().filter(|p| p.restart_policy == "RestartContainer");
            errors.extend(restarted.map(|_| Error::forbidden(&at, "an init container that would restart cannot be resized")));
        }
    }
    if good_so_far && errors.is_empty() && same != *old {
        errors.push(Error::forbidden(path, WHY));
    }
    errors
}

fn is_sized(spec: &PodSpec) -> bool {
    let is_given = |list: &Option<List>| list.as_ref().is_some_and(|list| !list.is_empty());
    spec.resources.as_ref().is_some_and(|r| is_given(&r.requests) || is_given(&r.limits))
}

/// The resources of the pod as a whole; those in `same` become the old ones where they may change.
fn validate_pod_level(path: &Path, same: &mut PodSpec, old: &PodSpec) -> Errors {
    let at = path.child("resources");
    let mut errors = Errors::new();
    match (&mut same.resources, &old.resources) {
        (None, Some(_)) => return vec![Error::forbidden(&at, "cannot be removed by resizing")],
        (Some(new), Some(old)) => {
            errors.extend(validate_kept(&at, new, old));
            put_back_lists(new, old);
        }
        (Some(new), None) => {
            put_back_lists(new, &ResourceRequirements::default());
            if *new == ResourceRequirements::default() {
                same.resources = None;
            }
        }
        (None, None) => {}
    }
    if same.resources != old.resources {
        errors.push(Error::forbidden(path, "only CPU and memory of the pod as a whole can be resized"));
    }
    errors
}

fn validate_order(path: &Path, new: &PodSpec, old: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for (field, new, old) in [("containers", &new.containers[..], &old.containers[..]), ("initContainers", init(new), init(old))] {
        let at = path.child(field);
        if new.len() != old.len() {
            errors.push(Error::forbidden(&at, "containers cannot be added or removed by resizing"));
            continue;
        }
        let renamed = new.iter().zip(old).enumerate().filter(|(_, (new, old))| new.name != old.name);
        errors.extend(renamed.map(|(i, _)| Error::forbidden(&at.index(i).child("name"), "cannot be changed by resizing")));
    }
    errors
}

/// Requests and limits that there are stay, of whatever size.
fn validate_kept(path: &Path, new: &ResourceRequirements, old: &ResourceRequirements) -> Errors {
    let is_removed = |new: &Option<List>, old: &Option<List>| {
        old.iter().flat_map(|old| old.keys()).any(|name| !new.as_ref().is_some_and(|new| new.contains_key(name)))
    };
    [("requests", is_removed(&new.requests, &old.requests)), ("limits", is_removed(&new.limits, &old.limits))]
        .into_iter()
        .filter(|(_, is_removed)| *is_removed)
        .map(|(field, _)| Error::forbidden(&path.child(field), "cannot be removed by resizing"))
        .collect()
}

fn put_back(container: &mut Container, old: &Container) {
    let none = ResourceRequirements::default();
    put_back_lists(container.resources.get_or_insert_default(), old.resources.as_ref().unwrap_or(&none));
}

/// The sizes become the old ones.
fn put_back_lists(resources: &mut ResourceRequirements, old: &ResourceRequirements) {
    for (list, was) in [(&mut resources.limits, &old.limits), (&mut resources.requests, &old.requests)] {
        let mut merged = list.take().unwrap_or_default();
        for name in RESIZABLE {
            match was.as_ref().and_then(|was| was.get(name)) {
                Some(amount) => merged.insert(name.to_owned(), amount.clone()),
                None => merged.remove(name),
            };
        }
        *list = Some(merged).filter(|list| !list.is_empty());
    }
}
