//! What a claim asks for: defaults and validation, for claims and for templates of claims.

use k8s_openapi::api::resource::v1::{DeviceConstraint, DeviceRequest, DeviceSelector, OpaqueDeviceConfiguration, ResourceClaimSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::selector;
use crate::{validate, zero};

const MOST_REQUESTS: usize = 32;
const MOST_ALTERNATIVES: usize = 8;
const MOST_SELECTORS: usize = 32;

pub(super) fn default(spec: &mut ResourceClaimSpec) {
    let devices = zero::keep(&mut spec.devices);
    zero::omit(&mut devices.requests);
    zero::omit(&mut devices.constraints);
    zero::omit(&mut devices.config);
    for request in devices.requests.iter_mut().flatten() {
        zero::omit(&mut request.first_available);
        if let Some(exactly) = &mut request.exactly {
            zero::omit(&mut exactly.selectors);
            default_count(&mut exactly.allocation_mode, &mut exactly.count);
        }
        for alternative in request.first_available.iter_mut().flatten() {
            zero::omit(&mut alternative.selectors);
            default_count(&mut alternative.allocation_mode, &mut alternative.count);
        }
    }
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
    let mut errors = Errors::new();
    let requests = devices.requests.as_deref().unwrap_or_default();
    let requests_path = path.child("requests");
    if requests.len() > MOST_REQUESTS {
        errors.push(Error::too_many(&requests_path, requests.len(), MOST_REQUESTS));
    }
    for (i, request) in requests.iter().enumerate() {
        errors.extend(check_request(&requests_path.index(i), request));
        if requests[..i].iter().any(|before| before.name == request.name) {
            errors.push(Error::duplicate(&requests_path.index(i), &request.name));
        }
    }
    for (i, constraint) in devices.constraints.iter().flatten().enumerate() {
        errors.extend(check_constraint(&path.child("constraints").index(i), constraint, requests));
    }
    for (i, config) in devices.config.iter().flatten().enumerate() {
        let path = path.child("config").index(i);
        errors.extend(check_names(&path.child("requests"), config.requests.as_deref(), requests));
        errors.extend(check_opaque(&path.child("opaque"), config.opaque.as_ref()));
    }
    errors
}

/// Every name by which a request can be meant: its own, and `request/alternative`.
pub(super) fn is_request(name: &str, requests: &[DeviceRequest]) -> bool {
    let (request, alternative) = name.split_once('/').map_or((name, None), |(request, alternative)| (request, Some(alternative)));
    let known = |request: &DeviceRequest| match alternative {
        None => true,
        Some(name) => request.first_available.iter().flatten().any(|alternative| alternative.name == name),
    };
    requests.iter().any(|r| r.name == request && known(r))
}

fn check_names(path: &Path, names: Option<&[String]>, requests: &[DeviceRequest]) -> Errors {
    let names = names.unwrap_or_default();
    let mut errors = Errors::new();
    for (i, name) in names.iter().enumerate() {
        if !is_request(name, requests) {
            errors.push(Error::invalid(&path.index(i), name, "must be the name of a request in the claim"));
        }
        if names[..i].contains(name) {
            errors.push(Error::duplicate(&path.index(i), name));
        }
    }
    errors
}

fn check_request(path: &Path, request: &DeviceRequest) -> Errors {
    let mut errors = check_name(&path.child("name"), &request.name);
    match (&request.exactly, &request.first_available) {
        (None, None) => errors.push(Error::required(path, "exactly one of `exactly` and `firstAvailable`")),
        (Some(_), Some(_)) => errors.push(Error::bare_invalid(path, "exactly one of `exactly` and `firstAvailable`")),
        (Some(exactly), None) => {
            let path = path.child("exactly");
            errors.extend(check_class(&path.child("deviceClassName"), &exactly.device_class_name));
            errors.extend(check_selectors(&path.child("selectors"), exactly.selectors.as_deref()));
            errors.extend(check_count(&path, exactly.allocation_mode.as_deref(), exactly.count));
        }
        (None, Some(alternatives)) => {
            let list = path.child("firstAvailable");
            if alternatives.len() > MOST_ALTERNATIVES {
                errors.push(Error::too_many(&list, alternatives.len(), MOST_ALTERNATIVES));
            }
            for (i, alternative) in alternatives.iter().enumerate() {
                let path = list.index(i);
                errors.extend(check_name(&path.child("name"), &alternative.name));
                errors.extend(check_class(&path.child("deviceClassName"), &alternative.device_class_name));
                errors.extend(check_selectors(&path.child("selectors"), alternative.selectors.as_deref()));
                errors.extend(check_count(&path, alternative.allocation_mode.as_deref(), alternative.count));
                if alternatives[..i].iter().any(|before| before.name == alternative.name) {
                    errors.push(Error::duplicate(&path, &alternative.name));
                }
            }
        }
    }
    errors
}

fn check_name(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    validate::complaints(path, name, names::dns1123_label(name, false))
}

fn check_class(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    validate::complaints(path, name, names::dns1123_subdomain(name, false))
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
    let attributes = [("matchAttribute", &constraint.match_attribute), ("distinctAttribute", &constraint.distinct_attribute)];
    let given: Vec<_> = attributes.into_iter().filter_map(|(name, attribute)| Some((name, attribute.as_ref()?))).collect();
    match given.as_slice() {
        [] => errors.push(Error::required(path, "exactly one of `matchAttribute` and `distinctAttribute`")),
        [(name, attribute)] => {
            let qualified = attribute
                .split_once('/')
                .is_some_and(|(domain, name)| names::dns1123_subdomain(domain, false).is_empty() && names::c_identifier(name).is_empty());
            if !qualified {
                errors.push(Error::invalid(
                    &path.child(name),
                    attribute,
                    "must be a domain and an identifier, such as \"example.com/model\"",
                ));
            }
        }
        _ => errors.push(Error::bare_invalid(path, "exactly one of `matchAttribute` and `distinctAttribute`")),
    }
    errors
}

/// Selectors of devices.
pub(super) fn check_selectors(path: &Path, selectors: Option<&[DeviceSelector]>) -> Errors {
    let selectors = selectors.unwrap_or_default();
    let mut errors = Errors::new();
    if selectors.len() > MOST_SELECTORS {
        errors.push(Error::too_many(path, selectors.len(), MOST_SELECTORS));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i).child("cel");
        match &selector.cel {
            None => errors.push(Error::required(&path, "")),
            Some(cel) if cel.expression.trim().is_empty() => errors.push(Error::required(&path.child("expression"), "")),
            Some(cel) => errors.extend(selector::check(&path.child("expression"), &cel.expression)),
        }
    }
    errors
}

pub(super) fn check_opaque(path: &Path, opaque: Option<&OpaqueDeviceConfiguration>) -> Errors {
    let Some(opaque) = opaque else { return vec![Error::required(path, "")] };
    let mut errors = check_driver(&path.child("driver"), &opaque.driver);
    let parameters = path.child("parameters");
    match &opaque.parameters.0 {
        serde_json::Value::Null => errors.push(Error::required(&parameters, "")),
        serde_json::Value::Object(_) => {}
        other => errors.push(Error::invalid(&parameters, other, "must be an object")),
    }
    errors
}

/// The name of a driver: a DNS name in letters of any case.
pub(super) fn check_driver(path: &Path, name: &str) -> Errors {
    const MOST_BYTES: usize = 63;
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > MOST_BYTES {
        errors.push(Error::too_long(path, MOST_BYTES));
    }
    errors.extend(validate::complaints(path, name, names::dns1123_subdomain(&name.to_lowercase(), false)));
    errors
}
