//! What is wrong with a pod, or a template of pods. One file per theme; the order of the errors is Kubernetes'.

mod affinity;
pub(super) mod annotations;
mod containers;
mod env;
mod host;
mod mounts;
mod probes;
mod projected;
mod resources;
mod security;
mod spread;
pub(crate) mod volume_disks;
mod volume_sources;
mod volumes;
mod windows;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, Errors, Path};
use machinery::{names, objectmeta};

pub use affinity::{validate_node_selector, validate_tolerations};
pub(super) use resources::is_of_pods;
pub(crate) use resources::{is_compressible, is_extended, validate_container_resource_name, validate_limits};
pub use resources::{validate_amount, validate_resource_name, validate_resources};
pub(super) use security::{validate_app_armor, validate_id};
pub(crate) use volume_sources::host_path;
pub(crate) use volumes::no_backsteps;

use crate::validate::{choice, complaints, text};

/// What is around a spec: the metadata of a pod, or a template.
#[derive(Clone, Copy)]
enum Around<'a> {
    Pod(&'a ObjectMeta),
    Template,
}

impl<'a> Around<'a> {
    fn pod_name(self) -> Option<&'a str> {
        match self {
            Self::Pod(meta) => meta.name.as_deref().filter(|name| !name.is_empty()),
            Self::Template => None,
        }
    }

    /// Whether the pod shows what a kubelet runs on its own account.
    fn is_mirror(self) -> bool {
        matches!(self, Self::Pod(meta) if meta.annotations.as_ref().is_some_and(|a| a.contains_key(annotations::MIRROR)))
    }
}

/// The path of what is wrong with a pod as a whole, as Kubernetes writes one without a name.
pub(super) fn whole() -> Path {
    Path::new("[]")
}

/// A new pod.
pub(super) fn validate_new_pod(pod: &Pod) -> Errors {
    let mut errors = validate_pod(pod);
    let path = Path::new("spec");
    let Some(spec) = &pod.spec else { return errors };
    if spec.ephemeral_containers.as_ref().is_some_and(|all| !all.is_empty()) {
        let why = "are added to a pod that exists, through the ephemeralcontainers subresource";
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), why));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) && !text(&spec.node_name).is_empty() {
        errors.push(Error::forbidden(&path.child("nodeName"), "cannot be set before all schedulingGates are removed"));
    }
    errors.extend(annotations::validate_agreement(&path, pod.metadata.annotations.as_ref(), spec));
    errors
}

/// What new pods and changed ones have to be.
pub(super) fn validate_pod(pod: &Pod) -> Errors {
    let Some(spec) = &pod.spec else { return vec![Error::required(&Path::new("spec"), "")] };
    let path = Path::new("spec");
    let mut errors = validate_annotations(pod, spec);
    errors.extend(validate_pod_spec(&path, spec, Around::Pod(&pod.metadata)));
    errors.extend(validate_tokens_have_an_account(&path, spec));
    errors.extend(validate_images_are_trimmed(&path.child("containers"), &spec.containers));
    let init = spec.init_containers.as_deref().unwrap_or_default();
    errors.extend(validate_images_are_trimmed(&path.child("initContainers"), init));
    errors
}

fn validate_annotations(pod: &Pod, spec: &PodSpec) -> Errors {
    annotations::validate(&Path::new("metadata").child("annotations"), pod.metadata.annotations.as_ref(), spec)
}

/// What is wrong with the annotations of a changed pod: what they became, and how they changed.
pub(super) fn validate_annotations_update(new: &Pod, old: &Pod) -> Errors {
    let path = Path::new("metadata").child("annotations");
    let mut errors = annotations::validate_update(&path, new.metadata.annotations.as_ref(), old.metadata.annotations.as_ref());
    if let Some(spec) = &new.spec {
        errors.extend(validate_annotations(new, spec));
    }
    errors
}

/// Templates may name no account, since admission fills it in when a pod is made; a pod that has none gets no token.
fn validate_tokens_have_an_account(path: &Path, spec: &PodSpec) -> Errors {
    if !text(&spec.service_account_name).is_empty() {
        return Errors::new();
    }
    let mut errors = Errors::new();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let sources = volume.projected.as_ref().and_then(|p| p.sources.as_deref()).unwrap_or_default();
        for (j, _) in sources.iter().enumerate().filter(|(_, s)| s.service_account_token.is_some()) {
            let at = path.child("volumes").index(i).child("projected").child("sources").index(j);
            errors.push(Error::forbidden(&at.child("serviceAccountToken"), "needs a serviceAccountName"));
        }
    }
    errors
}

fn validate_images_are_trimmed(path: &Path, all: &[Container]) -> Errors {
    let each = all.iter().enumerate();
    each.flat_map(|(i, container)| containers::validate_image_is_trimmed(&path.index(i), text(&container.image))).collect()
}

/// A template of pods, as workloads hold one. `path` is the template's.
pub fn validate_pod_template(path: &Path, template: &PodTemplateSpec) -> Errors {
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut errors = objectmeta::validate_labels(metadata.labels.as_ref(), &path.child("labels"));
    errors.extend(objectmeta::validate_annotations(metadata.annotations.as_ref(), &path.child("annotations")));
    let spec = template.spec.clone().unwrap_or_default();
    errors.extend(annotations::validate(&path.child("annotations"), metadata.annotations.as_ref(), &spec));
    let at = path.child("spec");
    errors.extend(validate_pod_spec(&at, &spec, Around::Template));
    errors.extend(annotations::validate_agreement(&at, metadata.annotations.as_ref(), &spec));
    if spec.ephemeral_containers.as_ref().is_some_and(|all| !all.is_empty()) {
        errors.push(Error::forbidden(&at.child("ephemeralContainers"), "have no place in a template"));
    }
    errors
}

/// A spec, theme by theme, in Kubernetes' order.
fn validate_pod_spec(path: &Path, spec: &PodSpec, around: Around<'_>) -> Errors {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let (known, mut errors) = volumes::validate_volumes(&path.child("volumes"), volumes, around);
    errors.extend(resources::validate_claims(&path.child("resourceClaims"), spec, around));
    errors.extend(containers::validate_all(path, spec, &known));
    errors.extend(resources::validate_pod_level(&path.child("resources"), spec));
    errors.extend(security::validate_host_network(path, spec, around));
    let restart_policies = ["Always", "OnFailure", "Never"];
    errors.extend(choice(&path.child("restartPolicy"), text(&spec.restart_policy), &restart_policies));
    let dns_policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.extend(choice(&path.child("dnsPolicy"), text(&spec.dns_policy), &dns_policies));
    errors.extend(objectmeta::validate_labels(spec.node_selector.as_ref(), &path.child("nodeSelector")));
    errors.extend(security::validate_pod(path, spec));
    errors.extend(affinity::validate_affinity(&path.child("affinity"), spec.affinity.as_ref()));
    errors.extend(host::validate_dns(&path.child("dnsConfig"), spec));
    errors.extend(validate_gates(path, spec));
    errors.extend(spread::validate(&path.child("topologySpreadConstraints"), spec));
    errors.extend(windows::validate_host_processes(path, spec));
    errors.extend(security::validate_own_users(path, spec));
    errors.extend(host::validate_override(&path.child("hostnameOverride"), spec));
    errors.extend(validate_references(path, spec));
    errors.extend(host::validate_names(path, spec));
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    errors.extend(validate_tolerations(&path.child("tolerations"), tolerations));
    errors.extend(host::validate_aliases(&path.child("hostAliases"), spec));
    errors.extend(validate_classes(path, spec));
    errors.extend(windows::validate_os(path, spec));
    errors.extend(env::validate_file_volumes(path, spec));
    errors
}

fn validate_gates(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let at = path.child("readinessGates").index(i).child("conditionType");
        errors.extend(complaints(&at, &gate.condition_type, names::qualified_name(&gate.condition_type)));
    }
    let gates = spec.scheduling_gates.as_deref().unwrap_or_default();
    for (i, gate) in gates.iter().enumerate() {
        let at = path.child("schedulingGates").index(i);
        errors.extend(complaints(&at, &gate.name, names::qualified_name(&gate.name)));
        if gates[..i].iter().any(|g| g.name == gate.name) {
            errors.push(Error::duplicate(&at, &gate.name));
        }
    }
    errors
}

fn validate_references(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for (field, value) in [("serviceAccountName", &spec.service_account_name), ("nodeName", &spec.node_name)] {
        if let Some(name) = value.as_ref().filter(|name| !name.is_empty()) {
            errors.extend(complaints(&path.child(field), name, names::dns1123_subdomain(name, false)));
        }
    }
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(Error::invalid(&path.child("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647"));
    }
    errors
}

fn validate_classes(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let (priority, runtime) = (text(&spec.priority_class_name), &spec.runtime_class_name);
    if !priority.is_empty() {
        let wrong = names::dns1123_subdomain(priority, false);
        errors.extend(complaints(&path.child("priorityClassName"), priority, wrong));
    }
    if let Some(runtime) = runtime {
        let wrong = names::dns1123_subdomain(runtime, false);
        errors.extend(complaints(&path.child("runtimeClassName"), runtime, wrong));
    }
    if let Some(policy) = &spec.preemption_policy {
        errors.extend(choice(&path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]));
    }
    if let Some(overhead) = &spec.overhead {
        errors.extend(resources::validate_limits(&path.child("overhead"), overhead));
    }
    errors
}
