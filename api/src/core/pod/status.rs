//! Writes of a pod's status, by its kubelet mostly. The spec stays; labels and annotations may change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{ip, names};

use super::{status_claims, status_containers, validation, warnings};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, immutable, text};

/// Conditions that Kubernetes sets itself.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

pub(super) struct Status;

impl UpdateStrategy<Pod> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        new.spec = old.spec.clone();
        new.metadata.deletion_timestamp = old.metadata.deletion_timestamp.clone();
        new.metadata.owner_references = old.metadata.owner_references.clone();
        let status = new.status.get_or_insert_default();
        drop_gated_fields(status);
        let Some(was) = &old.status else { return };
        // Old kubelets drop the class and the generation that they observed; both stay.
        if text(&status.qos_class).is_empty() {
            status.qos_class.clone_from(&was.qos_class);
        }
        if status.observed_generation.unwrap_or_default() == 0 {
            status.observed_generation = was.observed_generation;
        }
        keep_observed_generations(status, was);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        let (status, was) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
        let mut errors = validation::validate_annotations_update(new, old);
        errors.extend(validate(new, &status, &was));
        errors
    }

    fn warnings(&self, new: &Pod, _old: &Pod) -> Vec<String> {
        let Some(status) = &new.status else { return Vec::new() };
        let pod_ips = status.pod_ips.iter().flatten().enumerate().map(|(i, ip)| ("podIPs", i, &ip.ip));
        let host_ips = status.host_ips.iter().flatten().enumerate().map(|(i, ip)| ("hostIPs", i, &ip.ip));
        let all = pod_ips.chain(host_ips);
        all.filter_map(|(field, i, address)| warnings::address_warning(|| format!("status.{field}[{i}].ip"), address)).collect()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]
    }
}

/// Fields whose feature gates are closed by default in Kubernetes 1.36.
fn drop_gated_fields(status: &mut PodStatus) {
    status.node_allocatable_resource_claim_statuses = None;
    let lists = [&mut status.container_statuses, &mut status.init_container_statuses, &mut status.ephemeral_container_statuses];
    for container in lists.into_iter().flat_map(|list| list.iter_mut().flatten()) {
        container.volume_mounts.iter_mut().flatten().for_each(|mount| mount.volume_status = None);
    }
}

/// The first condition of a type keeps what the first one of it said, the second what the second said.
fn keep_observed_generations(new: &mut PodStatus, old: &PodStatus) {
    let mut known: BTreeMap<&str, Vec<Option<i64>>> = BTreeMap::new();
    for condition in old.conditions.iter().flatten().rev() {
        known.entry(&condition.type_).or_default().push(condition.observed_generation);
    }
    for condition in new.conditions.iter_mut().flatten() {
        let was = known.get_mut(condition.type_.as_str()).and_then(Vec::pop).flatten();
        if condition.observed_generation.unwrap_or_default() == 0 {
            condition.observed_generation = was;
        }
    }
}

fn validate(pod: &Pod, new: &PodStatus, old: &PodStatus) -> Errors {
    let path = Path::new("status");
    let mut errors = validate_conditions(&path.child("conditions"), new.conditions.as_deref().unwrap_or_default());
    errors.extend(validate_nomination(&path.child("nominatedNodeName"), pod, new, old));
    if let Some(generation) = new.observed_generation.filter(|generation| *generation < 0) {
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, "must not be negative"));
    }
    errors.extend(immutable(&path.child("qosClass"), &text(&new.qos_class), &text(&old.qos_class)));
    let Some(spec) = &pod.spec else { return errors };
    errors.extend(status_containers::validate_restarts(&path, spec, new, old));
    errors.extend(status_claims::validate(&path, spec, new));
    errors.extend(validate_pod_ips(&path, new, old));
    errors.extend(validate_host_ips(&path, new, old));
    errors.extend(status_containers::validate(&path, spec, new));
    errors
}

fn validate_conditions(path: &Path, conditions: &[PodCondition]) -> Errors {
    let mut errors = Errors::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
            errors.push(Error::invalid(&at.child("observedGeneration"), generation, "must not be negative"));
        }
        if !SYSTEM_CONDITIONS.contains(&condition.type_.as_str()) {
            // The odd capital is Kubernetes'.
            errors.extend(complaints(&at.child("Type"), &condition.type_, names::qualified_name(&condition.type_)));
        }
    }
    errors
}

fn validate_nomination(path: &Path, pod: &Pod, new: &PodStatus, old: &PodStatus) -> Errors {
    let node = text(&new.nominated_node_name);
    if node.is_empty() || node == text(&old.nominated_node_name) {
        return Errors::new();
    }
    let mut errors = complaints(path, node, names::dns1123_subdomain(node, false));
    if pod.spec.as_ref().is_some_and(|s| !text(&s.node_name).is_empty()) {
        errors.push(Error::forbidden(path, "a pod that is bound is nominated for no node"));
    }
    errors
}

fn validate_pod_ips(path: &Path, new: &PodStatus, old: &PodStatus) -> Errors {
    let of = |status: &PodStatus| -> Vec<String> { status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect() };
    validate_ips(&path.child("podIPs"), &of(new), &of(old))
}

fn validate_host_ips(path: &Path, new: &PodStatus, old: &PodStatus) -> Errors {
    let path = path.child("hostIPs");
    let of = |status: &PodStatus| -> Vec<String> { status.host_ips.iter().flatten().map(|ip| ip.ip.clone()).collect() };
    let ips = of(new);
    let mut errors = Errors::new();
    if let Some(first) = ips.first().filter(|first| *first != text(&new.host_ip)) {
        errors.push(Error::invalid(&path.index(0).child("ip"), first, "must be hostIP"));
    }
    errors.extend(validate_ips(&path, &ips, &of(old)));
    errors
}

/// One address, or one of each family. Addresses that have been there stay good.
fn validate_ips(path: &Path, ips: &[String], old: &[String]) -> Errors {
    let mut errors = Errors::new();
    for (i, address) in ips.iter().enumerate().filter(|(_, address)| !old.contains(address)) {
        errors.extend(complaints(&path.index(i), address, ip::address(address)));
    }
    if ips.len() < 2 {
        return errors;
    }
    let families: Option<Vec<bool>> = ips.iter().map(|ip| Some(ip.parse::<IpAddr>().ok()?.is_ipv6())).collect();
    if families.is_none() {
        errors.push(Error::internal(path, "the families of the addresses cannot be told"));
    }
    if !matches!(families.as_deref(), Some([a, b]) if a != b) {
        errors.push(Error::invalid(path, ips, "may have one address of each IP family"));
    }
    errors
}
