//! Claims: of storage, also by storage class, and of devices, by device class.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::resource::v1::ResourceClaim;
use machinery::quantity::{Format, Quantity};

use super::{Amounts, ONE, Subject, Usage};

pub(super) const STORAGE: &str = "requests.storage";
pub(super) const CLASS_INFIX: &str = ".storageclass.storage.k8s.io/";
pub(super) const DEVICES_SUFFIX: &str = ".deviceclass.resource.k8s.io/devices";
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

/// The devices that a claim may get, by class. Of alternatives, the largest counts.
pub(super) fn device_amounts(claim: &ResourceClaim) -> Amounts {
    /// What a request for all devices of a class counts as: the most that one claim can get.
    const ALL: i64 = 32;
    let number = |mode: Option<&str>, count: Option<i64>| if mode == Some("All") { ALL } else { count.unwrap_or(1) };
    let mut sum = Amounts::from([("count/resourceclaims.resource.k8s.io".to_owned(), ONE)]);
    let requests = claim.spec.devices.as_ref().and_then(|devices| devices.requests.as_deref()).unwrap_or_default();
    for request in requests {
        let mut wanted = std::collections::BTreeMap::<&str, i64>::new();
        if let Some(exactly) = &request.exactly {
            wanted.insert(&exactly.device_class_name, number(exactly.allocation_mode.as_deref(), exactly.count));
        }
        for one in request.first_available.iter().flatten() {
            let most = wanted.entry(&one.device_class_name).or_default();
            *most = (*most).max(number(one.allocation_mode.as_deref(), one.count));
        }
        for (class, count) in wanted {
            *sum.entry(format!("{class}{DEVICES_SUFFIX}")).or_default() += Quantity::new(count, Format::DecimalSi);
        }
    }
    sum
}
