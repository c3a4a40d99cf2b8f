//! PersistentVolumeClaim: a wish for storage, bound to a volume that fulfils it.

mod change;
mod data_source;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus, VolumeResourceRequirements,
};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use machinery::{labels, names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::scheduling::resources::round_up;
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, supported_value, text};

/// An annotation that became the field `storageClassName`.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// Keeps a claim that a pod uses.
const PROTECTION: &str = "kubernetes.io/pvc-protection";

pub(crate) const ACCESS_MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

pub struct PersistentVolumeClaims;

impl Kind for PersistentVolumeClaims {
    type Object = PersistentVolumeClaim;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short: &["pvc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "persistentvolumeclaims";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "Pending, Bound or Lost."),
        Column::text("Volume", "The volume that it is bound to."),
        Column::text("Capacity", "The size of that volume."),
        Column::text("Access Modes", "How that volume may be mounted."),
        Column::text("StorageClass", "The class that the volume is to be of."),
        Column::text("VolumeAttributesClass", "The class of attributes that the volume is to have."),
        Column::AGE,
        Column::text("VolumeMode", "A filesystem or a block device.").wide(),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(claim: &mut PersistentVolumeClaim) {
        let spec = claim.spec.get_or_insert_default();
        spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        let resources = spec.resources.get_or_insert_default();
        round_up(&mut resources.requests);
        round_up(&mut resources.limits);
        let phase = &mut claim.status.get_or_insert_default().phase;
        if text(phase).is_empty() {
            *phase = Some("Pending".to_owned());
        }
    }

    fn prepare_create(_cx: &Context<'_>, claim: &mut PersistentVolumeClaim) {
        let finalizers = claim.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
        }
        claim.status = Some(Default::default());
        claim.status.get_or_insert_default().phase = Some("Pending".to_owned());
        if let Some(spec) = &mut claim.spec {
            data_source::prepare(spec, None);
        }
    }

    fn validate_create(_cx: &Context<'_>, claim: &PersistentVolumeClaim) -> Errors {
        claim.spec.iter().flat_map(|spec| validate_spec(&Path::new("spec"), spec)).collect()
    }

    fn warnings_create(claim: &PersistentVolumeClaim) -> Vec<String> {
        warnings(claim)
    }

    fn update() -> &'static dyn UpdateStrategy<PersistentVolumeClaim> {
        &Update
    }

    fn subresources() -> Vec<Subresource<PersistentVolumeClaim>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(claim: &PersistentVolumeClaim, now: Timestamp) -> Vec<Value> {
        let spec = claim.spec.clone().unwrap_or_default();
        let status = claim.status.clone().unwrap_or_default();
        let annotations = claim.metadata.annotations.as_ref();
        let bound = !text(&spec.volume_name).is_empty();
        let capacity = status.capacity.as_ref().and_then(|c| c.get("storage")).map_or("0", |amount| amount.0.as_str());
        let phase = if claim.metadata.deletion_timestamp.is_some() { "Terminating" } else { text(&status.phase) };
        vec![
            json!(claim.metadata.name),
            json!(phase),
            json!(text(&spec.volume_name)),
            json!(if bound { capacity } else { "" }),
            json!(if bound { short_modes(status.access_modes.as_deref()) } else { String::new() }),
            json!(annotations.and_then(|all| all.get(CLASS_ANNOTATION)).map_or(text(&spec.storage_class_name), String::as_str)),
            json!(spec.volume_attributes_class_name.as_deref().unwrap_or("<unset>")),
            json!(table::age(&claim.metadata, now)),
            json!(spec.volume_mode.as_deref().unwrap_or("<unset>")),
        ]
    }
}

/// Access modes as tables show them.
pub(crate) fn short_modes(modes: Option<&[String]>) -> String {
    let shorts = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.unwrap_or_default().iter().any(|m| m == mode);
    let shown: Vec<&str> = shorts.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    shown.join(",")
}

/// A claim's spec, of a claim or of a template for one.
pub(crate) fn validate_spec(path: &Path, spec: &PersistentVolumeClaimSpec) -> Errors {
    validate_with(path, spec, data_source::Groups::Checked)
}

fn validate_with(path: &Path, spec: &PersistentVolumeClaimSpec, groups: data_source::Groups) -> Errors {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), "must have a mode"));
    }
    if let Some(selector) = &spec.selector {
        errors.extend(labels::validate(selector, &path.child("selector")));
    }
    errors.extend(validate_modes(&path.child("accessModes"), modes));
    // Kubernetes leaves `requests` out of the path.
    let size = path.child("resources").key("storage");
    match spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")).map(Quantity::of) {
        None => errors.push(Error::required(&size, "")),
        Some(amount) if amount <= Quantity::ZERO => {
            errors.push(Error::invalid(&size, amount.to_string(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(complaints(&path.child("storageClassName"), class, names::dns1123_subdomain(class, false)));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported_value(&path.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
    errors.extend(data_source::validate(path, spec, groups));
    if let Some(class) = spec.volume_attributes_class_name.as_ref().filter(|class| !class.is_empty()) {
        let wrong = names::dns1123_subdomain(class, false);
        errors.extend(complaints(&path.child("volumeAttributesClassName"), class, wrong));
    }
    errors
}

/// Access modes that there are; one pod alone excludes every other mode.
pub(crate) fn validate_modes(path: &Path, modes: &[String]) -> Errors {
    let mut errors: Errors = modes.iter().flat_map(|mode| supported_value(path, mode, &ACCESS_MODES)).collect();
    let alone = modes.iter().any(|mode| mode == "ReadWriteOncePod");
    if alone && modes.iter().any(|mode| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode.as_str())) {
        errors.push(Error::forbidden(path, "ReadWriteOncePod cannot stand beside other modes"));
    }
    errors
}

struct Update;

impl UpdateStrategy<PersistentVolumeClaim> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim) {
        new.status.clone_from(&old.status);
        if let Some(spec) = &mut new.spec {
            data_source::prepare(spec, old.spec.as_ref());
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Errors {
        let path = Path::new("spec");
        let (Some(new_spec), Some(old_spec)) = (&new.spec, &old.spec) else { return Errors::new() };
        let mut errors = validate_with(&path, new_spec, data_source::Groups::to_keep(old_spec));
        errors.extend(change::validate(&path, (new, new_spec), (old, old_spec)));
        errors
    }

    fn warnings(&self, new: &PersistentVolumeClaim, _old: &PersistentVolumeClaim) -> Vec<String> {
        warnings(new)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

fn warnings(claim: &PersistentVolumeClaim) -> Vec<String> {
    let mut warnings = Vec::new();
    if claim.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION)) {
        warnings.push(format!("metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use storageClassName instead"));
    }
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    warnings.extend(size_warnings(&Path::new("spec"), resources));
    warnings
}

/// Of sizes that are no whole number of bytes, in a claim's spec at `path`.
pub(crate) fn size_warnings(path: &Path, resources: Option<&VolumeResourceRequirements>) -> Vec<String> {
    let lists = [("requests", resources.and_then(|r| r.requests.as_ref())), ("limits", resources.and_then(|r| r.limits.as_ref()))];
    let fraction = |(field, list): (&str, Option<&BTreeMap<_, _>>)| {
        let size = list.and_then(|list| list.get("storage")).map(Quantity::of).filter(|size| !size.is_integer())?;
        Some(format!("{}: {size} is no whole number of bytes", path.child("resources").child(field).key("storage")))
    };
    lists.into_iter().filter_map(fraction).collect()
}

struct Status;

impl UpdateStrategy<PersistentVolumeClaim> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolumeClaim, _old: &PersistentVolumeClaim) -> Errors {
        new.status.iter().flat_map(|status| validate_status(&Path::new("status"), status)).collect()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

/// Amounts that are there and amounts that are on the way, and how far those have come.
fn validate_status(path: &Path, status: &PersistentVolumeClaimStatus) -> Errors {
    const STATES: [&str; 5] =
        ["ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress", "NodeResizeInfeasible"];
    let mut errors = Errors::new();
    let not_negative = |path: &Path, amount: Quantity| {
        amount.is_negative().then(|| Error::invalid(path, amount.to_string(), "must be greater than or equal to 0"))
    };
    for (name, amount) in status.capacity.iter().flatten() {
        errors.extend(not_negative(&path.child("capacity").key(name), Quantity::of(amount)));
    }
    let states = path.child("allocatedResourceStatuses");
    for (name, state) in status.allocated_resource_statuses.iter().flatten() {
        errors.extend(validate_grown(&states, name));
        errors.extend(supported_value(&states, state, &STATES));
    }
    let amounts = path.child("allocatedResources");
    for (name, amount) in status.allocated_resources.iter().flatten() {
        let wrong = validate_grown(&amounts, name);
        if wrong.is_empty() {
            errors.extend(not_negative(&amounts.key(name), Quantity::of(amount)));
        }
        errors.extend(wrong);
    }
    errors
}

/// What of a claim can grow: its storage, and what drivers have names of their own for. Reported at the whole map.
fn validate_grown(path: &Path, name: &str) -> Errors {
    let mut errors = complaints(path, name, names::qualified_name(name));
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.is_empty() && is_native && name != "storage" {
        errors.push(Error::not_supported(path, name, &["storage"]));
    }
    errors
}
