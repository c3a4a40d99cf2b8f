//! Which nodes a pod wants by their labels: `nodeSelector`, required and preferred node affinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// A node's labels.
pub type Labels = BTreeMap<String, String>;

/// Whether a node satisfies the pod's `nodeSelector` and required node affinity.
pub fn matches_node(spec: &PodSpec, node: &str, labels: &Labels) -> bool {
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    selected
        && node_affinity(spec)
            .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
            .is_none_or(|required| matches_selector(required, node, labels))
}

/// The sum of the weights of the preferred terms that a node satisfies.
pub fn preference(spec: &PodSpec, node: &str, labels: &Labels) -> i64 {
    let preferred = node_affinity(spec).and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
    let satisfied = preferred.unwrap_or_default().iter().filter(|p| matches_term(&p.preference, node, labels));
    satisfied.map(|p| i64::from(p.weight)).sum()
}

fn node_affinity(spec: &PodSpec) -> Option<&NodeAffinity> {
    spec.affinity.as_ref()?.node_affinity.as_ref()
}

/// Whether any of the selector's terms matches.
pub fn matches_selector(selector: &NodeSelector, node: &str, labels: &Labels) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, node, labels))
}

fn is_empty(term: &NodeSelectorTerm) -> bool {
    term.match_expressions.as_ref().is_none_or(Vec::is_empty) && term.match_fields.as_ref().is_none_or(Vec::is_empty)
}

/// Whether all of the term's requirements hold; a term without any matches nothing.
pub fn matches_term(term: &NodeSelectorTerm, node: &str, labels: &Labels) -> bool {
    let by_label = |r: &NodeSelectorRequirement| holds(r, labels.get(&r.key).map(String::as_str));
    // The one field that nodes can be selected by is their name.
    let by_field = |r: &NodeSelectorRequirement| holds(r, (r.key == "metadata.name").then_some(node));
    !is_empty(term) && term.match_expressions.iter().flatten().all(by_label) && term.match_fields.iter().flatten().all(by_field)
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let among = || value.is_some_and(|value| values.iter().any(|v| v == value));
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(value, values).is_some_and(|(value, bound)| value > bound),
        "Lt" => compare(value, values).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn compare(value: Option<&str>, values: &[String]) -> Option<(i64, i64)> {
    let [bound] = values else { return None };
    Some((value?.parse().ok()?, bound.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requires(requirement: serde_json::Value) -> PodSpec {
        let terms = json!([{"matchExpressions": [requirement]}]);
        let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        serde_json::from_value(json!({"containers": [], "affinity": {"nodeAffinity": affinity}})).unwrap()
    }

    #[test]
    fn operators() {
        let labels: Labels = [("disk".to_owned(), "ssd".to_owned()), ("cores".to_owned(), "8".to_owned())].into();
        let table = [
            (json!({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}), true),
            (json!({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), false),
            (json!({"key": "none", "operator": "NotIn", "values": ["ssd"]}), true),
            (json!({"key": "disk", "operator": "Exists"}), true),
            (json!({"key": "disk", "operator": "DoesNotExist"}), false),
            (json!({"key": "cores", "operator": "Gt", "values": ["7"]}), true),
            (json!({"key": "cores", "operator": "Lt", "values": ["8"]}), false),
            (json!({"key": "disk", "operator": "Gt", "values": ["7"]}), false),
            (json!({"key": "disk", "operator": "Near"}), false),
        ];
        for (requirement, expected) in table {
            assert_eq!(matches_node(&requires(requirement.clone()), "n", &labels), expected, "{requirement}");
        }
    }

    #[test]
    fn names_selectors_and_empty_terms() {
        let labels = Labels::new();
        let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]});
        let term: NodeSelectorTerm = serde_json::from_value(by_name).unwrap();
        assert!(matches_term(&term, "n1", &labels) && !matches_term(&term, "n2", &labels));
        assert!(!matches_term(&NodeSelectorTerm::default(), "n1", &labels));
        let picky = json!({"containers": [], "nodeSelector": {"a": "b"}});
        assert!(!matches_node(&serde_json::from_value(picky).unwrap(), "n1", &labels));
    }
}
