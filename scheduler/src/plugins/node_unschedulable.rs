//! NodeUnschedulable: a cordoned node takes no pods but those that tolerate its being cordoned.

use api::scheduling::tolerates_unschedulable;

use crate::cache::{Cluster, Node};
use crate::framework::{Filter, Plugin, PreFilter, PreFilterPlugin, Rejection};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    const NAME: &'static str = "NodeUnschedulable";
}

impl PreFilterPlugin for NodeUnschedulable {
    type State = ();

    fn pre_filter(&self, pod: &Pod, _: &Cluster) -> Result<PreFilter<()>, Rejection> {
        Ok(if tolerates_unschedulable(&pod.shape.tolerations) { PreFilter::Skip } else { PreFilter::each(()) })
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, (): &(), _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        if node.is_unschedulable() { Err(Rejection::fixed("node(s) were unschedulable")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};

    #[test]
    fn cordoned_nodes_are_left_out_unless_tolerated() {
        let nodes = Nodes::default().with("open", json!({})).with("cordoned", json!({"unschedulable": true}));
        assert_eq!(nodes.passing(&NodeUnschedulable, &pod("p", json!({}))), ["open"]);
        let tolerant = json!({"tolerations": [{"operator": "Exists"}]});
        assert_eq!(nodes.passing(&NodeUnschedulable, &pod("p", tolerant)), ["cordoned", "open"]);
    }
}
