//! Defaults of a pod's volumes.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Volume, VolumeProjection};

use super::defaults::{default_field_selector, default_resource_selector, fill, pull_policy};

const DEFAULT_MODE: i32 = 0o644;

pub(super) fn default_volume(volume: &mut Volume) {
    if *volume == (Volume { name: volume.name.clone(), ..Volume::default() }) {
        volume.empty_dir = Some(Default::default());
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(DEFAULT_MODE);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(DEFAULT_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(DEFAULT_MODE);
        source.items.iter_mut().flatten().for_each(default_file);
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(DEFAULT_MODE);
        source.sources.iter_mut().flatten().for_each(default_projection);
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.image {
        let reference = source.reference.clone().unwrap_or_default();
        fill(&mut source.pull_policy, pull_policy(&reference));
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|e| e.volume_claim_template.as_mut()) {
        template.metadata.get_or_insert_default();
        template.spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        template.spec.resources.get_or_insert_default();
    }
    default_network_storage(volume);
}

fn default_network_storage(volume: &mut Volume) {
    if let Some(source) = &mut volume.iscsi {
        fill(&mut source.iscsi_interface, "default");
    }
    if let Some(source) = &mut volume.rbd {
        fill(&mut source.pool, "rbd");
        fill(&mut source.user, "admin");
        fill(&mut source.keyring, "/etc/ceph/keyring");
    }
    if let Some(source) = &mut volume.azure_disk {
        fill(&mut source.caching_mode, "ReadWrite");
        fill(&mut source.kind, "Shared");
        source.fs_type.get_or_insert_with(|| "ext4".to_owned());
        source.read_only.get_or_insert(false);
    }
    if let Some(source) = &mut volume.scale_io {
        fill(&mut source.storage_mode, "ThinProvisioned");
        fill(&mut source.fs_type, "xfs");
    }
}

fn default_projection(projection: &mut VolumeProjection) {
    if let Some(source) = &mut projection.downward_api {
        source.items.iter_mut().flatten().for_each(default_file);
    }
    if let Some(source) = &mut projection.service_account_token {
        source.expiration_seconds.get_or_insert(3600);
    }
}

fn default_file(file: &mut DownwardAPIVolumeFile) {
    file.field_ref.iter_mut().for_each(default_field_selector);
    file.resource_field_ref.iter_mut().for_each(default_resource_selector);
}
