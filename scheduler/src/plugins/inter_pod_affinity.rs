//! InterPodAffinity: keeps pods together with their peers, or apart from them, by topology domain; and prefers domains
//! where a pod's preferences, and those of the pods that are there already, are met.

use hashbrown::HashMap;

use super::domains::Domains;
use crate::cache::{Cluster, Node};
use crate::framework::{
    ClusterEvent, Filter, Help, MOST_SCORE, Plugin, PreFilter, PreFilterPlugin, PreScore, Range, Reach, Rejection, Score, Scoring,
};
use crate::peers::{Peers, Rule};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct InterPodAffinity;

impl Plugin for InterPodAffinity {
    const NAME: &'static str = "InterPodAffinity";
}

/// Where a pod may and may not go.
#[derive(Debug)]
pub struct Bounds {
    /// It must be where peers are, by each of these.
    together: Vec<Domains>,
    /// There are no peers anywhere and the pod is one itself: it may found the group, where it has a domain.
    founds: bool,
    /// It must not be where any of these count.
    apart: Vec<Domains>,
    /// Nor where pods are that must be apart from it.
    avoided: Vec<Domains>,
}

impl PreFilterPlugin for InterPodAffinity {
    type State = Bounds;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Bounds>, Rejection> {
        let mut bounds = Bounds { together: Vec::new(), founds: false, apart: Vec::new(), avoided: avoided(pod, cluster) };
        if let Some(rules) = &pod.shape.rules {
            if let Some((peers, topology_keys)) = &rules.together {
                bounds.together = topology_keys.iter().map(|key| domains(peers, key, cluster)).collect();
                let nowhere = bounds.together.iter().all(Domains::is_empty);
                bounds.founds = nowhere && peers.contains(pod, cluster.namespaces());
            }
            bounds.apart = rules.apart.iter().map(|rule| domains(&rule.peers, &rule.topology_key, cluster)).collect();
        }
        if bounds.together.is_empty() && bounds.apart.is_empty() && bounds.avoided.is_empty() {
            return Ok(PreFilter::Skip);
        }
        Ok(PreFilter::Check { state: bounds, reach: Reach::Cluster, only: None })
    }
}

/// How many peers there are in which domain.
fn domains(peers: &Peers, topology_key: &str, cluster: &Cluster) -> Domains {
    let mut domains = Domains::new(topology_key, cluster);
    if let Some(by_node) = cluster.peers(peers) {
        domains.add_all(by_node, 1, cluster);
    }
    domains
}

/// Where pods are that must be apart from this one.
fn avoided(pod: &Pod, cluster: &Cluster) -> Vec<Domains> {
    let mut by_key: HashMap<&str, Domains> = HashMap::new();
    for (rule, owners) in cluster.owned_rules() {
        if !owners.apart.is_empty() && rule.peers.contains(pod, cluster.namespaces()) {
            let domains = by_key.entry(&rule.topology_key).or_insert_with(|| Domains::new(&rule.topology_key, cluster));
            domains.add_all(&owners.apart, 1, cluster);
        }
    }
    by_key.into_values().collect()
}

impl Filter for InterPodAffinity {
    fn filter(&self, bounds: &Bounds, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        let joins = |domains: &Domains| if bounds.founds { domains.of(node).is_some() } else { domains.any(node) };
        if !bounds.together.iter().all(joins) {
            return Err(Rejection::fixed("node(s) didn't match pod affinity rules"));
        }
        if bounds.apart.iter().any(|domains| domains.any(node)) {
            return Err(Rejection::by_pods("node(s) didn't match pod anti-affinity rules"));
        }
        if bounds.avoided.iter().any(|domains| domains.any(node)) {
            return Err(Rejection::by_pods("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help {
        let namespaces = cluster.namespaces();
        let rules = pod.shape.rules.as_deref();
        let may = |may: bool| if may { Help::OtherNodes } else { Help::No };
        match event {
            ClusterEvent::PodPlaced { pod: other, .. } => {
                let together = rules.and_then(|rules| rules.together.as_ref());
                may(together.is_some_and(|(peers, _)| peers.contains(other, namespaces)))
            }
            ClusterEvent::PodLeft { pod: other, .. } => {
                let meets = |rule: &Rule, whom: &Pod| rule.peers.contains(whom, namespaces);
                let was_avoided = rules.is_some_and(|rules| rules.apart.iter().any(|rule| meets(rule, other)));
                let avoided = other.shape.rules.as_ref().is_some_and(|rules| rules.apart.iter().any(|rule| meets(rule, pod)));
                may(was_avoided || avoided)
            }
            ClusterEvent::NodeChanged { .. } | ClusterEvent::NodeGone | ClusterEvent::NamespaceChanged => Help::OtherNodes,
            ClusterEvent::VolumesChanged => Help::No,
        }
    }
}

impl PreScore for InterPodAffinity {
    /// What speaks for a domain, by topology key.
    type State = Vec<Domains>;

    fn pre_score(&self, pod: &Pod, cluster: &Cluster) -> Option<Scoring<Vec<Domains>>> {
        let mut by_key: HashMap<&str, Domains> = HashMap::new();
        let own = pod.shape.rules.as_deref();
        let preferred = own.map(|rules| &rules.attraction[..rules.preferences]).unwrap_or_default();
        let own = preferred.iter().filter_map(|(rule, weight)| Some((rule, cluster.peers(&rule.peers)?, *weight)));
        let others =
            cluster.owned_rules().filter(|(rule, owners)| !owners.attraction.is_empty() && rule.peers.contains(pod, cluster.namespaces()));
        for (rule, by_node, weight) in own.chain(others.map(|(rule, owners)| (rule, &owners.attraction, 1))) {
            let domains = by_key.entry(&rule.topology_key).or_insert_with(|| Domains::new(&rule.topology_key, cluster));
            domains.add_all(by_node, weight, cluster);
        }
        let state: Vec<Domains> = by_key.into_values().collect();
        (!state.is_empty()).then_some(Scoring { state, reach: Reach::Cluster })
    }
}

impl Score for InterPodAffinity {
    const WEIGHT: i64 = 2;
    const NORMALIZES: bool = true;

    fn score(&self, state: &Vec<Domains>, _: &Pod, node: Node<'_>) -> i64 {
        state.iter().filter_map(|domains| domains.of(node).map(|domain| domains.sum(domain))).sum()
    }

    fn normalize(&self, raw: i64, range: Range) -> i64 {
        let width = range.most - range.least;
        if width == 0 { 0 } else { MOST_SCORE * (raw - range.least) / width }
    }
}

#[cfg(test)]
mod tests;
