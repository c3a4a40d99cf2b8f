use api::scheduling::affinity;
use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Nodes, pod, pod_object};

fn requiring(terms: &Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
}

fn preferring(terms: &Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}})
}

#[test]
fn selectors_and_terms() {
    let nodes = Nodes::default()
        .with("a", json!({"labels": {"zone": "x", "gen": "3"}}))
        .with("b", json!({"labels": {"zone": "y"}}))
        .with("c", json!({"labels": {}}));
    let passing = |spec: Value| nodes.passing(&NodeAffinity, &pod("p", spec)).join(" ");
    assert_eq!(passing(json!({})), "a b c");
    assert_eq!(passing(json!({"nodeSelector": {"zone": "x"}})), "a");
    assert_eq!(passing(json!({"nodeSelector": {"zone": "nowhere"}})), "");
    let expression = |key: &str, operator: &str, values: &[&str]| {
        requiring(&json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
    };
    assert_eq!(passing(expression("zone", "NotIn", &["x"])), "b c");
    assert_eq!(passing(expression("gen", "Gt", &["2"])), "a");
    assert_eq!(passing(expression("none", "DoesNotExist", &[])), "a b c");
    let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b", "gone"]}]});
    assert_eq!(passing(requiring(&json!([by_name]))), "b");
    assert_eq!(passing(requiring(&json!([{}]))), "", "an empty term matches nothing");
    let reasons = nodes.reasons(&NodeAffinity, &pod("p", json!({"nodeSelector": {"zone": "x"}})));
    assert_eq!(reasons, ["node(s) didn't match Pod's node affinity/selector"]);
}

#[test]
fn heavier_preferences_win() {
    let nodes = Nodes::default().with("a", json!({"labels": {"zone": "x"}})).with("b", json!({"labels": {"zone": "y"}}));
    let zone = |weight: i32, zone: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}});
    let scores = |terms: Value| nodes.scores(&NodeAffinity, &pod("p", preferring(&terms)));
    assert_eq!(scores(json!([zone(10, "x"), zone(100, "y")])), [("a", 20), ("b", 200)]);
    assert_eq!(scores(json!([zone(10, "nowhere")])), [("a", 0), ("b", 0)]);
    assert!(nodes.scores(&NodeAffinity, &pod("p", json!({}))).is_empty());
}

fn a_requirement() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
    let values = prop::collection::vec(prop::sample::select(vec!["1", "2", "x", "y"]), 0..3);
    (prop::sample::select(vec!["k", "l", "m"]), operators, values)
        .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}))
}

fn a_term() -> impl Strategy<Value = Value> {
    let fields = (prop::sample::select(vec!["In", "NotIn"]), prop::sample::select(vec!["n0", "n1", "n9"]))
        .prop_map(|(operator, name)| json!({"key": "metadata.name", "operator": operator, "values": [name]}));
    (prop::collection::vec(a_requirement(), 0..3), prop::collection::vec(fields, 0..2))
        .prop_map(|(expressions, fields)| json!({"matchExpressions": expressions, "matchFields": fields}))
}

fn some_labels() -> impl Strategy<Value = Value> {
    let label = (prop::sample::select(vec!["k", "l"]), prop::sample::select(vec!["1", "2", "x"]));
    prop::collection::vec(label, 0..3).prop_map(|labels| labels.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect())
}

proptest! {
    /// The translation into symbols keeps to the rules that DaemonSets and kubelets go by.
    #[test]
    fn agrees_with_the_shared_rules(
        terms in prop::collection::vec(a_term(), 0..3),
        selector in some_labels(),
        labels in prop::collection::vec(some_labels(), 1..4),
    ) {
        let mut spec = requiring(&json!(terms));
        spec["nodeSelector"] = selector;
        let mut nodes = Nodes::default();
        for (i, labels) in labels.iter().enumerate() {
            nodes = nodes.with(&format!("n{i}"), json!({"labels": labels}));
        }
        let object: PodSpec = pod_object("p", spec.clone()).spec.unwrap();
        let passing = nodes.passing(&NodeAffinity, &pod("p", spec));
        for (i, labels) in labels.iter().enumerate() {
            let name = format!("n{i}");
            let labels: affinity::Labels = serde_json::from_value(labels.clone()).unwrap();
            prop_assert_eq!(affinity::matches_node(&object, &name, &labels), passing.contains(&&*name));
        }
    }
}
