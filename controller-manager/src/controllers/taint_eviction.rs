//! Taint eviction: deletes pods from nodes with a `NoExecute` taint that they do not tolerate, or no longer do.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::scheduling::taints;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Note, Plan, Write};
use crate::world::{Change, Kind, NodeRow, PodRow, World};

pub struct TaintEvictionController;

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("node-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Node(delta) => {
                let evicting =
                    |node: Option<&Arc<NodeRow>>| node.map(|node| evicting(node).cloned().collect::<Vec<_>>()).unwrap_or_default();
                if evicting(delta.before()) != evicting(delta.after()) {
                    world.pods.on_node(delta.newest().name()).for_each(|pod| wake.key(&pod.key));
                }
            }
            Change::Pod(delta) => {
                let Some(pod) = delta.after().filter(|pod| pod.is_active()) else { return };
                let moved = delta.before().is_none_or(|old| old.node != pod.node || old.tolerations != pod.tolerations);
                let node = pod.node.as_deref().and_then(|node| world.nodes.find("", node));
                if moved && node.is_some_and(|node| evicting(node).next().is_some()) {
                    wake.key(&pod.key);
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(pod) = world.pods.get(key).filter(|pod| pod.is_active()) else { return plan };
        let Some(node) = pod.node.as_deref().and_then(|node| world.nodes.find("", node)) else { return plan };
        match patience(world, node, pod, now) {
            None => {}
            Some(seconds) if seconds > 0 => plan.look_again_in(seconds),
            Some(_) => evict(pod, now, &mut plan),
        }
        plan
    }
}

fn evicting(node: &NodeRow) -> impl Iterator<Item = &Taint> {
    node.taints.iter().filter(|taint| taint.effect == "NoExecute")
}

/// How many seconds the pod may stay yet; None for as long as it likes.
fn patience(world: &World, node: &NodeRow, pod: &PodRow, now: Timestamp) -> Option<i64> {
    let mut deadlines: BTreeSet<i64> = BTreeSet::new();
    for taint in evicting(node) {
        let mut tolerations = pod.tolerations.iter().filter(|toleration| taints::tolerates(toleration, taint)).peekable();
        if tolerations.peek().is_none() {
            return Some(0);
        }
        let since = world.tainted_since(node.name(), taint).unwrap_or(now).as_second();
        // Of several tolerations for one taint the shortest holds.
        deadlines.extend(tolerations.filter_map(|t| t.toleration_seconds).min().map(|seconds| since + seconds));
    }
    deadlines.first().map(|deadline| deadline - now.as_second())
}

fn evict(pod: &Arc<PodRow>, now: Timestamp, plan: &mut Plan) {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "The node has a taint that the pod does not tolerate", "lastTransitionTime": Time(now),
    });
    let note = Note::normal(&**pod, "TaintManagerEviction", format!("Marking for deletion Pod {}", pod.key));
    if !pod.disrupted {
        plan.then(vec![Write::patch_status(&**pod, json!({"conditions": [condition]}))]);
    }
    plan.then(vec![Write::delete(&**pod).done(note)]);
}
