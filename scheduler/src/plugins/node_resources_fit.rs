//! NodeResourcesFit: a node must have what the pod asks for; nodes of which less is taken are preferred.

use crate::cache::{Basic, Cluster, Node};
use crate::framework::{Filter, MOST_SCORE, Plugin, PreFilter, PreFilterPlugin, PreScore, Reach, Reason, Rejection, Score, Scoring};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    const NAME: &'static str = "NodeResourcesFit";
}

impl PreFilterPlugin for NodeResourcesFit {
    /// What the pod asks for.
    type State = Basic;

    fn pre_filter(&self, pod: &Pod, _: &Cluster) -> Result<PreFilter<Basic>, Rejection> {
        Ok(PreFilter::each(Basic::of(&pod.shape.requests)))
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, asked: &Basic, pod: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        let (has, taken) = (node.allocatable(), node.requested());
        // What is not asked for is not looked at: an overfull node takes pods that ask for nothing of it.
        let lacks = |asked: i64, has: i64, taken: i64| asked > 0 && asked > has - taken;
        let other = &pod.shape.requests.other;
        let fits = !lacks(asked.pods, has.pods, taken.pods)
            && !lacks(asked.cpu_milli, has.cpu_milli, taken.cpu_milli)
            && !lacks(asked.memory_bytes, has.memory_bytes, taken.memory_bytes)
            && !lacks(asked.ephemeral_storage_bytes, has.ephemeral_storage_bytes, taken.ephemeral_storage_bytes)
            && other.iter().all(|(name, asked)| !lacks(*asked, node.free_other(name), 0));
        if fits { Ok(()) } else { Err(explain(asked, pod, node)) }
    }
}

/// Tells what the node lacks.
fn explain(asked: &Basic, pod: &Pod, node: Node<'_>) -> Rejection {
    let (has, taken) = (node.allocatable(), node.requested());
    let mut reasons: Vec<Reason> = Vec::new();
    // Without any pods at all the node could have it.
    let mut preemptible = true;
    let mut lack = |reason: Reason, asked: i64, has: i64, free: i64| {
        if asked > 0 && asked > free {
            reasons.push(reason);
            preemptible &= asked <= has;
        }
    };
    lack("Too many pods".into(), asked.pods, has.pods, has.pods - taken.pods);
    lack("Insufficient cpu".into(), asked.cpu_milli, has.cpu_milli, has.cpu_milli - taken.cpu_milli);
    lack("Insufficient memory".into(), asked.memory_bytes, has.memory_bytes, has.memory_bytes - taken.memory_bytes);
    let (has, taken) = (has.ephemeral_storage_bytes, taken.ephemeral_storage_bytes);
    lack("Insufficient ephemeral-storage".into(), asked.ephemeral_storage_bytes, has, has - taken);
    for (name, asked) in &pod.shape.requests.other {
        lack(format!("Insufficient {name}").into(), *asked, node.allocatable_other(name), node.free_other(name));
    }
    let mut reasons = reasons.into_iter();
    let first = reasons.next().unwrap_or("Insufficient resources".into());
    Rejection { reason: first, more: reasons.collect(), preemptible }
}

impl PreScore for NodeResourcesFit {
    type State = Basic;

    fn pre_score(&self, pod: &Pod, _: &Cluster) -> Option<Scoring<Basic>> {
        Some(Scoring { state: Basic::of(&pod.shape.assumed), reach: Reach::Node })
    }
}

impl Score for NodeResourcesFit {
    const WEIGHT: i64 = 1;

    /// The mean of what is left of CPU and memory, in hundredths.
    fn score(&self, asked: &Basic, _: &Pod, node: Node<'_>) -> i64 {
        let (has, taken) = (node.allocatable(), node.assumed());
        let left = |has: i64, taken: i64| match has {
            ..=0 => None,
            _ if taken > has => Some(0),
            _ => Some(((i128::from(has - taken) * i128::from(MOST_SCORE)) / i128::from(has)) as i64),
        };
        let cpu = left(has.cpu_milli, taken.cpu_milli + asked.cpu_milli);
        let memory = left(has.memory_bytes, taken.memory_bytes + asked.memory_bytes);
        match (cpu, memory) {
            (Some(cpu), Some(memory)) => (cpu + memory) / 2,
            (one, other) => one.or(other).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, asking, pod};

    fn nodes() -> Nodes {
        Nodes::default()
            .with("gpu", json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", "acme.io/gpu": "2"}}))
            .with("large", json!({"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "10"}}))
            .with("tiny", json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "0"}}))
    }

    #[test]
    fn a_node_must_have_what_is_asked_for() {
        let nodes = nodes();
        assert_eq!(nodes.passing(&NodeResourcesFit, &asking("p", json!({"cpu": "6"}))), ["large"]);
        assert_eq!(nodes.passing(&NodeResourcesFit, &asking("p", json!({"acme.io/gpu": "2"}))), ["gpu"]);
        let full = nodes.running("large", &asking("q", json!({"cpu": "3"})));
        let asked = asking("p", json!({"cpu": "6", "acme.io/gpu": "3"}));
        assert_eq!(full.reasons(&NodeResourcesFit, &asked), ["Insufficient acme.io/gpu", "Insufficient cpu", "Too many pods"],);
        let overfull = full.running("large", &asking("r", json!({"cpu": "9"})));
        assert_eq!(overfull.passing(&NodeResourcesFit, &pod("p", json!({}))), ["gpu", "large"]);
    }

    #[test]
    fn what_is_left_counts() {
        let nodes = nodes().running("large", &asking("q", json!({"cpu": "4", "memory": "4Gi"})));
        // gpu: (4 - 1) / 4 and (8 - 2) / 8; large: (8 - 5) / 8 and (8 - 6) / 8.
        let scored = nodes.scores(&NodeResourcesFit, &asking("p", json!({"cpu": "1", "memory": "2Gi"})));
        assert_eq!(scored, [("gpu", 75), ("large", 31), ("tiny", 75)]);
    }

    #[test]
    fn pods_that_ask_for_nothing_are_spread_too() {
        let nodes = nodes().running("gpu", &pod("q", json!({})));
        let scores = nodes.scores(&NodeResourcesFit, &pod("p", json!({})));
        assert!(scores[0].1 < scores[2].1, "{scores:?}");
    }
}
