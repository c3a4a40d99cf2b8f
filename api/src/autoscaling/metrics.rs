//! The metrics of a HorizontalPodAutoscaler: what may be wrong with one, and how a column shows them.

use k8s_openapi::api::autoscaling::v2::{MetricIdentifier, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::horizontal_pod_autoscaler::check_reference;
use crate::columns;
use crate::validate;

/// How many metrics a cell shows.
const SHOWN: usize = 2;

pub(super) fn check(path: &Path, metric: &MetricSpec) -> Errors {
    let sources = [
        ("Object", "object", metric.object.is_some()),
        ("External", "external", metric.external.is_some()),
        ("Pods", "pods", metric.pods.is_some()),
        ("Resource", "resource", metric.resource.is_some()),
        ("ContainerResource", "containerResource", metric.container_resource.is_some()),
    ];
    let types = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let mut errors = validate::one_of(&path.child("type"), Some(&metric.type_), &types);
    if let Some((_, name, _)) = sources.iter().find(|(_, _, present)| *present) {
        errors.extend(check_source(&path.child(name), name, metric));
    }
    let expected = sources.iter().find(|(kind, ..)| *kind == metric.type_).map_or("", |(_, name, _)| name);
    for (_, name, present) in sources {
        match present {
            false if name == expected => errors.push(Error::required(&path.child(name), "must say what to measure")),
            true if name != expected => errors.push(Error::forbidden(&path.child(name), "is not what `type` says")),
            _ => {}
        }
    }
    errors
}

/// The source of a metric, by the name of its field.
fn check_source(path: &Path, name: &str, metric: &MetricSpec) -> Errors {
    match name {
        "object" => metric
            .object
            .iter()
            .flat_map(|source| {
                let mut errors = check_reference(&path.child("describedObject"), &source.described_object);
                errors.extend(check_identifier(&path.child("metric"), &source.metric));
                errors.extend(check_target(&path.child("target"), &source.target));
                errors.extend(check_value(&path.child("target"), &source.target));
                errors
            })
            .collect(),
        "external" => metric
            .external
            .iter()
            .flat_map(|source| {
                let target = path.child("target");
                let mut errors = check_identifier(&path.child("metric"), &source.metric);
                errors.extend(check_target(&target, &source.target));
                errors.extend(check_value(&target, &source.target));
                if source.target.value.is_some() && source.target.average_value.is_some() {
                    errors.push(Error::forbidden(&target.child("value"), "only one of value and averageValue"));
                }
                errors
            })
            .collect(),
        "pods" => metric
            .pods
            .iter()
            .flat_map(|source| {
                let target = path.child("target");
                let mut errors = check_identifier(&path.child("metric"), &source.metric);
                errors.extend(check_target(&target, &source.target));
                if !source.target.average_value.as_ref().is_some_and(is_positive) {
                    errors.push(Error::required(&target.child("averageValue"), "must be positive"));
                }
                errors
            })
            .collect(),
        "resource" => metric.resource.iter().flat_map(|source| check_resource(path, &source.name, &source.target)).collect(),
        _ => metric
            .container_resource
            .iter()
            .flat_map(|source| {
                let mut errors = check_resource(path, &source.name, &source.target);
                let container = path.child("container");
                if source.container.is_empty() {
                    errors.push(Error::required(&container, ""));
                } else {
                    errors.extend(validate::complaints(&container, &source.container, names::dns1123_label(&source.container, false)));
                }
                errors
            })
            .collect(),
    }
}

fn check_resource(path: &Path, name: &str, target: &MetricTarget) -> Errors {
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let path = path.child("target");
    errors.extend(check_target(&path, target));
    match (target.average_utilization, &target.average_value) {
        (None, None) => errors.push(Error::required(&path.child("averageUtilization"), "a target value or utilization")),
        (Some(_), Some(_)) => errors.push(Error::forbidden(&path.child("averageValue"), "only one of value and utilization")),
        _ => {}
    }
    errors
}

fn check_identifier(path: &Path, metric: &MetricIdentifier) -> Errors {
    let path = path.child("name");
    if metric.name.is_empty() {
        return vec![Error::required(&path, "")];
    }
    validate::complaints(&path, &metric.name, names::path_segment(&metric.name, false))
}

fn check_value(path: &Path, target: &MetricTarget) -> Option<Error> {
    let none = target.value.is_none() && target.average_value.is_none();
    none.then(|| Error::required(&path.child("averageValue"), "a target value, of all or per pod"))
}

fn check_target(path: &Path, target: &MetricTarget) -> Errors {
    let mut errors = Errors::new();
    match target.type_.as_str() {
        "" => errors.push(Error::required(&path.child("type"), "")),
        "Utilization" | "Value" | "AverageValue" => {}
        other => errors.push(Error::invalid(&path.child("type"), other, "must be Utilization, Value or AverageValue")),
    }
    for (name, value) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(value) = value.as_ref().filter(|value| !is_positive(value)) {
            errors.push(Error::invalid(&path.child(name), &value.0, "must be positive"));
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        errors.push(Error::invalid(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
    errors
}

fn is_positive(value: &Text) -> bool {
    let value = Quantity::of(value);
    !value.is_zero() && !value.is_negative()
}

/// The cell of the column Targets: what was measured over what is wanted, for the first metrics.
pub(super) fn cell(metrics: &[MetricSpec], measured: &[MetricStatus]) -> String {
    if metrics.is_empty() {
        return columns::NONE.to_owned();
    }
    let all: Vec<String> = metrics.iter().enumerate().map(|(i, metric)| show(metric, measured.get(i))).collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} + {more} more...", all[..SHOWN].join(", ")),
        _ => all.join(", "),
    }
}

fn show(metric: &MetricSpec, measured: Option<&MetricStatus>) -> String {
    let quantity = |value: Option<&Text>| value.map_or_else(|| "<unknown>".to_owned(), |value| value.0.clone());
    let value = |current: Option<&MetricValueStatus>, target: &MetricTarget| match &target.average_value {
        Some(wanted) => format!("{}/{} (avg)", quantity(current.and_then(|c| c.average_value.as_ref())), wanted.0),
        None => format!("{}/{}", quantity(current.and_then(|c| c.value.as_ref())), quantity(target.value.as_ref())),
    };
    let resource = |name: &str, current: Option<&MetricValueStatus>, target: &MetricTarget| match &target.average_value {
        Some(wanted) => format!("{name}: {}/{}", quantity(current.and_then(|c| c.average_value.as_ref())), wanted.0),
        None => {
            let percent = |percent: Option<i32>, none: &str| percent.map_or_else(|| none.to_owned(), |p| format!("{p}%"));
            let current = percent(current.and_then(|c| c.average_utilization), "<unknown>");
            format!("{name}: {current}/{}", percent(target.average_utilization, "<auto>"))
        }
    };
    if let Some(source) = &metric.external {
        value(measured.and_then(|m| m.external.as_ref()).map(|m| &m.current), &source.target)
    } else if let Some(source) = &metric.object {
        value(measured.and_then(|m| m.object.as_ref()).map(|m| &m.current), &source.target)
    } else if let Some(source) = &metric.pods {
        let current = measured.and_then(|m| m.pods.as_ref()).and_then(|m| m.current.average_value.as_ref());
        format!("{}/{}", quantity(current), quantity(source.target.average_value.as_ref()))
    } else if let Some(source) = &metric.resource {
        resource(&source.name, measured.and_then(|m| m.resource.as_ref()).map(|m| &m.current), &source.target)
    } else if let Some(source) = &metric.container_resource {
        resource(&source.name, measured.and_then(|m| m.container_resource.as_ref()).map(|m| &m.current), &source.target)
    } else {
        "<unknown type>".to_owned()
    }
}
