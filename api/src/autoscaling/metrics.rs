//! The metrics of a HorizontalPodAutoscaler: what may be wrong with one, and how a column shows them.

use k8s_openapi::api::autoscaling::v2::{MetricIdentifier, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::horizontal_pod_autoscaler::{check_reference, check_version};
use crate::columns;
use crate::core::pod::validate_container_resource_name;
use crate::validate;

/// How many metrics a cell shows.
const SHOWN: usize = 2;

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// Whether an object that is measured has a version that cannot be one; whoever has such metrics may go on so.
pub(super) fn has_bad_version(metrics: &[MetricSpec]) -> bool {
    let objects = metrics.iter().filter(|metric| metric.type_ == "Object").filter_map(|metric| metric.object.as_ref());
    objects.into_iter().any(|source| check_version(&Path::root(), &source.described_object).is_some())
}

pub(super) fn check(path: &Path, metric: &MetricSpec, versions: bool) -> Errors {
    let sources = [
        ("Object", "object", metric.object.is_some()),
        ("External", "external", metric.external.is_some()),
        ("Pods", "pods", metric.pods.is_some()),
        ("Resource", "resource", metric.resource.is_some()),
        ("ContainerResource", "containerResource", metric.container_resource.is_some()),
    ];
    let type_path = path.child("type");
    let unknown = || validate::supported_value(&type_path, &metric.type_, &TYPES);
    let mut errors = validate::required(&type_path, &metric.type_);
    errors.extend(unknown());
    if let Some((_, name, _)) = sources.iter().find(|(_, _, present)| *present) {
        errors.extend(check_source(&path.child(name), name, metric));
        let object = metric.object.as_ref().filter(|_| versions);
        errors.extend(object.and_then(|source| check_version(&path.child("object").child("describedObject"), &source.described_object)));
    }
    // Kubernetes says of an unknown type twice that it is not supported.
    errors.extend(unknown());
    let expected = sources.iter().find(|(kind, ..)| *kind == metric.type_).map_or("", |(_, name, _)| name);
    if sources.iter().any(|(_, name, present)| *name == expected && !present) {
        errors.push(Error::required(&path.child(expected), "must say what to measure"));
    }
    // One of another type alone is not mentioned.
    if sources.iter().filter(|(.., present)| *present).count() > 1 {
        let others = sources.iter().filter(|(_, name, present)| *present && *name != expected);
        errors.extend(others.map(|(_, name, _)| Error::forbidden(&path.child(name), "is not what `type` says")));
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
                if source.target.average_value.is_none() {
                    errors.push(Error::required(&target.child("averageValue"), "must be positive"));
                }
                errors
            })
            .collect(),
        "resource" => metric
            .resource
            .iter()
            .flat_map(|source| {
                let mut errors = validate::required(&path.child("name"), &source.name);
                errors.extend(check_resource_target(&path.child("target"), &source.target));
                errors
            })
            .collect(),
        _ => metric
            .container_resource
            .iter()
            .flat_map(|source| {
                let name_path = path.child("name");
                let mut errors = validate::required(&name_path, &source.name);
                if !source.name.is_empty() {
                    errors.extend(validate_container_resource_name(&name_path, &source.name));
                }
                let container = path.child("container");
                if source.container.is_empty() {
                    errors.push(Error::required(&container, ""));
                } else {
                    errors.extend(validate::complaints(&container, &source.container, names::dns1123_label(&source.container, false)));
                }
                errors.extend(check_resource_target(&path.child("target"), &source.target));
                errors
            })
            .collect(),
    }
}

fn check_resource_target(path: &Path, target: &MetricTarget) -> Errors {
    let mut errors = check_target(path, target);
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
    let mut errors = validate::required(&path.child("type"), &target.type_);
    match target.type_.as_str() {
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
