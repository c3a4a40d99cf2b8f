//! PersistentVolumeClaimResize: a claim grows only once it is bound, and only where its class allows that.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::Status;
use machinery::quantity::Quantity;

use super::{Operation, Plugin, Request};

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if request.operation != Operation::Update || !request.is("", "persistentvolumeclaims", None) {
            return Ok(());
        }
        let new = object.and_then(downcast_ref::<PersistentVolumeClaim>);
        let old = request.old.and_then(downcast_ref::<PersistentVolumeClaim>);
        let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
        if size(new) <= size(old) {
            return Ok(());
        }
        if old.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
            return Err(request.forbidden(new, "only bound persistent volume claims can be expanded"));
        }
        if !may_grow(request, new, old) {
            let why = "only dynamically provisioned claims whose storage class supports it can be resized";
            return Err(request.forbidden(new, why));
        }
        Ok(())
    }
}

fn size(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(Quantity::of)
}

fn may_grow(request: &Request<'_>, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> bool {
    let class = |claim: &PersistentVolumeClaim| claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
    let name = class(new);
    if name.is_empty() || name != class(old) {
        return false;
    }
    let found = request.world.object::<StorageClass>("storage.k8s.io", "storageclasses", "", &name);
    found.is_some_and(|class| class.allow_volume_expansion == Some(true))
}
