//! Volumes that come from the node or from the API: files of the pod's own, objects of the namespace, claims and images.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource, EphemeralVolumeSource,
    GitRepoVolumeSource, HostPathVolumeSource, ImageVolumeSource, KeyToPath, SecretVolumeSource,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::volumes::{descending_path, file_path, no_backsteps};
use super::{Around, env};
use crate::validate::{annotations, choice, complaints, labels, required, supported_value, text};

/// Fields of the pod that a file can show.
const FILE_FIELDS: [&str; 5] = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const LARGEST_MODE: i32 = 0o777;
const MOST_DRIVER_BYTES: usize = 63;

pub(super) fn empty_dir(path: &Path, source: &EmptyDirVolumeSource) -> Errors {
    match source.size_limit.as_ref().map(Quantity::of) {
        Some(limit) if limit.is_negative() => vec![Error::forbidden(&path.child("sizeLimit"), "must be a valid resource quantity")],
        _ => Errors::new(),
    }
}

pub(crate) fn host_path(path: &Path, source: &HostPathVolumeSource) -> Errors {
    const TYPES: [&str; 8] = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
    let at = path.child("path");
    if source.path.is_empty() {
        return vec![Error::required(&at, "")];
    }
    let mut errors = no_backsteps(&at, &source.path);
    errors.extend(supported_value(&path.child("type"), text(&source.type_), &TYPES));
    errors
}

pub(super) fn git_repo(path: &Path, source: &GitRepoVolumeSource) -> Errors {
    let mut errors = required(&path.child("repository"), &source.repository);
    errors.extend(descending_path(&path.child("directory"), text(&source.directory)));
    errors
}

pub(super) fn secret(path: &Path, source: &SecretVolumeSource) -> Errors {
    let mut errors = required(&path.child("secretName"), text(&source.secret_name));
    errors.extend(mode(&path.child("defaultMode"), source.default_mode));
    errors.extend(items(&path.child("items"), source.items.as_deref().unwrap_or_default()));
    errors
}

pub(super) fn config_map(path: &Path, source: &ConfigMapVolumeSource) -> Errors {
    let mut errors = required(&path.child("name"), &source.name);
    errors.extend(mode(&path.child("defaultMode"), source.default_mode));
    errors.extend(items(&path.child("items"), source.items.as_deref().unwrap_or_default()));
    errors
}

/// Kubernetes reports files at the volume, without saying which.
pub(super) fn downward_api(path: &Path, source: &DownwardAPIVolumeSource) -> Errors {
    let mut errors = mode(&path.child("defaultMode"), source.default_mode);
    errors.extend(source.items.iter().flatten().flat_map(|file| downward_file(path, file)));
    errors
}

/// The name of a secret that a driver gets is reported without the name of the field around it.
pub(super) fn csi(path: &Path, source: &CSIVolumeSource) -> Errors {
    let driver = path.child("driver");
    let mut errors = required(&driver, &source.driver);
    if source.driver.len() > MOST_DRIVER_BYTES {
        errors.push(Error::too_long(&driver, MOST_DRIVER_BYTES));
    }
    if !source.driver.is_empty() {
        errors.extend(complaints(&driver, &source.driver, names::dns1123_subdomain(&source.driver.to_lowercase(), false)));
    }
    errors.extend(match source.node_publish_secret_ref.as_ref().map(|secret| secret.name.as_str()) {
        None => Errors::new(),
        Some("") => vec![Error::required(&path.child("nodePublishSecretRef").child("name"), "")],
        Some(name) => complaints(&path.child("name"), name, names::dns1123_subdomain(name, false)),
    });
    errors
}

/// `name` is the path of the volume's name: the claim is named after the pod and the volume.
pub(super) fn ephemeral(path: &Path, source: &EphemeralVolumeSource, name: &Path, volume: &str, around: Around<'_>) -> Errors {
    let at = path.child("volumeClaimTemplate");
    let mut errors = match &source.volume_claim_template {
        None => vec![Error::required(&at, "")],
        Some(template) => {
            let mut errors = template.metadata.as_ref().map(|meta| template_metadata(&at.child("metadata"), meta)).unwrap_or_default();
            errors.extend(crate::core::persistent_volume_claim::validate_spec(&at.child("spec"), &template.spec));
            errors
        }
    };
    if let Some(pod) = around.pod_name().filter(|_| !volume.is_empty()) {
        let claim = format!("{pod}-{volume}");
        let wrong = names::dns1123_subdomain(&claim, false);
        errors
            .extend(wrong.into_iter().map(|why| Error::invalid(name, volume, format!("the claim's name would be {claim:?}, which {why}"))));
    }
    errors
}

/// The metadata of a template has labels and annotations, and nothing else that would be ignored.
fn template_metadata(path: &Path, meta: &ObjectMeta) -> Errors {
    let mut errors = annotations(&path.child("annotations"), meta.annotations.as_ref());
    errors.extend(labels(&path.child("labels"), meta.labels.as_ref()));
    let has = |field: &Option<String>| !text(field).is_empty();
    let given = [
        ("name", has(&meta.name)),
        ("generateName", has(&meta.generate_name)),
        ("namespace", has(&meta.namespace)),
        ("selfLink", has(&meta.self_link)),
        // The odd capitals are Kubernetes'.
        ("uID", has(&meta.uid)),
        ("resourceVersion", has(&meta.resource_version)),
        ("generation", meta.generation.unwrap_or_default() != 0),
        ("creationTimestamp", meta.creation_timestamp.is_some()),
        ("deletionTimestamp", meta.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", meta.owner_references.is_some()),
        ("finalizers", meta.finalizers.is_some()),
        ("managedFields", meta.managed_fields.is_some()),
    ];
    errors.extend(given.iter().filter(|(_, given)| *given).map(|(name, _)| Error::forbidden(&path.child(name), "cannot be set")));
    errors
}

/// A template may leave the reference to whoever makes pods of it.
pub(super) fn image(path: &Path, source: &ImageVolumeSource, around: Around<'_>) -> Errors {
    let mut errors = Errors::new();
    if matches!(around, Around::Pod(_)) {
        errors.extend(required(&path.child("reference"), text(&source.reference)));
    }
    errors.extend(choice(&path.child("pullPolicy"), text(&source.pull_policy), &["Always", "IfNotPresent", "Never"]));
    errors
}

pub(super) fn mode(path: &Path, mode: Option<i32>) -> Errors {
    match mode {
        Some(mode) if !(0..=LARGEST_MODE).contains(&mode) => {
            vec![Error::invalid(path, mode, "must be between 0 and 0777 (octal)")]
        }
        _ => Errors::new(),
    }
}

fn items(path: &Path, items: &[KeyToPath]) -> Errors {
    items.iter().enumerate().flat_map(|(i, item)| key_to_path(&path.index(i), item)).collect()
}

pub(super) fn key_to_path(path: &Path, item: &KeyToPath) -> Errors {
    let mut errors = required(&path.child("key"), &item.key);
    errors.extend(required(&path.child("path"), &item.path));
    errors.extend(file_path(&path.child("path"), &item.path));
    errors.extend(mode(&path.child("mode"), item.mode));
    errors
}

pub(super) fn downward_file(path: &Path, file: &DownwardAPIVolumeFile) -> Errors {
    let mut errors = required(&path.child("path"), &file.path);
    errors.extend(file_path(&path.child("path"), &file.path));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(selector), other) => {
            errors.extend(env::validate_field(&path.child("fieldRef"), selector, &FILE_FIELDS));
            if other.is_some() {
                errors.push(Error::invalid(path, "resource", "fieldRef and resourceFieldRef cannot both be given"));
            }
        }
        (None, Some(selector)) => errors.extend(env::validate_resource(&path.child("resourceFieldRef"), selector, true)),
        (None, None) => errors.push(Error::required(path, "fieldRef or resourceFieldRef must be given")),
    }
    errors.extend(mode(&path.child("mode"), file.mode));
    errors
}
