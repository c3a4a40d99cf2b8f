//! What the unit tests share: pods and nodes from a line of JSON, and clusters of them to try plugins on.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1;
use machinery::NamespacedName;
use serde_json::{Value, json};

use crate::cache::{Cluster, Node};
use crate::framework::{Filter, PreFilter, Range, Score, UNRATED};
use crate::node::NodeInfo;
use crate::pod::{Pod, Pods};

/// A pod object in the namespace `shop`; `spec` needs no containers.
pub fn pod_object(name: &str, mut spec: Value) -> v1::Pod {
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c"}]);
    }
    let labels = spec.as_object_mut().and_then(|spec| spec.remove("labels"));
    let metadata = json!({"namespace": "shop", "name": name, "uid": format!("uid-of-{name}"), "labels": labels});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

/// The same as the scheduler sees it. `labels` of the spec become the pod's.
pub fn pod(name: &str, spec: Value) -> Arc<Pod> {
    static PODS: OnceLock<Pods> = OnceLock::new();
    Arc::new(PODS.get_or_init(Pods::default).project(&pod_object(name, spec)))
}

/// A pod whose one container requests this.
pub fn asking(name: &str, requests: Value) -> Arc<Pod> {
    pod(name, json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
}

/// The same pod, bound.
pub fn bound(pod: &Pod, node: &str) -> Arc<Pod> {
    Arc::new(Pod { node: Some(node.into()), ..pod.clone() })
}

/// A node of `labels`, `taints`, `unschedulable` and `allocatable` (if that is not given, ample).
pub fn node(spec: &Value) -> NodeInfo {
    let allocatable = match &spec["allocatable"] {
        Value::Null => json!({"cpu": "8", "memory": "16Gi", "pods": "110"}),
        given => given.clone(),
    };
    let object: v1::Node = serde_json::from_value(json!({
        "metadata": {"labels": spec["labels"]},
        "spec": {"taints": spec["taints"], "unschedulable": spec["unschedulable"]},
        "status": {"allocatable": allocatable},
    }))
    .unwrap();
    NodeInfo::of(&object)
}

/// A cluster to try plugins on. Answers are sorted by node.
#[derive(Default)]
pub struct Nodes(pub Cluster);

impl Nodes {
    pub fn with(mut self, name: &str, spec: Value) -> Self {
        self.0.set_node(&name.into(), &node(&spec));
        self
    }

    pub fn running(mut self, node: &str, pod: &Pod) -> Self {
        self.0.set_pod(&bound(pod, node));
        self
    }

    pub fn without(mut self, pod: &str) -> Self {
        self.0.remove_pod(&NamespacedName::new("shop", pod));
        self
    }

    fn sorted(&self) -> Vec<Node<'_>> {
        let mut nodes: Vec<_> = self.0.iter().collect();
        nodes.sort_by_key(|node| node.name().clone());
        nodes
    }

    /// The nodes that pass.
    pub fn passing(&self, plugin: &impl Filter, pod: &Pod) -> Vec<&str> {
        let passes = |node: &Node<'_>| match plugin.pre_filter(pod, &self.0) {
            Ok(PreFilter::Skip) => true,
            Ok(PreFilter::Check { state, only, .. }) => {
                let passes = plugin.filter(&state, pod, *node).is_ok();
                assert!(only.is_none_or(|only| only.contains(&node.id())) || !passes, "a node that cannot pass passes");
                passes
            }
            Err(_) => false,
        };
        self.sorted().into_iter().filter(passes).map(|node| &**node.name()).collect()
    }

    /// The reasons of those that do not, each once.
    pub fn reasons(&self, plugin: &impl Filter, pod: &Pod) -> Vec<String> {
        let state = match plugin.pre_filter(pod, &self.0) {
            Ok(PreFilter::Skip) => return Vec::new(),
            Ok(PreFilter::Check { state, .. }) => state,
            Err(rejection) => return vec![rejection.reason.to_string()],
        };
        let rejections = self.0.iter().filter_map(|node| plugin.filter(&state, pod, node).err());
        let reasons = rejections.flat_map(|rejection| rejection.reasons().map(ToString::to_string).collect::<Vec<_>>());
        reasons.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Weighted scores; none where the plugin does not score the pod.
    pub fn scores(&self, plugin: &impl Score, pod: &Pod) -> Vec<(&str, i64)> {
        fn weight<P: Score>(_: &P) -> i64 {
            P::WEIGHT
        }
        let Some(scoring) = plugin.pre_score(pod, &self.0) else { return Vec::new() };
        let nodes = self.sorted();
        let raw: Vec<i64> = nodes.iter().map(|node| plugin.score(&scoring.state, pod, *node)).collect();
        let rated = || raw.iter().copied().filter(|raw| *raw != UNRATED);
        let range = Range { least: rated().min().unwrap(), most: rated().max().unwrap() };
        let weighted = raw.iter().map(|raw| if *raw == UNRATED { 0 } else { plugin.normalize(*raw, range) * weight(plugin) });
        nodes.iter().map(|node| &**node.name()).zip(weighted).collect()
    }
}
