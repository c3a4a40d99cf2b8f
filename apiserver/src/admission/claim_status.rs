//! Who may change which part of a resource claim's status: what is allocated and for whom it is reserved, by the right to
//! `resourceclaims/binding`; what a driver says of its devices, by that to `resourceclaims/driver` of the driver's name, on
//! any node or on the caller's own. No admission plugin upstream, where it is part of validation; it needs the authorizer.

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use api::object::downcast_ref;
use api::strategy::UserInfo;
use k8s_openapi::api::resource::v1::{AllocatedDeviceStatus, AllocationResult, ResourceClaim, ResourceClaimStatus};
use machinery::Status;
use machinery::field::{Error, Errors, Path};

use super::{Operation, Plugin, Request};
use crate::auth::Authorizer as _;
use crate::auth::authorize::{Attributes, ResourceAccess};

const GROUP: &str = "resource.k8s.io";
const CLAIMS: &str = "resourceclaims";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

pub(super) struct ClaimStatus;

impl Plugin for ClaimStatus {
    fn name(&self) -> &'static str {
        "ResourceClaimStatusAuthorization"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if request.operation != Operation::Update || !request.is(GROUP, CLAIMS, Some("status")) {
            return Ok(());
        }
        let (Some(new), Some(old)) = (object.and_then(downcast_ref::<ResourceClaim>), request.old.and_then(downcast_ref::<ResourceClaim>))
        else {
            return Ok(());
        };
        let none = ResourceClaimStatus::default();
        let errors = check(request, new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
        if errors.is_empty() {
            return Ok(());
        }
        let name = new.metadata.name.as_deref().unwrap_or_default();
        Err(Status::invalid(&request.target.resource.stored_kind().group_kind(), name, &errors))
    }
}

fn check(request: &Request<'_>, new: &ResourceClaimStatus, old: &ResourceClaimStatus) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let reserved = |status: &ResourceClaimStatus| status.reserved_for.clone().unwrap_or_default();
    if (new.allocation != old.allocation || reserved(new) != reserved(old)) && !may(request, request.verb, "binding", "", "") {
        let why = format!("to change allocation or reservedFor takes the right to {} resourceclaims/binding", request.verb);
        errors.push(Error::forbidden(&path.child("allocation"), why));
    }
    // What is said of devices goes with the allocation.
    let Some(allocation) = &new.allocation else { return errors };
    let own = is_on(request.user, allocation).then_some("associated-node");
    let verbs: Vec<String> = own.into_iter().chain(["arbitrary-node"]).map(|prefix| format!("{prefix}:{}", request.verb)).collect();
    for driver in changed_drivers(new.devices.as_deref().unwrap_or_default(), old.devices.as_deref().unwrap_or_default()) {
        if !verbs.iter().any(|verb| may(request, verb, "driver", &request.target.namespace, driver)) {
            let why = format!("to change devices of {driver} takes the right to {} resourceclaims/driver of that name", verbs.join(" or "));
            errors.push(Error::forbidden(&path.child("devices"), why));
        }
    }
    errors
}

fn may(request: &Request<'_>, verb: &str, subresource: &str, namespace: &str, name: &str) -> bool {
    let access = ResourceAccess {
        verb,
        group: GROUP,
        resource: CLAIMS,
        subresource: Some(subresource),
        namespace,
        name,
        ..ResourceAccess::default()
    };
    request.access.authorize(request.user, &Attributes::Resource(access)).is_allowed()
}

/// The drivers that say something else of a device than before, or nothing any more, or something for the first time.
fn changed_drivers<'d>(new: &'d [AllocatedDeviceStatus], old: &'d [AllocatedDeviceStatus]) -> BTreeSet<&'d str> {
    let key = |device: &'d AllocatedDeviceStatus| (&*device.driver, &*device.pool, &*device.device, device.share_id.as_deref());
    let mut before: BTreeMap<_, _> = old.iter().map(|device| (key(device), device)).collect();
    let changed: Vec<_> = new.iter().filter(|device| before.remove(&key(device)) != Some(device)).collect();
    changed.into_iter().chain(before.into_values()).map(|device| &*device.driver).collect()
}

/// Whether the caller is a service account whose token belongs to the one node that the devices are allocated on.
fn is_on(user: &UserInfo, allocation: &AllocationResult) -> bool {
    let Some([node]) = user.extra.get(NODE_NAME).map(Vec::as_slice) else { return false };
    let terms = allocation.node_selector.as_ref().map(|selector| selector.node_selector_terms.as_slice());
    let Some([term]) = terms else { return false };
    let Some([field]) = term.match_fields.as_deref() else { return false };
    user.name.starts_with("system:serviceaccount:")
        && term.match_expressions.as_ref().is_none_or(Vec::is_empty)
        && (field.key.as_str(), field.operator.as_str()) == ("metadata.name", "In")
        && field.values.as_deref() == Some(std::slice::from_ref(node))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn drivers_answer_for_what_they_change() {
        let device = |driver: &str, device: &str, data: i32| -> AllocatedDeviceStatus {
            serde_json::from_value(json!({"driver": driver, "pool": "p", "device": device, "data": {"v": data}})).unwrap()
        };
        let old = [device("same", "1", 1), device("changed", "1", 1), device("gone", "1", 1)];
        let new = [device("same", "1", 1), device("changed", "1", 2), device("new", "1", 1)];
        assert_eq!(changed_drivers(&new, &old).into_iter().collect::<Vec<_>>(), ["changed", "gone", "new"]);
    }

    #[test]
    fn a_token_of_a_node_is_on_that_node() {
        let allocation: AllocationResult = serde_json::from_value(json!({"nodeSelector": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
        ]}}))
        .unwrap();
        let user = |name: &str, node: &str| UserInfo {
            name: name.to_owned(),
            extra: [(NODE_NAME.to_owned(), vec![node.to_owned()])].into(),
            ..UserInfo::default()
        };
        assert!(is_on(&user("system:serviceaccount:a:b", "n"), &allocation));
        assert!(!is_on(&user("system:serviceaccount:a:b", "m"), &allocation) && !is_on(&user("ann", "n"), &allocation));
        assert!(!is_on(&user("system:serviceaccount:a:b", "n"), &AllocationResult::default()));
    }
}
