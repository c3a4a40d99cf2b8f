//! Whether a node takes a pod that was bound to it. The scheduler has looked at the same things, but pods can be
//! bound without it, and two schedulers can bind at once.

use std::collections::HashMap;

use api::scheduling::affinity::matches_node;
use api::scheduling::ports::HostPort;
use api::scheduling::resources::Resources;
use api::scheduling::taints::first_untolerated;
use k8s_openapi::api::core::v1::Taint;

use crate::pod::{OWN_TAINTS, Pod, Uid};

/// What admission needs to know of a node object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    pub labels: std::collections::BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    pub pod_cidr: Option<String>,
    /// Whether the object still says what the kubelet reported.
    pub as_reported: bool,
}

/// A pod that is not taken. Its phase becomes Failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: String,
    pub message: String,
}

/// What the pods that a node has taken hold of it.
#[derive(Debug, Default)]
pub struct Taken {
    held: Resources,
    ports: Vec<(Uid, HostPort)>,
    pods: HashMap<Uid, Resources>,
}

impl Taken {
    /// Takes the pod, or says why not.
    ///
    /// # Errors
    /// The first reason.
    pub fn admit(&mut self, name: &str, node: &NodeFacts, pod: &Pod) -> Result<(), Rejection> {
        if self.pods.contains_key(&pod.uid) {
            return Ok(());
        }
        self.check(name, node, pod)?;
        self.take(pod);
        Ok(())
    }

    /// Takes the pod, which was admitted before this process began.
    pub fn take(&mut self, pod: &Pod) {
        if self.pods.insert(pod.uid.clone(), pod.requests.clone()).is_none() {
            self.held.add(&pod.requests);
            self.ports.extend(pod.host_ports.iter().map(|port| (pod.uid.clone(), port.clone())));
        }
    }

    /// Gives back what an ended pod held.
    pub fn release(&mut self, uid: &Uid) {
        if let Some(requests) = self.pods.remove(uid) {
            self.held.subtract(&requests);
            self.ports.retain(|(holder, _)| holder != uid);
        }
    }

    fn check(&self, name: &str, node: &NodeFacts, pod: &Pod) -> Result<(), Rejection> {
        let mut free = node.allocatable.clone();
        free.subtract(&self.held);
        if let Some(resource) = pod.requests.insufficient(&free).first() {
            let message = format!(
                "the node has too little {resource}: {} asked for, {} of {} in use",
                pod.requests.amount(resource),
                self.held.amount(resource),
                node.allocatable.amount(resource)
            );
            return Err(Rejection { reason: format!("OutOf{resource}"), message });
        }
        if pod.placement.as_ref().is_some_and(|spec| !matches_node(spec, name, &node.labels)) {
            return Err(Rejection {
                reason: "NodeAffinity".into(),
                message: "the node does not match the pod's node selector or affinity".into(),
            });
        }
        if let Some(port) = pod.host_ports.iter().find(|port| self.ports.iter().any(|(_, held)| held.conflicts(port))) {
            let message = format!("host port {} ({}) is in use by another pod of the node", port.port, port.protocol);
            return Err(Rejection { reason: "NodePorts".into(), message });
        }
        let taints: Vec<Taint> = node.taints.iter().filter(|taint| !OWN_TAINTS.contains(&&*taint.key)).cloned().collect();
        if let Some(taint) = first_untolerated(&taints, &pod.tolerations, &["NoExecute"]) {
            let message = format!("the pod does not tolerate the node's taint {}", taint.key);
            return Err(Rejection { reason: "TaintToleration".into(), message });
        }
        Ok(())
    }
}
