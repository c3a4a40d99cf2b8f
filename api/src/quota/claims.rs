//! Claims of storage, also by storage class.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use machinery::quantity::Quantity;

use super::{Amounts, ONE, Subject, Usage};

pub(super) const STORAGE: &str = "requests.storage";
pub(super) const CLASS_INFIX: &str = ".storageclass.storage.k8s.io/";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn usage(claim: &PersistentVolumeClaim) -> Usage {
    let spec = claim.spec.clone().unwrap_or_default();
    let asked = spec.resources.and_then(|resources| resources.requests?.get("storage").map(Quantity::of));
    // While a claim grows or shrinks, the larger size counts.
    let allocated = claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref()?.get("storage").map(Quantity::of));
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION).cloned());
    let class = annotated.or(spec.storage_class_name).unwrap_or_default();
    let mut amounts = Amounts::from([("count/persistentvolumeclaims".to_owned(), ONE), ("persistentvolumeclaims".to_owned(), ONE)]);
    if !class.is_empty() {
        amounts.insert(format!("{class}{CLASS_INFIX}persistentvolumeclaims"), ONE);
    }
    if let Some(size) = asked.max(allocated) {
        amounts.insert(STORAGE.to_owned(), size);
        if !class.is_empty() {
            amounts.insert(format!("{class}{CLASS_INFIX}{STORAGE}"), size);
        }
    }
    let status = claim.status.as_ref();
    let mut attributes = vec![spec.volume_attributes_class_name.unwrap_or_default()];
    attributes.extend(status.and_then(|status| status.current_volume_attributes_class_name.clone()));
    attributes.extend(status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.clone()));
    attributes.retain(|class| !class.is_empty());
    Usage { amounts, subject: Subject::Claim { attributes } }
}
