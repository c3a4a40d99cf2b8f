//! What a pod's status may say of containers: who ended stays ended unless something restarts it, and users and devices that
//! the container can have.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, LinuxContainerUser, PodSpec, PodStatus, ResourceStatus};
use machinery::field::{Error, Errors, Path};

use super::validation::validate_id;
use crate::validate::{supported_value, text};

const MOST_MESSAGE_BYTES: usize = 1024;

/// A container that has ended, and that nothing restarts, does not run again. `path` is the status's.
pub(super) fn validate_restarts(path: &Path, spec: &PodSpec, new: &PodStatus, old: &PodStatus) -> Errors {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let pod_policy = text(&spec.restart_policy);
    let mut errors = Errors::new();
    let mut rules = init.iter().chain(&spec.containers).flat_map(|c| c.restart_policy_rules.iter().flatten());
    // Where one container can restart all, any may run again.
    if !rules.any(|rule| rule.action == "RestartAllContainers") {
        let regular = (new.container_statuses.as_deref(), old.container_statuses.as_deref());
        errors.extend(validate_ended(&path.child("containerStatuses"), regular, |name, code| {
            spec.containers.iter().find(|c| c.name == name).is_some_and(|c| restarts(c, pod_policy, code))
        }));
        let starting = (new.init_container_statuses.as_deref(), old.init_container_statuses.as_deref());
        errors.extend(validate_ended(&path.child("initContainerStatuses"), starting, |name, code| {
            init.iter().find(|c| c.name == name).is_some_and(|c| restarts(c, pod_policy, code))
        }));
    }
    let debuggers = (new.ephemeral_container_statuses.as_deref(), old.ephemeral_container_statuses.as_deref());
    errors.extend(validate_ended(&path.child("ephemeralContainerStatuses"), debuggers, |_, _| false));
    errors
}

/// Whether the container is restarted after it ended with `code`: by its first rule that holds, else by its own policy, else
/// by the pod's.
fn restarts(container: &Container, pod_policy: &str, code: i32) -> bool {
    let policy = container.restart_policy.as_deref();
    let holds = |values: &[i32], operator: &str| match operator {
        "In" => values.contains(&code),
        "NotIn" => !values.contains(&code),
        _ => false,
    };
    let mut rules = container.restart_policy_rules.iter().flatten().filter(|_| policy.is_some());
    let rule = rules.find(|rule| rule.exit_codes.as_ref().is_some_and(|c| holds(c.values.as_deref().unwrap_or_default(), &c.operator)));
    if rule.is_some_and(|rule| rule.action == "Restart") {
        return true;
    }
    match policy.unwrap_or(pod_policy) {
        "OnFailure" => code != 0,
        "Never" => false,
        _ => true,
    }
}

fn validate_ended(
    path: &Path,
    (new, old): (Option<&[ContainerStatus]>, Option<&[ContainerStatus]>),
    may_run: impl Fn(&str, i32) -> bool,
) -> Errors {
    let mut errors = Errors::new();
    for (i, old) in old.unwrap_or_default().iter().enumerate() {
        let Some(ended) = old.state.as_ref().and_then(|s| s.terminated.as_ref()) else { continue };
        let runs = |s: &ContainerStatus| s.name == old.name && s.state.as_ref().is_none_or(|s| s.terminated.is_none());
        if new.unwrap_or_default().iter().any(runs) && !may_run(&old.name, ended.exit_code) {
            errors.push(Error::forbidden(&path.index(i).child("state"), "a container that has ended does not run again"));
        }
    }
    errors
}

/// Users and devices. `path` is the status's.
pub(super) fn validate(path: &Path, spec: &PodSpec, status: &PodStatus) -> Errors {
    let lists = [
        ("containerStatuses", &status.container_statuses),
        ("initContainerStatuses", &status.init_container_statuses),
        ("ephemeralContainerStatuses", &status.ephemeral_container_statuses),
    ];
    let on_windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    let mut errors = Errors::new();
    for (field, list) in lists {
        for (i, container) in list.iter().flatten().enumerate() {
            let Some(user) = container.user.as_ref().and_then(|user| user.linux.as_ref()) else { continue };
            let at = path.child(field).index(i).child("user").child("linux");
            if on_windows {
                errors.push(Error::forbidden(&at, "cannot be set for a pod on Windows"));
            } else {
                errors.extend(validate_user(&at, user));
            }
        }
    }
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for ((field, list), containers) in lists.into_iter().zip([Some(&spec.containers[..]), Some(init), None]) {
        for (i, status) in list.iter().flatten().enumerate() {
            let at = path.child(field).index(i).child("allocatedResourcesStatus");
            let devices = status.allocated_resources_status.as_deref().unwrap_or_default();
            match containers {
                Some(containers) => errors.extend(validate_devices(&at, devices, containers.iter().find(|c| c.name == status.name))),
                None if !devices.is_empty() => errors.push(Error::forbidden(&at, "ephemeral containers have no devices")),
                None => {}
            }
        }
    }
    errors
}

fn validate_user(path: &Path, user: &LinuxContainerUser) -> Errors {
    let mut errors = validate_id(&path.child("uid"), Some(user.uid));
    errors.extend(validate_id(&path.child("gid"), Some(user.gid)));
    for (i, group) in user.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(validate_id(&path.child("supplementalGroups").index(i), Some(*group)));
    }
    errors
}

fn validate_devices(path: &Path, devices: &[ResourceStatus], container: Option<&Container>) -> Errors {
    let mut errors = Errors::new();
    for (i, device) in devices.iter().enumerate() {
        let at = path.index(i);
        if container.is_some_and(|container| !has_device(container, &device.name)) {
            errors.push(Error::invalid(&at.child("name"), &device.name, "must be one of the container's requests or claims"));
        }
        let mut seen = BTreeSet::new();
        for (j, health) in device.resources.iter().flatten().enumerate() {
            let at = at.child("resources").index(j);
            errors.extend(supported_value(&at.child("health"), text(&health.health), &["Healthy", "Unhealthy", "Unknown"]));
            match health.message.as_deref() {
                Some("") => errors.push(Error::required(&at.child("message"), "must not be empty where it is given")),
                Some(message) if message.len() > MOST_MESSAGE_BYTES => {
                    errors.push(Error::too_long(&at.child("message"), MOST_MESSAGE_BYTES));
                }
                _ => {}
            }
            if !seen.insert(&health.resource_id) {
                errors.push(Error::duplicate(&at.child("resourceID"), &health.resource_id));
            }
        }
    }
    errors
}

/// A device is a request's, or a claim's: `claim:<name>` or `claim:<name>/<request>`.
fn has_device(container: &Container, name: &str) -> bool {
    let Some(resources) = &container.resources else { return false };
    match name.strip_prefix("claim:") {
        None => resources.requests.as_ref().is_some_and(|requests| requests.contains_key(name)),
        Some(claim) => {
            let (name, request) = claim.split_once('/').unwrap_or((claim, ""));
            resources.claims.iter().flatten().any(|c| c.name == name && text(&c.request) == request)
        }
    }
}
