//! StorageClass: how volumes of a class are made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::TopologySelectorTerm;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{GROUP, check_parameters, check_provisioner};
use crate::columns;
use crate::core::node_labels;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

/// Either marks the class of claims that name none.
const DEFAULT_ANNOTATIONS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub struct StorageClasses;

impl Kind for StorageClasses {
    type Object = StorageClass;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short: &["sc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "storageclasses";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Provisioner", "Who makes the volumes."),
        Column::text("ReclaimPolicy", "What becomes of a volume when its claim goes."),
        Column::text("VolumeBindingMode", "When a claim gets its volume."),
        Column::text("AllowVolumeExpansion", "Whether volumes can grow."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(class: &mut StorageClass) {
        class.reclaim_policy.get_or_insert_with(|| "Delete".to_owned());
        class.volume_binding_mode.get_or_insert_with(|| "Immediate".to_owned());
        zero::omit(&mut class.parameters);
        zero::omit(&mut class.mount_options);
        zero::omit(&mut class.allowed_topologies);
        for term in class.allowed_topologies.iter_mut().flatten() {
            zero::omit(&mut term.match_label_expressions);
        }
    }

    fn validate_create(_cx: &Context<'_>, class: &StorageClass) -> Errors {
        check(class)
    }

    fn warnings_create(class: &StorageClass) -> Vec<String> {
        warnings(class)
    }

    fn update() -> &'static dyn UpdateStrategy<StorageClass> {
        &Update
    }

    fn row(class: &StorageClass, now: Timestamp) -> Vec<Value> {
        let annotation = |key: &&str| class.metadata.annotations.as_ref().and_then(|a| a.get(*key)).is_some_and(|v| v == "true");
        let mark = if DEFAULT_ANNOTATIONS.iter().any(annotation) { " (default)" } else { "" };
        vec![
            json!(format!("{}{mark}", class.metadata.name.as_deref().unwrap_or_default())),
            json!(class.provisioner),
            json!(class.reclaim_policy.as_deref().unwrap_or("Delete")),
            json!(class.volume_binding_mode.as_deref().unwrap_or("Immediate")),
            json!(class.allow_volume_expansion.unwrap_or(false)),
            columns::age(&class.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<StorageClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut StorageClass, _old: &StorageClass) {}

    fn validate(&self, _cx: &Context<'_>, new: &StorageClass, _old: &StorageClass) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &StorageClass, old: &StorageClass) -> Errors {
        let mut errors = validate::immutable(&Path::new("parameters"), &new.parameters, &old.parameters);
        errors.extend(validate::immutable(&Path::new("provisioner"), &new.provisioner, &old.provisioner));
        errors.extend(validate::immutable(&Path::new("reclaimPolicy"), &new.reclaim_policy, &old.reclaim_policy));
        errors.extend(validate::immutable(&Path::new("volumeBindingMode"), &new.volume_binding_mode, &old.volume_binding_mode));
        errors
    }

    fn warnings(&self, new: &StorageClass, _old: &StorageClass) -> Vec<String> {
        warnings(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(class: &StorageClass) -> Errors {
    let mut errors = check_provisioner(&Path::new("provisioner"), &class.provisioner);
    errors.extend(check_parameters(&Path::new("parameters"), class.parameters.as_ref()));
    if let Some(policy) = class.reclaim_policy.as_deref().filter(|policy| !policy.is_empty()) {
        errors.extend(validate::supported_value(&Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]));
    }
    let mode = class.volume_binding_mode.as_deref().unwrap_or_default();
    errors.extend(validate::supported_value(&Path::new("volumeBindingMode"), mode, &["Immediate", "WaitForFirstConsumer"]));
    errors.extend(check_topologies(&Path::new("allowedTopologies"), class.allowed_topologies.as_deref().unwrap_or_default()));
    errors
}

/// Terms of topology, all different.
fn check_topologies(path: &Path, terms: &[TopologySelectorTerm]) -> Errors {
    let mut errors = Errors::new();
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let at = path.index(i).child("matchLabelExpressions");
        errors.extend(check_topology(&at, term));
        let requirements = term.match_label_expressions.iter().flatten();
        let meaning: BTreeMap<_, _> = requirements.map(|r| (r.key.as_str(), r.values.iter().map(String::as_str).collect())).collect();
        // Kubernetes begins with as many empty terms as there are terms, so that an empty one is always one too many.
        let empty = if meaning.is_empty() { terms.len() } else { 0 };
        let twice = empty + seen.iter().filter(|before| **before == meaning).count();
        errors.extend((0..twice).map(|_| Error::duplicate(&at, "")));
        seen.push(meaning);
    }
    errors
}

fn warnings(class: &StorageClass) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, term) in class.allowed_topologies.iter().flatten().enumerate() {
        for (j, requirement) in term.match_label_expressions.iter().flatten().enumerate() {
            let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions").index(j).child("key");
            warnings.extend(node_labels::warn_of(&path, &requirement.key));
        }
    }
    warnings
}

fn check_topology(path: &Path, term: &TopologySelectorTerm) -> Errors {
    let mut errors = Errors::new();
    let mut keys = BTreeSet::new();
    for (i, requirement) in term.match_label_expressions.iter().flatten().enumerate() {
        let path = path.index(i);
        if requirement.values.is_empty() {
            errors.push(Error::required(&path.child("values"), ""));
        }
        for (j, value) in requirement.values.iter().enumerate() {
            if requirement.values[..j].contains(value) {
                errors.push(Error::duplicate(&path.child("values").index(j), value));
            }
        }
        let key_path = path.child("key");
        errors.extend(validate::complaints(&key_path, &requirement.key, names::qualified_name(&requirement.key)));
        if !keys.insert(&requirement.key) {
            errors.push(Error::duplicate(&key_path, &requirement.key));
        }
    }
    errors
}
