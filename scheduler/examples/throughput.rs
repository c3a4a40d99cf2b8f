//! How fast the scheduler decides: 5,000 pods on 1,000 nodes, from the API objects to confirmed bindings, without a
//! server. Run with `cargo run --release -p kybern-scheduler --example throughput`; arguments: pods, nodes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use scheduler::node::NodeInfo;
use scheduler::plugins::default_profile;
use scheduler::pod::Pods;
use scheduler::scheduler::{Decision, Event, Scheduler};
use serde_json::{Value, json};

const SLICE: usize = 128;

fn node(i: usize) -> NodeInfo {
    let node: Node = serde_json::from_value(json!({
        "metadata": {"labels": {"kubernetes.io/hostname": format!("node-{i}"), "topology.kubernetes.io/zone": format!("zone-{}", i % 3)}},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }))
    .unwrap();
    NodeInfo::of(&node)
}

fn pod(i: usize, more: &dyn Fn(usize) -> Value) -> Pod {
    let mut pod = json!({
        "metadata": {"namespace": "load", "name": format!("pod-{i}"), "uid": format!("00000000-0000-0000-0000-{i:012}"),
                     "labels": {"app": "load"}},
        "spec": {
            "containers": [{"name": "c", "image": "app:1", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
        },
    });
    for (section, fields) in more(i).as_object().unwrap() {
        for (field, value) in fields.as_object().unwrap() {
            pod[section][field] = value.clone();
        }
    }
    serde_json::from_value(pod).unwrap()
}

fn run(name: &str, pods: usize, nodes: usize, more: &dyn Fn(usize) -> Value) {
    let objects: Vec<Pod> = (0..pods).map(|i| pod(i, more)).collect();
    let mut scheduler = Scheduler::new("default-scheduler", default_profile(), Duration::from_secs(300), SmallRng::seed_from_u64(1));
    for i in 0..nodes {
        let event = Event::Node { name: format!("node-{i}").into(), new: Some(Arc::new(node(i))) };
        scheduler.apply(event, Instant::now());
    }
    let projection = Pods::default();
    let started = Instant::now();
    let (mut bound, mut unschedulable) = (0, 0);
    for slice in objects.chunks(SLICE) {
        for object in slice {
            let pod = Arc::new(projection.project(object));
            scheduler.apply(Event::Pod { key: pod.key.clone(), new: Some(pod) }, started);
        }
        for decision in scheduler.decide(SLICE, started) {
            let Decision::Bind { pod, node, .. } = decision else {
                unschedulable += 1;
                continue;
            };
            bound += 1;
            scheduler.bound(&pod, started);
            let confirmed = Arc::new(scheduler::pod::Pod { node: Some(node), ..Clone::clone(&*pod) });
            scheduler.apply(Event::Pod { key: pod.key.clone(), new: Some(confirmed) }, started);
        }
    }
    let took = started.elapsed();
    let each = took.as_secs_f64() * 1e6 / pods as f64;
    println!("{name:<32} {:>9.0} pods/s  {each:>8.1} us CPU a pod  ({bound} bound, {unschedulable} not)", pods as f64 / took.as_secs_f64());
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let (pods, nodes) = (arguments.next().unwrap_or(5000), arguments.next().unwrap_or(1000));
    println!("{pods} pods on {nodes} nodes");
    run("one shape", pods, nodes, &|_| json!({}));
    run(
        "twenty shapes in turns",
        pods,
        nodes,
        &|i| json!({"spec": {"nodeSelector": null, "priority": 0, "tolerations": [{"key": format!("k{}", i % 20), "operator": "Exists"}]}}),
    );
    run("each its own node (DaemonSet)", pods.min(nodes), nodes, &|i| {
        let field = json!({"key": "metadata.name", "operator": "In", "values": [format!("node-{i}")]});
        let terms = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}})
    });
    let group = |i: usize| json!({"matchLabels": {"group": format!("g{}", i % 100)}});
    run("kept apart, in 100 groups", pods.min(nodes), nodes, &|i| {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": group(i)});
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        json!({"metadata": {"labels": {"group": format!("g{}", i % 100)}}, "spec": {"affinity": affinity}})
    });
    run("spread over zones, in 100 groups", pods, nodes, &|i| {
        let constraint = json!({"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": group(i)});
        json!({"metadata": {"labels": {"group": format!("g{}", i % 100)}}, "spec": {"topologySpreadConstraints": [constraint]}})
    });
    run("fits nowhere", pods, nodes, &|_| json!({"spec": {"nodeSelector": {"none": "such"}}}));
}
