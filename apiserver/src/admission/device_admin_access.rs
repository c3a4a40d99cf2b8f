//! Access to devices that others use, for monitoring and the like, is for namespaces that are labelled for it. No admission
//! plugin upstream, where it is part of validation; it needs the namespace.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::resource::v1::{DeviceRequest, ResourceClaim, ResourceClaimSpec, ResourceClaimTemplate};
use machinery::field::{Error, Errors, Path};

use super::{Operation, Plugin, Request};

const GROUP: &str = "resource.k8s.io";
const LABEL: &str = "resource.kubernetes.io/admin-access";

pub(super) struct DeviceAdminAccess;

impl Plugin for DeviceAdminAccess {
    fn name(&self) -> &'static str {
        "DeviceAdminAccess"
    }

    fn errors(&self, request: &Request<'_>, object: &dyn Object) -> Errors {
        if request.target.resource.names().group != GROUP {
            return Errors::new();
        }
        let path = asked(request, object).filter(|_| !is_labelled(request));
        path.map(|path| Error::forbidden(&path, format!("the namespace must have the label {LABEL}: \"true\""))).into_iter().collect()
    }
}

/// Where the object asks for the access, or is given it, if it was not before.
fn asked(request: &Request<'_>, object: &dyn Object) -> Option<Path> {
    let creates = request.operation == Operation::Create;
    if let Some(template) = downcast_ref::<ResourceClaimTemplate>(object).filter(|_| creates) {
        return asked_by(&template.spec.spec);
    }
    let claim = downcast_ref::<ResourceClaim>(object)?;
    match (creates, request.is(GROUP, "resourceclaims", Some("status"))) {
        (true, _) => asked_by(&claim.spec),
        (false, true) if request.old.and_then(downcast_ref).is_none_or(|old| granted(old).is_none()) => granted(claim),
        _ => None,
    }
}

/// Kubernetes leaves `exactly` out of the path, and names that of a claim in templates too.
fn asked_by(spec: &ResourceClaimSpec) -> Option<Path> {
    let requests = spec.devices.as_ref()?.requests.as_deref()?;
    let asks = |request: &DeviceRequest| request.exactly.as_ref().is_some_and(|exactly| exactly.admin_access == Some(true));
    let at = requests.iter().position(asks)?;
    Some(Path::new("spec").child("devices").child("requests").index(at).child("adminAccess"))
}

fn granted(claim: &ResourceClaim) -> Option<Path> {
    let results = claim.status.as_ref()?.allocation.as_ref()?.devices.as_ref()?.results.as_deref()?;
    let at = results.iter().position(|result| result.admin_access == Some(true))?;
    Some(Path::new("status").child("allocation").child("devices").child("results").index(at).child("adminAccess"))
}

fn is_labelled(request: &Request<'_>) -> bool {
    let namespace = request.world.object::<Namespace>("", "namespaces", "", &request.target.namespace);
    namespace.and_then(|namespace| namespace.metadata.labels?.get(LABEL).cloned()).is_some_and(|value| value == "true")
}
