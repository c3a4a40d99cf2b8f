//! Field management through the scale subresource. A Scale has entries of its own while it is written: those who own
//! the replica count of the object behind it, in the words of a Scale. Afterwards they go back to the object.

use super::entry::{Entry, Fields};
use super::set::Set;

/// The version that Scales are written in.
const SCALE_VERSION: &str = "autoscaling/v1";

/// The entries of a Scale: whoever owns `replicas` (the count's path in the object) owns `spec.replicas` here.
pub fn to_scale(parent: &[Entry], replicas: &Set<'_>) -> Vec<Entry> {
    let Some(fields) = Fields::of(&Set::of_fields(&["spec.replicas"])) else { return Vec::new() };
    let owners = parent.iter().filter(|entry| owns(entry, replicas));
    owners.map(|entry| Entry { api_version: SCALE_VERSION.into(), fields: fields.clone(), ..entry.clone() }).collect()
}

/// The entries of the object after its Scale was written: who lost the count in `scale` loses `replicas`, who came to
/// own it there owns it here, in the version `api_version`.
pub fn from_scale(parent: Vec<Entry>, scale: Vec<Entry>, replicas: &Set<'_>, api_version: &str) -> Vec<Entry> {
    // An object that is not tracked stays so.
    if parent.is_empty() {
        return parent;
    }
    let mut scale = scale;
    let mut entries = Vec::with_capacity(parent.len() + scale.len());
    for entry in parent {
        if !owns(&entry, replicas) {
            entries.push(entry);
        } else if let Some(at) = scale.iter().position(|scaled| is_same_owner(scaled, &entry)) {
            entries.push(Entry { time: scale.swap_remove(at).time, ..entry });
        } else {
            let rest = entry.fields.set().ok().and_then(|set| Fields::of(&set.difference(replicas)));
            entries.extend(rest.map(|fields| Entry { fields, ..entry }));
        }
    }
    if let Some(fields) = Fields::of(replicas) {
        let newcomers = scale.into_iter();
        entries.extend(newcomers.map(|entry| Entry { api_version: api_version.to_owned(), fields: fields.clone(), ..entry }));
    }
    entries.sort_by(Entry::order);
    entries
}

fn owns(entry: &Entry, replicas: &Set<'_>) -> bool {
    entry.fields.count_common(replicas).is_ok_and(|common| common > 0)
}

fn is_same_owner(a: &Entry, b: &Entry) -> bool {
    a.operation == b.operation && a.manager == b.manager && a.subresource == b.subresource
}
