//! HorizontalPodAutoscaler: sets the replicas of a workload by what its pods are measured at.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::{annotations, metrics};
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

/// What a cpu should be used to, in percent of what was requested.
const TARGET_PERCENT: i32 = 80;
const MOST_WINDOW_SECONDS: i32 = 3600;
const MOST_PERIOD_SECONDS: i32 = 1800;

pub struct HorizontalPodAutoscalers;

impl Kind for HorizontalPodAutoscalers {
    type Object = HorizontalPodAutoscaler;

    const NAMES: Names = names("v2");
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "horizontalpodautoscalers";
    const MARK: Option<Mark> = Some(drop_carried);
    const COLUMNS: &'static [Column] = COLUMNS;

    /// The annotations in which v1 carries what v2 has fields for mean nothing here.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(scaler: &mut HorizontalPodAutoscaler) {
        default(scaler);
    }

    fn prepare_create(_cx: &Context<'_>, scaler: &mut HorizontalPodAutoscaler) {
        scaler.status = Some(HorizontalPodAutoscalerStatus::default());
    }

    fn validate_create(_cx: &Context<'_>, scaler: &HorizontalPodAutoscaler) -> Errors {
        check(scaler, None)
    }

    fn update() -> &'static dyn UpdateStrategy<HorizontalPodAutoscaler> {
        &Update
    }

    fn subresources() -> Vec<Subresource<HorizontalPodAutoscaler>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(scaler: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        row(scaler, now)
    }
}

/// What the first version carries in annotations is nothing that a client may write there.
fn drop_carried(object: &mut Map<String, Value>) {
    annotations::take(object);
}

pub(super) const fn names(version: &'static str) -> Names {
    Names {
        group: "autoscaling",
        version,
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short: &["hpa"],
        categories: &["all"],
    }
}

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Reference", "What is scaled."),
    Column::text("Targets", "What is measured, and what it should be."),
    Column::text("MinPods", "The least replicas."),
    Column::text("MaxPods", "The most replicas."),
    Column::text("Replicas", "The replicas there are."),
    Column::AGE,
];

pub(super) fn default(scaler: &mut HorizontalPodAutoscaler) {
    default_fields(scaler);
    if let Some(behavior) = &mut scaler.spec.behavior {
        let pods = HPAScalingPolicy { type_: "Pods".to_owned(), value: 4, period_seconds: 15 };
        let percent = HPAScalingPolicy { type_: "Percent".to_owned(), value: 100, period_seconds: 15 };
        let up = zero::keep(&mut behavior.scale_up);
        up.stabilization_window_seconds.get_or_insert(0);
        default_rules(up, &[pods, percent.clone()]);
        default_rules(zero::keep(&mut behavior.scale_down), &[percent]);
    }
}

/// The defaults of both versions: what v1 says of behavior, in an annotation, has to be complete.
pub(super) fn default_fields(scaler: &mut HorizontalPodAutoscaler) {
    let spec = &mut scaler.spec;
    zero::omit(&mut spec.scale_target_ref.api_version);
    spec.min_replicas.get_or_insert(1);
    zero::omit(&mut spec.metrics);
    spec.metrics.get_or_insert_with(|| vec![cpu(TARGET_PERCENT)]);
    let status = zero::keep(&mut scaler.status);
    zero::omit(&mut status.current_replicas);
    zero::omit(&mut status.current_metrics);
    zero::omit(&mut status.conditions);
}

fn default_rules(rules: &mut HPAScalingRules, policies: &[HPAScalingPolicy]) {
    rules.select_policy.get_or_insert_with(|| "Max".to_owned());
    rules.policies.get_or_insert_with(|| policies.to_vec());
}

/// The metric that v1 knows: the use of cpu.
pub(super) fn cpu(percent: i32) -> MetricSpec {
    let target = MetricTarget { type_: "Utilization".to_owned(), average_utilization: Some(percent), ..MetricTarget::default() };
    let resource = ResourceMetricSource { name: "cpu".to_owned(), target };
    MetricSpec { type_: "Resource".to_owned(), resource: Some(resource), ..MetricSpec::default() }
}

pub(super) fn row(scaler: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
    let none = HorizontalPodAutoscalerStatus::default();
    let spec = &scaler.spec;
    let status = scaler.status.as_ref().unwrap_or(&none);
    let target = &spec.scale_target_ref;
    let current = status.current_metrics.as_deref().unwrap_or_default();
    vec![
        columns::name(&scaler.metadata),
        json!(format!("{}/{}", target.kind, target.name)),
        json!(metrics::cell(spec.metrics.as_deref().unwrap_or_default(), current)),
        json!(spec.min_replicas.map_or_else(|| "<unset>".to_owned(), |least| least.to_string())),
        json!(spec.max_replicas),
        json!(status.current_replicas.unwrap_or(0)),
        columns::age(&scaler.metadata, now),
    ]
}

pub(super) struct Update;

impl UpdateStrategy<HorizontalPodAutoscaler> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, _cx: &Context<'_>, new: &HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) -> Errors {
        check(new, Some(old))
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

pub(super) struct Status;

impl UpdateStrategy<HorizontalPodAutoscaler> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &HorizontalPodAutoscaler, _old: &HorizontalPodAutoscaler) -> Errors {
        let none = HorizontalPodAutoscalerStatus::default();
        let status = new.status.as_ref().unwrap_or(&none);
        let path = Path::new("status");
        let mut errors = validate::non_negative(&path.child("currentReplicas"), status.current_replicas.unwrap_or(0).into());
        errors.extend(validate::non_negative(&path.child("desiredReplicas"), status.desired_replicas.into()));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

pub(super) fn check(scaler: &HorizontalPodAutoscaler, old: Option<&HorizontalPodAutoscaler>) -> Errors {
    let spec = &scaler.spec;
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let bound = if old.is_some_and(|old| old.spec.min_replicas == Some(0)) { 0 } else { 1 };
    if let Some(least) = spec.min_replicas.filter(|least| *least < bound) {
        errors.push(Error::invalid(&path.child("minReplicas"), least, format!("must be greater than or equal to {bound}")));
    }
    let most = path.child("maxReplicas");
    if spec.max_replicas == 0 {
        errors.push(Error::required(&most, "must be greater than 0"));
    } else if spec.max_replicas < 0 {
        errors.push(Error::invalid(&most, spec.max_replicas, "must be greater than or equal to 1"));
    }
    if spec.min_replicas.is_some_and(|least| spec.max_replicas < least) {
        errors.push(Error::invalid(&most, spec.max_replicas, "must be greater than or equal to `minReplicas`"));
    }
    let target_path = path.child("scaleTargetRef");
    errors.extend(check_reference(&target_path, &spec.scale_target_ref));
    errors.extend(check_target_version(&target_path, &spec.scale_target_ref, old.map(|old| &old.spec.scale_target_ref)));
    let metrics_path = path.child("metrics");
    let bad_before = old.is_some_and(|old| metrics::has_bad_version(old.spec.metrics.as_deref().unwrap_or_default()));
    for (i, metric) in spec.metrics.iter().flatten().enumerate() {
        errors.extend(metrics::check(&metrics_path.index(i), metric, !bad_before));
    }
    let tells_without_pods = |metric: &MetricSpec| matches!(metric.type_.as_str(), "Object" | "External");
    if spec.min_replicas == Some(0) && !spec.metrics.iter().flatten().any(tells_without_pods) {
        errors.push(Error::forbidden(&metrics_path, "without pods, only Object and External metrics can be measured"));
    }
    if let Some(behavior) = &spec.behavior {
        let path = path.child("behavior");
        for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
            errors.extend(rules.iter().flat_map(|rules| check_rules(&path.child(name), rules)));
        }
    }
    errors
}

pub(super) fn check_reference(path: &Path, reference: &CrossVersionObjectReference) -> Errors {
    let mut errors = Errors::new();
    for (name, value) in [("kind", &reference.kind), ("name", &reference.name)] {
        let path = path.child(name);
        if value.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.extend(validate::complaints(&path, value, names::path_segment(value, false)));
        }
    }
    errors
}

/// The version of what is scaled, unless the target stays what it was. Only ReplicationControllers have no group.
fn check_target_version(path: &Path, new: &CrossVersionObjectReference, old: Option<&CrossVersionObjectReference>) -> Option<Error> {
    if old.is_some_and(|old| old.api_version == new.api_version && old.kind == new.kind) {
        return None;
    }
    let version = new.api_version.as_deref().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if group.is_empty() && new.kind != "ReplicationController" {
        return Some(Error::invalid(&path.child("apiVersion"), version, "must have a group"));
    }
    check_version(path, new)
}

/// A version, or a group and a version.
pub(super) fn check_version(path: &Path, reference: &CrossVersionObjectReference) -> Option<Error> {
    let bad = reference.api_version.as_deref().filter(|version| version.matches('/').count() > 1);
    bad.map(|version| Error::invalid(&path.child("apiVersion"), version, "must be a version, or a group and a version"))
}

fn check_rules(path: &Path, rules: &HPAScalingRules) -> Errors {
    let mut errors = Errors::new();
    if let Some(seconds) = rules.stabilization_window_seconds.filter(|s| !(0..=MOST_WINDOW_SECONDS).contains(s)) {
        let why = format!("must be between 0 and {MOST_WINDOW_SECONDS}");
        errors.push(Error::invalid(&path.child("stabilizationWindowSeconds"), seconds, why));
    }
    if let Some(policy) = &rules.select_policy {
        errors.extend(validate::supported_value(&path.child("selectPolicy"), policy, &["Disabled", "Max", "Min"]));
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        errors.push(Error::required(&path.child("policies"), "one at least"));
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = path.child("policies").index(i);
        errors.extend(validate::supported_value(&path.child("type"), &policy.type_, &["Percent", "Pods"]));
        errors.extend(validate::positive(&path.child("value"), policy.value.into()));
        errors.extend(validate::positive(&path.child("periodSeconds"), policy.period_seconds.into()));
        if policy.period_seconds > MOST_PERIOD_SECONDS {
            let why = format!("must be less than or equal to {MOST_PERIOD_SECONDS}");
            errors.push(Error::invalid(&path.child("periodSeconds"), policy.period_seconds, why));
        }
    }
    if let Some(tolerance) = rules.tolerance.as_ref().filter(|t| Quantity::of(t).is_negative()) {
        errors.push(Error::invalid(&path.child("tolerance"), &tolerance.0, "must be greater than or equal to 0"));
    }
    errors
}
