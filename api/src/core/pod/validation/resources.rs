//! Requests and limits, of containers and of pods as a whole, and claims of devices.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::{Around, whole};
use crate::scheduling::resources::{List, Sums};
use crate::validate::{complaints, text};

const HUGE_PAGES: &str = "hugepages-";

/// Whether the name is Kubernetes' own rather than an extension's.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Resources that vendors add come in whole pieces and cannot be shared.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether more may be promised than there is.
pub(crate) fn is_compressible(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}

/// The name of any resource: a well-known one, or a qualified one.
pub fn validate_resource_name(path: &Path, name: &str) -> Errors {
    let mut errors = complaints(path, name, names::qualified_name(name));
    if errors.is_empty() && !name.contains('/') && !is_standard(name) {
        errors.push(Error::invalid(path, name, "must be a standard resource or a qualified name"));
    }
    errors
}

fn is_standard(name: &str) -> bool {
    const STANDARD: [&str; 27] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "requests.storage",
        "services.nodeports",
        "services.loadbalancers",
        "endpoints",
        "limitranges",
        "namespaces",
        "nodes",
        "persistentvolumes",
        "podtemplates",
        "serviceaccounts",
    ];
    STANDARD.contains(&name) || name.starts_with(HUGE_PAGES) || name.starts_with("requests.hugepages-")
}

/// The name of a resource that a container can ask for.
pub(crate) fn validate_container_resource_name(path: &Path, name: &str) -> Errors {
    let mut errors = validate_resource_name(path, name);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with(HUGE_PAGES) {
            errors.push(Error::invalid(path, name, "must be a standard resource of containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(Error::invalid(path, name, "is no name of an extended resource"));
    }
    errors
}

/// An amount: not negative, and whole where the resource comes in pieces.
pub fn validate_amount(path: &Path, name: &str, amount: Quantity) -> Errors {
    let mut errors = Errors::new();
    if amount.is_negative() {
        errors.push(Error::invalid(path, amount.to_string(), "must be greater than or equal to 0"));
    }
    let counted = matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    );
    if (counted || is_extended(name)) && !amount.is_integer() {
        errors.push(Error::invalid(path, amount.to_string(), "must be an integer"));
    }
    errors
}

/// Whose resources they are.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Container,
    Pod,
}

fn validate_entry(path: &Path, name: &str, amount: Quantity, level: Level) -> Errors {
    let mut errors = match level {
        Level::Container => validate_container_resource_name(path, name),
        Level::Pod => validate_pod_resource_name(path, name),
    };
    errors.extend(validate_amount(path, name, amount));
    if let Some(page) = name.strip_prefix(HUGE_PAGES) {
        let page: Quantity = page.parse().unwrap_or_default();
        if page.value() <= 0 || amount.value() % page.value() != 0 {
            errors.push(Error::invalid(path, amount.to_string(), "must be a multiple of the page size"));
        }
    }
    errors
}

/// The name of a resource that a pod as a whole can ask for.
fn validate_pod_resource_name(path: &Path, name: &str) -> Errors {
    let mut errors = validate_resource_name(path, name);
    if errors.is_empty() && !is_of_pods(name) {
        errors.push(Error::not_supported(path, name, &["cpu", "memory", HUGE_PAGES]));
    }
    errors
}

/// Whether pods as a whole, and not only their containers, can ask for the resource.
pub(in crate::core::pod) fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

/// Requests and limits of a container, or of what is like one.
pub fn validate_resources(path: &Path, resources: &ResourceRequirements) -> Errors {
    validate_lists(path, resources, Level::Container)
}

fn validate_lists(path: &Path, resources: &ResourceRequirements, level: Level) -> Errors {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    let limit = |name: &str| resources.limits.as_ref().and_then(|l| l.get(name)).map(Quantity::of);
    let mut errors = Errors::new();
    for (name, amount) in resources.limits.iter().flatten() {
        errors.extend(validate_entry(&limits.key(name), name, Quantity::of(amount), level));
    }
    for (name, amount) in resources.requests.iter().flatten() {
        let amount = Quantity::of(amount);
        errors.extend(validate_entry(&requests.key(name), name, amount, level));
        match limit(name) {
            Some(limit) if !is_compressible(name) && amount != limit => {
                errors.push(Error::invalid(&requests, amount.to_string(), format!("must be equal to the limit of {name}")));
            }
            Some(limit) if amount > limit => {
                let why = format!("must be less than or equal to the limit of {name}, {limit}");
                errors.push(Error::invalid(&requests, amount.to_string(), why));
            }
            None if !is_compressible(name) => errors.push(Error::required(&limits, format!("{name} needs a limit"))),
            _ => {}
        }
    }
    let named = || resources.limits.iter().chain(&resources.requests).flat_map(|list| list.keys());
    if named().any(|n| n.starts_with(HUGE_PAGES)) && !named().any(|n| n == "cpu" || n == "memory") {
        errors.push(Error::forbidden(path, "huge pages need cpu or memory beside them"));
    }
    errors
}

/// A list of amounts by itself, as a pod's overhead is one.
pub(crate) fn validate_limits(path: &Path, limits: &List) -> Errors {
    validate_resources(path, &ResourceRequirements { limits: Some(limits.clone()), ..Default::default() })
}

/// The claims that a container names have to be the pod's, and named once: a claim as a whole, or requests of it.
pub(super) fn validate_claim_references(path: &Path, resources: &ResourceRequirements, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let claims = resources.claims.as_deref().unwrap_or_default();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.child("claims").index(i);
        if claim.name.is_empty() {
            errors.push(Error::required(&at, ""));
            continue;
        }
        let request = text(&claim.request);
        let mut before = claims[..i].iter().filter(|c| c.name == claim.name).map(|c| text(&c.request)).peekable();
        let whole = before.clone().any(str::is_empty);
        if !whole && !request.is_empty() {
            errors.extend(complaints(&at.child("request"), request, names::dns1123_label(request, false)));
        }
        if whole || before.clone().any(|b| b == request) || (request.is_empty() && before.peek().is_some()) {
            errors.push(Error::duplicate(&at, claim));
        }
        if !spec.resource_claims.iter().flatten().any(|c| c.name == claim.name) {
            errors.push(Error::not_found(&at, claim));
        }
    }
    errors
}

/// The pod's claims.
pub(super) fn validate_claims(path: &Path, spec: &PodSpec, around: Around<'_>) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    if around.is_mirror() {
        let each = spec.resource_claims.iter().flatten();
        return each.map(|_| Error::forbidden(&whole(), "a static pod takes no resource claims")).collect();
    }
    for (i, claim) in spec.resource_claims.iter().flatten().enumerate() {
        let at = path.index(i);
        let name = at.child("name");
        if claim.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else if !seen.insert(&claim.name) {
            errors.push(Error::duplicate(&name, &claim.name));
        } else {
            errors.extend(complaints(&name, &claim.name, names::dns1123_label(&claim.name, false)));
        }
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (None, None) => errors.push(Error::invalid(&at, claim, "must name a claim or a template of claims")),
            (Some(_), Some(_)) => errors.push(Error::invalid(&at, claim, "may name a claim or a template, not both")),
            _ => {}
        }
        let named = [("resourceClaimName", &claim.resource_claim_name), ("resourceClaimTemplateName", &claim.resource_claim_template_name)];
        for (field, given) in named {
            if let Some(given) = given {
                errors.extend(complaints(&at.child(field), given, names::dns1123_subdomain(given, false)));
            }
        }
    }
    errors
}

/// The resources of the pod as a whole: CPU, memory and huge pages, and enough for its containers.
pub(super) fn validate_pod_level(path: &Path, spec: &PodSpec) -> Errors {
    let Some(resources) = &spec.resources else { return Errors::new() };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return vec![Error::forbidden(path, "cannot be set for a pod on Windows")];
    }
    let mut errors = Errors::new();
    if resources.claims.is_some() {
        errors.push(Error::forbidden(&path.child("claims"), "cannot be set for the pod as a whole"));
    }
    errors.extend(validate_lists(path, resources, Level::Pod));
    errors.extend(validate_claim_references(path, resources, spec));
    let of_pod = |list: &Option<List>, name: &str| list.as_ref().and_then(|l| l.get(name)).map(Quantity::of);
    let together = [
        ("requests", &resources.requests, Sums::of_requests(spec)),
        ("limits", &resources.limits, Sums::of_limits(spec).only(|name| name.starts_with(HUGE_PAGES))),
    ];
    for (field, list, sums) in together {
        for (name, sum) in sums.iter() {
            if let Some(amount) = of_pod(list, name).filter(|amount| sum > *amount) {
                let why = format!("must be at least what the containers have together, {sum}");
                errors.push(Error::invalid(&path.child(field).key(name), amount.to_string(), why));
            }
        }
    }
    for (i, container) in spec.containers.iter().enumerate() {
        for (name, limit) in container.resources.iter().filter_map(|r| r.limits.as_ref()).flatten() {
            let limit = Quantity::of(limit);
            if of_pod(&resources.limits, name).is_some_and(|most| limit > most) {
                // The odd path is Kubernetes'.
                let at = path.child("containers").index(i).key(name).child("limits");
                errors.push(Error::invalid(&at, limit.to_string(), "must not be more than the pod's"));
            }
        }
    }
    errors
}
