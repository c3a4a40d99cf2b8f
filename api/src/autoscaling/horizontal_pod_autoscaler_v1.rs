//! HorizontalPodAutoscaler, `autoscaling/v1`: knows the use of cpu only. What else a v2 object says travels in
//! annotations, so that a v1 client that writes back what it read loses nothing.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use machinery::field::Errors;
use machinery::schema::{Definitions, Schema};
use serde_json::{Map, Value, json};

use super::annotations;
use super::horizontal_pod_autoscaler::{self as stored, Status, Update};
use crate::kind::{Column, Conversion, Kind, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};

pub struct HorizontalPodAutoscalers;

impl Kind for HorizontalPodAutoscalers {
    type Object = HorizontalPodAutoscaler;

    const NAMES: Names = stored::names("v1");
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "horizontalpodautoscalers";
    const COLUMNS: &'static [Column] = stored::COLUMNS;
    const CONVERSION: Option<Conversion> = Some(Conversion {
        stored_api_version: "autoscaling/v2",
        schema: Schema::of::<k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler>,
        define: Definitions::add::<k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler>,
        to_stored,
        from_stored,
        fields: &[],
    });

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(scaler: &mut HorizontalPodAutoscaler) {
        stored::default_fields(scaler);
    }

    fn prepare_create(_cx: &Context<'_>, scaler: &mut HorizontalPodAutoscaler) {
        scaler.status = Some(HorizontalPodAutoscalerStatus::default());
    }

    fn validate_create(_cx: &Context<'_>, scaler: &HorizontalPodAutoscaler) -> Errors {
        stored::check(scaler, None)
    }

    fn update() -> &'static dyn UpdateStrategy<HorizontalPodAutoscaler> {
        &Update
    }

    fn subresources() -> Vec<Subresource<HorizontalPodAutoscaler>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(scaler: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        stored::row(scaler, now)
    }
}

fn to_stored(object: &mut Map<String, Value>) {
    let carried = annotations::take(object);
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let percent = spec.remove("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null());
        let mut metrics = carried.metrics;
        metrics.extend(percent.iter().map(cpu));
        if !metrics.is_empty() {
            spec.insert("metrics".to_owned(), Value::Array(metrics));
        }
        if let Some(behavior) = carried.behavior {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        let percent = status.remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null());
        let mut metrics: Vec<Value> = percent
            .iter()
            .map(|percent| json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}))
            .collect();
        // The annotation, where there is one, has all of them.
        if !carried.current_metrics.is_empty() {
            metrics = carried.current_metrics;
        }
        if !metrics.is_empty() {
            status.insert("currentMetrics".to_owned(), Value::Array(metrics));
        }
        if !carried.conditions.is_empty() {
            status.insert("conditions".to_owned(), Value::Array(carried.conditions));
        }
    }
}

fn cpu(percent: &Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn from_stored(object: &mut Map<String, Value>) {
    let mut carried = annotations::Carried::default();
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let mut metrics = list(spec.remove("metrics"));
        if let Some((at, percent)) = cpu_of(&metrics, "/resource/target/averageUtilization") {
            metrics.remove(at);
            spec.insert("targetCPUUtilizationPercentage".to_owned(), percent);
        }
        carried.metrics = metrics;
        carried.behavior = spec.remove("behavior");
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        // Unlike the use that is wanted, the one that is measured stays among the others too.
        carried.current_metrics = list(status.remove("currentMetrics"));
        if let Some((_, percent)) = cpu_of(&carried.current_metrics, "/resource/current/averageUtilization") {
            status.insert("currentCPUUtilizationPercentage".to_owned(), percent);
        }
        if let Some(Value::Array(conditions)) = status.remove("conditions") {
            carried.conditions = conditions;
        }
        status.entry("currentReplicas").or_insert(json!(0));
    }
    annotations::put(object, &carried);
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// The use of cpu, which v1 has a field for, and where it is among the metrics.
fn cpu_of(metrics: &[Value], utilization: &str) -> Option<(usize, Value)> {
    let is_cpu = |metric: &&Value| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
    let percent = |metric: &Value| metric.pointer(utilization).filter(|v| !v.is_null()).cloned();
    metrics.iter().enumerate().filter(|(_, metric)| is_cpu(metric)).find_map(|(at, metric)| Some((at, percent(metric)?)))
}
