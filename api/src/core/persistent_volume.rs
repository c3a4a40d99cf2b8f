//! PersistentVolume: storage that there is, for a claim to be bound to.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use machinery::{names, table};
use serde_json::{Value, json};

use super::node_labels;
use super::persistent_volume_claim::{short_modes, validate_modes};
use super::persistent_volume_source::{default_source, validate_source, warn_of_removed};
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::scheduling::resources::round_up;
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, immutable, supported_value, text};

/// Keeps a volume that a claim is bound to.
const PROTECTION: &str = "kubernetes.io/pv-protection";

/// Annotations that became fields.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

pub struct PersistentVolumes;

impl Kind for PersistentVolumes {
    type Object = PersistentVolume;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short: &["pv"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "persistentvolumes";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Capacity", "The volume's size."),
        Column::text("Access Modes", "How the volume may be mounted."),
        Column::text("Reclaim Policy", "What becomes of the volume when its claim is gone."),
        Column::text("Status", "Pending, Available, Bound, Released or Failed."),
        Column::text("Claim", "The claim that it is bound to."),
        Column::text("StorageClass", "The class that the volume is of."),
        Column::text("VolumeAttributesClass", "The class of attributes that the volume has."),
        Column::text("Reason", "Why it is in its state."),
        Column::AGE,
        Column::text("VolumeMode", "A filesystem or a block device.").wide(),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(volume: &mut PersistentVolume) {
        let spec = volume.spec.get_or_insert_default();
        if text(&spec.persistent_volume_reclaim_policy).is_empty() {
            spec.persistent_volume_reclaim_policy = Some("Retain".to_owned());
        }
        spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        round_up(&mut spec.capacity);
        default_source(spec);
        let phase = &mut volume.status.get_or_insert_default().phase;
        if text(phase).is_empty() {
            *phase = Some("Pending".to_owned());
        }
    }

    fn prepare_create(cx: &Context<'_>, volume: &mut PersistentVolume) {
        let finalizers = volume.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
        }
        volume.status = Some(Default::default());
        let status = volume.status.get_or_insert_default();
        status.phase = Some("Pending".to_owned());
        status.last_phase_transition_time = Some(Time(cx.now));
    }

    fn validate_create(_cx: &Context<'_>, volume: &PersistentVolume) -> Errors {
        validate(volume)
    }

    fn warnings_create(volume: &PersistentVolume) -> Vec<String> {
        warnings(volume)
    }

    fn update() -> &'static dyn UpdateStrategy<PersistentVolume> {
        &Update
    }

    fn subresources() -> Vec<Subresource<PersistentVolume>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(volume: &PersistentVolume, now: Timestamp) -> Vec<Value> {
        let spec = volume.spec.clone().unwrap_or_default();
        let status = volume.status.clone().unwrap_or_default();
        let phase = if volume.metadata.deletion_timestamp.is_some() { "Terminating" } else { text(&status.phase) };
        let claim = spec.claim_ref.as_ref().map(|c| format!("{}/{}", text(&c.namespace), text(&c.name)));
        let capacity = spec.capacity.as_ref().and_then(|c| c.get("storage")).map_or("", |amount| amount.0.as_str());
        vec![
            json!(volume.metadata.name),
            json!(capacity),
            json!(short_modes(spec.access_modes.as_deref())),
            json!(text(&spec.persistent_volume_reclaim_policy)),
            json!(phase),
            json!(claim.unwrap_or_default()),
            json!(text(&spec.storage_class_name)),
            json!(spec.volume_attributes_class_name.as_deref().unwrap_or("<unset>")),
            json!(text(&status.reason)),
            json!(table::age(&volume.metadata, now)),
            json!(spec.volume_mode.as_deref().unwrap_or("<unset>")),
        ]
    }
}

/// What holds of every volume. Stored ones have a spec.
fn validate(volume: &PersistentVolume) -> Errors {
    let Some(spec) = &volume.spec else { return Errors::new() };
    let mut errors = validate_spec(&Path::new("spec"), spec, text(&volume.metadata.name));
    errors.extend(validate_mount_options(volume, spec));
    errors
}

/// A volume's spec. `name` is the volume's, and empty where the spec stands in an attachment.
fn validate_spec(path: &Path, spec: &PersistentVolumeSpec, name: &str) -> Errors {
    let mut errors = validate_access(path, spec);
    errors.extend(validate_capacity(&path.child("capacity"), spec));
    let policy = text(&spec.persistent_volume_reclaim_policy);
    let policies = ["Delete", "Recycle", "Retain"];
    errors.extend(supported_value(&path.child("persistentVolumeReclaimPolicy"), policy, &policies));
    if let Some(affinity) = &spec.node_affinity {
        let at = path.child("nodeAffinity").child("required");
        errors.extend(match &affinity.required {
            Some(required) => super::pod::validate_node_selector(&at, required),
            None => vec![Error::required(&at, "must say which nodes can reach the volume")],
        });
    }
    errors.extend(validate_source(path, spec, name));
    errors.extend(validate_recycling(path, spec));
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(complaints(&path.child("storageClassName"), class, names::dns1123_subdomain(class, false)));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported_value(&path.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
    if let Some(class) = &spec.volume_attributes_class_name {
        let at = path.child("volumeAttributesClassName");
        errors.extend(match class.as_str() {
            "" => vec![Error::required(&at, "may be absent, but not empty")],
            class => complaints(&at, class, names::dns1123_subdomain(class, false)),
        });
        if spec.csi.is_none() {
            errors.push(Error::required(&path.child("csi"), "only drivers of CSI know classes of attributes"));
        }
    }
    errors
}

fn validate_access(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let at = path.child("accessModes");
    if modes.is_empty() { vec![Error::required(&at, "")] } else { validate_modes(&at, modes) }
}

/// The root of a host cannot be recycled, in whatever way it is written.
fn validate_recycling(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let recycled = text(&spec.persistent_volume_reclaim_policy) == "Recycle";
    let is_root = |target: &str| {
        let depth = target.split('/').filter(|part| !matches!(*part, "" | ".")).fold(0_usize, |depth, part| match part {
            ".." => depth.saturating_sub(1),
            _ => depth + 1,
        });
        target.starts_with('/') && depth == 0
    };
    if recycled && spec.host_path.as_ref().is_some_and(|source| is_root(&source.path)) {
        return vec![Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), "the root of the host cannot be recycled")];
    }
    Errors::new()
}

/// The spec of a volume that an attachment brings along: a CSI volume and little else.
pub(crate) fn validate_inline(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let forbidden = |field: &str, given: bool| {
        if given { vec![Error::forbidden(&path.child(field), "may not be given for an inline volume")] } else { Errors::new() }
    };
    let mut errors = forbidden("claimRef", spec.claim_ref.is_some());
    errors.extend(forbidden("capacity", spec.capacity.as_ref().is_some_and(|capacity| !capacity.is_empty())));
    if spec.csi.is_none() {
        errors.push(Error::required(&path.child("csi"), "an inline volume is one of CSI"));
    }
    errors.extend(validate_access(path, spec));
    errors.extend(forbidden("persistentVolumeReclaimPolicy", !matches!(text(&spec.persistent_volume_reclaim_policy), "" | "Retain")));
    errors.extend(forbidden("nodeAffinity", spec.node_affinity.is_some()));
    errors.extend(validate_source(path, spec, ""));
    errors.extend(validate_recycling(path, spec));
    errors.extend(forbidden("storageClassName", !text(&spec.storage_class_name).is_empty()));
    errors.extend(forbidden("volumeMode", spec.volume_mode.as_ref().is_some_and(|mode| mode != "Filesystem")));
    errors
}

fn validate_capacity(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let empty = Default::default();
    let capacity = spec.capacity.as_ref().unwrap_or(&empty);
    let mut errors = Errors::new();
    if capacity.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if capacity.len() != 1 || !capacity.contains_key("storage") {
        errors.push(Error::not_supported(path, capacity, &["storage"]));
    }
    for (name, amount) in capacity {
        let (at, amount) = (path.key(name), Quantity::of(amount));
        if amount.is_negative() {
            errors.push(Error::invalid(&at, amount.to_string(), "must be a valid amount"));
        }
        if amount <= Quantity::ZERO {
            errors.push(Error::invalid(&at, amount.to_string(), "must be greater than zero"));
        }
    }
    errors
}

/// Options of mounts by the annotation that they were once given by, which not every type of volume had.
fn validate_mount_options(volume: &PersistentVolume, spec: &PersistentVolumeSpec) -> Errors {
    let annotated = volume.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MOUNT_OPTIONS));
    let knows_options = spec.gce_persistent_disk.is_some()
        || spec.aws_elastic_block_store.is_some()
        || spec.glusterfs.is_some()
        || spec.nfs.is_some()
        || spec.rbd.is_some()
        || spec.quobyte.is_some()
        || spec.iscsi.is_some()
        || spec.cinder.is_some()
        || spec.cephfs.is_some()
        || spec.azure_file.is_some()
        || spec.vsphere_volume.is_some()
        || spec.azure_disk.is_some()
        || spec.photon_persistent_disk.is_some();
    if annotated && !knows_options {
        let at = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
        return vec![Error::forbidden(&at, "volumes of this type have no options of mounts")];
    }
    Errors::new()
}

fn warnings(volume: &PersistentVolume) -> Vec<String> {
    let mut warnings = Vec::new();
    for (annotation, since, field) in [(CLASS_ANNOTATION, "1.8", "storageClassName"), (MOUNT_OPTIONS, "1.31", "mountOptions")] {
        if volume.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(annotation)) {
            warnings.push(format!("metadata.annotations[{annotation}]: deprecated since v{since}; use the attribute {field} instead"));
        }
    }
    let Some(spec) = &volume.spec else { return warnings };
    if text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
        warnings.push("spec.persistentVolumeReclaimPolicy: Recycle is deprecated; let volumes be provisioned instead".to_owned());
    }
    if let Some(required) = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref()) {
        let path = Path::new("spec").child("nodeAffinity").child("required");
        warnings.extend(node_labels::warn_of_selector(&path, required));
    }
    warnings.extend(warn_of_removed(spec));
    warnings
}

struct Update;

impl UpdateStrategy<PersistentVolume> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolume, old: &PersistentVolume) {
        new.status = old.status.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolume, _old: &PersistentVolume) -> Errors {
        validate(new)
    }

    fn validate_change(&self, new: &PersistentVolume, old: &PersistentVolume) -> Errors {
        let path = Path::new("spec");
        let (Some(spec), Some(before)) = (&new.spec, &old.spec) else { return Errors::new() };
        // Kubernetes looks at the spec of an update twice, and says twice what is wrong with it.
        let mut errors = validate_spec(&path, spec, text(&new.metadata.name));
        if !same_source(spec, before) {
            // The odd name is Kubernetes', as is the missing `spec` of the one after it.
            errors.push(Error::forbidden(&path.child("persistentvolumesource"), "cannot change"));
        }
        errors.extend(immutable(&Path::new("volumeMode"), &spec.volume_mode, &before.volume_mode));
        if let Some(affinity) = &before.node_affinity
            && !spec.node_affinity.as_ref().is_some_and(|changed| node_labels::only_renamed(changed, affinity))
        {
            let why = "cannot change, except for the names of labels that have new ones";
            errors.push(Error::invalid(&Path::new("nodeAffinity"), &spec.node_affinity, why));
        }
        if before.volume_attributes_class_name.is_some() && spec.volume_attributes_class_name.is_none() {
            errors.push(Error::forbidden(&path.child("volumeAttributesClassName"), "cannot be taken away"));
        }
        errors
    }

    fn warnings(&self, new: &PersistentVolume, _old: &PersistentVolume) -> Vec<String> {
        warnings(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeTwice
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// Whether the volume is still made of the same; only the secret for growing it may follow later.
fn same_source(new: &PersistentVolumeSpec, old: &PersistentVolumeSpec) -> bool {
    let source_of = |spec: &PersistentVolumeSpec| PersistentVolumeSpec {
        access_modes: None,
        capacity: None,
        claim_ref: None,
        mount_options: None,
        node_affinity: None,
        persistent_volume_reclaim_policy: None,
        storage_class_name: None,
        volume_attributes_class_name: None,
        volume_mode: None,
        ..spec.clone()
    };
    let (mut new, old) = (source_of(new), source_of(old));
    if let (Some(new), Some(old)) = (&mut new.csi, &old.csi)
        && old.controller_expand_secret_ref.is_none()
    {
        new.controller_expand_secret_ref = None;
    }
    new == old
}

struct Status;

impl UpdateStrategy<PersistentVolume> for Status {
    fn prepare(&self, cx: &Context<'_>, new: &mut PersistentVolume, old: &PersistentVolume) {
        new.spec = old.spec.clone();
        let status = new.status.get_or_insert_default();
        let none = Default::default();
        let was = old.status.as_ref().unwrap_or(&none);
        let time = &mut status.last_phase_transition_time;
        if status.phase == was.phase {
            if time.is_none() {
                time.clone_from(&was.last_phase_transition_time);
            }
        } else if time.is_none() || *time == was.last_phase_transition_time {
            *time = Some(Time(cx.now));
        }
    }

    fn validate(&self, _cx: &Context<'_>, _new: &PersistentVolume, _old: &PersistentVolume) -> Errors {
        Errors::new()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
