//! Whether a label selector, as objects carry it, selects a set of labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::world::Labels;

/// An empty selector selects everything, as the API defines it.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let listed = || value.is_some_and(|v| requirement.values.iter().flatten().any(|listed| listed == v));
            match requirement.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                // Validation lets no other through; what cannot be understood selects nothing.
                _ => false,
            }
        })
}

/// Whether the selector has no requirements.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty()) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether a plain map selects the labels; an empty one selects nothing, as Services and ReplicationControllers
/// have it.
pub fn map_selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
