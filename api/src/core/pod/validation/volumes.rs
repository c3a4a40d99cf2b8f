//! A pod's volumes as a list: their names, and that each has one source.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Volume;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::volume_sources;
use crate::validate::complaints;

/// The volumes that containers can mount, by name: those whose source is in order.
pub(super) type KnownVolumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn validate_volumes<'a>(path: &Path, volumes: &'a [Volume], pod: Option<&str>) -> (KnownVolumes<'a>, Errors) {
    let mut known = KnownVolumes::new();
    let mut errors = Errors::new();
    let generated: BTreeSet<String> =
        volumes.iter().filter(|v| v.ephemeral.is_some()).filter_map(|v| Some(format!("{}-{}", pod?, v.name))).collect();
    for (i, volume) in volumes.iter().enumerate() {
        let at = path.index(i);
        let name = at.child("name");
        let wrong = validate_source(&at, volume, pod);
        errors.extend(match volume.name.as_str() {
            "" => vec![Error::required(&name, "")],
            given => complaints(&name, given, names::dns1123_label(given, false)),
        });
        if known.contains_key(volume.name.as_str()) {
            errors.push(Error::duplicate(&name, &volume.name));
        }
        if wrong.is_empty() {
            known.insert(&volume.name, volume);
        }
        errors.extend(wrong);
        if let Some(claim) = volume.persistent_volume_claim.as_ref().filter(|c| generated.contains(&c.claim_name)) {
            let field = at.child("persistentVolumeClaim").child("claimName");
            errors.push(Error::invalid(&field, &claim.claim_name, "is the claim of one of the pod's ephemeral volumes"));
        }
    }
    (known, errors)
}

/// One source, and that one in order.
fn validate_source(path: &Path, volume: &Volume, pod: Option<&str>) -> Errors {
    let mut sources = volume_sources::validate(path, volume, pod).into_iter();
    let Some((_, mut errors)) = sources.next() else {
        return vec![Error::required(path, "must name a type of volume")];
    };
    errors.extend(sources.map(|(name, _)| Error::forbidden(&path.child(name), "may not name more than one type of volume")));
    errors
}

/// A relative path that does not climb.
pub(super) fn descending_path(path: &Path, value: &str) -> Errors {
    let mut errors = Errors::new();
    if value.starts_with('/') {
        errors.push(Error::invalid(path, value, "must be a relative path"));
    }
    errors.extend(no_backsteps(path, value));
    errors
}

pub(super) fn no_backsteps(path: &Path, value: &str) -> Errors {
    if value.split('/').any(|part| part == "..") {
        return vec![Error::invalid(path, value, "must not contain '..'")];
    }
    Errors::new()
}

/// As [`descending_path`]; names that begin with two dots are the kubelet's.
pub(super) fn file_path(path: &Path, value: &str) -> Errors {
    let mut errors = descending_path(path, value);
    if value.starts_with("..") && !value.starts_with("../") && value != ".." {
        errors.push(Error::invalid(path, value, "must not begin with '..'"));
    }
    errors
}
