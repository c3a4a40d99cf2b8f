//! Pod garbage collection: pods of nodes that are gone, pods that were deleted before they got a node, and the oldest
//! of too many finished pods.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{BURST, Guard, Plan, Write, resource_of};
use crate::world::{Change, Delta, Kind, PodRow, World};

/// How long a node may be away before its pods are given up, in seconds: it may only be registering anew.
const QUARANTINE: i64 = 40;
/// How long a pod without a node may be going before it is removed, in seconds: whoever deletes it does so himself, a
/// moment after it is seen marked.
const GOING: i64 = 20;

pub struct PodGarbageCollector {
    /// How many finished pods may stay; 0 for any number.
    pub threshold: usize,
}

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("pod-garbage-collector")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::Node]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Node(Delta::Removed(node)) => world.pods.on_node(node.name()).for_each(|pod| wake.key(&pod.key)),
            Change::Pod(delta) => {
                let Some(pod) = delta.after() else { return };
                let before = delta.before();
                if before.is_none_or(|old| old.node != pod.node || old.deleted != pod.deleted) && is_lost(world, pod) {
                    wake.key(&pod.key);
                }
                let finished = pod.phase.is_finished() && before.is_none_or(|old| !old.phase.is_finished());
                if finished && self.threshold > 0 && world.pods.len() > self.threshold {
                    wake.key(&Key::cluster(""));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if key.name.is_empty() {
            self.thin_out(world, &mut plan);
            return plan;
        }
        let Some(pod) = world.pods.get(key).filter(|pod| is_lost(world, pod)) else { return plan };
        let Some(node) = pod.node.as_deref() else {
            match pod.deleted.map_or(0, |since| since.as_second() + GOING - now.as_second()) {
                left @ 1.. => plan.look_again_in(left),
                _ => plan.write(Write::delete(&**pod).at_once()),
            }
            return plan;
        };
        let since = world.node_gone_since(node).max(pod.created).unwrap_or(now);
        let left = since.as_second() + QUARANTINE - now.as_second();
        if left > 0 {
            plan.look_again_in(left);
        } else {
            give_up(pod, node, now, &mut plan);
        }
        plan
    }
}

/// Whether nobody is there to end the pod.
fn is_lost(world: &World, pod: &PodRow) -> bool {
    match pod.node.as_deref() {
        Some(node) => world.nodes.find("", node).is_none(),
        None => pod.is_terminating() && pod.finalizers.is_empty(),
    }
}

fn give_up(pod: &Arc<PodRow>, node: &str, now: Timestamp, plan: &mut Plan) {
    let missing = || Guard::Missing(resource_of::<Node>(), Key::cluster(node));
    if !pod.phase.is_finished() {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "The pod's node is gone", "lastTransitionTime": Time(now),
        });
        let status = json!({"phase": "Failed", "conditions": [condition]});
        plan.then(vec![Write::patch_status(&**pod, status).guarded(missing())]);
    }
    plan.then(vec![Write::delete(&**pod).at_once().guarded(missing())]);
}

impl PodGarbageCollector {
    fn thin_out(&self, world: &World, plan: &mut Plan) {
        let mut finished: Vec<_> = world.pods.all().filter(|pod| pod.phase.is_finished() && !pod.is_terminating()).collect();
        let excess = finished.len().saturating_sub(self.threshold).min(BURST);
        finished.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        finished.into_iter().take(excess).for_each(|pod| plan.write(Write::delete(&**pod).at_once()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::laws::{Scenario, check};

    fn pod(name: &str, phase: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": "node", "containers": [{"name": "c", "image": "i"}]}, "status": {"phase": phase},
        })
    }

    #[test]
    fn pods_go_with_their_node() {
        let server = check(&Scenario {
            controllers: &[&PodGarbageCollector { threshold: 0 }],
            phases: &[
                &|s| {
                    s.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}));
                    s.create(pod("one", "Running"));
                },
                &|s| s.delete("nodes", "node"),
            ],
            ..Scenario::default()
        });
        assert_eq!(server.all("pods").count(), 0);
    }

    #[test]
    fn the_oldest_of_too_many_finished_pods_go() {
        let server = check(&Scenario {
            controllers: &[&PodGarbageCollector { threshold: 2 }],
            phases: &[&|s| {
                s.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}));
                for name in ["a", "b", "c"] {
                    s.create(pod(name, "Succeeded"));
                    s.pass(1);
                }
            }],
            ..Scenario::default()
        });
        let names: Vec<_> = server.all("pods").map(|pod| pod["metadata"]["name"].clone()).collect();
        assert_eq!(names, [json!("b"), json!("c")]);
    }
}
