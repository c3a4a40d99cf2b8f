use serde_json::{Value, json};

use super::*;
use crate::fixture::{Nodes, pod};

fn zones() -> Nodes {
    Nodes::default()
        .with("x1", json!({"labels": {"zone": "x", "disk": "ssd"}}))
        .with("x2", json!({"labels": {"zone": "x", "disk": "ssd"}}))
        .with("y", json!({"labels": {"zone": "y", "disk": "ssd"}}))
        .with("z", json!({"labels": {"zone": "z"}, "taints": [{"key": "k", "effect": "NoSchedule"}]}))
        .with("nowhere", json!({}))
}

fn spread(when: &str, more: Value) -> Value {
    let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"app": "t"}}});
    for (field, value) in more.as_object().unwrap() {
        constraint[field] = value.clone();
    }
    json!({"labels": {"app": "t"}, "topologySpreadConstraints": [constraint]})
}

fn required(more: Value) -> Value {
    spread("DoNotSchedule", more)
}

fn passing(mut nodes: Nodes, spec: Value) -> String {
    let pod = pod("p", spec);
    nodes.0.announce(&pod);
    nodes.passing(&PodTopologySpread, &pod).join(" ")
}

fn peer(name: &str) -> std::sync::Arc<Pod> {
    pod(name, json!({"labels": {"app": "t"}}))
}

#[test]
fn no_domain_runs_ahead() {
    assert_eq!(passing(zones(), required(json!({}))), "x1 x2 y z");
    assert_eq!(passing(zones().running("x1", &peer("a")), required(json!({}))), "y z");
    assert_eq!(passing(zones().running("x1", &peer("a")), required(json!({"maxSkew": 2}))), "x1 x2 y z");
    let full = zones().running("x1", &peer("a")).running("y", &peer("b")).running("z", &peer("c"));
    assert_eq!(passing(full, required(json!({}))), "x1 x2 y z");
}

#[test]
fn only_nodes_that_the_pod_might_go_to_count() {
    let with_selector = |more: Value| {
        let mut spec = required(more);
        spec["nodeSelector"] = json!({"disk": "ssd"});
        spec
    };
    let there = || zones().running("x1", &peer("a")).running("y", &peer("b"));
    // Zone z is out, so that x and y are even.
    assert_eq!(passing(there(), with_selector(json!({}))), "x1 x2 y z");
    assert_eq!(passing(there(), with_selector(json!({"nodeAffinityPolicy": "Ignore"}))), "z");
    assert_eq!(passing(there(), required(json!({"nodeTaintsPolicy": "Honor"}))), "x1 x2 y z");
}

#[test]
fn domains_that_are_missing_are_empty() {
    let full = || zones().running("x1", &peer("a")).running("y", &peer("b")).running("z", &peer("c"));
    assert_eq!(passing(full(), required(json!({"minDomains": 4}))), "");
    assert_eq!(passing(full(), required(json!({"minDomains": 3}))), "x1 x2 y z");
}

#[test]
fn pods_that_are_going_do_not_count() {
    let going = Pod { deleting: true, ..Pod::clone(&peer("a")) };
    assert_eq!(passing(zones().running("x1", &going), required(json!({}))), "x1 x2 y z");
}

#[test]
fn reasons_tell_missing_labels_apart() {
    let p = pod("p", required(json!({})));
    let mut nodes = zones().running("x1", &peer("a"));
    nodes.0.announce(&p);
    assert_eq!(
        nodes.reasons(&PodTopologySpread, &p),
        [
            "node(s) didn't match pod topology spread constraints",
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ]
    );
}

#[test]
fn emptier_domains_are_preferred() {
    let p = pod("p", spread("ScheduleAnyway", json!({})));
    let mut nodes = zones().running("x1", &peer("a")).running("x2", &peer("b")).running("y", &peer("c"));
    nodes.0.announce(&p);
    let scores = nodes.scores(&PodTopologySpread, &p);
    assert_eq!(scores, [("nowhere", 0), ("x1", 0), ("x2", 0), ("y", 100), ("z", 200)]);
    assert!(nodes.scores(&PodTopologySpread, &peer("q")).is_empty());
}
