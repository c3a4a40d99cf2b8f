//! What a claim asks for: defaults and validation, for claims and for templates of claims.

use k8s_openapi::api::resource::v1::{
    DeviceConstraint, DeviceRequest, DeviceSelector, DeviceSubRequest, DeviceToleration, ExactDeviceRequest, ResourceClaimSpec,
};
use machinery::field::{Error, Errors, Path};

use super::selector;
use super::vocabulary::{class_name, fully_qualified_name, label, list, opaque, set, toleration};
use crate::{validate, zero};

const MOST_REQUESTS: usize = 32;
const MOST_ALTERNATIVES: usize = 8;
const MOST_SELECTORS: usize = 32;
const MOST_CONSTRAINTS: usize = 32;
/// Configurations of a claim, or of a class.
pub(super) const MOST_CONFIGURATIONS: usize = 32;

/// Makes an empty list of requests the same as none, as it is once it has been stored.
pub(super) fn forget_empty(spec: &mut ResourceClaimSpec) {
    zero::omit(&mut zero::keep(&mut spec.devices).requests);
}

pub(super) fn default(spec: &mut ResourceClaimSpec) {
    let devices = zero::keep(&mut spec.devices);
    zero::omit(&mut devices.constraints);
    zero::omit(&mut devices.config);
    for request in devices.requests.iter_mut().flatten() {
        zero::omit(&mut request.first_available);
        if let Some(exactly) = &mut request.exactly {
            zero::omit(&mut exactly.selectors);
            default_tolerations(&mut exactly.tolerations);
            default_count(&mut exactly.allocation_mode, &mut exactly.count);
        }
        for alternative in request.first_available.iter_mut().flatten() {
            zero::omit(&mut alternative.selectors);
            default_tolerations(&mut alternative.tolerations);
            default_count(&mut alternative.allocation_mode, &mut alternative.count);
        }
    }
}

pub(super) fn default_tolerations(tolerations: &mut Option<Vec<DeviceToleration>>) {
    zero::omit(tolerations);
    tolerations.iter_mut().flatten().for_each(|toleration| zero::fill(&mut toleration.operator, "Equal"));
}

fn default_count(mode: &mut Option<String>, count: &mut Option<i64>) {
    zero::fill(mode, "ExactCount");
    zero::omit(count);
    if mode.as_deref() == Some("ExactCount") {
        count.get_or_insert(1);
    }
}

pub(super) fn check(path: &Path, spec: &ResourceClaimSpec) -> Errors {
    let path = path.child("devices");
    let Some(devices) = &spec.devices else { return Errors::new() };
    let requests = devices.requests.as_deref().unwrap_or_default();
    let mut errors = set(&path.child("requests"), requests, MOST_REQUESTS, check_request, |request| &request.name);
    let constraints = devices.constraints.as_deref().unwrap_or_default();
    errors.extend(list(&path.child("constraints"), constraints, MOST_CONSTRAINTS, |path, constraint| {
        check_constraint(path, constraint, requests)
    }));
    let configurations = devices.config.as_deref().unwrap_or_default();
    errors.extend(list(&path.child("config"), configurations, MOST_CONFIGURATIONS, |path, config| {
        let mut errors = check_names(&path.child("requests"), config.requests.as_deref(), requests);
        errors.extend(opaque(&path.child("opaque"), config.opaque.as_ref()));
        errors
    }));
    errors
}

/// The names of requests that a part of a claim is about.
pub(super) fn check_names(path: &Path, names: Option<&[String]>, requests: &[DeviceRequest]) -> Errors {
    let names = names.unwrap_or_default();
    set(path, names, MOST_REQUESTS, |path, name| check_reference(path, name, requests), |name| name)
}

/// The name of a request, or `request/alternative`.
pub(super) fn check_reference(path: &Path, name: &str, requests: &[DeviceRequest]) -> Errors {
    const WHY: &str = "must be the name of a request in the claim, with an alternative of it after a slash or without";
    let (request, alternative) = name.split_once('/').map_or((name, None), |(request, alternative)| (request, Some(alternative)));
    if alternative.is_some_and(|alternative| alternative.contains('/')) {
        return vec![Error::invalid(path, name, WHY)];
    }
    let mut errors = label(path, request);
    errors.extend(alternative.into_iter().flat_map(|alternative| label(path, alternative)));
    let has = |request: &DeviceRequest| alternative.is_none_or(|name| request.first_available.iter().flatten().any(|a| a.name == name));
    if !requests.iter().any(|one| one.name == request && has(one)) {
        errors.push(Error::invalid(path, name, WHY));
    }
    errors
}

fn check_request(path: &Path, request: &DeviceRequest) -> Errors {
    let mut errors = label(&path.child("name"), &request.name);
    match (&request.exactly, request.first_available.as_deref().unwrap_or_default()) {
        (None, []) => errors.push(Error::required(path, "exactly one of `exactly` and `firstAvailable`")),
        (Some(exactly), []) => errors.extend(check_exactly(&path.child("exactly"), exactly)),
        (Some(_), _) => errors.push(Error::bare_invalid(path, "exactly one of `exactly` and `firstAvailable`")),
        (None, alternatives) => {
            let at = path.child("firstAvailable");
            errors.extend(set(&at, alternatives, MOST_ALTERNATIVES, check_alternative, |alternative| &alternative.name));
        }
    }
    errors
}

fn check_exactly(path: &Path, request: &ExactDeviceRequest) -> Errors {
    let mut errors = class_name(&path.child("deviceClassName"), &request.device_class_name);
    errors.extend(check_selectors(&path.child("selectors"), request.selectors.as_deref()));
    errors.extend(check_count(path, request.allocation_mode.as_deref(), request.count));
    errors.extend(check_tolerations(path, request.tolerations.as_deref()));
    errors
}

fn check_alternative(path: &Path, request: &DeviceSubRequest) -> Errors {
    let mut errors = label(&path.child("name"), &request.name);
    errors.extend(class_name(&path.child("deviceClassName"), &request.device_class_name));
    errors.extend(check_selectors(&path.child("selectors"), request.selectors.as_deref()));
    errors.extend(check_count(path, request.allocation_mode.as_deref(), request.count));
    errors.extend(check_tolerations(path, request.tolerations.as_deref()));
    errors
}

/// However many there are.
fn check_tolerations(path: &Path, tolerations: Option<&[DeviceToleration]>) -> Errors {
    list(&path.child("tolerations"), tolerations.unwrap_or_default(), usize::MAX, toleration)
}

fn check_count(path: &Path, mode: Option<&str>, count: Option<i64>) -> Errors {
    let count_path = path.child("count");
    match (mode.unwrap_or_default(), count.unwrap_or(0)) {
        ("ExactCount", count) => validate::positive(&count_path, count),
        ("All", 0) => Errors::new(),
        ("All", count) => vec![Error::invalid(&count_path, count, "must not be specified when allocationMode is 'All'")],
        (other, _) => vec![Error::not_supported(&path.child("allocationMode"), other, &["All", "ExactCount"])],
    }
}

fn check_constraint(path: &Path, constraint: &DeviceConstraint, requests: &[DeviceRequest]) -> Errors {
    let mut errors = check_names(&path.child("requests"), constraint.requests.as_deref(), requests);
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        // Kubernetes takes the first where both are there.
        (Some(name), _) => errors.extend(fully_qualified_name(&path.child("matchAttribute"), name)),
        (None, Some(name)) => errors.extend(fully_qualified_name(&path.child("distinctAttribute"), name)),
        (None, None) => errors.push(Error::required(path, "one of `matchAttribute` and `distinctAttribute`")),
    }
    errors
}

/// Selectors of devices.
pub(super) fn check_selectors(path: &Path, selectors: Option<&[DeviceSelector]>) -> Errors {
    list(path, selectors.unwrap_or_default(), MOST_SELECTORS, |path, one: &DeviceSelector| match &one.cel {
        None => vec![Error::required(&path.child("cel"), "")],
        Some(cel) => selector::check(&path.child("cel").child("expression"), &cel.expression),
    })
}
