//! [`Noticed`]: when things were seen to happen, by this process's clock, where the objects do not say it or cannot be
//! believed: a node's own clock may be wrong, and a taint need not carry a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;

use super::node::{LeaseRow, NodeRow};
use super::row::Row;

/// How many removed nodes are remembered.
const MOST_GONE: usize = 4096;

#[derive(Default)]
pub(super) struct Noticed {
    pub(super) now: Timestamp,
    nodes: HashMap<Arc<str>, Seen>,
    gone: VecDeque<(Arc<str>, Timestamp)>,
}

struct Seen {
    heartbeat: Timestamp,
    taints: Vec<(Taint, Timestamp)>,
}

impl Noticed {
    pub(super) fn node(&mut self, old: Option<&NodeRow>, new: &NodeRow) {
        let now = self.now;
        let pulse = |node: &NodeRow| node.condition("Ready").map(|c| (c.heartbeat, c.status.clone()));
        let seen = self.nodes.entry(new.key.name.clone()).or_insert(Seen { heartbeat: now, taints: Vec::new() });
        // What this process itself wrote about a silent node is no sign of life.
        let silent = new.condition("Ready").is_some_and(|c| &*c.status == "Unknown");
        if !silent && old.is_none_or(|old| pulse(old) != pulse(new)) {
            seen.heartbeat = now;
        }
        let known = std::mem::take(&mut seen.taints);
        let since = |taint: &Taint| known.iter().find(|(known, _)| known == taint).map_or(now, |(_, since)| *since);
        seen.taints = new.taints.iter().map(|taint| (taint.clone(), since(taint))).collect();
        if self.gone.iter().any(|(name, _)| *name == new.key.name) {
            self.gone.retain(|(name, _)| *name != new.key.name);
        }
    }

    pub(super) fn lease(&mut self, old: Option<&LeaseRow>, new: &LeaseRow) {
        if new.header().namespace() == "kube-node-lease"
            && old.is_none_or(|old| old.renewed != new.renewed)
            && let Some(seen) = self.nodes.get_mut(new.header().name())
        {
            seen.heartbeat = self.now;
        }
    }

    pub(super) fn node_gone(&mut self, node: &Arc<str>) {
        self.nodes.remove(node);
        self.gone.push_back((node.clone(), self.now));
        if self.gone.len() > MOST_GONE {
            self.gone.pop_front();
        }
    }

    pub(super) fn heartbeat(&self, node: &str) -> Option<Timestamp> {
        self.nodes.get(node).map(|seen| seen.heartbeat)
    }

    pub(super) fn tainted_since(&self, node: &str, taint: &Taint) -> Option<Timestamp> {
        let taints = &self.nodes.get(node)?.taints;
        taints.iter().find(|(known, _)| known == taint).map(|(_, since)| *since)
    }

    pub(super) fn gone_since(&self, node: &str) -> Option<Timestamp> {
        self.gone.iter().find(|(name, _)| &**name == node).map(|(_, since)| *since)
    }
}
