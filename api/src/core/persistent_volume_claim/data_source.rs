//! What a claim's volume is to be filled from: `dataSource`, which knows claims and snapshots, and `dataSourceRef`, which knows
//! everything. Where both can say it, both do.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, TypedLocalObjectReference, TypedObjectReference};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{complaints, required, text};

/// Whether the groups that sources name are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Groups {
    Checked,
    /// A stored claim may have one that would be refused today.
    Kept,
}

impl Groups {
    pub fn to_keep(stored: &PersistentVolumeClaimSpec) -> Self {
        let old = stored.data_source.as_ref().and_then(|source| source.api_group.as_ref());
        let new = stored.data_source_ref.as_ref().and_then(|source| source.api_group.as_ref());
        if old.or(new).is_some() { Self::Kept } else { Self::Checked }
    }
}

/// Drops what is not to be had, and makes both fields say the same.
pub(super) fn prepare(spec: &mut PersistentVolumeClaimSpec, stored: Option<&PersistentVolumeClaimSpec>) {
    let had_any = stored.is_some_and(|old| old.data_source.is_some() || old.data_source_ref.is_some());
    // Sources in other namespaces are a feature that is off.
    let is_foreign = |source: &TypedObjectReference| !text(&source.namespace).is_empty();
    if stored.is_none_or(|old| old.data_source_ref.is_none()) {
        spec.data_source_ref = spec.data_source_ref.take().filter(|source| !is_foreign(source));
    }
    // `dataSource` ignored what it did not know long before it was refused.
    if !had_any && spec.data_source_ref.is_none() {
        spec.data_source = spec.data_source.take().filter(is_known);
    }
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => {
            spec.data_source_ref = Some(TypedObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
                namespace: None,
            });
        }
        (None, Some(source)) if !is_foreign(source) => {
            spec.data_source = Some(TypedLocalObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
            });
        }
        _ => {}
    }
}

fn is_known(source: &TypedLocalObjectReference) -> bool {
    matches!((source.kind.as_str(), text(&source.api_group)), ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io"))
}

pub(super) fn validate(path: &Path, spec: &PersistentVolumeClaimSpec, groups: Groups) -> Errors {
    let mut errors = Errors::new();
    if let Some(source) = &spec.data_source {
        let at = path.child("dataSource");
        errors.extend(validate_source(&at, &source.api_group, &source.kind, &source.name, groups));
    }
    let Some(new) = &spec.data_source_ref else { return errors };
    let at = path.child("dataSourceRef");
    errors.extend(validate_source(&at, &new.api_group, &new.kind, &new.name, groups));
    let namespace = text(&new.namespace);
    if !namespace.is_empty() {
        errors.extend(complaints(&at.child("namespace"), namespace, names::dns1123_label(namespace, false)));
    }
    if let Some(old) = &spec.data_source {
        if !namespace.is_empty() {
            errors.push(Error::invalid(path, &old.name, "dataSource cannot name what is in another namespace"));
        } else if (&old.api_group, &old.kind, &old.name) != (&new.api_group, &new.kind, &new.name) {
            errors.push(Error::invalid(path, &old.name, "dataSource and dataSourceRef must name the same"));
        }
    }
    errors
}

fn validate_source(path: &Path, group: &Option<String>, kind: &str, name: &str, groups: Groups) -> Errors {
    let mut errors = required(&path.child("name"), name);
    errors.extend(required(&path.child("kind"), kind));
    let group = text(group);
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.push(Error::invalid(path, kind, "must be a PersistentVolumeClaim in the core group"));
    }
    if !group.is_empty() && groups == Groups::Checked {
        errors.extend(complaints(&path.child("apiGroup"), group, names::dns1123_subdomain(group, false)));
    }
    errors
}
