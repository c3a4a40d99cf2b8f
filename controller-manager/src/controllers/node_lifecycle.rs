//! Node lifecycle: a node that is silent for too long gets unknown conditions, and conditions show as taints.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Note, Plan, Write};
use crate::world::{Change, Kind, NodeRow, World};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that show as a taint while they are true.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
/// Conditions that only the node can know.
const OWN: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

pub struct NodeLifecycleController {
    pub grace_period: Duration,
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("node-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Lease, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        // Leases wake nobody: a node is looked at when its grace period would end.
        if let Change::Node(delta) = change {
            wake.key(&delta.newest().key);
            let ready = |node: Option<&std::sync::Arc<NodeRow>>| node.is_some_and(|node| node.is_ready());
            if ready(delta.before()) != ready(delta.after()) {
                // Whether any node is ready decides about the others.
                world.nodes.all().filter(|node| !node.is_ready()).for_each(|node| wake.key(&node.key));
            }
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(node) = world.nodes.get(key).filter(|node| !node.is_terminating()) else { return plan };
        let grace = i64::try_from(self.grace_period.as_secs()).unwrap_or(i64::MAX);
        let left = world.heartbeat(node.name()).map_or(0, |seen| seen.as_second().saturating_add(grace) - now.as_second());
        let unknown = node.condition("Ready").is_some_and(|c| &*c.status == "Unknown");
        if left > 0 {
            plan.look_again_in(left);
        } else if !unknown {
            declare_unknown(node, now, &mut plan);
        }
        if !node.is_ready() {
            mark_pods(world, node, now, &mut plan);
        }
        taint(world, node, now, &mut plan);
        plan
    }
}

fn declare_unknown(node: &NodeRow, now: Timestamp, plan: &mut Plan) {
    let conditions: Vec<Value> = OWN
        .iter()
        .filter(|name| node.condition(name).is_none_or(|c| &*c.status != "Unknown"))
        .map(|name| {
            let (reason, message) = match node.condition(name) {
                Some(_) => ("NodeStatusUnknown", "The kubelet no longer reports the node's status"),
                None => ("NodeStatusNeverUpdated", "The kubelet never reported the node's status"),
            };
            let heartbeat = node.condition(name).and_then(|c| c.heartbeat).or(node.created);
            json!({
                "type": name, "status": "Unknown", "reason": reason, "message": message,
                "lastTransitionTime": Time(now), "lastHeartbeatTime": heartbeat.map(Time),
            })
        })
        .collect();
    let note = Note::normal(node, "NodeNotReady", format!("Node {} status is now: NodeNotReady", node.name()));
    plan.write(Write::patch_status(node, json!({"conditions": conditions})).done(note));
}

/// Pods of a node that is not ready do not serve, whatever they said last.
fn mark_pods(world: &World, node: &NodeRow, now: Timestamp, plan: &mut Plan) {
    let gone_quiet = node.condition("Ready").is_some_and(|c| &*c.status == "Unknown");
    for pod in world.pods.on_node(node.name()).filter(|pod| gone_quiet && pod.is_ready() && !pod.phase.is_finished()) {
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(now)});
        let note = Note::warning(&**pod, "NodeNotReady", "Node is not ready");
        plan.write(Write::patch_status(&**pod, json!({"conditions": [condition]})).done(note));
    }
}

/// The taints that the node's conditions ask for, beside those that others gave it.
fn taint(world: &World, node: &NodeRow, now: Timestamp, plan: &mut Plan) {
    let ours = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => {
            [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str()) || PRESSURES.iter().any(|(_, key)| *key == taint.key)
        }
        "NoExecute" => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
        _ => false,
    };
    let wanted = wanted(world, node);
    let wants = |taint: &Taint| wanted.iter().any(|(key, effect)| *key == taint.key && *effect == taint.effect);
    let mut taints: Vec<Taint> = node.taints.iter().filter(|taint| !ours(taint) || wants(taint)).cloned().collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint { key: (*key).to_owned(), effect: (*effect).to_owned(), time_added: Some(Time(now)), ..Taint::default() });
        }
    }
    if taints[..] == node.taints[..] {
        return;
    }
    let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
    let patch = json!({"metadata": {"resourceVersion": node.version.to_string()}, "spec": {"taints": taints}});
    plan.write(Write::patch(node, patch));
}

fn wanted(world: &World, node: &NodeRow) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    let not_ready = node.condition("Ready").and_then(|ready| match &*ready.status {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    });
    if let Some(key) = not_ready {
        wanted.push((key, "NoSchedule"));
        // Where no node is ready the fault is more likely here than there: nothing is evicted then. What was begun
        // stays.
        let begun = node.taints.iter().any(|taint| taint.key == key && taint.effect == "NoExecute");
        if begun || world.nodes.all().any(|node| node.is_ready()) {
            wanted.push((key, "NoExecute"));
        }
    }
    for (condition, key) in PRESSURES {
        if node.condition(condition).is_some_and(|c| &*c.status == "True") {
            wanted.push((key, "NoSchedule"));
        }
    }
    if node.unschedulable {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::taint_eviction::TaintEvictionController;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    fn node(server: &mut Simulator, name: &str) {
        server.create(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"taints": [{"key": NOT_READY, "effect": "NoSchedule"}, {"key": "own", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": Time(server.now)}]},
        }));
    }

    fn pod(server: &mut Simulator, name: &str, tolerations: Value) {
        server.create(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": "silent", "tolerations": tolerations, "containers": [{"name": "c", "image": "i"}]},
        }));
    }

    fn keys(server: &Simulator, name: &str) -> Vec<String> {
        let taints = &server.get("nodes", "", name).unwrap()["spec"]["taints"];
        let text = |taint: &Value| format!("{}:{}", taint["key"].as_str().unwrap(), taint["effect"].as_str().unwrap());
        taints.as_array().into_iter().flatten().map(text).collect()
    }

    const CONTROLLER: NodeLifecycleController = NodeLifecycleController { grace_period: Duration::from_secs(40) };

    #[test]
    fn conditions_show_as_taints_beside_those_of_others() {
        let server = check(&Scenario {
            controllers: &[&CONTROLLER],
            phases: &[&|s| node(s, "one"), &|s| {
                s.change("nodes", "one", |node| {
                    node["spec"]["unschedulable"] = json!(true);
                    node["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "DiskPressure", "status": "True"}));
                });
            }],
            ..Scenario::default()
        });
        let mut keys = keys(&server, "one");
        keys.retain(|key| !key.starts_with(UNREACHABLE));
        assert_eq!(keys, ["own:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"]);
    }

    #[test]
    fn a_silent_node_loses_its_pods_when_their_patience_ends() {
        let beats = |s: &mut Simulator| {
            let now = json!(Time(s.now));
            s.change("nodes", "other", |node| node["status"]["conditions"][0]["lastHeartbeatTime"] = now);
        };
        let server = check(&Scenario {
            controllers: &[&CONTROLLER, &TaintEvictionController],
            phases: &[
                &|s| {
                    node(s, "silent");
                    s.pass(30);
                    node(s, "other");
                    pod(s, "meek", json!([]));
                    pod(s, "stout", json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}]));
                },
                &beats,
            ],
            ..Scenario::default()
        });
        assert!(keys(&server, "silent").contains(&format!("{UNREACHABLE}:NoSchedule")));
        assert!(server.get("pods", "default", "stout").is_some());
        assert!(server.get("pods", "default", "meek").is_none());
    }
}
