//! [`Nominations`]: pods for which room is being made, and where.

use std::sync::Arc;

use hashbrown::HashMap;
use machinery::NamespacedName;

use crate::pod::Pod;

#[derive(Default)]
pub struct Nominations {
    nodes: HashMap<NamespacedName, Arc<str>>,
    pods: HashMap<Arc<str>, Vec<Arc<Pod>>>,
}

impl Nominations {
    pub fn set(&mut self, pod: &Arc<Pod>, node: &Arc<str>) {
        self.remove(&pod.key);
        self.nodes.insert(pod.key.clone(), node.clone());
        self.pods.entry(node.clone()).or_default().push(pod.clone());
    }

    pub fn remove(&mut self, key: &NamespacedName) -> Option<Arc<str>> {
        let node = self.nodes.remove(key)?;
        if let Some(pods) = self.pods.get_mut(&node) {
            pods.retain(|pod| pod.key != *key);
            if pods.is_empty() {
                self.pods.remove(&node);
            }
        }
        Some(node)
    }

    pub fn node_of(&self, key: &NamespacedName) -> Option<&Arc<str>> {
        self.nodes.get(key)
    }

    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }
}
