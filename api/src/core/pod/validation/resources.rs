//! Requests and limits, of containers and of pods as a whole, and claims of devices.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use crate::scheduling::Resources;
use crate::scheduling::resources::List;
use crate::validate::complaints;

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

fn validate_entry(path: &Path, name: &str, amount: Quantity) -> Errors {
    let mut errors = validate_container_resource_name(path, name);
    errors.extend(validate_amount(path, name, amount));
    if let Some(page) = name.strip_prefix(HUGE_PAGES) {
        let page: Quantity = page.parse().unwrap_or_default();
        if page.value() <= 0 || amount.value() % page.value() != 0 {
            errors.push(Error::invalid(path, amount.to_string(), "must be a multiple of the page size"));
        }
    }
    errors
}

/// A container's resources.
pub fn validate_resources(path: &Path, resources: &ResourceRequirements) -> Errors {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    let limit = |name: &str| resources.limits.as_ref().and_then(|l| l.get(name)).map(Quantity::of);
    let mut errors = Errors::new();
    for (name, amount) in resources.limits.iter().flatten() {
        errors.extend(validate_entry(&limits.key(name), name, Quantity::of(amount)));
    }
    for (name, amount) in resources.requests.iter().flatten() {
        let amount = Quantity::of(amount);
        errors.extend(validate_entry(&requests.key(name), name, amount));
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

/// The claims that a container names have to be the pod's, and named once.
pub(super) fn validate_claim_references(path: &Path, resources: &ResourceRequirements, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, claim) in resources.claims.iter().flatten().enumerate() {
        let at = path.child("claims").index(i);
        if claim.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
            continue;
        }
        if !seen.insert((&claim.name, &claim.request)) {
            errors.push(Error::duplicate(&at, claim));
        }
        if !spec.resource_claims.iter().flatten().any(|c| c.name == claim.name) {
            errors.push(Error::not_found(&at, claim));
        }
    }
    errors
}

/// The pod's claims.
pub(super) fn validate_claims(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
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
            (Some(name), None) => {
                let wrong = names::dns1123_subdomain(name, false);
                errors.extend(complaints(&at.child("resourceClaimName"), name, wrong));
            }
            (None, Some(name)) => {
                let wrong = names::dns1123_subdomain(name, false);
                errors.extend(complaints(&at.child("resourceClaimTemplateName"), name, wrong));
            }
        }
    }
    errors
}

/// The resources of the pod as a whole: CPU, memory and huge pages, and enough for its containers.
pub(super) fn validate_pod_level(path: &Path, resources: &ResourceRequirements, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    if resources.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        errors.push(Error::forbidden(&path.child("claims"), "cannot be set for the pod as a whole"));
    }
    for (field, list) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in list.iter().flat_map(|list| list.keys()) {
            if name != "cpu" && name != "memory" && !name.starts_with(HUGE_PAGES) {
                let at = path.child(field).key(name);
                errors.push(Error::not_supported(&at, name, &["cpu", "memory", "hugepages-"]));
            }
        }
    }
    errors.extend(validate_resources(path, resources));
    let mut bare = spec.clone();
    (bare.resources, bare.overhead) = (None, None);
    let together = Resources::requested_by(&bare);
    let pod = resources.requests.as_ref().map(Resources::of_list).unwrap_or_default();
    for name in resources.requests.iter().flat_map(|list| list.keys()) {
        if together.amount(name) > pod.amount(name) {
            let why = "must be at least what the containers request together";
            errors.push(Error::invalid(&path.child("requests").key(name), pod.amount(name), why));
        }
    }
    errors
}
