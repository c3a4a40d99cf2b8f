//! `matchLabelKeys`: selectors that follow the pod's own labels. When a pod is created, each key is resolved
//! to the value that the pod has, and joins the selector.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

type Labels = BTreeMap<String, String>;

pub(super) fn resolve_label_keys(pod: &mut Pod) {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let Some(spec) = &mut pod.spec else { return };
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        if let Some(selector) = &mut constraint.label_selector {
            resolve(selector, constraint.match_label_keys.as_deref(), "In", &labels);
        }
    }
    let Some(affinity) = &mut spec.affinity else { return };
    if let Some(near) = &mut affinity.pod_affinity {
        let required = near.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
        let preferred = near.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        required.chain(preferred.map(|p| &mut p.pod_affinity_term)).for_each(|term| resolve_term(term, &labels));
    }
    if let Some(apart) = &mut affinity.pod_anti_affinity {
        let required = apart.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        required.chain(preferred.map(|p| &mut p.pod_affinity_term)).for_each(|term| resolve_term(term, &labels));
    }
}

fn resolve_term(term: &mut PodAffinityTerm, labels: &Labels) {
    if let Some(selector) = &mut term.label_selector {
        resolve(selector, term.match_label_keys.as_deref(), "In", labels);
        resolve(selector, term.mismatch_label_keys.as_deref(), "NotIn", labels);
    }
}

fn resolve(selector: &mut LabelSelector, keys: Option<&[String]>, operator: &str, labels: &Labels) {
    for key in keys.unwrap_or_default() {
        if let Some(value) = labels.get(key) {
            let requirement =
                LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values: Some(vec![value.clone()]) };
            selector.match_expressions.get_or_insert_default().push(requirement);
        }
    }
}
