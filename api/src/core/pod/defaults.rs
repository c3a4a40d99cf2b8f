//! What Kubernetes fills in where a pod, or a template of pods, leaves something out. Fields that Go's encoder shows
//! although they are empty (`resources: {}`) are filled here too.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EphemeralContainer, HTTPGetAction, Lifecycle, ObjectFieldSelector, Pod, PodIP, PodSpec, PodTemplateSpec, Probe,
    ResourceFieldSelector, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::{Quantity, Scale};

use super::validation::{is_compressible, is_of_pods};
use super::volume_defaults::default_volume;
use crate::scheduling::resources::{List, Sums};
use crate::zero::omit;

/// Defaults of a pod.
pub(super) fn default_pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    default_pod_spec(spec);
    // Requests follow limits in pods only, not in templates: a template shows what its writer wrote.
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        request_what_is_limited(container);
    }
    default_pod_level_limits(spec);
    default_pod_level_requests(spec);
    spec.enable_service_links.get_or_insert(true);
    if spec.host_network == Some(true) {
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            for port in container.ports.iter_mut().flatten() {
                if port.host_port.unwrap_or_default() == 0 {
                    port.host_port = Some(port.container_port);
                }
            }
        }
    }
    if let Some(seconds) = &mut spec.termination_grace_period_seconds
        && *seconds < 0
    {
        *seconds = 1;
    }
    default_status(pod);
}

fn default_status(pod: &mut Pod) {
    let status = pod.status.get_or_insert_default();
    // `podIP` is the first of `podIPs`; where they disagree, the old field wins.
    let first = status.pod_ips.as_ref().and_then(|ips| ips.first()).map(|ip| ip.ip.clone());
    match status.pod_ip.clone().filter(|ip| !ip.is_empty()) {
        Some(ip) if first.as_ref() != Some(&ip) => status.pod_ips = Some(vec![PodIP { ip }]),
        Some(_) => {}
        None => status.pod_ip = first,
    }
    for list in [&mut status.container_statuses, &mut status.init_container_statuses, &mut status.ephemeral_container_statuses] {
        for container in list.iter_mut().flatten() {
            container.state.get_or_insert_default();
            container.last_state.get_or_insert_default();
        }
    }
}

/// Defaults of a template of pods, as workloads hold one.
pub fn default_pod_template(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    let spec = template.spec.get_or_insert_default();
    default_pod_spec(spec);
    omit(&mut spec.overhead);
}

/// Defaults that pods and templates share.
pub fn default_pod_spec(spec: &mut PodSpec) {
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    mirror_service_account(spec);
    for volume in spec.volumes.iter_mut().flatten() {
        default_volume(volume);
    }
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        default_container(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        default_ephemeral_container(container);
    }
    if let Some(overhead) = &mut spec.overhead {
        round_up(overhead);
    }
    if let Some(resources) = &mut spec.resources {
        default_resources(resources);
    }
}

/// `serviceAccount` is the deprecated name of `serviceAccountName` and always shows the same.
pub(super) fn mirror_service_account(spec: &mut PodSpec) {
    let given = |name: &Option<String>| name.clone().filter(|n| !n.is_empty());
    let name = given(&spec.service_account_name).or_else(|| given(&spec.service_account));
    spec.service_account_name.clone_from(&name);
    spec.service_account = name;
}

/// Sets a text that is absent or empty.
pub(super) fn fill(field: &mut Option<String>, default: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(default.to_owned());
    }
}

fn default_container(container: &mut Container) {
    let image = container.image.as_deref().unwrap_or_default();
    fill(&mut container.image_pull_policy, pull_policy(image));
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    default_resources(container.resources.get_or_insert_default());
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
    }
    container.env.iter_mut().flatten().for_each(default_env);
    for probe in [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe] {
        probe.iter_mut().for_each(default_probe);
    }
    container.lifecycle.iter_mut().for_each(default_lifecycle);
}

fn default_ephemeral_container(container: &mut EphemeralContainer) {
    let image = container.image.as_deref().unwrap_or_default();
    fill(&mut container.image_pull_policy, pull_policy(image));
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    default_resources(container.resources.get_or_insert_default());
    // Ephemeral containers have no ports; ones that are given are defaulted before they are refused.
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
    }
    container.env.iter_mut().flatten().for_each(default_env);
}

/// An image whose tag moves is pulled each time. What is no name of an image has no tag that could move.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if !is_reference(image) {
        return "IfNotPresent";
    }
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    // A colon before the last slash belongs to a registry's port.
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

/// Whether images can be called that: by words of ASCII letters, which are lower case after the registry.
fn is_reference(image: &str) -> bool {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    let path = name.rsplit('/').next().unwrap_or(name);
    let repository = path.split(':').next().unwrap_or(path);
    !repository.is_empty()
        && image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b))
        && !repository.bytes().any(|b| b.is_ascii_uppercase())
}

fn default_env(variable: &mut EnvVar) {
    if let Some(source) = &mut variable.value_from {
        source.field_ref.iter_mut().for_each(default_field_selector);
        source.resource_field_ref.iter_mut().for_each(default_resource_selector);
        if let Some(selector) = &mut source.file_key_ref {
            selector.optional.get_or_insert(false);
        }
    }
}

pub(super) fn default_field_selector(selector: &mut ObjectFieldSelector) {
    fill(&mut selector.api_version, "v1");
}

pub(super) fn default_resource_selector(selector: &mut ResourceFieldSelector) {
    selector.divisor.get_or_insert_with(|| Text("0".to_owned()));
}

fn default_probe(probe: &mut Probe) {
    for (field, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or_default() == 0 {
            *field = Some(default);
        }
    }
    probe.http_get.iter_mut().for_each(default_http_get);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn default_http_get(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
}

fn default_lifecycle(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
        handler.http_get.iter_mut().for_each(default_http_get);
    }
}

fn default_resources(resources: &mut ResourceRequirements) {
    resources.limits.iter_mut().chain(&mut resources.requests).for_each(round_up);
}

/// Amounts finer than thousandths are rounded up to them.
fn round_up(list: &mut List) {
    for amount in list.values_mut() {
        let exact = Quantity::of(amount);
        let rounded = exact.round_up(Scale::Milli);
        if rounded != exact {
            *amount = rounded.into();
        }
    }
}

fn request_what_is_limited(container: &mut Container) {
    let Some(resources) = &mut container.resources else { return };
    let Some(limits) = resources.limits.as_ref().filter(|limits| !limits.is_empty()) else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, amount) in limits {
        requests.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

/// Huge pages that its containers are limited to, where the pod has resources as a whole and does not speak of them.
fn default_pod_level_limits(spec: &mut PodSpec) {
    let Some(resources) = spec.resources.as_ref() else { return };
    let is_empty = |list: &Option<List>| list.as_ref().is_none_or(|list| list.is_empty());
    if is_empty(&resources.limits) && is_empty(&resources.requests) {
        return;
    }
    let sums = Sums::of_limits(spec).only(|name| name.starts_with("hugepages-"));
    let Some(resources) = &mut spec.resources else { return };
    for (name, sum) in sums.iter().filter(|(name, _)| !resources.requests.as_ref().is_some_and(|r| r.contains_key(*name))) {
        resources.limits.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| sum.into());
    }
}

/// What the pod requests as a whole, where it limits itself as a whole: what its containers request together, else
/// what it is limited to.
fn default_pod_level_requests(spec: &mut PodSpec) {
    let Some(limits) = spec.resources.as_ref().and_then(|r| r.limits.clone()).filter(|l| !l.is_empty()) else { return };
    let sums = Sums::of_requests(spec).only(|name| is_of_pods(name) && is_compressible(name));
    let Some(resources) = &mut spec.resources else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, sum) in sums.iter() {
        requests.entry(name.to_owned()).or_insert_with(|| sum.into());
    }
    for (name, limit) in limits.into_iter().filter(|(name, _)| is_of_pods(name)) {
        requests.entry(name).or_insert(limit);
    }
    if requests.is_empty() {
        resources.requests = None;
    }
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn images_with_a_moving_tag_are_always_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry.local:5000/nginx", "Always"),
            ("registry.local:5000/nginx:2", "IfNotPresent"),
            ("nginx@sha256:00", "IfNotPresent"),
            ("nginx:latest@sha256:00", "Always"),
            ("", "IfNotPresent"),
            (" nginx", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
