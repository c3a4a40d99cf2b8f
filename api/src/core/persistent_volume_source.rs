//! What a persistent volume is made of: one source, of one of many types.

use k8s_openapi::api::core::v1::{
    AzureFilePersistentVolumeSource, CSIPersistentVolumeSource, CinderPersistentVolumeSource, GlusterfsPersistentVolumeSource,
    ISCSIPersistentVolumeSource, PersistentVolumeSpec, RBDPersistentVolumeSource, SecretReference, StorageOSPersistentVolumeSource,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::pod::volume_disks::{self as disks, Iscsi, all, monitors, partitioned as disk};
use super::pod::{host_path, no_backsteps};
use crate::validate::{complaints, driver_name, required, text};

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
        source.caching_mode.get_or_insert_with(|| "ReadWrite".to_owned());
        source.kind.get_or_insert_with(|| "Shared".to_owned());
        source.fs_type.get_or_insert_with(|| "ext4".to_owned());
        source.read_only.get_or_insert(false);
    }
    if let Some(source) = &mut spec.scale_io {
        fill(&mut source.storage_mode, "ThinProvisioned");
        fill(&mut source.fs_type, "xfs");
    }
}

/// One source, in order. `path` is the spec's, and `name` the volume's.
pub(super) fn validate_source(path: &Path, spec: &PersistentVolumeSpec, name: &str) -> Errors {
    let mut errors = Errors::new();
    let mut found = false;
    for (source, wrong) in given(path, spec, name) {
        // A FlexVolume may stand beside one of the types before it.
        if found && source != "flexVolume" {
            errors.push(Error::forbidden(&path.child(source), "may not name more than one type of volume"));
        } else {
            errors.extend(wrong);
        }
        found = true;
    }
    if !found {
        errors.push(Error::required(path, "must name a type of volume"));
    }
    errors
}

/// The sources that the spec names, with what is wrong with each. The names are those by which a second source is refused.
fn given(path: &Path, spec: &PersistentVolumeSpec, name: &str) -> impl Iterator<Item = (&'static str, Errors)> {
    let at = |name: &str| path.child(name);
    let sources = [
        ("hostPath", spec.host_path.as_ref().map(|s| host_path(&at("hostPath"), s))),
        // Its fields are reported under another name.
        ("gcePersistentDisk", spec.gce_persistent_disk.as_ref().map(|s| disk(&at("persistentDisk"), ("pdName", &s.pd_name), s.partition))),
        (
            "awsElasticBlockStore",
            spec.aws_elastic_block_store.as_ref().map(|s| disk(&at("awsElasticBlockStore"), ("volumeID", &s.volume_id), s.partition)),
        ),
        ("glusterfs", spec.glusterfs.as_ref().map(|s| gluster(&at("glusterfs"), s))),
        ("flocker", spec.flocker.as_ref().map(|s| disks::flocker(&at("flocker"), s))),
        ("nfs", spec.nfs.as_ref().map(|s| disks::nfs(&at("nfs"), &s.server, &s.path))),
        ("rbd", spec.rbd.as_ref().map(|s| rbd(&at("rbd"), s))),
        ("quobyte", spec.quobyte.as_ref().map(|s| disks::quobyte(&at("quobyte"), s))),
        ("cephFS", spec.cephfs.as_ref().map(|s| monitors(&at("cephfs"), &s.monitors))),
        ("iscsi", spec.iscsi.as_ref().map(|s| iscsi(&at("iscsi"), s, name))),
        ("cinder", spec.cinder.as_ref().map(|s| cinder(&at("cinder"), s))),
        ("fc", spec.fc.as_ref().map(|s| disks::fibre_channel(&at("fc"), s))),
        ("flexVolume", spec.flex_volume.as_ref().map(|s| disks::flex(&at("flexVolume"), &s.driver, s.options.as_ref()))),
    ];
    sources.into_iter().chain(more(path, spec)).filter_map(|(name, errors)| Some((name, errors?)))
}

/// The second half of the above.
fn more(path: &Path, spec: &PersistentVolumeSpec) -> [(&'static str, Option<Errors>); 9] {
    let at = |name: &str| path.child(name);
    [
        ("azureFile", spec.azure_file.as_ref().map(|s| azure_file(&at("azureFile"), s))),
        ("vsphereVolume", spec.vsphere_volume.as_ref().map(|s| all(&at("vsphereVolume"), &[("volumePath", &s.volume_path)]))),
        ("photonPersistentDisk", spec.photon_persistent_disk.as_ref().map(|s| all(&at("photonPersistentDisk"), &[("pdID", &s.pd_id)]))),
        ("portworxVolume", spec.portworx_volume.as_ref().map(|s| all(&at("portworxVolume"), &[("volumeID", &s.volume_id)]))),
        ("azureDisk", spec.azure_disk.as_ref().map(|s| disks::azure(&at("azureDisk"), s))),
        (
            "scaleIO",
            spec.scale_io
                .as_ref()
                .map(|s| all(&at("scaleIO"), &[("gateway", &s.gateway), ("system", &s.system), ("volumeName", text(&s.volume_name))])),
        ),
        ("local", spec.local.as_ref().map(|s| local(path, &s.path, spec.node_affinity.is_some()))),
        ("storageos", spec.storageos.as_ref().map(|s| storage_os(&at("storageos"), s))),
        ("csi", spec.csi.as_ref().map(|s| csi(&at("csi"), s))),
    ]
}

fn rbd(path: &Path, source: &RBDPersistentVolumeSource) -> Errors {
    let mut errors = monitors(path, &source.monitors);
    errors.extend(required(&path.child("image"), &source.image));
    errors
}

fn gluster(path: &Path, source: &GlusterfsPersistentVolumeSource) -> Errors {
    let mut errors = all(path, &[("endpoints", &source.endpoints), ("path", &source.path)]);
    if let Some(namespace) = &source.endpoints_namespace {
        let wrong = names::dns1123_label(namespace, false);
        errors.extend(complaints(&path.child("endpointsNamespace"), namespace, wrong.into_iter().take(1).collect()));
    }
    errors
}

fn iscsi(path: &Path, source: &ISCSIPersistentVolumeSource, volume: &str) -> Errors {
    let target = Iscsi {
        portal: &source.target_portal,
        iqn: &source.iqn,
        lun: source.lun,
        authenticates: source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true),
        has_secret: source.secret_ref.is_some(),
        initiator: source.initiator_name.as_deref(),
    };
    let of_secret = source.secret_ref.iter().flat_map(|secret| required(&path.child("secretRef").child("name"), text(&secret.name)));
    target.check(path, Some(volume), of_secret.collect())
}

fn azure_file(path: &Path, source: &AzureFilePersistentVolumeSource) -> Errors {
    let mut errors = all(path, &[("secretName", &source.secret_name), ("shareName", &source.share_name)]);
    errors.extend(source.secret_namespace.iter().flat_map(|namespace| required(&path.child("secretNamespace"), namespace)));
    errors
}

/// A directory of a node. The volume has to say of which.
fn local(spec: &Path, target: &str, has_affinity: bool) -> Errors {
    let path = spec.child("local").child("path");
    let mut errors = if target.is_empty() { vec![Error::required(&path, "")] } else { no_backsteps(&path, target) };
    if !has_affinity {
        errors.push(Error::required(&spec.child("nodeAffinity"), "a local volume is on some nodes only"));
    }
    errors
}

fn cinder(path: &Path, source: &CinderPersistentVolumeSource) -> Errors {
    let mut errors = required(&path.child("volumeID"), &source.volume_id);
    errors.extend(source.secret_ref.iter().flat_map(|secret| named(path, &secret.name, &secret.namespace)));
    errors
}

fn storage_os(path: &Path, source: &StorageOSPersistentVolumeSource) -> Errors {
    let mut errors = disks::storage_os_names(path, text(&source.volume_name), text(&source.volume_namespace));
    errors.extend(source.secret_ref.iter().flat_map(|secret| named(path, &secret.name, &secret.namespace)));
    errors
}

/// A secret of a source: both names have to be there, and may be any.
fn named(source: &Path, name: &Option<String>, namespace: &Option<String>) -> Errors {
    all(&source.child("secretRef"), &[("name", text(name)), ("namespace", text(namespace))])
}

fn csi(path: &Path, source: &CSIPersistentVolumeSource) -> Errors {
    let mut errors = driver_name(&path.child("driver"), &source.driver);
    errors.extend(required(&path.child("volumeHandle"), &source.volume_handle));
    // Kubernetes does not look at `nodeStageSecretRef`.
    for (field, secret) in [
        ("controllerPublishSecretRef", &source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &source.controller_expand_secret_ref),
        ("nodePublishSecretRef", &source.node_publish_secret_ref),
        ("nodeExpandSecretRef", &source.node_expand_secret_ref),
    ] {
        errors.extend(secret.iter().flat_map(|secret| secret_reference(&path.child(field), secret)));
    }
    errors
}

fn secret_reference(path: &Path, secret: &SecretReference) -> Errors {
    let field = |name: &str, value: &str, wrong: fn(&str, bool) -> Vec<String>| match value {
        "" => vec![Error::required(&path.child(name), "")],
        value => complaints(&path.child(name), value, wrong(value, false)),
    };
    let mut errors = field("name", text(&secret.name), names::dns1123_subdomain);
    errors.extend(field("namespace", text(&secret.namespace), names::dns1123_label));
    errors
}

/// Types of volumes that no kubelet mounts any more, as a writer of one is told.
pub(super) fn warn_of_removed(spec: &PersistentVolumeSpec) -> impl Iterator<Item = String> {
    let removed = [
        ("cephfs", spec.cephfs.is_some(), "1.31"),
        ("photonPersistentDisk", spec.photon_persistent_disk.is_some(), "1.16"),
        ("scaleIO", spec.scale_io.is_some(), "1.22"),
        ("storageOS", spec.storageos.is_some(), "1.25"),
        ("glusterfs", spec.glusterfs.is_some(), "1.26"),
        ("rbd", spec.rbd.is_some(), "1.31"),
    ];
    let given = removed.into_iter().filter(|(_, given, _)| *given);
    given.map(|(field, _, version)| format!("spec.{field}: deprecated, and without effect since v{version}"))
}
