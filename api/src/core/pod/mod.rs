//! Pod: containers that run together on a node. The largest kind, so that it is a directory: defaults, validation by
//! theme, one file for each way in which a pod may be updated, and what `kubectl get pods` shows.

mod binding;
mod defaults;
mod ephemeral;
mod gates;
mod labels;
mod qos;
mod resize;
mod row;
mod secrets;
mod status;
mod status_claims;
mod status_containers;
mod text;
mod update;
mod validation;
mod visit;
mod volume_defaults;
mod volume_warnings;
mod warnings;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{AppArmorProfile, Pod, PodCondition, PodStatus, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Errors, Path};
use machinery::names;
use machinery::table::RowCondition;
use serde_json::Value;

use self::validation::annotations::{APP_ARMOR_PREFIX, app_armor_field};

pub use binding::{bind, target_of};
pub use defaults::{default_pod_spec, default_pod_template};
pub use gates::drop_gated_in_template;
pub use qos::quality_of_service;
pub use secrets::secret_names;
pub use text::{status_json, template_json, template_of};
pub(crate) use validation::{host_path, no_backsteps, volume_disks};
pub(crate) use validation::{is_compressible, is_extended, validate_container_resource_name, validate_limits};
pub use validation::{validate_amount, validate_resource_name, validate_resources};
pub use validation::{validate_node_selector, validate_pod_template, validate_tolerations};
pub use warnings::warnings_of_template;

use crate::kind::{Column, Kind, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::text;

pub struct Pods;

impl Kind for Pods {
    type Object = Pod;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Pod", plural: "pods", singular: "pod", short: &["po"], categories: &["all"] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "pods";
    const DELETE_RETURNS_OBJECT: bool = true;
    const SELECTABLE: &'static [&'static str] = &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ];
    const COLUMNS: &'static [Column] = row::COLUMNS;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(pod: &mut Pod) {
        defaults::default_pod(pod);
    }

    fn drop_unkept(pod: &mut Pod) {
        pod.spec.iter_mut().for_each(gates::drop_gated_fields);
    }

    fn prepare_create(cx: &Context<'_>, pod: &mut Pod) {
        pod.metadata.generation = Some(1);
        // Admission may have filled the one of the two names.
        if let Some(spec) = &mut pod.spec {
            defaults::mirror_service_account(spec);
        }
        labels::resolve_label_keys(pod);
        fill_app_armor(pod);
        let given = pod.status.take().and_then(|s| s.qos_class).filter(|class| !class.is_empty());
        pod.status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            // A class that the creator names is kept.
            qos_class: Some(given.unwrap_or_else(|| quality_of_service(pod).to_owned())),
            conditions: gated(pod, cx.now).map(|condition| vec![condition]),
            ..PodStatus::default()
        });
    }

    fn validate_create(_cx: &Context<'_>, pod: &Pod) -> Errors {
        validation::validate_new_pod(pod)
    }

    fn warnings_given(pod: &Pod) -> Vec<String> {
        warnings::of_annotations(pod)
    }

    fn warnings_create(pod: &Pod) -> Vec<String> {
        warnings::of_pod(pod)
    }

    fn update() -> &'static dyn UpdateStrategy<Pod> {
        &update::Update
    }

    fn subresources() -> Vec<Subresource<Pod>> {
        vec![
            Subresource { name: "ephemeralcontainers", view: View::Object(&ephemeral::EphemeralContainers) },
            Subresource { name: "resize", view: View::Object(&resize::Resize) },
            Subresource { name: "status", view: View::Object(&status::Status) },
        ]
    }

    fn selectable_fields(pod: &Pod) -> Vec<SelectableField> {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let of_spec = |field: fn(&k8s_openapi::api::core::v1::PodSpec) -> &Option<String>| {
            spec.map(|s| text(field(s))).unwrap_or_default().to_owned().into()
        };
        let of_status = |field: fn(&PodStatus) -> &Option<String>| status.map(|s| text(field(s))).unwrap_or_default().to_owned().into();
        let host_network = spec.and_then(|s| s.host_network).unwrap_or_default();
        vec![
            ("spec.nodeName", of_spec(|s| &s.node_name)),
            ("spec.restartPolicy", of_spec(|s| &s.restart_policy)),
            ("spec.schedulerName", of_spec(|s| &s.scheduler_name)),
            ("spec.serviceAccountName", of_spec(|s| &s.service_account_name)),
            ("spec.hostNetwork", if host_network { "true" } else { "false" }.into()),
            ("status.phase", of_status(|s| &s.phase)),
            ("status.podIP", of_status(|s| &s.pod_ip)),
            // A field that may be named, and that no pod has.
            ("status.podIPs", "".into()),
            ("status.nominatedNodeName", of_status(|s| &s.nominated_node_name)),
        ]
    }

    fn row(pod: &Pod, now: Timestamp) -> Vec<Value> {
        row::cells(pod, now)
    }

    fn row_conditions(pod: &Pod) -> Vec<RowCondition> {
        row::conditions(pod)
    }

    /// A pod gets the time that the request gives it, or that it asks for itself; one that no kubelet looks
    /// after, or that is over, goes at once.
    fn deletion_grace_seconds(pod: &Pod, requested: Option<i64>) -> Option<i64> {
        let spec = pod.spec.as_ref();
        let unscheduled = spec.is_none_or(|s| text(&s.node_name).is_empty());
        if unscheduled || is_over(pod) {
            return Some(0);
        }
        let seconds = requested.or(spec.and_then(|s| s.termination_grace_period_seconds)).unwrap_or_default();
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

/// Whether the pod has ended for good.
pub fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().map(|s| text(&s.phase)), Some("Succeeded" | "Failed"))
}

/// The profile that an annotation asks for becomes the field's, except on Windows. One that is no good is left to validation.
fn fill_app_armor(pod: &mut Pod) {
    let (Some(annotations), Some(spec)) = (&pod.metadata.annotations, &mut pod.spec) else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") || !annotations.keys().any(|key| key.starts_with(APP_ARMOR_PREFIX)) {
        return;
    }
    let of_pod = spec.security_context.as_ref().and_then(|c| c.app_armor_profile.clone());
    let fill = |name: &str, context: &mut Option<SecurityContext>| {
        let has_own = context.as_ref().is_some_and(|c| c.app_armor_profile.is_some());
        let wanted = annotations.get(&format!("{APP_ARMOR_PREFIX}{name}")).filter(|_| !has_own).and_then(|a| app_armor_field(a));
        let is_good = |profile: &AppArmorProfile| validation::validate_app_armor(&Path::root(), profile).is_empty();
        if let Some(profile) = wanted.filter(|profile| is_good(profile) && of_pod.as_ref() != Some(profile)) {
            context.get_or_insert_default().app_armor_profile = Some(profile);
        }
    };
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        fill(&container.name, &mut container.security_context);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        fill(&container.name, &mut container.security_context);
    }
}

/// The condition of a pod that schedulers are to leave alone for now.
fn gated(pod: &Pod, now: Timestamp) -> Option<PodCondition> {
    let gates = pod.spec.as_ref()?.scheduling_gates.as_ref()?;
    (!gates.is_empty()).then(|| PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        last_transition_time: Some(Time(now)),
        reason: Some("SchedulingGated".to_owned()),
        message: Some("the pod has scheduling gates".to_owned()),
        ..PodCondition::default()
    })
}

/// A change of the spec is a new generation.
fn count_generation(new: &mut Pod, old: &Pod) {
    if new.spec != old.spec {
        new.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
    }
}
