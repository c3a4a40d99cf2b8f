//! NodePorts: two pods on one node cannot hold the same host port.

use crate::cache::{Cluster, Node};
use crate::framework::{Filter, Plugin, PreFilter, PreFilterPlugin, Rejection};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    const NAME: &'static str = "NodePorts";
}

impl PreFilterPlugin for NodePorts {
    type State = ();

    fn pre_filter(&self, pod: &Pod, _: &Cluster) -> Result<PreFilter<()>, Rejection> {
        Ok(if pod.shape.ports.is_empty() { PreFilter::Skip } else { PreFilter::each(()) })
    }
}

impl Filter for NodePorts {
    fn filter(&self, (): &(), pod: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        let taken = pod.shape.ports.iter().any(|port| node.ports().iter().any(|held| held.conflicts(port)));
        if taken { Err(Rejection::by_pods("node(s) didn't have free ports for the requested pod ports")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};

    #[test]
    fn a_taken_port_rejects() {
        let on = |port: i32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": port}]}]});
        let nodes = Nodes::default().with("a", json!({})).with("b", json!({})).running("a", &pod("p", on(80)));
        assert_eq!(nodes.passing(&NodePorts, &pod("q", on(80))), ["b"]);
        assert_eq!(nodes.passing(&NodePorts, &pod("q", on(81))), ["a", "b"]);
        assert_eq!(nodes.without("p").passing(&NodePorts, &pod("q", on(80))), ["a", "b"]);
    }
}
