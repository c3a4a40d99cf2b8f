//! [`Diagnosis`]: why a pod fits no node, in the words that Kubernetes uses: how many nodes there are, and how many of
//! them give which reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::{Cluster, NodeId};
use crate::framework::{PluginSet, PreparedFilters, Reason, Rejection};
use crate::pod::Pod;

#[derive(Debug)]
pub struct Diagnosis {
    pub message: Arc<str>,
    /// The filters that had a part in it.
    pub rejected_by: PluginSet,
    /// Each node's first rejection; empty where the pod fits no node by itself.
    pub nodes: Vec<(NodeId, Rejection)>,
}

impl Diagnosis {
    /// Asks each node.
    pub fn of_nodes(pod: &Pod, prepared: &PreparedFilters, cluster: &Cluster) -> Self {
        let mut rejected_by = PluginSet::default();
        let mut nodes = Vec::with_capacity(cluster.len());
        for node in cluster.iter() {
            let rejection = prepared.filters.iter().find_map(|(at, filter)| Some((*at, filter.filter(pod, node).err()?)));
            match rejection {
                Some((at, rejection)) => {
                    rejected_by.insert(at);
                    nodes.push((node.id(), rejection));
                }
                None => nodes.push((node.id(), Rejection::fixed("node(s) had their room reserved for nominated pods"))),
            }
        }
        let message = if cluster.is_empty() {
            "no nodes available to schedule pods".into()
        } else {
            let reasons = nodes.iter().flat_map(|(_, rejection)| rejection.reasons());
            format!("0/{} nodes are available: {}.", cluster.len(), counted(reasons)).into()
        };
        Self { message, rejected_by, nodes }
    }

    /// One reason, for all nodes.
    pub fn of_all(plugin: usize, rejection: &Rejection, cluster: &Cluster) -> Self {
        let mut rejected_by = PluginSet::default();
        rejected_by.insert(plugin);
        let message = format!("0/{} nodes are available: {}.", cluster.len(), rejection.reason).into();
        Self { message, rejected_by, nodes: Vec::new() }
    }
}

/// `2 Insufficient cpu, 3 Too many pods`: sorted as text, so that the same reasons give the same message.
pub fn counted<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason.as_str()).or_default() += 1;
    }
    let mut texts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort_unstable();
    texts.join(", ")
}
