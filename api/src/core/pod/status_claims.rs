//! What a pod's status may say of resource claims: those that were made for the pod, and the one that stands for its
//! extended resources.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodExtendedResourceClaimStatus, PodSpec, PodStatus};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::complaints;

/// `path` is the status's.
pub(super) fn validate(path: &Path, spec: &PodSpec, status: &PodStatus) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, claim) in status.resource_claim_statuses.iter().flatten().enumerate() {
        let at = path.child("resourceClaimStatuses").index(i);
        if !spec.resource_claims.iter().flatten().any(|c| c.name == claim.name) {
            errors.push(Error::invalid(&at.child("name"), &claim.name, "must be one of spec.resourceClaims"));
        }
        if !seen.insert(&claim.name) {
            errors.push(Error::duplicate(&at.child("name"), &claim.name));
        }
        if let Some(name) = &claim.resource_claim_name {
            errors.extend(complaints(&at.child("resourceClaimName"), name, names::dns1123_subdomain(name, false)));
        }
    }
    if let Some(extended) = &status.extended_resource_claim_status {
        errors.extend(validate_extended(&path.child("extendedResourceClaimStatus"), spec, extended));
    }
    errors
}

fn validate_extended(path: &Path, spec: &PodSpec, status: &PodExtendedResourceClaimStatus) -> Errors {
    let at = path.child("requestMappings");
    let mut errors = Errors::new();
    if status.request_mappings.is_empty() {
        errors.push(Error::required(&at, "must have a mapping"));
    }
    let mut seen = BTreeSet::new();
    for (i, mapping) in status.request_mappings.iter().enumerate() {
        let at = at.index(i);
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        match containers.find(|c| c.name == mapping.container_name) {
            None => errors.push(Error::invalid(&at.child("containerName"), &mapping.container_name, "is no container of the pod")),
            Some(container) => {
                let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
                if !requests.is_some_and(|requests| requests.contains_key(&mapping.resource_name)) {
                    let why = "is nothing that the container requests";
                    errors.push(Error::invalid(&at.child("resourceName"), &mapping.resource_name, why));
                }
            }
        }
        // Kubernetes leaves the list and the index out of this path.
        let request = &mapping.request_name;
        errors.extend(complaints(&path.child("requestName"), request, names::dns1123_label(request, false)));
        if !seen.insert((&mapping.container_name, &mapping.resource_name, request)) {
            errors.push(Error::duplicate(&at.child("containerName"), &mapping.container_name));
            errors.push(Error::duplicate(&at.child("resourceName"), &mapping.resource_name));
            errors.push(Error::duplicate(&at.child("requestName"), request));
        }
    }
    let name = path.child("resourceClaimName");
    errors.extend(match status.resource_claim_name.as_str() {
        "" => vec![Error::required(&name, "")],
        given => complaints(&name, given, names::dns1123_subdomain(given, false)),
    });
    errors
}
