//! Writes of a pod's status, by its kubelet mostly. The spec stays; labels and annotations may change.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};

use crate::scheduling::resources::is_sidecar;
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, immutable, text};

pub(super) struct Status;

impl UpdateStrategy<Pod> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        new.spec = old.spec.clone();
        new.metadata.deletion_timestamp = old.metadata.deletion_timestamp.clone();
        new.metadata.owner_references = old.metadata.owner_references.clone();
        let status = new.status.get_or_insert_default();
        let Some(was) = &old.status else { return };
        // Old kubelets drop the class and the generation that they observed; both stay.
        if text(&status.qos_class).is_empty() {
            status.qos_class.clone_from(&was.qos_class);
        }
        if status.observed_generation.unwrap_or_default() == 0 {
            status.observed_generation = was.observed_generation;
        }
        for condition in status.conditions.iter_mut().flatten() {
            let known = was.conditions.iter().flatten().find(|c| c.type_ == condition.type_);
            if condition.observed_generation.unwrap_or_default() == 0 {
                condition.observed_generation = known.and_then(|c| c.observed_generation);
            }
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        let (status, was) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
        validate(new, &status, &was)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]
    }
}

fn validate(pod: &Pod, new: &PodStatus, old: &PodStatus) -> Errors {
    let path = Path::new("status");
    let mut errors = Errors::new();
    for (i, condition) in new.conditions.iter().flatten().enumerate() {
        // The odd capital is Kubernetes'.
        let at = path.child("conditions").index(i).child("Type");
        errors.extend(complaints(&at, &condition.type_, names::qualified_name(&condition.type_)));
    }
    errors.extend(validate_nomination(&path.child("nominatedNodeName"), pod, new, old));
    errors.extend(immutable(&path.child("qosClass"), &text(&new.qos_class), &text(&old.qos_class)));
    errors.extend(validate_restarts(&path, pod, new, old));
    errors.extend(validate_pod_ips(&path, new));
    errors.extend(validate_host_ips(&path, new));
    errors
}

fn validate_nomination(path: &Path, pod: &Pod, new: &PodStatus, old: &PodStatus) -> Errors {
    let node = text(&new.nominated_node_name);
    if node.is_empty() || node == text(&old.nominated_node_name) {
        return Errors::new();
    }
    if pod.spec.as_ref().is_some_and(|s| !text(&s.node_name).is_empty()) {
        return vec![Error::forbidden(path, "a pod that is bound is nominated for no node")];
    }
    complaints(path, node, names::dns1123_subdomain(node, false))
}

/// A container that has ended, and that the pod's restart policy does not restart, does not run again.
fn validate_restarts(path: &Path, pod: &Pod, new: &PodStatus, old: &PodStatus) -> Errors {
    let Some(spec) = &pod.spec else { return Errors::new() };
    let pod_policy = text(&spec.restart_policy);
    let container_policy = |name: &str| {
        let container = spec.containers.iter().find(|c| c.name == name)?;
        // Rules by exit code decide for themselves.
        let ruled = container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty());
        if ruled { Some("Always") } else { container.restart_policy.as_deref() }
    };
    let mut errors = Errors::new();
    let regular = (new.container_statuses.as_deref(), old.container_statuses.as_deref());
    errors
        .extend(validate_ended(&path.child("containerStatuses"), regular, |name| container_policy(name).unwrap_or(pod_policy).to_owned()));
    let init = (new.init_container_statuses.as_deref(), old.init_container_statuses.as_deref());
    errors.extend(validate_ended(&path.child("initContainerStatuses"), init, |name| {
        let sidecar = spec.init_containers.iter().flatten().any(|c| c.name == name && is_sidecar(c));
        if sidecar { "Always".to_owned() } else { pod_policy.to_owned() }
    }));
    let debuggers = (new.ephemeral_container_statuses.as_deref(), old.ephemeral_container_statuses.as_deref());
    errors.extend(validate_ended(&path.child("ephemeralContainerStatuses"), debuggers, |_| "Never".to_owned()));
    errors
}

fn validate_ended(
    path: &Path,
    (new, old): (Option<&[ContainerStatus]>, Option<&[ContainerStatus]>),
    policy: impl Fn(&str) -> String,
) -> Errors {
    let mut errors = Errors::new();
    for (i, old) in old.unwrap_or_default().iter().enumerate() {
        let Some(ended) = old.state.as_ref().and_then(|s| s.terminated.as_ref()) else { continue };
        let restarts = match policy(&old.name).as_str() {
            "Always" => true,
            "OnFailure" => ended.exit_code != 0,
            _ => false,
        };
        let runs = |s: &ContainerStatus| s.name == old.name && s.state.as_ref().is_none_or(|s| s.terminated.is_none());
        if !restarts && new.unwrap_or_default().iter().any(runs) {
            errors.push(Error::forbidden(&path.index(i).child("state"), "a container that has ended does not run again"));
        }
    }
    errors
}

fn validate_pod_ips(path: &Path, status: &PodStatus) -> Errors {
    let path = path.child("podIPs");
    let ips: Vec<&str> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let mut errors = Errors::new();
    for (i, address) in ips.iter().enumerate() {
        errors.extend(complaints(&path.index(i), address, ip::address(address)));
    }
    if ips.len() > 1 && !of_both_families(&ips) {
        errors.push(Error::invalid(&path, &ips, "may have one address of each IP family"));
    }
    for (i, address) in ips.iter().enumerate().filter(|(i, address)| ips[..*i].contains(address)) {
        errors.push(Error::duplicate(&path.index(i), address));
    }
    errors
}

fn validate_host_ips(path: &Path, status: &PodStatus) -> Errors {
    let path = path.child("hostIPs");
    let ips: Vec<&str> = status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let Some(first) = ips.first() else { return Errors::new() };
    let mut errors = Errors::new();
    if *first != text(&status.host_ip) {
        errors.push(Error::invalid(&path.index(0).child("ip"), first, "must be hostIP"));
    }
    for (i, address) in ips.iter().enumerate() {
        errors.extend(complaints(&path.index(i), address, ip::address(address)));
    }
    if ips.len() > 1 && !of_both_families(&ips) {
        errors.push(Error::invalid(&path, &ips, "may have one address of each IP family"));
    }
    errors
}

fn of_both_families(ips: &[&str]) -> bool {
    let families: Vec<bool> = ips.iter().filter_map(|ip| Some(ip.parse::<IpAddr>().ok()?.is_ipv6())).collect();
    matches!(families[..], [a, b] if a != b)
}
