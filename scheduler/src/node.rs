//! [`NodeInfo`]: what the scheduler keeps of a Node object. Heartbeats and conditions are not among it, so that most
//! of a node's updates change nothing here.

use api::scheduling::Resources;
use k8s_openapi::api::core::v1::{Node, Taint};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInfo {
    pub allocatable: Resources,
    pub taints: Vec<Taint>,
    /// In order of keys.
    pub labels: Vec<(String, String)>,
    pub unschedulable: bool,
}

impl NodeInfo {
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let taints = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
        Self {
            allocatable: Resources::allocatable(node),
            taints: taints.into_iter().map(|taint| Taint { time_added: None, ..taint }).collect(),
            labels: node.metadata.labels.clone().unwrap_or_default().into_iter().collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
        }
    }
}
