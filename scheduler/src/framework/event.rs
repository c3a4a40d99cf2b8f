//! [`ClusterEvent`]: what happened in the cluster that may help a pod which fitted no node.

use crate::cache::Node;
use crate::pod::Pod;

#[derive(Clone, Copy)]
pub enum ClusterEvent<'a> {
    /// A node has come, or has changed in what scheduling looks at.
    NodeChanged { node: Node<'a> },
    /// A pod is on a node that was not before, or has other labels.
    PodPlaced { pod: &'a Pod, node: Node<'a> },
    /// A pod has left a node, or asks for less.
    PodLeft { pod: &'a Pod, node: Node<'a> },
    /// A node has gone.
    NodeGone,
    /// A namespace has other labels.
    NamespaceChanged,
    /// A volume or a claim has come, has changed or has gone.
    VolumesChanged,
}

impl<'a> ClusterEvent<'a> {
    /// The node that it happened on.
    pub fn node(self) -> Option<Node<'a>> {
        match self {
            Self::NodeChanged { node } | Self::PodPlaced { node, .. } | Self::PodLeft { node, .. } => Some(node),
            Self::NodeGone | Self::NamespaceChanged | Self::VolumesChanged => None,
        }
    }
}

/// Whether an event may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Help {
    No,
    /// The event's node passes the plugin now.
    ThisNode,
    /// Nodes other than the event's may pass now.
    OtherNodes,
}
