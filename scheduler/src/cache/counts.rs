//! [`Counts`]: where the peers of rules are, and where the pods with rules are. Both are kept as pods come and go, so that
//! placing a pod with rules never looks at all pods: a group of peers is counted over all pods once, when the first
//! pod with a rule about it comes, and kept up to date from then on.

use std::sync::Arc;

use hashbrown::HashMap;

use super::NodeId;
use crate::peers::{Namespaces, Peers, Rule};
use crate::pod::Pod;

/// Amounts by node; zeros are left out.
pub type ByNode = HashMap<NodeId, i64>;

#[derive(Default)]
pub struct Counts {
    peers: HashMap<Arc<Peers>, Counted>,
    owners: HashMap<Rule, Owners>,
}

struct Counted {
    by_node: ByNode,
    /// Asked for since the last look.
    used: bool,
}

/// Where the pods are that have a rule.
#[derive(Default)]
pub struct Owners {
    /// Those to whom it is required anti-affinity.
    pub apart: ByNode,
    /// The sum of the weights that those give it who are attracted by it.
    pub attraction: ByNode,
}

impl Counts {
    /// How many of the peers are on which node. None where nobody has asked for them to be counted.
    pub fn peers(&self, peers: &Peers) -> Option<&ByNode> {
        self.peers.get(peers).map(|counted| &counted.by_node)
    }

    /// The rules of pods that are on nodes.
    pub fn owners(&self) -> impl Iterator<Item = (&Rule, &Owners)> {
        self.owners.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.owners.is_empty()
    }

    /// Counts the peers from now on.
    pub fn count<'a>(&mut self, peers: &Arc<Peers>, namespaces: &Namespaces, pods: impl Iterator<Item = (&'a Arc<Pod>, NodeId)>) {
        if let Some(counted) = self.peers.get_mut(peers) {
            counted.used = true;
            return;
        }
        let mut by_node = ByNode::new();
        for (_, node) in pods.filter(|(pod, _)| peers.contains(pod, namespaces)) {
            add(&mut by_node, node, 1);
        }
        self.peers.insert(peers.clone(), Counted { by_node, used: true });
    }

    /// A pod has come to a node (`sign` 1) or left it (-1). Returns whether the set of owned rules is another now.
    pub fn change(&mut self, pod: &Pod, node: NodeId, sign: i64, namespaces: &Namespaces) -> bool {
        for (peers, counted) in &mut self.peers {
            if peers.contains(pod, namespaces) {
                add(&mut counted.by_node, node, sign);
            }
        }
        let Some(rules) = &pod.shape.rules else { return false };
        let before = self.owners.len();
        for rule in &rules.apart {
            self.change_owners(rule, |owners| add(&mut owners.apart, node, sign));
        }
        for (rule, weight) in &rules.attraction {
            self.change_owners(rule, |owners| add(&mut owners.attraction, node, sign * weight));
        }
        before != self.owners.len()
    }

    fn change_owners(&mut self, rule: &Rule, change: impl FnOnce(&mut Owners)) {
        let owners = match self.owners.get_mut(rule) {
            Some(owners) => owners,
            None => self.owners.entry(rule.clone()).or_default(),
        };
        change(owners);
        if owners.apart.is_empty() && owners.attraction.is_empty() {
            self.owners.remove(rule);
        }
    }

    /// A namespace's labels have changed: what depends on them is counted anew when it is asked for.
    pub fn forget_selected_namespaces(&mut self) {
        self.peers.retain(|peers, _| !peers.selects_namespaces());
    }

    /// Drops counts that nobody has asked for since the last time.
    pub fn tidy(&mut self) {
        self.peers.retain(|_, counted| std::mem::replace(&mut counted.used, false));
    }
}

fn add(by_node: &mut ByNode, node: NodeId, amount: i64) {
    let sum = by_node.entry(node).or_default();
    *sum += amount;
    if *sum == 0 {
        by_node.remove(&node);
    }
}
