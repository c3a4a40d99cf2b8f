//! The secrets that a pod names, wherever it does.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, PodSpec, Volume};

/// Names of all secrets of the pod's namespace that the pod reads, or has others read for it.
pub fn secret_names(spec: &PodSpec) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        names.extend(of_variables(container.env.as_deref(), container.env_from.as_deref()));
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        names.extend(of_variables(container.env.as_deref(), container.env_from.as_deref()));
    }
    names.extend(spec.volumes.iter().flatten().flat_map(of_volume));
    names.remove("");
    names
}

fn of_variables<'a>(env: Option<&'a [EnvVar]>, env_from: Option<&'a [EnvFromSource]>) -> impl Iterator<Item = &'a str> {
    let single = env.unwrap_or_default().iter().filter_map(|v| Some(v.value_from.as_ref()?.secret_key_ref.as_ref()?.name.as_str()));
    single.chain(env_from.unwrap_or_default().iter().filter_map(|source| Some(source.secret_ref.as_ref()?.name.as_str())))
}

fn of_volume(volume: &Volume) -> impl Iterator<Item = &str> {
    let references: [Option<&LocalObjectReference>; 8] = [
        volume.cephfs.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.cinder.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.flex_volume.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.rbd.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.scale_io.as_ref().map(|v| &v.secret_ref),
        volume.iscsi.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.storageos.as_ref().and_then(|v| v.secret_ref.as_ref()),
        volume.csi.as_ref().and_then(|v| v.node_publish_secret_ref.as_ref()),
    ];
    let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten()).filter_map(|s| Some(s.secret.as_ref()?.name.as_str()));
    let direct =
        [volume.azure_file.as_ref().map(|v| v.secret_name.as_str()), volume.secret.as_ref().and_then(|v| v.secret_name.as_deref())];
    references.into_iter().flatten().map(|reference| reference.name.as_str()).chain(direct.into_iter().flatten()).chain(projected)
}
