//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory would be taken to like parts, so that neither is
//! left over.

use crate::cache::{Basic, Cluster, Node};
use crate::framework::{MOST_SCORE, Plugin, PreScore, Reach, Score, Scoring};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    const NAME: &'static str = "NodeResourcesBalancedAllocation";
}

impl PreScore for NodeResourcesBalancedAllocation {
    type State = Basic;

    /// Pods that ask for neither resource would all go to one node by this.
    fn pre_score(&self, pod: &Pod, _: &Cluster) -> Option<Scoring<Basic>> {
        let asked = Basic::of(&pod.shape.requests);
        let asks = asked.cpu_milli > 0 || asked.memory_bytes > 0;
        asks.then_some(Scoring { state: asked, reach: Reach::Node })
    }
}

impl Score for NodeResourcesBalancedAllocation {
    const WEIGHT: i64 = 1;

    fn score(&self, asked: &Basic, _: &Pod, node: Node<'_>) -> i64 {
        let (has, taken) = (node.allocatable(), node.requested());
        let part = |has: i64, taken: i64| (has > 0).then(|| (taken as f64 / has as f64).min(1.0));
        let cpu = part(has.cpu_milli, taken.cpu_milli + asked.cpu_milli);
        let memory = part(has.memory_bytes, taken.memory_bytes + asked.memory_bytes);
        let deviation = match (cpu, memory) {
            (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
            _ => 0.0,
        };
        ((1.0 - deviation) * MOST_SCORE as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, asking, pod};

    #[test]
    fn like_parts_score_best() {
        let nodes = Nodes::default()
            .with("even", json!({"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "10"}}))
            .with("odd", json!({"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "10"}}));
        // Half of the CPU; half and an eighth of the memory.
        let scored = nodes.scores(&NodeResourcesBalancedAllocation, &asking("p", json!({"cpu": "2", "memory": "2Gi"})));
        assert_eq!(scored, [("even", 100), ("odd", 81)]);
        assert!(nodes.scores(&NodeResourcesBalancedAllocation, &pod("p", json!({}))).is_empty());
    }
}
