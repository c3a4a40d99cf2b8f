//! Each type of volume, and what it demands.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, DownwardAPIVolumeFile, EmptyDirVolumeSource, EphemeralVolumeSource, FCVolumeSource, HostPathVolumeSource,
    ISCSIVolumeSource, KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::env;
use super::volumes::{file_path, no_backsteps};
use crate::validate::{choice, complaints, required, supported_value, text};

/// Fields of the pod that a file can show.
const FILE_FIELDS: [&str; 5] = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const LARGEST_MODE: i32 = 0o777;
const SHORTEST_TOKEN_SECONDS: i64 = 600;
const LONGEST_TOKEN_SECONDS: i64 = 1 << 32;

/// The volume's sources with what is wrong with each; a good volume has one.
pub(super) fn validate(path: &Path, volume: &Volume, pod: Option<&str>) -> Vec<(&'static str, Errors)> {
    let sources = [
        ("emptyDir", volume.empty_dir.as_ref().map(|s| empty_dir(&path.child("emptyDir"), s))),
        ("hostPath", volume.host_path.as_ref().map(|s| host_path(&path.child("hostPath"), s))),
        ("gitRepo", volume.git_repo.as_ref().map(|s| required(&path.child("gitRepo").child("repository"), &s.repository))),
        (
            "gcePersistentDisk",
            volume.gce_persistent_disk.as_ref().map(|s| required(&path.child("gcePersistentDisk").child("pdName"), &s.pd_name)),
        ),
        (
            "awsElasticBlockStore",
            volume.aws_elastic_block_store.as_ref().map(|s| required(&path.child("awsElasticBlockStore").child("volumeID"), &s.volume_id)),
        ),
        (
            "secret",
            volume.secret.as_ref().map(|s| {
                let at = path.child("secret");
                let mut errors = required(&at.child("secretName"), text(&s.secret_name));
                errors.extend(mode(&at.child("defaultMode"), s.default_mode));
                errors.extend(items(&at.child("items"), s.items.as_deref().unwrap_or_default()));
                errors
            }),
        ),
        ("nfs", volume.nfs.as_ref().map(|s| nfs(&path.child("nfs"), &s.server, &s.path))),
        ("iscsi", volume.iscsi.as_ref().map(|s| iscsi(&path.child("iscsi"), s))),
        ("glusterfs", volume.glusterfs.as_ref().map(|s| all(&path.child("glusterfs"), &[("endpoints", &s.endpoints), ("path", &s.path)]))),
        (
            "persistentVolumeClaim",
            volume
                .persistent_volume_claim
                .as_ref()
                .map(|s| required(&path.child("persistentVolumeClaim").child("claimName"), &s.claim_name)),
        ),
        (
            "downwardAPI",
            volume.downward_api.as_ref().map(|s| {
                let at = path.child("downwardAPI");
                let mut errors = mode(&at.child("defaultMode"), s.default_mode);
                let files = s.items.as_deref().unwrap_or_default();
                errors.extend(files.iter().flat_map(|file| downward_file(&at, file)));
                errors
            }),
        ),
        ("fc", volume.fc.as_ref().map(|s| fibre_channel(&path.child("fc"), s))),
        ("flexVolume", volume.flex_volume.as_ref().map(|s| required(&path.child("flexVolume").child("driver"), &s.driver))),
        (
            "configMap",
            volume.config_map.as_ref().map(|s| {
                let at = path.child("configMap");
                let mut errors = required(&at.child("name"), &s.name);
                errors.extend(mode(&at.child("defaultMode"), s.default_mode));
                errors.extend(items(&at.child("items"), s.items.as_deref().unwrap_or_default()));
                errors
            }),
        ),
        ("projected", volume.projected.as_ref().map(|s| projected(&path.child("projected"), s))),
        ("csi", volume.csi.as_ref().map(|s| csi(&path.child("csi"), s))),
        ("ephemeral", volume.ephemeral.as_ref().map(|s| ephemeral(&path.child("ephemeral"), s, &volume.name, pod))),
        ("image", volume.image.as_ref().map(|s| image(&path.child("image"), text(&s.reference), text(&s.pull_policy)))),
    ];
    let sources = sources.into_iter().chain(network_storage(path, volume));
    sources.filter_map(|(name, errors)| Some((name, errors?))).collect()
}

/// The older network storages, which demand little more than that their main fields are there.
fn network_storage(path: &Path, volume: &Volume) -> Vec<(&'static str, Option<Errors>)> {
    let at = |name: &str| path.child(name);
    vec![
        ("flocker", volume.flocker.as_ref().map(|s| flocker(&at("flocker"), text(&s.dataset_name), text(&s.dataset_uuid)))),
        ("rbd", volume.rbd.as_ref().map(|s| monitors(&at("rbd"), &s.monitors, Some(&s.image)))),
        ("cinder", volume.cinder.as_ref().map(|s| all(&at("cinder"), &[("volumeID", &s.volume_id)]))),
        ("cephfs", volume.cephfs.as_ref().map(|s| monitors(&at("cephfs"), &s.monitors, None))),
        ("quobyte", volume.quobyte.as_ref().map(|s| all(&at("quobyte"), &[("registry", &s.registry), ("volume", &s.volume)]))),
        (
            "azureFile",
            volume.azure_file.as_ref().map(|s| all(&at("azureFile"), &[("secretName", &s.secret_name), ("shareName", &s.share_name)])),
        ),
        ("vsphereVolume", volume.vsphere_volume.as_ref().map(|s| all(&at("vsphereVolume"), &[("volumePath", &s.volume_path)]))),
        ("photonPersistentDisk", volume.photon_persistent_disk.as_ref().map(|s| all(&at("photonPersistentDisk"), &[("pdID", &s.pd_id)]))),
        ("portworxVolume", volume.portworx_volume.as_ref().map(|s| all(&at("portworxVolume"), &[("volumeID", &s.volume_id)]))),
        ("azureDisk", volume.azure_disk.as_ref().map(|s| all(&at("azureDisk"), &[("diskName", &s.disk_name), ("diskURI", &s.disk_uri)]))),
        ("storageos", volume.storageos.as_ref().map(|s| required(&at("storageos").child("volumeName"), text(&s.volume_name)))),
        (
            "scaleIO",
            volume
                .scale_io
                .as_ref()
                .map(|s| all(&at("scaleIO"), &[("gateway", &s.gateway), ("system", &s.system), ("volumeName", text(&s.volume_name))])),
        ),
    ]
}

fn all(path: &Path, fields: &[(&str, &str)]) -> Errors {
    fields.iter().flat_map(|(name, value)| required(&path.child(name), value)).collect()
}

fn empty_dir(path: &Path, source: &EmptyDirVolumeSource) -> Errors {
    let at = path.child("sizeLimit");
    match source.size_limit.as_ref().map(Quantity::of) {
        Some(limit) if limit.is_negative() => vec![Error::forbidden(&at, "must be a valid resource quantity")],
        _ => Errors::new(),
    }
}

fn host_path(path: &Path, source: &HostPathVolumeSource) -> Errors {
    const TYPES: [&str; 8] = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
    let at = path.child("path");
    if source.path.is_empty() {
        return vec![Error::required(&at, "")];
    }
    let mut errors = no_backsteps(&at, &source.path);
    errors.extend(supported_value(&path.child("type"), text(&source.type_), &TYPES));
    errors
}

pub(crate) fn nfs(path: &Path, server: &str, target: &str) -> Errors {
    let mut errors = all(path, &[("server", server), ("path", target)]);
    if !target.starts_with('/') && !target.is_empty() {
        errors.push(Error::invalid(&path.child("path"), target, "must be an absolute path"));
    }
    errors
}

fn iscsi(path: &Path, source: &ISCSIVolumeSource) -> Errors {
    let mut errors = all(path, &[("targetPortal", &source.target_portal), ("iqn", &source.iqn)]);
    let prefixes = ["iqn", "eui", "naa"];
    if !source.iqn.is_empty() && !prefixes.iter().any(|prefix| source.iqn.starts_with(prefix)) {
        errors.push(Error::invalid(&path.child("iqn"), &source.iqn, "must begin with iqn, eui or naa"));
    }
    if !(0..=255).contains(&source.lun) {
        errors.push(Error::invalid(&path.child("lun"), source.lun, "must be between 0 and 255"));
    }
    let authenticated = source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true);
    if authenticated && source.secret_ref.is_none() {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    errors
}

fn fibre_channel(path: &Path, source: &FCVolumeSource) -> Errors {
    let names = source.target_wwns.as_ref().is_some_and(|n| !n.is_empty());
    let ids = source.wwids.as_ref().is_some_and(|n| !n.is_empty());
    match (names, ids) {
        (false, false) => vec![Error::required(&path.child("targetWWNs"), "targetWWNs or wwids must be given")],
        (true, true) => vec![Error::invalid(&path.child("targetWWNs"), &source.target_wwns, "cannot be given beside wwids")],
        (true, false) if source.lun.is_none() => vec![Error::required(&path.child("lun"), "is needed with targetWWNs")],
        _ => Errors::new(),
    }
}

fn flocker(path: &Path, name: &str, uuid: &str) -> Errors {
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => vec![Error::required(path, "datasetName or datasetUUID must be given")],
        (false, false) => vec![Error::invalid(path, name, "datasetName and datasetUUID cannot both be given")],
        _ => Errors::new(),
    }
}

fn monitors(path: &Path, monitors: &[String], image: Option<&String>) -> Errors {
    let mut errors = Errors::new();
    if monitors.is_empty() {
        errors.push(Error::required(&path.child("monitors"), ""));
    }
    if let Some(image) = image {
        errors.extend(required(&path.child("image"), image));
    }
    errors
}

fn csi(path: &Path, source: &CSIVolumeSource) -> Errors {
    let mut errors = match source.driver.as_str() {
        "" => vec![Error::required(&path.child("driver"), "")],
        driver => complaints(&path.child("driver"), driver, names::dns1123_subdomain(&driver.to_lowercase(), false)),
    };
    if let Some(secret) = &source.node_publish_secret_ref {
        errors.extend(required(&path.child("nodePublishSecretRef").child("name"), &secret.name));
    }
    errors
}

fn ephemeral(path: &Path, source: &EphemeralVolumeSource, volume: &str, pod: Option<&str>) -> Errors {
    let at = path.child("volumeClaimTemplate");
    let Some(template) = &source.volume_claim_template else { return vec![Error::required(&at, "")] };
    let mut errors = crate::core::persistent_volume_claim::validate_spec(&at.child("spec"), &template.spec);
    // The claim is named after the pod and the volume.
    if let Some(pod) = pod.filter(|pod| !pod.is_empty()) {
        let name = format!("{pod}-{volume}");
        let wrong = names::dns1123_subdomain(&name, false);
        errors.extend(wrong.into_iter().map(|why| Error::invalid(path, &name, format!("as the name of a claim: {why}"))));
    }
    errors
}

fn image(path: &Path, reference: &str, policy: &str) -> Errors {
    let mut errors = required(&path.child("reference"), reference);
    errors.extend(choice(&path.child("pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]));
    errors
}

fn mode(path: &Path, mode: Option<i32>) -> Errors {
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

fn key_to_path(path: &Path, item: &KeyToPath) -> Errors {
    let mut errors = all(path, &[("key", &item.key), ("path", &item.path)]);
    errors.extend(file_path(&path.child("path"), &item.path));
    errors.extend(mode(&path.child("mode"), item.mode));
    errors
}

fn downward_file(path: &Path, file: &DownwardAPIVolumeFile) -> Errors {
    let mut errors = required(&path.child("path"), &file.path);
    errors.extend(file_path(&path.child("path"), &file.path));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(_), Some(_)) => errors.push(Error::invalid(path, "resource", "fieldRef and resourceFieldRef cannot both be given")),
        (Some(selector), None) => errors.extend(env::validate_field(&path.child("fieldRef"), selector, &FILE_FIELDS)),
        (None, Some(selector)) => {
            errors.extend(env::validate_resource(&path.child("resourceFieldRef"), selector, true));
        }
        (None, None) => errors.push(Error::required(path, "fieldRef or resourceFieldRef must be given")),
    }
    errors.extend(mode(&path.child("mode"), file.mode));
    errors
}

fn projected(path: &Path, source: &ProjectedVolumeSource) -> Errors {
    let mut errors = mode(&path.child("defaultMode"), source.default_mode);
    let mut files = BTreeSet::new();
    for (i, projection) in source.sources.iter().flatten().enumerate() {
        errors.extend(validate_projection(path, &path.child("sources").index(i), projection, &mut files));
    }
    errors
}

/// One source of a projected volume. `files` has the paths that earlier ones take: a path belongs to one of them.
fn validate_projection(volume: &Path, path: &Path, projection: &VolumeProjection, files: &mut BTreeSet<String>) -> Errors {
    let mut errors = Errors::new();
    let mut sources = 0;
    let mut take = |file: &str| {
        let free = file.is_empty() || files.insert(file.to_owned());
        if free { None } else { Some(Error::invalid(volume, file, "more than one source has this path")) }
    };
    if let Some(secret) = &projection.secret {
        sources += 1;
        let keys = secret.items.as_deref().unwrap_or_default();
        errors.extend(required(&path.child("secret").child("name"), &secret.name));
        errors.extend(items(&path.child("secret").child("items"), keys));
        errors.extend(keys.iter().filter_map(|item| take(&item.path)));
    }
    if let Some(map) = &projection.config_map {
        sources += 1;
        let keys = map.items.as_deref().unwrap_or_default();
        errors.extend(required(&path.child("configMap").child("name"), &map.name));
        errors.extend(items(&path.child("configMap").child("items"), keys));
        errors.extend(keys.iter().filter_map(|item| take(&item.path)));
    }
    if let Some(downward) = &projection.downward_api {
        sources += 1;
        for file in downward.items.iter().flatten() {
            errors.extend(downward_file(&path.child("downwardAPI"), file));
            errors.extend(take(&file.path));
        }
    }
    if let Some(token) = &projection.service_account_token {
        sources += 1;
        errors.extend(service_account_token(volume, &path.child("serviceAccountToken"), token));
        errors.extend(take(&token.path));
    }
    if let Some(bundle) = &projection.cluster_trust_bundle {
        sources += 1;
        errors.extend(required(&path.child("clusterTrustBundle").child("path"), &bundle.path));
        errors.extend(take(&bundle.path));
    }
    if projection.pod_certificate.is_some() {
        sources += 1;
    }
    if sources > 1 {
        errors.push(Error::forbidden(path, "may not name more than one type of source"));
    }
    errors
}

/// Kubernetes reports the token's path at the volume, not at the source.
fn service_account_token(volume: &Path, path: &Path, token: &ServiceAccountTokenProjection) -> Errors {
    let at = path.child("expirationSeconds");
    let mut errors = Errors::new();
    if let Some(seconds) = token.expiration_seconds {
        if seconds < SHORTEST_TOKEN_SECONDS {
            errors.push(Error::invalid(&at, seconds, "may not be less than 10 minutes"));
        }
        if seconds > LONGEST_TOKEN_SECONDS {
            errors.push(Error::invalid(&at, seconds, format!("may not be more than {LONGEST_TOKEN_SECONDS} seconds")));
        }
    }
    errors.extend(match token.path.as_str() {
        "" => vec![Error::required(&volume.child("path"), "")],
        given => file_path(&volume.child("path"), given),
    });
    errors
}
