//! Which volumes a claim could get: what the volume binder, which brings them together, and the scheduler, which looks for
//! nodes where that is possible, have to agree on.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::quantity::Quantity;

use crate::validate::text;

/// On a claim: the binding was completed once. What is missing since then was lost.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim or a volume: its reference to the other was made by the cluster, and not by its author.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a claim: where its first consumer is to run.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The provisioner of classes whose volumes somebody makes by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// An annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A claim's storage class; empty for none.
pub fn class_of(claim: &PersistentVolumeClaim) -> &str {
    const ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
    annotation(&claim.metadata, ANNOTATION).or(claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref())).unwrap_or_default()
}

/// The storage that a claim asks for.
pub fn requested(claim: &PersistentVolumeClaimSpec) -> Option<Quantity> {
    claim.resources.as_ref()?.requests.as_ref()?.get("storage").map(Quantity::of)
}

/// The storage that a volume has.
pub fn capacity(volume: &PersistentVolumeSpec) -> Option<Quantity> {
    volume.capacity.as_ref()?.get("storage").map(Quantity::of)
}

/// A volume's phase; empty where it has none yet.
pub fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().map(|status| text(&status.phase)).unwrap_or_default()
}

/// What a claim of a class needs and the volume does not have.
pub fn why_unfit(has: &PersistentVolumeSpec, wants: &PersistentVolumeClaimSpec, class: &str) -> Option<&'static str> {
    let modes = has.access_modes.as_deref().unwrap_or_default();
    let mode = |given: &Option<String>| given.as_deref().unwrap_or("Filesystem").to_owned();
    if capacity(has) < requested(wants) {
        Some("requested PV is too small")
    } else if text(&has.storage_class_name) != class {
        Some("storageClassName does not match")
    } else if mode(&has.volume_mode) != mode(&wants.volume_mode) {
        Some("incompatible volumeMode")
    } else if !wants.access_modes.iter().flatten().all(|wanted| modes.contains(wanted)) {
        Some("incompatible accessMode")
    } else if text(&has.volume_attributes_class_name) != text(&wants.volume_attributes_class_name) {
        Some("volumeAttributesClassName does not match")
    } else {
        None
    }
}
