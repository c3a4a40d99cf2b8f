//! Node and pod affinity, and tolerations.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, Toleration, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use machinery::{labels, names};

use crate::validate::{complaints, supported_value, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate_affinity(path: &Path, affinity: Option<&Affinity>) -> Errors {
    let mut errors = Errors::new();
    let Some(affinity) = affinity else { return errors };
    if let Some(node) = &affinity.node_affinity {
        errors.extend(validate_node_affinity(&path.child("nodeAffinity"), node));
    }
    if let Some(near) = &affinity.pod_affinity {
        let at = path.child("podAffinity");
        let required = near.required_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
        let preferred = near.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
        errors.extend(validate_pod_terms(&at, required, preferred));
    }
    if let Some(apart) = &affinity.pod_anti_affinity {
        let at = path.child("podAntiAffinity");
        let required = apart.required_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
        errors.extend(validate_pod_terms(&at, required, preferred));
    }
    errors
}

fn validate_node_affinity(path: &Path, affinity: &NodeAffinity) -> Errors {
    let mut errors = Errors::new();
    if let Some(selector) = &affinity.required_during_scheduling_ignored_during_execution {
        errors.extend(validate_node_selector(&path.child(REQUIRED), selector));
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
    for (i, term) in preferred.iter().enumerate() {
        let at = path.child(PREFERRED).index(i);
        errors.extend(validate_weight(&at, term.weight));
        // A preference that no label can meet is let pass, with a warning.
        errors.extend(validate_node_term(&at.child("preference"), &term.preference, LabelValues::Any));
    }
    errors
}

fn validate_weight(path: &Path, weight: i32) -> Errors {
    if (1..=100).contains(&weight) {
        return Errors::new();
    }
    vec![Error::invalid(&path.child("weight"), weight, "must be between 1 and 100")]
}

/// Terms that select nodes, any of which has to hold.
pub fn validate_node_selector(path: &Path, selector: &NodeSelector) -> Errors {
    let at = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        return vec![Error::required(&at, "must have a term")];
    }
    let terms = selector.node_selector_terms.iter().enumerate();
    terms.flat_map(|(i, term)| validate_node_term(&at.index(i), term, LabelValues::Valid)).collect()
}

/// Which values labels are compared with.
#[derive(Clone, Copy, PartialEq)]
enum LabelValues {
    Valid,
    Any,
}

fn validate_node_term(path: &Path, term: &NodeSelectorTerm, values: LabelValues) -> Errors {
    let mut errors = Errors::new();
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        errors.extend(validate_by_label(&path.child("matchExpressions").index(i), requirement, values));
    }
    for (i, requirement) in term.match_fields.iter().flatten().enumerate() {
        errors.extend(validate_by_field(&path.child("matchFields").index(i), requirement));
    }
    errors
}

fn validate_by_label(path: &Path, requirement: &NodeSelectorRequirement, allowed: LabelValues) -> Errors {
    let values = requirement.values.as_deref().unwrap_or_default();
    let at = path.child("values");
    let mut errors = Errors::new();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => errors.push(Error::required(&at, "must be given for In and NotIn")),
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(Error::forbidden(&at, "may not be given for Exists and DoesNotExist"));
        }
        "Gt" | "Lt" if values.len() != 1 => errors.push(Error::required(&at, "must be one value for Gt and Lt")),
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(complaints(&path.child("key"), &requirement.key, names::qualified_name(&requirement.key)));
    for (i, value) in values.iter().enumerate().filter(|_| allowed == LabelValues::Valid) {
        errors.extend(complaints(&at.index(i), value, names::label_value(value)));
    }
    errors
}

fn validate_by_field(path: &Path, requirement: &NodeSelectorRequirement) -> Errors {
    let values = requirement.values.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() != 1 => {
            errors.push(Error::required(&path.child("values"), "must be one value for fields"));
        }
        "In" | "NotIn" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator of fields")),
    }
    if requirement.key == "metadata.name" {
        for (i, value) in values.iter().enumerate() {
            let at = path.child("values").index(i);
            errors.extend(complaints(&at, value, names::dns1123_subdomain(value, false)));
        }
    } else {
        errors.push(Error::invalid(&path.child("key"), &requirement.key, "not a field that nodes can be selected by"));
    }
    errors
}

fn validate_pod_terms(path: &Path, required: &[PodAffinityTerm], preferred: &[WeightedPodAffinityTerm]) -> Errors {
    let mut errors = Errors::new();
    for (i, term) in required.iter().enumerate() {
        errors.extend(validate_pod_term(&path.child(REQUIRED).index(i), term));
    }
    for (i, term) in preferred.iter().enumerate() {
        let at = path.child(PREFERRED).index(i);
        errors.extend(validate_weight(&at, term.weight));
        errors.extend(validate_pod_term(&at.child("podAffinityTerm"), &term.pod_affinity_term));
    }
    errors
}

fn validate_pod_term(path: &Path, term: &PodAffinityTerm) -> Errors {
    let mut errors = Errors::new();
    if let Some(selector) = &term.label_selector {
        errors.extend(labels::validate(selector, &path.child("labelSelector")));
    }
    if let Some(selector) = &term.namespace_selector {
        errors.extend(labels::validate(selector, &path.child("namespaceSelector")));
    }
    for namespace in term.namespaces.iter().flatten() {
        let wrong = names::dns1123_label(namespace, false);
        errors.extend(complaints(&path.child("namespace"), namespace, wrong));
    }
    let matched = term.match_label_keys.as_deref().unwrap_or_default();
    let mismatched = term.mismatch_label_keys.as_deref().unwrap_or_default();
    errors.extend(validate_label_keys(path, matched, mismatched, term.label_selector.as_ref()));
    if term.topology_key.is_empty() {
        errors.push(Error::required(&path.child("topologyKey"), "must not be empty"));
    }
    let wrong = names::qualified_name(&term.topology_key);
    errors.extend(complaints(&path.child("topologyKey"), &term.topology_key, wrong));
    errors
}

/// Keys whose values the pod's own labels give; `path` is what the keys and the selector belong to.
pub(super) fn validate_label_keys(path: &Path, matched: &[String], mismatched: &[String], selector: Option<&LabelSelector>) -> Errors {
    let mut errors = Errors::new();
    for (field, keys) in [("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)] {
        let at = path.child(field);
        if !keys.is_empty() && selector.is_none() {
            errors.push(Error::forbidden(&at, "needs a labelSelector"));
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            errors.extend(complaints(&at.index(i), key, names::qualified_name(key)));
        }
    }
    if let Some(selector) = selector.filter(|_| !matched.is_empty()) {
        errors.extend(selected_twice(path, matched, selector));
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        errors.push(Error::invalid(&path.child("matchLabelKeys").index(i), key, "is in mismatchLabelKeys too"));
    }
    errors
}

/// When a pod is created its keys join the selector; each may stand there once, by whichever way. Kubernetes leaves the name
/// of the field out of the path.
fn selected_twice(path: &Path, keys: &[String], selector: &LabelSelector) -> Errors {
    let mut errors = Errors::new();
    let mut seen: BTreeSet<&str> = selector.match_labels.iter().flatten().map(|(key, _)| key.as_str()).collect();
    for expression in selector.match_expressions.iter().flatten() {
        if !seen.insert(&expression.key)
            && let Some(i) = keys.iter().rposition(|key| *key == expression.key)
        {
            errors.push(Error::invalid(&path.index(i), &expression.key, "is in the labelSelector too"));
        }
    }
    errors
}

pub fn validate_tolerations(path: &Path, tolerations: &[Toleration]) -> Errors {
    let mut errors = Errors::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        let at = path.index(i);
        let operator = at.child("operator");
        let key = text(&toleration.key);
        if !key.is_empty() {
            errors.extend(complaints(&at.child("key"), key, names::qualified_name(key)));
        } else if text(&toleration.operator) != "Exists" {
            errors.push(Error::invalid(&operator, text(&toleration.operator), "must be Exists without a key"));
        }
        let effect = text(&toleration.effect);
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            errors.push(Error::invalid(&at.child("effect"), effect, "must be NoExecute with tolerationSeconds"));
        }
        let value = text(&toleration.value);
        match text(&toleration.operator) {
            "" | "Equal" => errors.extend(complaints(&operator, value, names::label_value(value))),
            "Exists" if !value.is_empty() => {
                errors.push(Error::invalid(&operator, toleration, "takes no value"));
            }
            "Exists" => {}
            other => errors.push(Error::not_supported(&operator, other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.extend(supported_value(&at.child("effect"), effect, &effects));
        }
    }
    errors
}
