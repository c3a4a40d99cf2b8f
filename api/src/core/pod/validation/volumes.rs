//! A pod's volumes as a list: their names, and that each has one source.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ISCSIVolumeSource, Volume};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::volume_disks::{self as disks, MOST_PORTAL_BYTES};
use super::{Around, projected, volume_sources as sources};
use crate::validate::{complaints, required};

/// The volumes that containers can mount, by name: those that are in order.
pub(super) type KnownVolumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn validate_volumes<'a>(path: &Path, volumes: &'a [Volume], around: Around<'_>) -> (KnownVolumes<'a>, Errors) {
    let mut known = KnownVolumes::new();
    let mut errors = Errors::new();
    let pod = around.pod_name();
    let generated: BTreeSet<String> =
        volumes.iter().filter(|v| v.ephemeral.is_some()).filter_map(|v| Some(format!("{}-{}", pod?, v.name))).collect();
    for (i, volume) in volumes.iter().enumerate() {
        let at = path.index(i);
        let mut wrong = validate_source(&at, volume, around);
        let name = at.child("name");
        wrong.extend(match volume.name.as_str() {
            "" => vec![Error::required(&name, "")],
            given => complaints(&name, given, names::dns1123_label(given, false)),
        });
        if known.contains_key(volume.name.as_str()) {
            wrong.push(Error::duplicate(&name, &volume.name));
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

/// The sources of one volume, of which the first is looked at and the others are refused.
struct Sources<'p> {
    path: &'p Path,
    found: bool,
    errors: Errors,
}

impl Sources<'_> {
    fn look<T>(&mut self, name: &str, source: Option<&T>, check: impl FnOnce(&Path, &T) -> Errors) {
        self.look_named((name, name), source, check);
    }

    /// As `look`; `names` is what paths below the source call it, and what a refusal calls it.
    fn look_named<T>(&mut self, names: (&str, &str), source: Option<&T>, check: impl FnOnce(&Path, &T) -> Errors) {
        let Some(source) = source else { return };
        if self.found {
            let why = "may not name more than one type of volume";
            self.errors.push(Error::forbidden(&self.path.child(names.1), why));
        } else {
            self.errors.extend(check(&self.path.child(names.0), source));
        }
        self.found = true;
    }
}

/// One source, and that one in order. Which is first, and what three of them are called in errors, is Kubernetes'.
fn validate_source(path: &Path, volume: &Volume, around: Around<'_>) -> Errors {
    let mut all = Sources { path, found: false, errors: Errors::new() };
    all.look("emptyDir", volume.empty_dir.as_ref(), sources::empty_dir);
    all.look("hostPath", volume.host_path.as_ref(), sources::host_path);
    all.look("gitRepo", volume.git_repo.as_ref(), sources::git_repo);
    all.look_named(("persistentDisk", "gcePersistentDisk"), volume.gce_persistent_disk.as_ref(), |at, s| {
        disks::partitioned(at, ("pdName", &s.pd_name), s.partition)
    });
    all.look("awsElasticBlockStore", volume.aws_elastic_block_store.as_ref(), |at, s| {
        disks::partitioned(at, ("volumeID", &s.volume_id), s.partition)
    });
    all.look("secret", volume.secret.as_ref(), sources::secret);
    all.look("nfs", volume.nfs.as_ref(), |at, s| disks::nfs(at, &s.server, &s.path));
    all.look("iscsi", volume.iscsi.as_ref(), disks::iscsi);
    if let Some(source) = &volume.iscsi {
        all.errors.extend(validate_portal(&path.child("name"), &volume.name, source));
    }
    all.look("glusterfs", volume.glusterfs.as_ref(), |at, s| disks::all(at, &[("endpoints", &s.endpoints), ("path", &s.path)]));
    all.look("flocker", volume.flocker.as_ref(), disks::flocker);
    all.look("persistentVolumeClaim", volume.persistent_volume_claim.as_ref(), |at, s| required(&at.child("claimName"), &s.claim_name));
    all.look("rbd", volume.rbd.as_ref(), disks::rbd);
    all.look("cinder", volume.cinder.as_ref(), disks::cinder);
    all.look_named(("cephfs", "cephFS"), volume.cephfs.as_ref(), disks::ceph);
    all.look("quobyte", volume.quobyte.as_ref(), disks::quobyte);
    all.look_named(("downwardAPI", "downwarAPI"), volume.downward_api.as_ref(), sources::downward_api);
    all.look("fc", volume.fc.as_ref(), disks::fibre_channel);
    all.look("flexVolume", volume.flex_volume.as_ref(), |at, s| disks::flex(at, &s.driver, s.options.as_ref()));
    all.look("configMap", volume.config_map.as_ref(), sources::config_map);
    all.look("azureFile", volume.azure_file.as_ref(), |at, s| {
        disks::all(at, &[("secretName", &s.secret_name), ("shareName", &s.share_name)])
    });
    all.look("vsphereVolume", volume.vsphere_volume.as_ref(), |at, s| required(&at.child("volumePath"), &s.volume_path));
    all.look("photonPersistentDisk", volume.photon_persistent_disk.as_ref(), |at, s| required(&at.child("pdID"), &s.pd_id));
    all.look("portworxVolume", volume.portworx_volume.as_ref(), |at, s| required(&at.child("volumeID"), &s.volume_id));
    all.look("azureDisk", volume.azure_disk.as_ref(), disks::azure);
    all.look("storageos", volume.storageos.as_ref(), disks::storage_os);
    all.look("projected", volume.projected.as_ref(), projected::validate);
    all.look("scaleIO", volume.scale_io.as_ref(), disks::scale_io);
    all.look("csi", volume.csi.as_ref(), sources::csi);
    all.look("ephemeral", volume.ephemeral.as_ref(), |at, s| sources::ephemeral(at, s, &path.child("name"), &volume.name, around));
    all.look("image", volume.image.as_ref(), |at, s| sources::image(at, s, around));
    if !all.found {
        all.errors.push(Error::required(path, "must name a type of volume"));
    }
    all.errors
}

fn validate_portal(path: &Path, volume: &str, source: &ISCSIVolumeSource) -> Errors {
    if source.initiator_name.is_none() || volume.len() + ":".len() + source.target_portal.len() <= MOST_PORTAL_BYTES {
        return Errors::new();
    }
    let why = format!("may not be longer than {MOST_PORTAL_BYTES} bytes together with targetPortal, where initiatorName is given");
    vec![Error::invalid(path, volume, why)]
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

pub(crate) fn no_backsteps(path: &Path, value: &str) -> Errors {
    if value.split('/').any(|part| part == "..") {
        return vec![Error::invalid(path, value, "must not contain '..'")];
    }
    Errors::new()
}

/// As [`descending_path`]; names that begin with two dots are the kubelet's.
pub(super) fn file_path(path: &Path, value: &str) -> Errors {
    let mut errors = descending_path(path, value);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(Error::invalid(path, value, "must not begin with '..'"));
    }
    errors
}
