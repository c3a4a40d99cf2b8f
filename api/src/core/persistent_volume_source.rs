//! What a persistent volume is made of: one source, of one of many types.

use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, HostPathVolumeSource, PersistentVolumeSpec, SecretReference};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{complaints, required, supported_value, text};

pub(super) fn default_source(spec: &mut PersistentVolumeSpec) {
    let fill = |field: &mut Option<String>, default: &str| {
        if text(field).is_empty() {
            *field = Some(default.to_owned());
        }
    };
    if let Some(source) = &mut spec.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut spec.iscsi {
        fill(&mut source.iscsi_interface, "default");
    }
    if let Some(source) = &mut spec.rbd {
        fill(&mut source.pool, "rbd");
        fill(&mut source.user, "admin");
        fill(&mut source.keyring, "/etc/ceph/keyring");
    }
    if let Some(source) = &mut spec.azure_disk {
        fill(&mut source.caching_mode, "ReadWrite");
        fill(&mut source.kind, "Shared");
        source.fs_type.get_or_insert_with(|| "ext4".to_owned());
        source.read_only.get_or_insert(false);
    }
    if let Some(source) = &mut spec.scale_io {
        fill(&mut source.storage_mode, "ThinProvisioned");
        fill(&mut source.fs_type, "xfs");
    }
}

/// One source, in order; `path` is the spec's.
pub(super) fn validate_source(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let mut sources = given(path, spec).into_iter();
    let Some((_, mut errors)) = sources.next() else { return vec![Error::required(path, "must name a type of volume")] };
    errors.extend(sources.map(|(name, _)| Error::forbidden(&path.child(name), "may not name more than one type of volume")));
    if spec.local.is_some() && spec.node_affinity.is_none() {
        errors.push(Error::required(&path.child("nodeAffinity"), "a local volume is on some nodes only"));
    }
    errors
}

/// The sources that the spec names, with what is wrong with each.
fn given(path: &Path, spec: &PersistentVolumeSpec) -> Vec<(&'static str, Errors)> {
    let at = |name: &str| path.child(name);
    let all = |name: &str, fields: &[(&str, &str)]| -> Errors {
        fields.iter().flat_map(|(field, value)| required(&at(name).child(field), value)).collect()
    };
    let listed = |name: &str, monitors: &[String]| {
        if monitors.is_empty() { vec![Error::required(&at(name).child("monitors"), "")] } else { Errors::new() }
    };
    let sources = [
        ("hostPath", spec.host_path.as_ref().map(|s| host_path(&at("hostPath"), s))),
        ("gcePersistentDisk", spec.gce_persistent_disk.as_ref().map(|s| all("gcePersistentDisk", &[("pdName", &s.pd_name)]))),
        ("awsElasticBlockStore", spec.aws_elastic_block_store.as_ref().map(|s| all("awsElasticBlockStore", &[("volumeID", &s.volume_id)]))),
        ("glusterfs", spec.glusterfs.as_ref().map(|s| all("glusterfs", &[("endpoints", &s.endpoints), ("path", &s.path)]))),
        ("flocker", spec.flocker.as_ref().map(|_| Errors::new())),
        ("nfs", spec.nfs.as_ref().map(|s| super::pod::validate_nfs(&at("nfs"), &s.server, &s.path))),
        ("rbd", spec.rbd.as_ref().map(|s| [listed("rbd", &s.monitors), all("rbd", &[("image", &s.image)])].concat())),
        ("quobyte", spec.quobyte.as_ref().map(|s| all("quobyte", &[("registry", &s.registry), ("volume", &s.volume)]))),
        ("cephfs", spec.cephfs.as_ref().map(|s| listed("cephfs", &s.monitors))),
        ("iscsi", spec.iscsi.as_ref().map(|s| all("iscsi", &[("targetPortal", &s.target_portal), ("iqn", &s.iqn)]))),
        ("cinder", spec.cinder.as_ref().map(|s| all("cinder", &[("volumeID", &s.volume_id)]))),
        ("fc", spec.fc.as_ref().map(|_| Errors::new())),
        ("flexVolume", spec.flex_volume.as_ref().map(|s| all("flexVolume", &[("driver", &s.driver)]))),
        ("azureFile", spec.azure_file.as_ref().map(|s| all("azureFile", &[("secretName", &s.secret_name), ("shareName", &s.share_name)]))),
        ("vsphereVolume", spec.vsphere_volume.as_ref().map(|s| all("vsphereVolume", &[("volumePath", &s.volume_path)]))),
        ("azureDisk", spec.azure_disk.as_ref().map(|s| all("azureDisk", &[("diskName", &s.disk_name), ("diskURI", &s.disk_uri)]))),
        ("photonPersistentDisk", spec.photon_persistent_disk.as_ref().map(|s| all("photonPersistentDisk", &[("pdID", &s.pd_id)]))),
        ("portworxVolume", spec.portworx_volume.as_ref().map(|s| all("portworxVolume", &[("volumeID", &s.volume_id)]))),
        ("scaleIO", spec.scale_io.as_ref().map(|s| all("scaleIO", &[("gateway", &s.gateway), ("system", &s.system)]))),
        ("local", spec.local.as_ref().map(|s| local(&at("local"), &s.path))),
        ("storageos", spec.storageos.as_ref().map(|s| all("storageos", &[("volumeName", text(&s.volume_name))]))),
        ("csi", spec.csi.as_ref().map(|s| csi(&at("csi"), s))),
    ];
    sources.into_iter().filter_map(|(name, errors)| Some((name, errors?))).collect()
}

fn host_path(path: &Path, source: &HostPathVolumeSource) -> Errors {
    const TYPES: [&str; 8] = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
    if source.path.is_empty() {
        return vec![Error::required(&path.child("path"), "")];
    }
    let mut errors = no_backsteps(&path.child("path"), &source.path);
    errors.extend(supported_value(&path.child("type"), text(&source.type_), &TYPES));
    errors
}

fn local(path: &Path, target: &str) -> Errors {
    if target.is_empty() { vec![Error::required(&path.child("path"), "")] } else { no_backsteps(&path.child("path"), target) }
}

fn no_backsteps(path: &Path, value: &str) -> Errors {
    if value.split('/').any(|part| part == "..") {
        return vec![Error::invalid(path, value, "must not contain '..'")];
    }
    Errors::new()
}

fn csi(path: &Path, source: &CSIPersistentVolumeSource) -> Errors {
    let mut errors = match source.driver.as_str() {
        "" => vec![Error::required(&path.child("driver"), "")],
        driver => complaints(&path.child("driver"), driver, names::dns1123_subdomain(&driver.to_lowercase(), false)),
    };
    errors.extend(required(&path.child("volumeHandle"), &source.volume_handle));
    for (field, secret) in [
        ("controllerPublishSecretRef", &source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &source.controller_expand_secret_ref),
        ("nodePublishSecretRef", &source.node_publish_secret_ref),
        ("nodeStageSecretRef", &source.node_stage_secret_ref),
        ("nodeExpandSecretRef", &source.node_expand_secret_ref),
    ] {
        if let Some(secret) = secret {
            errors.extend(secret_reference(&path.child(field), secret));
        }
    }
    errors
}

fn secret_reference(path: &Path, secret: &SecretReference) -> Errors {
    let mut errors = required(&path.child("name"), text(&secret.name));
    errors.extend(required(&path.child("namespace"), text(&secret.namespace)));
    errors
}
