//! PodTopologySpread: keeps the numbers of a pod's peers in topology domains close to each other.

use super::domains::Domains;
use super::node_affinity::Required;
use crate::cache::{Cluster, Node};
use crate::framework::{
    ClusterEvent, Filter, Help, MOST_SCORE, Plugin, PreFilter, PreFilterPlugin, PreScore, Range, Reach, Rejection, Score, Scoring, UNRATED,
};
use crate::peers::Spread;
use crate::pod::Pod;
use api::scheduling::first_untolerated;

/// In which raw scores are counted, so that weights between whole numbers tell.
const FRACTIONS: f64 = 1000.0;

#[derive(Clone, Copy, Debug)]
pub struct PodTopologySpread;

impl Plugin for PodTopologySpread {
    const NAME: &'static str = "PodTopologySpread";
}

/// A constraint, and how many peers there are in which domain.
#[derive(Debug)]
pub struct Constraint {
    domains: Domains,
    max_skew: i64,
    /// The number that others are compared with.
    least: i64,
    /// 1 where the pod is its own peer.
    itself: i64,
}

fn constraints(pod: &Pod, required: bool) -> Vec<&Spread> {
    let spread = pod.shape.rules.as_ref().map(|rules| &*rules.spread).unwrap_or_default();
    spread.iter().filter(|spread| spread.required == required).collect()
}

/// Counts peers by domain, over the nodes that have the labels of all constraints and that the pod might go to.
fn count(pod: &Pod, spreads: &[&Spread], cluster: &Cluster) -> Vec<Domains> {
    let required = Required::of(pod, cluster);
    let mut counted: Vec<Domains> = spreads.iter().map(|spread| Domains::new(&spread.rule.topology_key, cluster)).collect();
    let peers: Vec<_> = spreads.iter().map(|spread| cluster.peers(&spread.rule.peers)).collect();
    let tolerable: Vec<bool> = cluster
        .taint_sets()
        .map(|taints| first_untolerated(taints, &pod.shape.tolerations, &["NoSchedule", "NoExecute"]).is_none())
        .collect();
    for node in cluster.iter() {
        if !counted.iter().all(|domains| domains.of(node).is_some()) {
            continue;
        }
        let wanted = required.as_ref().is_none_or(|required| required.matches(node));
        let tolerated = tolerable[node.taint_set().index()];
        for ((spread, domains), peers) in spreads.iter().zip(&mut counted).zip(&peers) {
            if spread.honors_affinity && !wanted || spread.honors_taints && !tolerated {
                continue;
            }
            let here = peers.and_then(|peers| peers.get(&node.id())).copied().unwrap_or_default();
            if let Some(domain) = domains.of(node) {
                domains.add(domain, here);
            }
        }
    }
    counted
}

impl PreFilterPlugin for PodTopologySpread {
    type State = Vec<Constraint>;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Vec<Constraint>>, Rejection> {
        let spreads = constraints(pod, true);
        if spreads.is_empty() {
            return Ok(PreFilter::Skip);
        }
        let constraint = |(spread, domains): (&&Spread, Domains)| Constraint {
            max_skew: spread.max_skew,
            // Domains that are still missing count as empty ones.
            least: if domains.len() < spread.min_domains { 0 } else { domains.least() },
            itself: i64::from(spread.rule.peers.contains(pod, cluster.namespaces())),
            domains,
        };
        let state = spreads.iter().zip(count(pod, &spreads, cluster)).map(constraint).collect();
        Ok(PreFilter::Check { state, reach: Reach::Cluster, only: None })
    }
}

impl Filter for PodTopologySpread {
    fn filter(&self, state: &Vec<Constraint>, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        for constraint in state {
            let Some(domain) = constraint.domains.of(node) else {
                return Err(Rejection::fixed("node(s) didn't match pod topology spread constraints (missing required label)"));
            };
            let skew = constraint.domains.sum(domain) + constraint.itself - constraint.least;
            if skew > constraint.max_skew {
                return Err(Rejection::by_pods("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help {
        match event {
            ClusterEvent::PodPlaced { pod: other, .. } | ClusterEvent::PodLeft { pod: other, .. } => {
                // A pod that is on its way out was no peer any more, but has been one.
                let other = Pod { deleting: false, ..other.clone() };
                let concerns = |spread: &&Spread| spread.rule.peers.contains(&other, cluster.namespaces());
                if constraints(pod, true).iter().any(concerns) { Help::OtherNodes } else { Help::No }
            }
            ClusterEvent::NodeChanged { .. } | ClusterEvent::NodeGone => Help::OtherNodes,
            ClusterEvent::NamespaceChanged | ClusterEvent::VolumesChanged => Help::No,
        }
    }
}

/// A constraint that is only preferred, with what a peer more in a domain costs.
#[derive(Debug)]
pub struct Preferred {
    domains: Domains,
    max_skew: i64,
    weight: f64,
}

impl PreScore for PodTopologySpread {
    type State = Vec<Preferred>;

    fn pre_score(&self, pod: &Pod, cluster: &Cluster) -> Option<Scoring<Vec<Preferred>>> {
        let spreads = constraints(pod, false);
        if spreads.is_empty() {
            return None;
        }
        let preferred = |(spread, domains): (&&Spread, Domains)| Preferred {
            max_skew: spread.max_skew,
            // The more domains there are, the fewer peers are in each, and the more one of them matters.
            weight: (domains.len() as f64 + 2.0).ln(),
            domains,
        };
        let state = spreads.iter().zip(count(pod, &spreads, cluster)).map(preferred).collect();
        Some(Scoring { state, reach: Reach::Cluster })
    }
}

impl Score for PodTopologySpread {
    const WEIGHT: i64 = 2;
    const NORMALIZES: bool = true;

    /// What it costs.
    fn score(&self, state: &Vec<Preferred>, _: &Pod, node: Node<'_>) -> i64 {
        let mut cost = 0.0;
        for constraint in state {
            let Some(domain) = constraint.domains.of(node) else { return UNRATED };
            cost += constraint.domains.sum(domain) as f64 * constraint.weight + (constraint.max_skew - 1) as f64;
        }
        (cost * FRACTIONS) as i64
    }

    fn normalize(&self, raw: i64, range: Range) -> i64 {
        if range.most == 0 { MOST_SCORE } else { MOST_SCORE * (range.most + range.least - raw) / range.most }
    }
}

#[cfg(test)]
mod tests;
