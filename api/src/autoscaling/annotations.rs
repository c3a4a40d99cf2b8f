//! The annotations in which `autoscaling/v1` carries what it has no fields for. Their texts are of forms of their
//! own: metrics as they were in v1's first drafts, behavior by the names of Go fields, in a fixed order.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What v2 has beyond v1, as v2's JSON.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) metrics: Vec<Value>,
    pub(super) current_metrics: Vec<Value>,
    pub(super) conditions: Vec<Value>,
    pub(super) behavior: Option<Value>,
}

/// Takes what is carried out of the object's annotations. Texts that do not read as what they should are dropped.
pub(super) fn take(object: &mut Map<String, Value>) -> Carried {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return Carried::default() };
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return Carried::default() };
    let mut text = |key: &str| annotations.remove(key).and_then(|value| value.as_str().map(str::to_owned));
    let list = |text: Option<String>| -> Vec<Metric> { text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default() };
    let carried = Carried {
        metrics: list(text(METRICS)).iter().map(|metric| metric.to_v2("target")).collect(),
        current_metrics: list(text(CURRENT_METRICS)).iter().map(|metric| metric.to_v2("current")).collect(),
        conditions: text(CONDITIONS).and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default(),
        behavior: text(BEHAVIOR).and_then(|t| serde_json::from_str::<Behavior>(&t).ok()).map(|b| b.to_v2()),
    };
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    carried
}

/// Puts what is carried into the object's annotations.
pub(super) fn put(object: &mut Map<String, Value>, carried: &Carried) {
    let mut texts = Vec::new();
    let metrics = |metrics: &[Value], values: &str| {
        let all: Vec<Metric> = metrics.iter().map(|metric| Metric::of_v2(metric, values)).collect();
        serde_json::to_string(&all).unwrap_or_default()
    };
    if !carried.metrics.is_empty() {
        texts.push((METRICS, metrics(&carried.metrics, "target")));
    }
    if !carried.current_metrics.is_empty() {
        texts.push((CURRENT_METRICS, metrics(&carried.current_metrics, "current")));
    }
    if !carried.conditions.is_empty() {
        let all: Vec<Condition> = carried.conditions.iter().map(Condition::of).collect();
        texts.push((CONDITIONS, serde_json::to_string(&all).unwrap_or_default()));
    }
    if let Some(behavior) = &carried.behavior {
        texts.push((BEHAVIOR, serde_json::to_string(&Behavior::of_v2(behavior)).unwrap_or_default()));
    }
    if texts.is_empty() {
        return;
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.extend(texts.into_iter().map(|(key, text)| (key.to_owned(), Value::String(text))));
    }
}

/// A condition, in the order of its fields in v1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    r#type: &'a Value,
    status: &'a Value,
    last_transition_time: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    reason: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    message: &'a Value,
}

impl<'a> Condition<'a> {
    fn of(condition: &'a Value) -> Self {
        Self {
            r#type: &condition["type"],
            status: &condition["status"],
            last_transition_time: &condition["lastTransitionTime"],
            reason: &condition["reason"],
            message: &condition["message"],
        }
    }
}

/// A metric, or what was measured of it.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metric {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_resource: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<Source>,
}

/// What is measured: all fields that a source of any type has, in an order that suits each.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_average_utilization: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_average_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_average_utilization: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_average_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn some(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

impl Metric {
    /// `values` names the part that holds them: `target` of a metric, `current` of what was measured.
    fn of_v2(metric: &Value, values: &str) -> Self {
        let source = |name: &str| metric.get(name).filter(|m| !m.is_null()).map(|m| Source::of_v2(name, m, values));
        Self {
            kind: text(&metric["type"]).unwrap_or_default(),
            object: source("object"),
            pods: source("pods"),
            resource: source("resource"),
            container_resource: source("containerResource"),
            external: source("external"),
        }
    }

    fn to_v2(&self, values: &str) -> Value {
        let mut metric = json!({"type": self.kind});
        let sources = [
            ("object", &self.object),
            ("pods", &self.pods),
            ("resource", &self.resource),
            ("containerResource", &self.container_resource),
            ("external", &self.external),
        ];
        for (name, source) in sources {
            if let Some(source) = source {
                metric[name] = source.to_v2(name, values);
            }
        }
        metric
    }
}

impl Source {
    fn of_v2(name: &str, source: &Value, values: &str) -> Self {
        let values_of = &source[values];
        let mut draft = Self {
            name: text(&source["name"]),
            container: text(&source["container"]),
            metric_name: text(&source["metric"]["name"]),
            ..Self::default()
        };
        let selector = some(&source["metric"]["selector"]);
        let (value, average) = (some(&values_of["value"]), some(&values_of["averageValue"]));
        let utilization = some(&values_of["averageUtilization"]);
        if name == "external" {
            draft.metric_selector = selector;
        } else {
            draft.selector = selector;
        }
        if name == "object" {
            let object = &source["describedObject"];
            draft.target = Some(Reference {
                kind: text(&object["kind"]).unwrap_or_default(),
                name: text(&object["name"]).unwrap_or_default(),
                api_version: text(&object["apiVersion"]),
            });
            draft.average_value = average;
        } else if values == "target" {
            draft.target_average_value = average;
        } else {
            draft.current_average_value = average;
        }
        if values == "target" {
            (draft.target_value, draft.target_average_utilization) = (value, utilization);
        } else {
            (draft.current_value, draft.current_average_utilization) = (value, utilization);
            // What v1 always has, whether it was measured or not.
            let always = if matches!(name, "object" | "external") { &mut draft.current_value } else { &mut draft.current_average_value };
            always.get_or_insert_with(|| json!("0"));
        }
        draft
    }

    fn to_v2(&self, name: &str, values: &str) -> Value {
        let mut source = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                source.insert(key.to_owned(), value);
            }
        };
        set("name", self.name.clone().map(Value::String));
        set("container", self.container.clone().map(Value::String));
        if !matches!(name, "resource" | "containerResource") {
            let mut metric = json!({"name": self.metric_name});
            if let Some(selector) = self.metric_selector.as_ref().or(self.selector.as_ref()) {
                metric["selector"] = selector.clone();
            }
            set("metric", Some(metric));
        }
        set("describedObject", self.target.as_ref().and_then(|target| serde_json::to_value(target).ok()));
        set(values, Some(self.values(values)));
        Value::Object(source)
    }

    /// The values; for a target with the type that follows from which there is.
    fn values(&self, values: &str) -> Value {
        let (value, utilization, average) = if values == "target" {
            (&self.target_value, &self.target_average_utilization, &self.target_average_value)
        } else {
            (&self.current_value, &self.current_average_utilization, &self.current_average_value)
        };
        let average = average.as_ref().or(self.average_value.as_ref());
        let all = [
            ("Value", "value", value.as_ref()),
            ("AverageValue", "averageValue", average),
            ("Utilization", "averageUtilization", utilization.as_ref()),
        ];
        let mut out = Map::new();
        for (kind, name, value) in all {
            if let Some(value) = value {
                out.insert(name.to_owned(), value.clone());
                if values == "target" {
                    out.insert("type".to_owned(), json!(kind));
                }
            }
        }
        Value::Object(out)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Behavior {
    scale_up: Option<Rules>,
    scale_down: Option<Rules>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Rules {
    stabilization_window_seconds: Option<i32>,
    select_policy: Option<String>,
    policies: Option<Vec<Policy>>,
    tolerance: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Policy {
    r#type: String,
    value: i32,
    period_seconds: i32,
}

impl Behavior {
    fn of_v2(behavior: &Value) -> Self {
        let number = |value: &Value| value.as_i64().and_then(|n| i32::try_from(n).ok());
        let policy = |policy: &Value| Policy {
            r#type: text(&policy["type"]).unwrap_or_default(),
            value: number(&policy["value"]).unwrap_or(0),
            period_seconds: number(&policy["periodSeconds"]).unwrap_or(0),
        };
        let rules = |rules: &Value| {
            rules.is_object().then(|| Rules {
                stabilization_window_seconds: number(&rules["stabilizationWindowSeconds"]),
                select_policy: text(&rules["selectPolicy"]),
                policies: rules["policies"].as_array().map(|policies| policies.iter().map(policy).collect()),
                tolerance: text(&rules["tolerance"]),
            })
        };
        Self { scale_up: rules(&behavior["scaleUp"]), scale_down: rules(&behavior["scaleDown"]) }
    }

    fn to_v2(&self) -> Value {
        let mut behavior = Map::new();
        for (name, rules) in [("scaleUp", &self.scale_up), ("scaleDown", &self.scale_down)] {
            let Some(rules) = rules else { continue };
            let policy = |p: &Policy| json!({"type": p.r#type, "value": p.value, "periodSeconds": p.period_seconds});
            let policies = rules.policies.as_ref().map(|policies| policies.iter().map(policy).collect::<Vec<_>>());
            let mut out = json!({
                "stabilizationWindowSeconds": rules.stabilization_window_seconds,
                "selectPolicy": rules.select_policy,
                "policies": policies,
                "tolerance": rules.tolerance,
            });
            if let Some(fields) = out.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            behavior.insert(name.to_owned(), out);
        }
        Value::Object(behavior)
    }
}
