//! Where containers mount volumes and use them as devices.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use machinery::field::{Error, Errors, Path};

use super::volumes::{KnownVolumes, descending_path, no_backsteps};
use crate::validate::{required, supported_value, text};

pub(super) fn validate_mounts(path: &Path, container: &Container, volumes: &KnownVolumes<'_>) -> Errors {
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    let mut taken = BTreeSet::new();
    for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let at = path.index(i);
        errors.extend(required(&at.child("name"), &mount.name));
        if !volumes.contains_key(mount.name.as_str()) {
            errors.push(Error::not_found(&at.child("name"), &mount.name));
        }
        let target = at.child("mountPath");
        errors.extend(required(&target, &mount.mount_path));
        if !taken.insert(&mount.mount_path) {
            errors.push(Error::invalid(&target, &mount.mount_path, "must be unique"));
        }
        if devices.iter().any(|d| d.name == mount.name) {
            errors.push(Error::invalid(&at.child("name"), &mount.name, "is in volumeDevices too"));
        }
        if devices.iter().any(|d| d.device_path == mount.mount_path) {
            errors.push(Error::invalid(&target, &mount.mount_path, "is a path in volumeDevices too"));
        }
        errors.extend(validate_sub_path(path, &at, mount));
        errors.extend(validate_propagation(&path.child("mountPropagation"), mount, container));
        errors.extend(validate_recursive_read_only(&path.child("recursiveReadOnly"), mount));
    }
    errors
}

/// Kubernetes leaves the index out of paths here and in the two below.
fn validate_sub_path(list: &Path, at: &Path, mount: &VolumeMount) -> Errors {
    let (plain, expression) = (text(&mount.sub_path), text(&mount.sub_path_expr));
    let mut errors = Errors::new();
    if !plain.is_empty() {
        errors.extend(descending_path(&list.child("subPath"), plain));
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            errors.push(Error::invalid(&at.child("subPathExpr"), expression, "cannot be given beside subPath"));
        }
        errors.extend(descending_path(&list.child("subPathExpr"), expression));
    }
    errors
}

fn validate_propagation(path: &Path, mount: &VolumeMount, container: &Container) -> Errors {
    let Some(propagation) = &mount.mount_propagation else { return Errors::new() };
    let mut errors = supported_value(path, propagation, &["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.security_context.as_ref().and_then(|c| c.privileged) == Some(true);
    if propagation == "Bidirectional" && !privileged {
        errors.push(Error::forbidden(path, "Bidirectional is for privileged containers"));
    }
    errors
}

fn validate_recursive_read_only(path: &Path, mount: &VolumeMount) -> Errors {
    let Some(mode) = &mount.recursive_read_only else { return Errors::new() };
    let mut errors = Errors::new();
    match mode.as_str() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if mount.read_only != Some(true) {
                errors.push(Error::forbidden(path, "needs readOnly"));
            }
            if !matches!(text(&mount.mount_propagation), "" | "None") {
                errors.push(Error::forbidden(path, "needs mountPropagation None"));
            }
        }
        other => errors.push(Error::not_supported(path, other, &["Disabled", "Enabled", "IfPossible"])),
    }
    errors
}

pub(super) fn validate_devices(path: &Path, container: &Container, volumes: &KnownVolumes<'_>) -> Errors {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    // Neither empty names nor paths that climb are held against later devices.
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in container.volume_devices.iter().flatten().enumerate() {
        let (name, target) = (path.index(i).child("name"), path.index(i).child("devicePath"));
        errors.extend(required(&name, &device.name));
        if names.contains(&device.name) {
            errors.push(Error::invalid(&name, &device.name, "must be unique"));
        }
        match volumes.get(device.name.as_str()) {
            None => errors.push(Error::not_found(&name, &device.name)),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                errors.push(Error::invalid(&name, &device.name, "must be a claim to be used as a block device"));
            }
            Some(_) => {}
        }
        errors.extend(required(&target, &device.device_path));
        if paths.contains(&device.device_path) {
            errors.push(Error::invalid(&target, &device.device_path, "must be unique"));
        }
        let climbs = no_backsteps(&target, &device.device_path);
        if climbs.is_empty() {
            paths.insert(&device.device_path);
        }
        errors.extend(climbs);
        if mounts.iter().any(|m| m.name == device.name) {
            errors.push(Error::invalid(&name, &device.name, "is in volumeMounts too"));
        }
        if mounts.iter().any(|m| m.mount_path == device.device_path) {
            errors.push(Error::invalid(&target, &device.device_path, "is a path in volumeMounts too"));
        }
        if !device.name.is_empty() {
            names.insert(&device.name);
        }
    }
    errors
}
