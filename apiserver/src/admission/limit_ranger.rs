//! LimitRanger: containers that do not say what they need get the namespace's defaults; containers, pods and claims
//! that want too much or too little are refused.

use std::collections::BTreeMap;

use api::Object;
use api::object::{downcast_mut, downcast_ref};
use api::quota::{Amounts, amounts, pod_limits, pod_requests};
use api::scheduling::resources::List;
use k8s_openapi::api::core::v1::{Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use machinery::Status;
use machinery::quantity::Quantity;

use super::{Operation, Plugin, Request};

/// Says what was set, for those who wonder.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if sizes_pod(request)
            && !is_going(request)
            && let Some(pod) = downcast_mut::<Pod>(object)
        {
            for range in ranges(request) {
                set_defaults(pod, &range);
            }
        }
        Ok(())
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        let Some(object) = object.filter(|_| !is_going(request)) else { return Ok(()) };
        let mut wrong = Vec::new();
        if let Some(pod) = downcast_ref::<Pod>(object).filter(|_| sizes_pod(request)) {
            ranges(request).iter().flat_map(items).for_each(|item| check_pod(pod, item, &mut wrong));
        } else if let Some(claim) = downcast_ref::<PersistentVolumeClaim>(object).filter(|_| request.target.subresource.is_none()) {
            ranges(request).iter().flat_map(items).for_each(|item| check_claim(claim, item, &mut wrong));
        }
        if wrong.is_empty() { Ok(()) } else { Err(request.forbidden(object, wrong.join(", "))) }
    }
}

/// What a pod's containers need is said when it is created, and changes by resizing.
fn sizes_pod(request: &Request<'_>) -> bool {
    match request.operation {
        Operation::Create => request.is("", "pods", None),
        Operation::Update => request.is("", "pods", Some("resize")),
        _ => false,
    }
}

fn is_going(request: &Request<'_>) -> bool {
    request.old.is_some_and(|old| old.meta().deletion_timestamp.is_some())
}

fn ranges(request: &Request<'_>) -> Vec<LimitRange> {
    request.world.objects("", "limitranges", &request.target.namespace)
}

fn items(range: &LimitRange) -> impl Iterator<Item = &LimitRangeItem> {
    range.spec.iter().flat_map(|spec| &spec.limits)
}

/// The defaults of all of a range's items for containers; later ones go before earlier ones.
fn defaults(range: &LimitRange, select: fn(&LimitRangeItem) -> Option<&List>) -> List {
    let items = items(range).filter(|item| item.type_ == "Container");
    items.filter_map(select).flatten().map(|(name, amount)| (name.clone(), amount.clone())).collect()
}

fn set_defaults(pod: &mut Pod, range: &LimitRange) {
    let requests = defaults(range, |item| item.default_request.as_ref());
    let limits = defaults(range, |item| item.default.as_ref());
    let Some(spec) = &mut pod.spec else { return };
    let mut notes = Vec::new();
    let containers = spec.containers.iter_mut().map(|container| ("container", container));
    let initial = spec.init_containers.iter_mut().flatten().map(|container| ("init container", container));
    for (kind, container) in containers.chain(initial) {
        complete(container, kind, &requests, &limits, &mut notes);
    }
    if !notes.is_empty() {
        let text = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod.metadata.annotations.get_or_insert_default().insert(ANNOTATION.into(), text);
    }
}

fn complete(container: &mut Container, kind: &str, requests: &List, limits: &List, notes: &mut Vec<String>) {
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let resources = container.resources.get_or_insert_default();
    for (what, list, from) in [("request", &mut resources.requests, requests), ("limit", &mut resources.limits, limits)] {
        let mut set = Vec::new();
        for (name, amount) in from {
            let list = list.get_or_insert_default();
            if !list.contains_key(name) {
                list.insert(name.clone(), amount.clone());
                set.push(name.as_str());
            }
        }
        if !set.is_empty() {
            notes.push(format!("{} {what} for {kind} {}", set.join(", "), container.name));
        }
    }
}

fn check_pod(pod: &Pod, item: &LimitRangeItem, wrong: &mut Vec<String>) {
    let Some(spec) = &pod.spec else { return };
    match item.type_.as_str() {
        "Container" => {
            for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
                let resources = container.resources.as_ref();
                let requests = amounts(resources.and_then(|resources| resources.requests.as_ref()));
                let limits = amounts(resources.and_then(|resources| resources.limits.as_ref()));
                check(item, &requests, &limits, wrong);
            }
        }
        "Pod" => check(item, &pod_requests(spec, false), &pod_limits(spec, false), wrong),
        _ => {}
    }
}

/// Both what is requested and what it is limited to must be within the bounds; where there is a bound, it must be said.
fn check(item: &LimitRangeItem, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    let kind = &item.type_;
    for (name, min) in bound(&item.min) {
        match (requests.get(name), limits.get(name)) {
            (None, _) => wrong.push(format!("minimum {name} usage per {kind} is {min}, but no request is specified")),
            (Some(request), _) if *request < min => {
                wrong.push(format!("minimum {name} usage per {kind} is {min}, but request is {request}"))
            }
            (_, Some(limit)) if *limit < min => wrong.push(format!("minimum {name} usage per {kind} is {min}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, max) in bound(&item.max) {
        match (limits.get(name), requests.get(name)) {
            (None, _) => wrong.push(format!("maximum {name} usage per {kind} is {max}, but no limit is specified")),
            (Some(limit), _) if *limit > max => wrong.push(format!("maximum {name} usage per {kind} is {max}, but limit is {limit}")),
            (_, Some(request)) if *request > max => {
                wrong.push(format!("maximum {name} usage per {kind} is {max}, but request is {request}"))
            }
            _ => {}
        }
    }
    for (name, most) in bound(&item.max_limit_request_ratio) {
        match (requests.get(name).filter(|amount| !amount.is_zero()), limits.get(name).filter(|amount| !amount.is_zero())) {
            (Some(request), Some(limit)) => {
                let ratio = limit.as_f64() / request.as_f64();
                if ratio > most.as_f64() {
                    wrong.push(format!("{name} max limit to request ratio per {kind} is {most}, but provided ratio is {ratio:.6}"));
                }
            }
            _ => wrong.push(format!("{name} max limit to request ratio per {kind} is {most}, but request or limit is missing or 0")),
        }
    }
}

fn check_claim(claim: &PersistentVolumeClaim, item: &LimitRangeItem, wrong: &mut Vec<String>) {
    if item.type_ != "PersistentVolumeClaim" {
        return;
    }
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = amounts(resources.and_then(|resources| resources.requests.as_ref()));
    for (name, min) in bound(&item.min) {
        if requests.get(name).is_none_or(|request| *request < min) {
            wrong.push(format!("minimum {name} usage per {} is {min}, but request is {}", item.type_, shown(&requests, name)));
        }
    }
    for (name, max) in bound(&item.max) {
        if requests.get(name).is_none_or(|request| *request > max) {
            wrong.push(format!("maximum {name} usage per {} is {max}, but request is {}", item.type_, shown(&requests, name)));
        }
    }
}

fn bound(list: &Option<List>) -> BTreeMap<&str, Quantity> {
    list.iter().flatten().map(|(name, amount)| (name.as_str(), Quantity::of(amount))).collect()
}

fn shown(amounts: &Amounts, name: &str) -> String {
    amounts.get(name).map_or_else(|| "not specified".to_owned(), Quantity::to_string)
}
