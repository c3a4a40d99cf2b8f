//! LimitRange: what containers, pods and claims of a namespace may ask for, and what they get when they do not ask.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::pod::{is_compressible, validate_container_resource_name, validate_resource_name};
use crate::columns;
use crate::kind::{Column, Kind, Mark, Names, Scope};
use crate::scheduling::resources::{List, round_up};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::complaints;

pub struct LimitRanges;

impl Kind for LimitRanges {
    type Object = LimitRange;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short: &["limits"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "limitranges";
    const MARK: Option<Mark> = Some(drop_spec_without_limits);
    const CREATE_ON_UPDATE: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::date("Created At", "When it was created.")];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    /// A list that is null, which its writer does not own, is told from an empty one by the want of a spec: there is nothing
    /// else in it.
    fn after_reading(range: &mut LimitRange) {
        range.spec.take_if(|spec| spec.limits.is_empty());
    }

    fn default(range: &mut LimitRange) {
        for item in range.spec.iter_mut().flat_map(|spec| &mut spec.limits) {
            let lists = [&mut item.max, &mut item.min, &mut item.default, &mut item.default_request, &mut item.max_limit_request_ratio];
            lists.into_iter().for_each(round_up);
            if item.type_ != "Container" {
                continue;
            }
            // A limit defaults to the maximum, a request to the limit, else to the minimum.
            complete(&mut item.default, item.max.as_ref());
            complete(&mut item.default_request, item.default.as_ref());
            complete(&mut item.default_request, item.min.as_ref());
        }
    }

    fn validate_create(_cx: &Context<'_>, range: &LimitRange) -> Errors {
        validate(range)
    }

    fn update() -> &'static dyn UpdateStrategy<LimitRange> {
        &Update
    }

    fn row(range: &LimitRange, _now: Timestamp) -> Vec<Value> {
        vec![columns::name(&range.metadata), json!(range.metadata.creation_timestamp)]
    }
}

fn drop_spec_without_limits(object: &mut Map<String, Value>) {
    let spec = object.get("spec").and_then(Value::as_object);
    if spec.is_some_and(|spec| spec.get("limits").is_none_or(Value::is_null)) {
        object.remove("spec");
    }
}

/// Adds what `from` has and `to` lacks.
fn complete(to: &mut Option<List>, from: Option<&List>) {
    for (name, amount) in from.into_iter().flatten() {
        to.get_or_insert_default().entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

struct Update;

impl UpdateStrategy<LimitRange> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut LimitRange, _old: &LimitRange) {}

    fn validate(&self, _cx: &Context<'_>, new: &LimitRange, _old: &LimitRange) -> Errors {
        validate(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn validate(range: &LimitRange) -> Errors {
    let path = Path::new("spec").child("limits");
    let limits = range.spec.as_ref().map(|s| s.limits.as_slice()).unwrap_or_default();
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, item) in limits.iter().enumerate() {
        let at = path.index(i);
        errors.extend(validate_type(&at.child("type"), &item.type_));
        if !seen.insert(&item.type_) {
            errors.push(Error::duplicate(&at.child("type"), &item.type_));
        }
        errors.extend(validate_names(&at, item));
        let sized = |list: &Option<List>| list.as_ref().is_some_and(|l| l.contains_key("storage"));
        if item.type_ == "PersistentVolumeClaim" && !sized(&item.min) && !sized(&item.max) {
            errors.push(Error::required(&at.child("limits"), "must have a least or a largest size of storage"));
        }
        errors.extend(validate_amounts(&at, item));
    }
    errors
}

fn validate_type(path: &Path, kind: &str) -> Errors {
    let mut errors = complaints(path, kind, names::qualified_name(kind));
    if errors.is_empty() && !kind.contains('/') && !matches!(kind, "Container" | "Pod" | "PersistentVolumeClaim") {
        errors.push(Error::invalid(path, kind, "must be a standard type or a qualified name"));
    }
    errors
}

fn validate_names(path: &Path, item: &LimitRangeItem) -> Errors {
    let mut errors = Errors::new();
    let lists = [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio),
    ];
    for (field, list) in lists {
        let at = path.child(field);
        if item.type_ == "Pod" && field.starts_with("default") {
            if list.as_ref().is_some_and(|l| !l.is_empty()) {
                errors.push(Error::forbidden(&at, "may not be given for type Pod"));
            }
            continue;
        }
        for name in list.iter().flat_map(|l| l.keys()) {
            errors.extend(match item.type_.as_str() {
                "Pod" | "Container" => validate_container_resource_name(&at.key(name), name),
                _ => validate_resource_name(&at.key(name), name),
            });
        }
    }
    errors
}

/// The amounts of each resource against each other.
fn validate_amounts(path: &Path, item: &LimitRangeItem) -> Errors {
    let lists = [&item.max, &item.min, &item.default, &item.default_request, &item.max_limit_request_ratio];
    let names: BTreeSet<&String> = lists.iter().flat_map(|l| l.iter()).flat_map(|l| l.keys()).collect();
    names.into_iter().flat_map(|name| validate_resource(path, item, name)).collect()
}

fn validate_resource(path: &Path, item: &LimitRangeItem, name: &str) -> Errors {
    let of = |list: &Option<List>| list.as_ref().and_then(|l| l.get(name)).map(Quantity::of);
    let (min, max) = (of(&item.min), of(&item.max));
    let (default, request) = (of(&item.default), of(&item.default_request));
    let mut errors = Errors::new();
    let mut no_more = |low: Option<Quantity>, high: Option<Quantity>, field: &str, value: Option<Quantity>, why: &str| {
        if let (Some(low), Some(high), Some(value)) = (low, high, value)
            && low > high
        {
            errors.push(Error::invalid(&path.child(field).key(name), value.to_string(), why));
        }
    };
    no_more(min, max, "min", min, "must not be more than max");
    no_more(min, request, "defaultRequest", request, "must not be less than min");
    no_more(request, max, "defaultRequest", request, "must not be more than max");
    no_more(request, default, "defaultRequest", request, "must not be more than default");
    no_more(min, default, "default", default, "must not be less than min");
    no_more(default, max, "default", default, "must not be more than max");
    if let Some(ratio) = of(&item.max_limit_request_ratio) {
        let at = path.child("maxLimitRequestRatio").key(name);
        if ratio < Quantity::from_milli(1000, Default::default()) {
            errors.push(Error::invalid(&at, ratio.to_string(), "must not be less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && ratio.as_f64() > max.as_f64() / min.as_f64()
        {
            errors.push(Error::invalid(&at, ratio.to_string(), "must not be more than max divided by min"));
        }
    }
    if !is_compressible(name) && default.is_some() && request.is_some() && default != request {
        let at = path.child("defaultRequest").key(name);
        errors.push(Error::invalid(&at, of(&item.default_request).unwrap_or_default().to_string(), "must be the default"));
    }
    errors
}
