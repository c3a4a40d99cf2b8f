//! NodeName: a pod that names its node runs there or nowhere.

use crate::cache::{Cluster, Node};
use crate::framework::{Filter, Plugin, PreFilter, PreFilterPlugin, Reach, Rejection};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    const NAME: &'static str = "NodeName";
}

impl PreFilterPlugin for NodeName {
    type State = ();

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<()>, Rejection> {
        let Some(name) = &pod.node else { return Ok(PreFilter::Skip) };
        let only = cluster.by_name(name).map(|node| node.id()).into_iter().collect();
        Ok(PreFilter::Check { state: (), reach: Reach::Node, only: Some(only) })
    }
}

impl Filter for NodeName {
    fn filter(&self, (): &(), pod: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        if pod.node.as_ref() == Some(node.name()) {
            return Ok(());
        }
        Err(Rejection::fixed("node(s) didn't match the requested node name"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};

    #[test]
    fn only_the_named_node_passes() {
        let nodes = Nodes::default().with("a", json!({})).with("b", json!({}));
        assert_eq!(nodes.passing(&NodeName, &pod("p", json!({"nodeName": "b"}))), ["b"]);
        assert_eq!(nodes.passing(&NodeName, &pod("p", json!({}))), ["a", "b"]);
    }
}
