//! Labels of nodes that have other names by now. Writers of the old ones are warned, and what may not change may change
//! from an old name to the new one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, VolumeNodeAffinity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::Path;

/// The name, what to use instead, and the version since which it is deprecated. Where that is a label, it means the same.
const DEPRECATED: [(&str, &str, &str); 8] = [
    ("app.kubernetes.io/created-by", "", "1.9"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch", "1.14"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "1.17"),
    ("beta.kubernetes.io/os", "kubernetes.io/os", "1.14"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region", "1.17"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone", "1.17"),
    ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane", "1.20"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "taints and tolerations", "1.22"),
];

/// The warning that a label at a path deserves.
pub(crate) fn warn_of(path: &Path, key: &str) -> Option<String> {
    let (_, instead, since) = DEPRECATED.iter().find(|(old, ..)| *old == key)?;
    let hint = if instead.is_empty() { String::new() } else { format!("; use {instead} instead") };
    Some(format!("{path}: {key} is deprecated since v{since}{hint}"))
}

/// Whether a label was renamed to another, which may be written where the old one cannot change.
fn is_renamed(old: &str, new: &str) -> bool {
    old != "node-role.kubernetes.io/master" && DEPRECATED.iter().any(|(name, instead, _)| *name == old && *instead == new)
}

/// The warnings that terms of a node selector deserve; `path` is the selector's.
pub(crate) fn warn_of_selector(path: &Path, selector: &NodeSelector) -> Vec<String> {
    let terms = path.child("nodeSelectorTerms");
    let keys = selector.node_selector_terms.iter().enumerate().flat_map(|(i, term)| {
        let requirements = term.match_expressions.iter().flatten().enumerate();
        requirements.map(move |(j, requirement)| (i, j, requirement.key.as_str()))
    });
    keys.filter_map(|(i, j, key)| warn_of(&terms.index(i).child("matchExpressions").index(j).child("key"), key)).collect()
}

/// The warnings that a selector by labels of nodes deserves.
pub(crate) fn warn_of_labels(path: &Path, selector: &LabelSelector) -> Vec<String> {
    let expressions = selector.match_expressions.iter().flatten().enumerate();
    let mut warnings: Vec<String> =
        expressions.filter_map(|(i, e)| warn_of(&path.child("matchExpressions").index(i).child("key"), &e.key)).collect();
    warnings.extend(warn_of_map(&path.child("matchLabels"), selector.match_labels.as_ref()));
    warnings
}

/// The warnings that labels deserve, all at the map's own path.
pub(crate) fn warn_of_map(path: &Path, labels: Option<&BTreeMap<String, String>>) -> Vec<String> {
    labels.into_iter().flat_map(BTreeMap::keys).filter_map(|key| warn_of(path, key)).collect()
}

/// Whether an affinity differs from an older one at most in labels that it calls by their new names.
pub(crate) fn only_renamed(new: &VolumeNodeAffinity, old: &VolumeNodeAffinity) -> bool {
    let terms = |affinity: &VolumeNodeAffinity| affinity.required.as_ref().map(|required| required.node_selector_terms.clone());
    let same = |a: &NodeSelectorRequirement, b: &NodeSelectorRequirement| {
        (a.key == b.key || is_renamed(&b.key, &a.key))
            && a.operator == b.operator
            && a.values.as_deref().unwrap_or_default() == b.values.as_deref().unwrap_or_default()
    };
    let all_same = |a: &Option<Vec<NodeSelectorRequirement>>, b: &Option<Vec<NodeSelectorRequirement>>| {
        let (a, b) = (a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
    };
    let same_term = |a: &NodeSelectorTerm, b: &NodeSelectorTerm| {
        all_same(&a.match_expressions, &b.match_expressions) && all_same(&a.match_fields, &b.match_fields)
    };
    match (terms(new), terms(old)) {
        (Some(new), Some(old)) => new.len() == old.len() && new.iter().zip(&old).all(|(a, b)| same_term(a, b)),
        (None, None) => true,
        _ => false,
    }
}
