use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use super::*;
use crate::budget::Budget;
use crate::diagnosis::Diagnosis;
use crate::fixture::{Nodes, pod};
use crate::plugins::default_profile;

fn asking(name: &str, cpu: &str, priority: i32, more: Value) -> Arc<Pod> {
    let mut spec = json!({"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    pod(name, spec)
}

fn nodes(names: &[&str]) -> Nodes {
    let spec = json!({"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "10"}});
    names.iter().fold(Nodes::default(), |nodes, name| nodes.with(name, spec.clone()))
}

/// `victims on node`, or why not.
fn outcome(nodes: &mut Nodes, pod: &Pod) -> String {
    let profile = default_profile();
    let prepared = profile.prepare_filters(pod, &nodes.0).ok().unwrap();
    let diagnosis = Diagnosis::of_nodes(pod, &prepared, &nodes.0);
    let (cursor, count) = (nodes.0.cursor(), nodes.0.pods());
    let outcome = profile.post_filter_for(pod, &mut nodes.0, &diagnosis.nodes).unwrap();
    assert_eq!((nodes.0.cursor(), nodes.0.pods()), (cursor, count), "trials are taken back");
    match outcome {
        Outcome::Hopeless(why) => why,
        Outcome::Nominate { node, victims } => {
            let victims: Vec<_> = victims.iter().map(|victim| &*victim.key.name).collect();
            format!("{} on {}", victims.join(" "), nodes.0.node(node).unwrap().name())
        }
    }
}

fn plain(name: &str, cpu: &str, priority: i32) -> Arc<Pod> {
    asking(name, cpu, priority, json!({}))
}

#[test]
fn the_least_important_pods_that_suffice_go() {
    let mut nodes = nodes(&["a"]).running("a", &plain("low", "1", 10)).running("a", &plain("high", "1", 1000));
    assert_eq!(outcome(&mut nodes, &plain("vip", "1", 2000)), "low on a");
    assert_eq!(outcome(&mut nodes, &plain("vip", "2", 2000)), "high low on a");
    let unhelpful = "0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    assert_eq!(outcome(&mut nodes, &plain("equal", "1", 10)), unhelpful);
    assert_eq!(outcome(&mut nodes, &plain("huge", "3", 2000)), "0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
}

#[test]
fn the_node_whose_victims_matter_least_is_taken() {
    let mut nodes = nodes(&["a", "b", "c"])
        .running("a", &plain("a1", "2", 20))
        .running("b", &plain("b1", "1", 10))
        .running("b", &plain("b2", "1", 10))
        .running("c", &plain("c1", "2", 10));
    assert_eq!(outcome(&mut nodes, &plain("vip", "2", 100)), "c1 on c");
}

#[test]
fn those_that_will_not_take_from_others_wait() {
    let mut nodes = nodes(&["a"]).running("a", &plain("low", "2", 10));
    let meek = asking("meek", "1", 100, json!({"preemptionPolicy": "Never"}));
    assert_eq!(outcome(&mut nodes, &meek), "not eligible due to preemptionPolicy=Never.");
}

#[test]
fn a_pod_for_which_room_is_being_made_waits_for_it() {
    let going = Pod { deleting: true, ..Pod::clone(&plain("low", "2", 10)) };
    let mut nodes = nodes(&["a"]).running("a", &going);
    let vip = plain("vip", "1", 100);
    nodes.0.nominate(&vip, &"a".into());
    assert_eq!(outcome(&mut nodes, &vip), "not eligible due to a terminating pod on the nominated node.");
}

#[test]
fn budgets_are_kept_where_that_is_possible() {
    let protected = |name: &str| asking(name, "2", 10, json!({"labels": {"app": "db"}}));
    let mut nodes = nodes(&["a", "b"]).running("a", &protected("db")).running("b", &plain("other", "2", 20));
    let budget: PodDisruptionBudget = serde_json::from_value(json!({
        "spec": {"selector": {"matchLabels": {"app": "db"}}}, "status": {"disruptionsAllowed": 0},
    }))
    .unwrap();
    assert_eq!(outcome(&mut nodes, &plain("vip", "1", 100)), "db on a");
    nodes.0.set_budget(&NamespacedName::new("shop", "db"), Some(Budget::of(&budget)));
    assert_eq!(outcome(&mut nodes, &plain("vip", "1", 100)), "other on b");
}

#[test]
fn room_that_is_made_for_another_is_not_free() {
    let mut nodes = nodes(&["a"]);
    let vip = plain("vip", "2", 100);
    nodes.0.nominate(&vip, &"a".into());
    let a = nodes.0.by_name("a").unwrap().id();
    let profile = default_profile();
    assert!(!profile.fits_beside_nominated(&plain("p", "1", 50), a, &mut nodes.0));
    assert!(profile.fits_beside_nominated(&plain("p", "1", 200), a, &mut nodes.0));
    assert!(profile.fits_beside_nominated(&vip, a, &mut nodes.0));
}
