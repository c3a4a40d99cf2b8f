//! [`Node`]: one node of the cluster, as plugins read it.

use std::sync::Arc;

use api::scheduling::HostPort;
use k8s_openapi::api::core::v1::Taint;

use super::amounts::Basic;
use super::symbols::Symbol;
use super::{Cluster, NodeId, TaintSet};
use crate::pod::Pod;

/// A node, at the moment at which it is looked at.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) id: NodeId,
}

impl<'a> Node<'a> {
    fn row(self) -> usize {
        self.id.0 as usize
    }

    pub fn id(self) -> NodeId {
        self.id
    }

    pub fn name(self) -> &'a Arc<str> {
        &self.cluster.nodes[self.row()].name
    }

    pub fn is_unschedulable(self) -> bool {
        self.cluster.nodes[self.row()].unschedulable
    }

    pub fn taint_set(self) -> TaintSet {
        self.cluster.nodes[self.row()].taints
    }

    pub fn taints(self) -> &'a [Taint] {
        self.cluster.taints(self.taint_set())
    }

    /// The value of a label.
    pub fn label(self, key: Symbol) -> Option<Symbol> {
        let labels = &self.cluster.nodes[self.row()].labels;
        labels.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    /// The text of a symbol.
    pub fn text(self, symbol: Symbol) -> &'a str {
        self.cluster.symbols.text(symbol)
    }

    pub fn allocatable(self) -> Basic {
        self.cluster.allocatable.basic(self.row())
    }

    /// What the node's pods ask for.
    pub fn requested(self) -> Basic {
        self.cluster.requested.basic(self.row())
    }

    /// What the node's pods ask for, with a little for containers that ask for nothing.
    pub fn assumed(self) -> Basic {
        self.cluster.assumed.basic(self.row())
    }

    /// How much the node has of a resource that is none of the basic ones.
    pub fn allocatable_other(self, name: &str) -> i64 {
        self.cluster.allocatable.other(self.row(), name)
    }

    /// What is left of a resource that is none of the basic ones.
    pub fn free_other(self, name: &str) -> i64 {
        self.allocatable_other(name) - self.cluster.requested.other(self.row(), name)
    }

    /// The host ports that the node's pods hold.
    pub fn ports(self) -> &'a [HostPort] {
        &self.cluster.nodes[self.row()].ports
    }

    /// The pods that are bound to the node, or about to be.
    pub fn pods(self) -> &'a [Arc<Pod>] {
        &self.cluster.nodes[self.row()].pods
    }
}
