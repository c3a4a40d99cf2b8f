//! PersistentVolume: storage that there is, for a claim to be bound to.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::quantity::Quantity;
use machinery::{names, table};
use serde_json::{Value, json};

use super::persistent_volume_claim::{short_modes, validate_modes};
use super::persistent_volume_source::{default_source, validate_source};
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, immutable, supported_value, text};

/// Keeps a volume that a claim is bound to.
const PROTECTION: &str = "kubernetes.io/pv-protection";

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
        validate_spec(&Path::new("spec"), &volume.spec.clone().unwrap_or_default())
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

fn validate_spec(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), ""));
    }
    errors.extend(validate_modes(&path.child("accessModes"), modes));
    errors.extend(validate_capacity(&path.child("capacity"), spec));
    let policy = text(&spec.persistent_volume_reclaim_policy);
    let policies = ["Delete", "Recycle", "Retain"];
    errors.extend(supported_value(&path.child("persistentVolumeReclaimPolicy"), policy, &policies));
    if let Some(required) = spec.node_affinity.as_ref().and_then(|a| a.required.as_ref()) {
        let at = path.child("nodeAffinity").child("required");
        errors.extend(super::pod::validate_node_selector(&at, required));
    }
    errors.extend(validate_source(path, spec));
    if policy == "Recycle" && spec.host_path.as_ref().is_some_and(|h| h.path.trim_matches('/').is_empty()) {
        let why = "the root of the host cannot be recycled";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), why));
    }
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(complaints(&path.child("storageClassName"), class, names::dns1123_subdomain(class, false)));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported_value(&path.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
    errors
}

fn validate_capacity(path: &Path, spec: &PersistentVolumeSpec) -> Errors {
    let capacity = spec.capacity.clone().unwrap_or_default();
    let mut errors = Errors::new();
    if capacity.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if capacity.len() != 1 || !capacity.contains_key("storage") {
        errors.push(Error::not_supported(path, &capacity, &["storage"]));
    }
    for (name, amount) in &capacity {
        let amount = Quantity::of(amount);
        if amount <= Quantity::ZERO {
            errors.push(Error::invalid(&path.key(name), amount.to_string(), "must be greater than zero"));
        }
    }
    errors
}

struct Update;

impl UpdateStrategy<PersistentVolume> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolume, old: &PersistentVolume) {
        new.status = old.status.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolume, old: &PersistentVolume) -> Errors {
        let path = Path::new("spec");
        let (new, old) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
        let mut errors = validate_spec(&path, &new);
        if source_of(&new) != source_of(&old) {
            // The odd name is Kubernetes'.
            errors.push(Error::forbidden(&path.child("persistentvolumesource"), "cannot change"));
        }
        errors.extend(immutable(&path.child("volumeMode"), &new.volume_mode, &old.volume_mode));
        if old.node_affinity.is_some() {
            errors.extend(immutable(&path.child("nodeAffinity"), &new.node_affinity, &old.node_affinity));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// The spec without what may change: its source alone.
fn source_of(spec: &PersistentVolumeSpec) -> PersistentVolumeSpec {
    let mut source = PersistentVolumeSpec {
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
    // The secret for growing a volume may follow later.
    if let Some(csi) = &mut source.csi {
        csi.controller_expand_secret_ref = None;
    }
    source
}

struct Status;

impl UpdateStrategy<PersistentVolume> for Status {
    fn prepare(&self, cx: &Context<'_>, new: &mut PersistentVolume, old: &PersistentVolume) {
        new.spec = old.spec.clone();
        let status = new.status.get_or_insert_default();
        let was = old.status.clone().unwrap_or_default();
        if status.phase != was.phase {
            if status.last_phase_transition_time == was.last_phase_transition_time {
                status.last_phase_transition_time = Some(Time(cx.now));
            }
        } else if status.last_phase_transition_time.is_none() {
            status.last_phase_transition_time = was.last_phase_transition_time;
        }
    }

    fn validate(&self, _cx: &Context<'_>, _new: &PersistentVolume, _old: &PersistentVolume) -> Errors {
        Errors::new()
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
