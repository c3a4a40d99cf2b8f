//! The metadata that every object has: what is wrong with it when an object is created or updated, and names
//! made of `generateName`. Paths and reasons are those of Kubernetes, whose clients look at them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::apply;
use crate::field::{Error, Errors, Path};
use crate::names;

/// What all annotations of an object may hold together, keys included.
pub const MOST_ANNOTATION_BYTES: usize = 256 << 10;
/// The length of a field manager's name.
pub const MOST_FIELD_MANAGER_BYTES: usize = 128;
const MOST_SUBRESOURCE_BYTES: usize = 256;

pub const FINALIZER_ORPHAN: &str = "orphan";
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// What validation has to know of a kind.
#[derive(Clone, Copy)]
pub struct Rules<'r> {
    pub namespaced: bool,
    /// Whether finalizers must name the domain of their owner. Of custom objects that is asked in a warning only.
    pub finalizer_domains: bool,
    /// What is wrong with a name, or (where the flag is set) with a `generateName`.
    pub name: &'r dyn Fn(&str, bool) -> Vec<String>,
}

/// Everything wrong with the metadata of a new object, whose name has been generated.
pub fn validate_create(meta: &ObjectMeta, rules: Rules<'_>) -> Errors {
    let path = Path::new("metadata");
    let mut errors = validate(meta, rules, &path);
    errors.extend(finalizer_domains(meta, rules, &path));
    errors
}

/// Everything wrong with the metadata at `path`, of an object within another one.
pub fn validate_at(meta: &ObjectMeta, rules: Rules<'_>, path: &Path) -> Errors {
    validate(meta, rules, path)
}

/// What a kind checks once more in an update, after the general pipeline has: see [`validate_update`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeated {
    #[default]
    ChangeThenWhole,
    WholeThenChange,
    Change,
    /// The change, once what is wrong with the object itself has been told.
    ChangeAfterOwn,
    Whole,
    WholeTwice,
    Nothing,
}

/// What a kind finds wrong with an updated object besides its metadata: in itself, and with the change.
#[derive(Debug, Default)]
pub struct Own {
    pub whole: Errors,
    pub change: Errors,
}

/// Everything wrong with an updated object, in the order in which Kubernetes looks.
///
/// Kubernetes checks metadata in the general pipeline and again in nearly every kind, for what is wrong in itself,
/// for what may not change, or both, as `repeated` says. Clients see the causes repeated accordingly, and so they are here.
/// That a resource version is given where the kind requires one is the pipeline's own check.
pub fn validate_update(new: &ObjectMeta, old: &ObjectMeta, rules: Rules<'_>, repeated: Repeated, own: Own) -> Errors {
    let path = Path::new("metadata");
    let mut errors = validate(new, Rules { name: &names::path_segment, ..rules }, &path);
    let change = validate_change(new, old, &path);
    errors.extend(change.clone());
    let domains = finalizer_domains(new, rules, &path);
    let whole = || [validate(new, rules, &path), domains.clone()].concat();
    errors.extend(match repeated {
        Repeated::ChangeThenWhole => [change, domains.clone(), own.change, whole(), own.whole].concat(),
        Repeated::WholeThenChange => [whole(), own.whole, change, domains, own.change].concat(),
        Repeated::Change => [change, domains, own.whole, own.change].concat(),
        Repeated::ChangeAfterOwn => [own.whole, change, domains, own.change].concat(),
        Repeated::Whole => [whole(), own.whole, own.change].concat(),
        Repeated::WholeTwice => [whole(), own.whole, whole(), own.change].concat(),
        Repeated::Nothing => [own.whole, own.change].concat(),
    });
    errors
}

/// What is wrong with a change of metadata, for a kind that asks for it once more among its own checks.
pub fn validate_change_again(new: &ObjectMeta, old: &ObjectMeta, rules: Rules<'_>) -> Errors {
    let path = Path::new("metadata");
    let mut errors = validate_change(new, old, &path);
    errors.extend(finalizer_domains(new, rules, &path));
    errors
}

/// What is wrong with metadata in itself.
fn validate(meta: &ObjectMeta, rules: Rules<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let generate_name = meta.generate_name.as_deref().unwrap_or_default();
    if !generate_name.is_empty() {
        errors.extend(complaints(&path.child("generateName"), generate_name, (rules.name)(generate_name, true)));
    }
    match meta.name.as_deref().unwrap_or_default() {
        "" => errors.push(Error::required(&path.child("name"), "a name or generateName is required")),
        name => errors.extend(complaints(&path.child("name"), name, (rules.name)(name, false))),
    }
    let at = path.child("namespace");
    match (rules.namespaced, meta.namespace.as_deref().unwrap_or_default()) {
        (true, "") => errors.push(Error::required(&at, "")),
        (true, namespace) => errors.extend(complaints(&at, namespace, names::dns1123_label(namespace, false))),
        (false, "") => {}
        (false, _) => errors.push(Error::forbidden(&at, "objects of this kind have no namespace")),
    }
    if let Some(generation) = meta.generation.filter(|generation| *generation < 0) {
        errors.push(Error::invalid(&path.child("generation"), generation, "must not be negative"));
    }
    errors.extend(validate_labels(meta.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(meta.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owners(meta.owner_references.as_deref().unwrap_or_default(), &path.child("ownerReferences")));
    errors.extend(validate_finalizers(meta.finalizers.as_deref().unwrap_or_default(), &path.child("finalizers")));
    errors
}

/// What is wrong with a change of metadata.
fn validate_change(new: &ObjectMeta, old: &ObjectMeta, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if old.deletion_timestamp.is_some() {
        let known = old.finalizers.as_deref().unwrap_or_default();
        let added: Vec<&String> = new.finalizers.iter().flatten().filter(|finalizer| !known.contains(finalizer)).collect();
        if !added.is_empty() {
            let why = format!("an object that is being deleted gets no new finalizers, and these are new: {added:?}");
            errors.push(Error::forbidden(&path.child("finalizers"), why));
        }
    }
    if new.generation.unwrap_or(0) < old.generation.unwrap_or(0) {
        errors.push(Error::invalid(&path.child("generation"), new.generation.unwrap_or(0), "must not become smaller"));
    }
    let mut fixed = |field: &str, new: serde_json::Value, same: bool| {
        if !same {
            errors.push(Error::invalid(&path.child(field), new, "field is immutable"));
        }
    };
    fixed("name", new.name.clone().into(), text(&new.name) == text(&old.name));
    fixed("namespace", new.namespace.clone().into(), text(&new.namespace) == text(&old.namespace));
    fixed("uid", new.uid.clone().into(), text(&new.uid) == text(&old.uid));
    let shown = |time: &Option<_>| serde_json::to_value(time).unwrap_or_default();
    fixed("creationTimestamp", shown(&new.creation_timestamp), new.creation_timestamp == old.creation_timestamp);
    fixed("deletionTimestamp", shown(&new.deletion_timestamp), new.deletion_timestamp == old.deletion_timestamp);
    let grace = (new.deletion_grace_period_seconds, old.deletion_grace_period_seconds);
    fixed("deletionGracePeriodSeconds", grace.0.into(), grace.0 == grace.1);
    errors.extend(validate_labels(new.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(new.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owners(new.owner_references.as_deref().unwrap_or_default(), &path.child("ownerReferences")));
    errors
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

/// One error for each thing that is wrong with a value.
pub fn complaints(path: &Path, value: &str, wrong: Vec<String>) -> Errors {
    wrong.into_iter().map(|why| Error::invalid(path, value, why)).collect()
}

/// Labels, reported at the map's own path.
pub fn validate_labels(labels: Option<&BTreeMap<String, String>>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(complaints(path, key, names::qualified_name(key)));
        errors.extend(complaints(path, value, names::label_value(value)));
    }
    errors
}

/// Annotations, reported at the map's own path.
pub fn validate_annotations(annotations: Option<&BTreeMap<String, String>>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        // Unlike label keys they may have capitals before the slash.
        errors.extend(complaints(path, key, names::qualified_name(&key.to_lowercase())));
        bytes += key.len() + value.len();
    }
    if bytes > MOST_ANNOTATION_BYTES {
        errors.push(Error::too_long(path, MOST_ANNOTATION_BYTES));
    }
    errors
}

/// Owner references, reported without their index.
fn validate_owners(owners: &[OwnerReference], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut controller: Option<&OwnerReference> = None;
    for owner in owners {
        let version = owner.api_version.split_once('/').map_or(&*owner.api_version, |(_, version)| version);
        if version.is_empty() || version.contains('/') {
            errors.push(Error::invalid(&path.child("apiVersion"), &owner.api_version, "must name a version"));
        }
        for (field, value) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
            if value.is_empty() {
                errors.push(Error::invalid(&path.child(field), value, "must not be empty"));
            }
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            errors.push(Error::invalid(path, owner, "an event owns nothing"));
        }
        if owner.controller != Some(true) {
            continue;
        }
        match controller {
            None => controller = Some(owner),
            Some(first) => {
                let (a, b) = (format!("{}/{}", first.kind, first.name), format!("{}/{}", owner.kind, owner.name));
                errors.push(Error::invalid(path, owners, format!("only one owner is the controller, and both {a} and {b} say they are")));
            }
        }
    }
    errors
}

/// Finalizers, reported at the list's own path.
fn validate_finalizers(finalizers: &[String], path: &Path) -> Errors {
    let mut errors: Errors = finalizers.iter().flat_map(|name| complaints(path, name, names::qualified_name(name))).collect();
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND) {
        errors.push(Error::invalid(path, finalizers, format!("{FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} exclude each other")));
    }
    errors
}

/// Finalizers that are neither Kubernetes' own nor name a domain, reported with their index.
fn finalizer_domains(meta: &ObjectMeta, rules: Rules<'_>, path: &Path) -> Errors {
    let finalizers = meta.finalizers.iter().flatten().enumerate().filter(|_| rules.finalizer_domains);
    let path = path.child("finalizers");
    finalizers.flat_map(|(index, name)| complaints(&path.index(index), name, names::finalizer_domain(name))).collect()
}

/// The entries of `metadata.managedFields`, which stand beside the object on its way through a write.
pub fn validate_managed_fields(entries: &[apply::Entry]) -> Errors {
    let path = Path::new("metadata").child("managedFields");
    let mut errors = Errors::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = path.index(index);
        errors.extend(validate_field_manager(&entry.manager, &path.child("manager")));
        if entry.subresource.len() > MOST_SUBRESOURCE_BYTES {
            errors.push(Error::too_long(&path.child("subresource"), MOST_SUBRESOURCE_BYTES));
        }
    }
    errors
}

/// The name of a field manager, in managed fields or in a request's options.
pub fn validate_field_manager(name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if name.len() > MOST_FIELD_MANAGER_BYTES {
        errors.push(Error::too_long(path, MOST_FIELD_MANAGER_BYTES));
    }
    // Of white space only the plain space is printable.
    let unprintable = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    errors.extend(
        name.char_indices()
            .filter(|(_, c)| unprintable(*c))
            .map(|(at, c)| Error::invalid(path, name, format!("the character {c:?} at {at} cannot be printed"))),
    );
    errors
}

/// Makes a name of a `generateName`: as much of it as leaves room for five random characters in a DNS label.
/// The alphabet has no vowels and no digits that look like letters, so that no words come out.
pub fn generate_name(base: &str, random: &mut impl Rng) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const MOST_BASE_BYTES: usize = 58;
    let cut = (0..=base.len().min(MOST_BASE_BYTES)).rev().find(|at| base.is_char_boundary(*at)).unwrap_or(0);
    let mut name = base[..cut].to_owned();
    name.extend((0..5).filter_map(|_| ALPHABET.choose(random)).map(|byte| char::from(*byte)));
    name
}

#[cfg(test)]
mod tests;
