//! PersistentVolumeClaim: a wish for storage, bound to a volume that fulfils it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedObjectReference};
use machinery::field::{Error, Errors, Path};
use machinery::quantity::Quantity;
use machinery::{labels, names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, required, supported_value, text};

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
        spec.resources.get_or_insert_default();
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
            normalize_sources(spec);
        }
    }

    fn validate_create(_cx: &Context<'_>, claim: &PersistentVolumeClaim) -> Errors {
        validate_spec(&Path::new("spec"), &claim.spec.clone().unwrap_or_default())
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
        let bound = !text(&spec.volume_name).is_empty();
        let capacity = status.capacity.as_ref().and_then(|c| c.get("storage")).map_or("", |amount| amount.0.as_str());
        let phase = if claim.metadata.deletion_timestamp.is_some() { "Terminating" } else { text(&status.phase) };
        vec![
            json!(claim.metadata.name),
            json!(phase),
            json!(text(&spec.volume_name)),
            json!(if bound { capacity } else { "" }),
            json!(if bound { short_modes(status.access_modes.as_deref()) } else { String::new() }),
            json!(text(&spec.storage_class_name)),
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

/// `dataSource` and `dataSourceRef` say the same, the older one within its means; one that names nothing is dropped.
fn normalize_sources(spec: &mut PersistentVolumeClaimSpec) {
    spec.data_source = spec.data_source.take().filter(|s| !s.kind.is_empty() || !s.name.is_empty());
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => {
            spec.data_source_ref = Some(TypedObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
                namespace: None,
            });
        }
        (None, Some(source)) if text(&source.namespace).is_empty() => {
            spec.data_source = Some(k8s_openapi::api::core::v1::TypedLocalObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
            });
        }
        _ => {}
    }
}

/// A claim's spec, of a claim or of a template for one.
pub(crate) fn validate_spec(path: &Path, spec: &PersistentVolumeClaimSpec) -> Errors {
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
    errors.extend(validate_sources(path, spec));
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
    if alone && modes.iter().any(|mode| mode != "ReadWriteOncePod") {
        errors.push(Error::forbidden(path, "ReadWriteOncePod cannot stand beside other modes"));
    }
    errors
}

fn validate_sources(path: &Path, spec: &PersistentVolumeClaimSpec) -> Errors {
    let mut errors = Errors::new();
    if let Some(source) = &spec.data_source {
        let at = path.child("dataSource");
        errors.extend(validate_source(&at, &source.api_group, &source.kind, &source.name));
    }
    if let Some(source) = &spec.data_source_ref {
        let at = path.child("dataSourceRef");
        errors.extend(validate_source(&at, &source.api_group, &source.kind, &source.name));
    }
    if let (Some(old), Some(new)) = (&spec.data_source, &spec.data_source_ref)
        && (text(&old.api_group), &old.kind, &old.name) != (text(&new.api_group), &new.kind, &new.name)
    {
        errors.push(Error::invalid(path, &old.name, "dataSource and dataSourceRef must name the same"));
    }
    errors
}

fn validate_source(path: &Path, group: &Option<String>, kind: &str, name: &str) -> Errors {
    let mut errors = required(&path.child("name"), name);
    errors.extend(required(&path.child("kind"), kind));
    if text(group).is_empty() && kind != "PersistentVolumeClaim" && !kind.is_empty() {
        errors.push(Error::invalid(path, kind, "must be a PersistentVolumeClaim in the core group"));
    }
    errors
}

struct Update;

impl UpdateStrategy<PersistentVolumeClaim> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim) {
        new.status = old.status.clone();
        if let Some(spec) = &mut new.spec {
            normalize_sources(spec);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Errors {
        let path = Path::new("spec");
        let (new_spec, old_spec) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
        let mut errors = validate_spec(&path, &new_spec);
        errors.extend(validate_change(&path, &new_spec, &old_spec, old));
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// A claim's spec stays, but for the volume that it is bound to, growth once it is bound, and classes that were left
/// open.
fn validate_change(
    path: &Path,
    new: &PersistentVolumeClaimSpec,
    old: &PersistentVolumeClaimSpec,
    stored: &PersistentVolumeClaim,
) -> Errors {
    let mut errors = Errors::new();
    let mut same = new.clone();
    if text(&old.volume_name).is_empty() {
        same.volume_name.clone_from(&old.volume_name);
    }
    if old.storage_class_name.is_none() {
        same.storage_class_name = None;
    }
    same.volume_attributes_class_name.clone_from(&old.volume_attributes_class_name);
    let size = |spec: &PersistentVolumeClaimSpec| {
        spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")).map(Quantity::of)
    };
    let bound = stored.status.as_ref().is_some_and(|s| text(&s.phase) == "Bound");
    if bound {
        same.resources.clone_from(&old.resources);
    }
    if same != *old {
        const WHY: &str = "a claim's spec cannot change, except for requests of a bound claim and the class of attributes";
        errors.push(Error::forbidden(path, WHY));
    }
    if bound && size(new) < size(old) {
        // A claim whose growth failed may ask for less again, but for no less than it has.
        let has = stored.status.as_ref().and_then(|s| s.capacity.as_ref()).and_then(|c| c.get("storage")).map(Quantity::of);
        if size(new) <= has {
            let at = path.child("resources").child("requests").child("storage");
            errors.push(Error::forbidden(&at, "cannot be less than the volume's capacity"));
        }
    }
    errors
}

struct Status;

impl UpdateStrategy<PersistentVolumeClaim> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &PersistentVolumeClaim, _old: &PersistentVolumeClaim) -> Errors {
        let path = Path::new("status").child("capacity");
        let mut errors = Errors::new();
        for (name, amount) in new.status.iter().filter_map(|s| s.capacity.as_ref()).flatten() {
            errors.extend(super::pod::validate_amount(&path.key(name), name, Quantity::of(amount)));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
