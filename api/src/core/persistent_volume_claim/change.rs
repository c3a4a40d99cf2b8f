//! What of a claim may change: nothing of its spec, but for the volume that it is bound to, growth and another class of attributes
//! once it is bound, and a class that was left open.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use machinery::field::{Error, Errors, Path};
use machinery::quantity::Quantity;

use super::CLASS_ANNOTATION;
use crate::validate::{immutable, text};

type Claim<'a> = (&'a PersistentVolumeClaim, &'a PersistentVolumeClaimSpec);

pub(super) fn validate(path: &Path, (new, new_spec): Claim<'_>, (old, old_spec): Claim<'_>) -> Errors {
    let mut errors = Errors::new();
    let mut same = new_spec.clone();
    if text(&old_spec.volume_name).is_empty() {
        same.volume_name.clone_from(&old_spec.volume_name);
    }
    let (was, is) = (annotated_class(old), annotated_class(new));
    let upgraded = was.is_some()
        && old_spec.storage_class_name.is_none()
        && new_spec.storage_class_name.as_deref() == was
        && (is.is_none() || is == was);
    if !upgraded && was.unwrap_or_default() != is.unwrap_or_default() {
        let at = Path::new("metadata").child("annotations").child(CLASS_ANNOTATION);
        errors.push(Error::invalid(&at, is.unwrap_or_default(), "field is immutable"));
    }
    let opened = old_spec.storage_class_name.is_none() && (was.is_none() || was == new_spec.storage_class_name.as_deref());
    if upgraded || (opened && new_spec.storage_class_name.is_some()) {
        same.storage_class_name = None;
    }
    let status = old.status.as_ref();
    if status.is_some_and(|status| text(&status.phase) == "Bound") {
        let requests = same.resources.as_mut().and_then(|resources| resources.requests.as_mut());
        if let (Some(requests), Some(size)) = (requests, requested(old_spec)) {
            requests.insert("storage".to_owned(), size.clone());
        }
        same.volume_attributes_class_name.clone_from(&old_spec.volume_attributes_class_name);
    }
    if same != *old_spec {
        const WHY: &str = "a claim's spec cannot change, except for requests of a bound claim and the class of attributes";
        errors.push(Error::forbidden(path, WHY));
    }
    errors.extend(validate_size(path, new_spec, old, old_spec));
    errors.extend(immutable(&Path::new("volumeMode"), &new_spec.volume_mode, &old_spec.volume_mode));
    let has_attributes = status.is_some_and(|status| status.current_volume_attributes_class_name.is_some());
    if has_attributes && text(&new_spec.volume_attributes_class_name).is_empty() {
        errors.push(Error::forbidden(&path.child("volumeAttributesClassName"), "cannot be taken away from a volume that has it"));
    }
    errors
}

fn annotated_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.metadata.annotations.as_ref()?.get(CLASS_ANNOTATION).map(String::as_str)
}

/// What the spec asks for.
fn requested(spec: &PersistentVolumeClaimSpec) -> Option<&Amount> {
    spec.resources.as_ref()?.requests.as_ref()?.get("storage")
}

/// A claim whose growth failed may ask for less again, but for more than it has.
fn validate_size(path: &Path, new: &PersistentVolumeClaimSpec, stored: &PersistentVolumeClaim, old: &PersistentVolumeClaimSpec) -> Errors {
    let size = |spec| requested(spec).map(Quantity::of).unwrap_or_default();
    let capacity = stored.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
    let has = capacity.map(Quantity::of).unwrap_or_default();
    if size(new) < size(old) && size(new) <= has {
        let at = path.child("resources").child("requests").child("storage");
        return vec![Error::forbidden(&at, "cannot be less than the volume's capacity")];
    }
    Errors::new()
}
