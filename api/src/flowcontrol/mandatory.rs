//! The schemas and levels that every cluster has and that cannot be otherwise: whoever must be served at all times, and
//! whoever nothing else is said of.

use std::sync::LazyLock;

use k8s_openapi::api::flowcontrol::v1::{FlowSchemaSpec, PriorityLevelConfigurationSpec};
use machinery::json::to_typed;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Name and spec of each such schema.
pub fn schemas() -> [(&'static str, Value); 2] {
    let rule = |groups: &[&str]| {
        let subjects: Vec<Value> = groups.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect();
        json!({
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    };
    let exempt = json!({
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [rule(&["system:masters"])],
    });
    let rest = json!({
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10_000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule(&["system:unauthenticated", "system:authenticated"])],
    });
    [("exempt", exempt), ("catch-all", rest)]
}

/// Name and spec of each such level.
pub fn levels() -> [(&'static str, Value); 2] {
    let rest = json!({
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    });
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    [("catch-all", rest), ("exempt", exempt)]
}

pub(super) fn schema(name: Option<&str>) -> Option<FlowSchemaSpec> {
    static ALL: LazyLock<Vec<(&str, FlowSchemaSpec)>> = LazyLock::new(|| read(schemas()));
    find(&ALL, name?)
}

pub(super) fn level(name: Option<&str>) -> Option<PriorityLevelConfigurationSpec> {
    static ALL: LazyLock<Vec<(&str, PriorityLevelConfigurationSpec)>> = LazyLock::new(|| read(levels()));
    find(&ALL, name?)
}

fn read<T: DeserializeOwned>(all: [(&'static str, Value); 2]) -> Vec<(&'static str, T)> {
    all.into_iter().filter_map(|(name, spec)| Some((name, to_typed(&spec).ok()?))).collect()
}

fn find<T: Clone>(all: &[(&str, T)], name: &str) -> Option<T> {
    all.iter().find(|(known, _)| *known == name).map(|(_, spec)| spec.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_can_be_read() {
        for name in ["exempt", "catch-all"] {
            assert!(schema(Some(name)).is_some() && level(Some(name)).is_some(), "{name}");
        }
        assert!(schema(None).is_none() && level(Some("system")).is_none());
    }
}
