//! TaintToleration: keeps pods away from nodes with taints that they do not tolerate, and prefers nodes with fewer
//! `PreferNoSchedule` taints that they do not tolerate. Judged once for each distinct set of taints.

use api::scheduling::{first_untolerated, tolerated};
use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::cache::{Cluster, Node};
use crate::framework::{Filter, MOST_SCORE, Plugin, PreFilter, PreFilterPlugin, PreScore, Range, Reach, Reason, Rejection, Score, Scoring};
use crate::pod::Pod;

const KEEP_AWAY: [&str; 2] = ["NoSchedule", "NoExecute"];

#[derive(Clone, Copy, Debug)]
pub struct TaintToleration;

/// A judgement for each set of taints, by its index.
#[derive(Debug)]
pub struct BySet<T>(Vec<T>);

impl Plugin for TaintToleration {
    const NAME: &'static str = "TaintToleration";
}

impl PreFilterPlugin for TaintToleration {
    /// Why a set keeps the pod away.
    type State = BySet<Option<Reason>>;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Self::State>, Rejection> {
        let judge = |taints: &[Taint]| {
            let taint = first_untolerated(taints, &pod.shape.tolerations, &KEEP_AWAY)?;
            let value = taint.value.as_deref().unwrap_or_default();
            Some(Reason::from(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)))
        };
        let judged: Vec<_> = cluster.taint_sets().map(judge).collect();
        Ok(if judged.iter().all(Option::is_none) { PreFilter::Skip } else { PreFilter::each(BySet(judged)) })
    }
}

impl Filter for TaintToleration {
    fn filter(&self, state: &Self::State, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        match &state.0[node.taint_set().index()] {
            Some(reason) => Err(Rejection::fixed(reason.clone())),
            None => Ok(()),
        }
    }
}

impl PreScore for TaintToleration {
    /// How many taints of a set speak against the node.
    type State = BySet<i64>;

    fn pre_score(&self, pod: &Pod, cluster: &Cluster) -> Option<Scoring<Self::State>> {
        let counts = |toleration: &&Toleration| matches!(toleration.effect.as_deref(), None | Some("" | "PreferNoSchedule"));
        let tolerations: Vec<Toleration> = pod.shape.tolerations.iter().filter(counts).cloned().collect();
        let count = |taints: &[Taint]| {
            taints.iter().filter(|taint| taint.effect == "PreferNoSchedule" && !tolerated(taint, &tolerations)).count() as i64
        };
        let counted: Vec<_> = cluster.taint_sets().map(count).collect();
        Some(Scoring { state: BySet(counted), reach: Reach::Node })
    }
}

impl Score for TaintToleration {
    const WEIGHT: i64 = 3;
    const NORMALIZES: bool = true;

    fn score(&self, state: &BySet<i64>, _: &Pod, node: Node<'_>) -> i64 {
        state.0[node.taint_set().index()]
    }

    fn normalize(&self, raw: i64, range: Range) -> i64 {
        if range.most == 0 { MOST_SCORE } else { MOST_SCORE - raw * MOST_SCORE / range.most }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};

    fn tainted(effect: &str) -> serde_json::Value {
        json!({"taints": [{"key": "k", "value": "v", "effect": effect}]})
    }

    #[test]
    fn taints_keep_pods_away() {
        let nodes = Nodes::default()
            .with("clean", json!({}))
            .with("no-execute", tainted("NoExecute"))
            .with("no-schedule", tainted("NoSchedule"))
            .with("prefer", tainted("PreferNoSchedule"));
        assert_eq!(nodes.passing(&TaintToleration, &pod("p", json!({}))), ["clean", "prefer"]);
        let tolerant = pod("p", json!({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]}));
        assert_eq!(nodes.passing(&TaintToleration, &tolerant), ["clean", "no-schedule", "prefer"]);
        assert_eq!(nodes.reasons(&TaintToleration, &tolerant), ["node(s) had untolerated taint {k: v}"]);
    }

    #[test]
    fn untolerated_preferences_cost() {
        let nodes = Nodes::default().with("clean", json!({})).with("prefer", tainted("PreferNoSchedule"));
        assert_eq!(nodes.scores(&TaintToleration, &pod("p", json!({}))), [("clean", 300), ("prefer", 0)]);
        let tolerant = pod("p", json!({"tolerations": [{"operator": "Exists"}]}));
        assert_eq!(nodes.scores(&TaintToleration, &tolerant), [("clean", 300), ("prefer", 300)]);
        let other = pod("p", json!({"tolerations": [{"operator": "Exists", "effect": "NoSchedule"}]}));
        assert_eq!(nodes.scores(&TaintToleration, &other), [("clean", 300), ("prefer", 0)]);
    }
}
