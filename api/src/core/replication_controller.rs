//! ReplicationController: keeps a number of pods running. The forerunner of ReplicaSet, whose selector is a map of labels.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController, ReplicationControllerSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::pod::{default_pod_template, drop_gated_in_template, validate_pod_template, warnings_of_template};
use crate::columns;
use crate::counts;
use crate::kind::{Column, Kind, Names, Propagation, ScaleView, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{non_negative, text};

pub struct ReplicationControllers;

impl Kind for ReplicationControllers {
    type Object = ReplicationController;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short: &["rc"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "controllers";
    const DEFAULT_PROPAGATION: Option<Propagation> = Some(Propagation::Orphan);
    const SELECTABLE: &'static [&'static str] = &["status.replicas"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Desired", "How many pods there are to be."),
        Column::integer("Current", "How many pods there are."),
        Column::integer("Ready", "How many of them are ready."),
        Column::AGE,
        columns::CONTAINERS,
        columns::IMAGES,
        columns::SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(controller: &mut ReplicationController) {
        let spec = controller.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        if let Some(template) = &mut spec.template {
            default_pod_template(template);
            // The template's labels select its pods and label the controller, unless others are given.
            let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
            if spec.selector.as_ref().is_none_or(|s| s.is_empty()) && !labels.is_empty() {
                spec.selector = Some(labels.clone());
            }
            if controller.metadata.labels.as_ref().is_none_or(|l| l.is_empty()) && !labels.is_empty() {
                controller.metadata.labels = Some(labels);
            }
        }
        controller.status.get_or_insert_default();
    }

    fn drop_unkept(controller: &mut ReplicationController) {
        controller.spec.iter_mut().filter_map(|spec| spec.template.as_mut()).for_each(drop_gated_in_template);
    }

    fn prepare_create(_cx: &Context<'_>, controller: &mut ReplicationController) {
        controller.metadata.generation = Some(1);
        controller.status = Some(Default::default());
    }

    fn validate_create(_cx: &Context<'_>, controller: &ReplicationController) -> Errors {
        validate_spec(&Path::new("spec"), &controller.spec.clone().unwrap_or_default())
    }

    fn warnings_create(controller: &ReplicationController) -> Vec<String> {
        let mut warnings = Vec::new();
        if !names::dns1123_label(text(&controller.metadata.name), false).is_empty() {
            warnings.push("metadata.name: begins the names and host names of pods, for which a DNS label would be better".to_owned());
        }
        warnings.extend(template_warnings(controller));
        warnings
    }

    fn update() -> &'static dyn UpdateStrategy<ReplicationController> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ReplicationController>> {
        let scale = ScaleView {
            replicas: |c: &ReplicationController| c.spec.as_ref().and_then(|s| s.replicas).unwrap_or_default(),
            set_replicas: |c, replicas| c.spec.get_or_insert_default().replicas = Some(replicas),
            observed: |c| c.status.as_ref().map_or(0, |s| s.replicas),
            selector: |c| columns::join_labels(c.spec.as_ref().and_then(|s| s.selector.as_ref())),
            path: || Path::new("spec").child("replicas"),
        };
        vec![Subresource { name: "scale", view: View::Scale(scale) }, Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn selectable_fields(controller: &ReplicationController) -> Vec<SelectableField> {
        let replicas = controller.status.as_ref().map_or(0, |s| s.replicas);
        vec![("status.replicas", replicas.to_string().into())]
    }

    fn row(controller: &ReplicationController, now: Timestamp) -> Vec<Value> {
        let spec = controller.spec.clone().unwrap_or_default();
        let status = controller.status.clone().unwrap_or_default();
        let [containers, images] = columns::containers_and_images(spec.template.as_ref());
        vec![
            columns::name(&controller.metadata),
            json!(spec.replicas.unwrap_or_default()),
            json!(status.replicas),
            json!(status.ready_replicas.unwrap_or_default()),
            columns::age(&controller.metadata, now),
            containers,
            images,
            json!(columns::labels(spec.selector.as_ref())),
        ]
    }
}

fn validate_spec(path: &Path, spec: &ReplicationControllerSpec) -> Errors {
    let mut errors = counts::non_negative(&path.child("minReadySeconds"), spec.min_ready_seconds);
    if spec.selector.as_ref().is_none_or(|s| s.is_empty()) {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    errors.extend(counts::non_negative(&path.child("replicas"), spec.replicas));
    match &spec.template {
        None => errors.push(Error::required(&path.child("template"), "")),
        Some(template) => errors.extend(validate_template(&path.child("template"), template, spec)),
    }
    errors
}

fn validate_template(path: &Path, template: &PodTemplateSpec, spec: &ReplicationControllerSpec) -> Errors {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    let mut errors = Errors::new();
    if spec.selector.iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        let at = path.child("metadata").child("labels");
        errors.push(Error::invalid(&at, &labels, "must be what the selector selects"));
    }
    errors.extend(validate_pod_template(path, template));
    let pod = template.spec.clone().unwrap_or_default();
    let path = path.child("spec");
    if text(&pod.restart_policy) != "Always" {
        errors.push(Error::not_supported(&path.child("restartPolicy"), text(&pod.restart_policy), &["Always"]));
    }
    if pod.active_deadline_seconds.is_some() {
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), "pods of a controller have no deadline"));
    }
    errors
}

fn template_warnings(controller: &ReplicationController) -> Vec<String> {
    let template = controller.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.map(|template| warnings_of_template(&Path::new("spec").child("template"), template)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<ReplicationController> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ReplicationController, old: &ReplicationController) {
        new.status = old.status.clone();
        if new.spec != old.spec {
            new.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ReplicationController, _old: &ReplicationController) -> Errors {
        validate_spec(&Path::new("spec"), &new.spec.clone().unwrap_or_default())
    }

    /// Kubernetes warns of the old template here, not of the new one.
    fn warnings(&self, new: &ReplicationController, old: &ReplicationController) -> Vec<String> {
        if new.metadata.generation == old.metadata.generation { Vec::new() } else { template_warnings(old) }
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ReplicationController> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ReplicationController, old: &ReplicationController) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &ReplicationController, _old: &ReplicationController) -> Errors {
        let path = Path::new("status");
        let status = new.status.clone().unwrap_or_default();
        let (labelled, ready, available) = (status.fully_labeled_replicas, status.ready_replicas, status.available_replicas);
        let mut errors = non_negative(&path.child("replicas"), status.replicas.into());
        errors.extend(counts::non_negative(&path.child("fullyLabeledReplicas"), labelled));
        errors.extend(counts::non_negative(&path.child("readyReplicas"), ready));
        errors.extend(counts::non_negative(&path.child("availableReplicas"), available));
        errors.extend(counts::non_negative(&path.child("observedGeneration"), status.observed_generation));
        let all = ("replicas", Some(status.replicas));
        let parts = [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)];
        errors.extend(counts::at_most(&path, &parts, all));
        errors.extend(counts::at_most(&path, &[("availableReplicas", available)], ("readyReplicas", ready)));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
