//! What is said of volumes: types that no longer work, and files of one volume that are in each other's way.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, PodSpec, Volume, VolumeProjection};
use machinery::field::Path;

use crate::core::persistent_volume_claim::size_warnings;

/// `path` is the spec's.
pub(super) fn of(path: &Path, spec: &PodSpec, warnings: &mut Vec<String>) {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    for (i, volume) in volumes.iter().enumerate() {
        let at = || path.child("volumes").index(i);
        old_types(volume).for_each(|(field, why)| warnings.push(format!("{}: {why}", at().child(field))));
        let claim = volume.ephemeral.as_ref().and_then(|e| e.volume_claim_template.as_ref()).and_then(|t| t.spec.resources.as_ref());
        let spec = || at().child("ephemeral").child("volumeClaimTemplate").child("spec");
        warnings.extend(size_warnings(&spec(), claim));
    }
    volumes.iter().for_each(|volume| overlaps(volume, warnings));
}

fn old_types(volume: &Volume) -> impl Iterator<Item = (&'static str, &'static str)> {
    const GONE_1_16: &str = "is deprecated since v1.11, and does nothing since v1.16";
    const GONE_1_25: &str = "is deprecated since v1.22, and does nothing since v1.25";
    const GONE_1_31: &str = "is deprecated since v1.28, and does nothing since v1.31";
    [
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk", GONE_1_16),
        (volume.git_repo.is_some(), "gitRepo", "is deprecated since v1.11, and disabled since v1.33"),
        (volume.scale_io.is_some(), "scaleIO", "is deprecated since v1.16, and does nothing since v1.22"),
        (volume.flocker.is_some(), "flocker", GONE_1_25),
        (volume.storageos.is_some(), "storageOS", GONE_1_25),
        (volume.quobyte.is_some(), "quobyte", GONE_1_25),
        (volume.glusterfs.is_some(), "glusterfs", "is deprecated since v1.25, and does nothing since v1.26"),
        (volume.cephfs.is_some(), "cephfs", GONE_1_31),
        (volume.rbd.is_some(), "rbd", GONE_1_31),
    ]
    .into_iter()
    .filter(|(is_used, ..)| *is_used)
    .map(|(_, field, why)| (field, why))
}

/// Files of a volume that lie below one another, or are the same.
fn overlaps(volume: &Volume, warnings: &mut Vec<String>) {
    let mut files = Files { volume: &volume.name, before: Vec::new() };
    if let Some(map) = &volume.config_map {
        files.keys(map.items.as_deref(), "", warnings);
    }
    if let Some(secret) = &volume.secret {
        files.keys(secret.items.as_deref(), "", warnings);
    }
    if let Some(downward) = &volume.downward_api {
        files.downward(downward.items.as_deref(), warnings);
    }
    for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
        if *source == VolumeProjection::default() {
            warnings.push(format!("volume {:?}: a projected source names nothing", volume.name));
        } else if let Some(map) = source.config_map.as_ref().filter(|map| map.items.is_some()) {
            files.keys(map.items.as_deref(), &map.name, warnings);
        } else if let Some(secret) = source.secret.as_ref().filter(|secret| secret.items.is_some()) {
            files.keys(secret.items.as_deref(), &secret.name, warnings);
        } else if let Some(downward) = source.downward_api.as_ref().filter(|downward| downward.items.is_some()) {
            files.downward(downward.items.as_deref(), warnings);
        } else if let Some(token) = &source.service_account_token {
            files.add(&token.path, "the token", warnings);
        }
    }
}

struct Files<'a> {
    volume: &'a str,
    /// Path, and whose file it is.
    before: Vec<(&'a str, &'a str)>,
}

impl<'a> Files<'a> {
    fn keys(&mut self, items: Option<&'a [KeyToPath]>, source: &'a str, warnings: &mut Vec<String>) {
        items.unwrap_or_default().iter().for_each(|item| self.add(&item.path, source, warnings));
    }

    fn downward(&mut self, items: Option<&'a [DownwardAPIVolumeFile]>, warnings: &mut Vec<String>) {
        items.unwrap_or_default().iter().for_each(|item| self.add(&item.path, "", warnings));
    }

    fn add(&mut self, path: &'a str, source: &'a str, warnings: &mut Vec<String>) {
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return;
        }
        for (other, whose) in self.before.iter().filter(|(other, _)| is_within(other, path) || is_within(path, other)) {
            warnings.push(format!("volume {:?}: the file {path:?} {source} overlaps with {other:?} {whose}", self.volume));
        }
        self.before.push((path, source));
    }
}

/// Whether `path` is `parent` or lies below it.
fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
