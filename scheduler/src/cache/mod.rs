//! [`Cluster`]: the nodes and the pods on them, as the scheduler last heard, and as it has decided since. It belongs to
//! the one thread that decides: events are put in between decisions, so that a decision sees one state without
//! locking or copying it.
//!
//! Readers that keep results (see [`crate::placement`]) ask which nodes were touched since they last looked.

mod amounts;
mod counts;
mod node;
mod nominations;
mod symbols;

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::scheduling::HostPort;
use hashbrown::{HashMap, HashSet};
use k8s_openapi::api::core::v1::Taint;
use machinery::NamespacedName;

use self::amounts::Amounts;
pub use self::amounts::Basic;
use self::counts::Counts;
pub use self::counts::{ByNode, Owners};
pub use self::node::Node;
use self::nominations::Nominations;
pub use self::symbols::Symbol;
use self::symbols::Symbols;
use crate::budget::Budget;
use crate::node::NodeInfo;
use crate::peers::{Namespaces, Peers, Rule};
use crate::pod::{Labels, Pod};
use crate::volume::Volumes;

/// A node's row. A row is used again when its node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The id of a row.
    pub fn at(row: usize) -> Self {
        Self(row as u32)
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The taints of a node, in short: nodes with the same taints have the same set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaintSet(u32);

impl TaintSet {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A position in the record of touched nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

/// What changed about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// Nothing that concerns scheduling.
    None,
    Added,
    Updated,
    Removed,
}

#[derive(Default)]
pub struct Cluster {
    nodes: Vec<Row>,
    by_name: HashMap<Arc<str>, NodeId>,
    free: Vec<NodeId>,
    live: usize,
    allocatable: Amounts,
    requested: Amounts,
    assumed: Amounts,
    symbols: Symbols,
    taints: Vec<Vec<Taint>>,
    pods: HashMap<ByKey, NodeId>,
    /// Pods that were decided on, and of which the server has not told yet that they are bound.
    unconfirmed: HashSet<NamespacedName>,
    counts: Counts,
    namespaces: Namespaces,
    nominations: Nominations,
    budgets: HashMap<NamespacedName, Budget>,
    volumes: Volumes,
    touched: Vec<NodeId>,
    /// The position of the first of `touched`.
    first: u64,
    epoch: u64,
}

/// What stands in a node's row beside amounts.
struct Row {
    name: Arc<str>,
    /// Whether there is a Node object. Rows without one hold the pods of nodes that are not known, or no more.
    live: bool,
    unschedulable: bool,
    taints: TaintSet,
    labels: Box<[(Symbol, Symbol)]>,
    ports: Vec<HostPort>,
    pods: Vec<Arc<Pod>>,
}

/// A pod in a map by its key.
struct ByKey(Arc<Pod>);

impl Borrow<NamespacedName> for ByKey {
    fn borrow(&self) -> &NamespacedName {
        &self.0.key
    }
}
impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}
impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}
impl Eq for ByKey {}

impl Cluster {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many pods are on nodes, and how many of those by decision only.
    pub fn pods(&self) -> (usize, usize) {
        (self.pods.len(), self.unconfirmed.len())
    }

    /// How many rows there are; ids of nodes are below.
    pub fn rows(&self) -> usize {
        self.nodes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Node<'_>> {
        let live = self.nodes.iter().enumerate().filter(|(_, row)| row.live);
        live.map(|(at, _)| Node { cluster: self, id: NodeId(at as u32) })
    }

    /// The node of that id; None once it is gone.
    pub fn node(&self, id: NodeId) -> Option<Node<'_>> {
        self.nodes.get(id.index()).filter(|row| row.live).map(|_| Node { cluster: self, id })
    }

    pub fn by_name(&self, name: &str) -> Option<Node<'_>> {
        self.by_name.get(name).and_then(|id| self.node(*id))
    }

    /// The symbol of a label's key or value; None where no node has it.
    pub fn symbol(&self, text: &str) -> Option<Symbol> {
        self.symbols.find(text)
    }

    pub fn taints(&self, set: TaintSet) -> &[Taint] {
        &self.taints[set.index()]
    }

    /// All sets of taints that nodes have or had, in order of their index.
    pub fn taint_sets(&self) -> impl Iterator<Item = &[Taint]> {
        self.taints.iter().map(Vec::as_slice)
    }

    /// The pod, where it is on a node or about to be.
    pub fn pod(&self, key: &NamespacedName) -> Option<&Arc<Pod>> {
        self.pods.get_key_value(key).map(|(pod, _)| &pod.0)
    }

    /// Whether the pod is about to be bound, by decision of this scheduler.
    pub fn is_assumed(&self, key: &NamespacedName) -> bool {
        self.unconfirmed.contains(key)
    }

    /// Rises when nodes, symbols, sets of taints or rules come or go: what was worked out with them is void then.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn cursor(&self) -> Cursor {
        Cursor(self.first + self.touched.len() as u64)
    }

    /// The nodes that were touched since, some of them twice; None where that is no longer known.
    pub fn touched_since(&self, cursor: Cursor) -> Option<&[NodeId]> {
        let from = cursor.0.checked_sub(self.first)?;
        self.touched.get(from as usize..)
    }

    /// Whether any pod has rules about others, so that pods of one shape may fare differently by their labels.
    pub fn has_rules(&self) -> bool {
        !self.counts.is_empty()
    }

    /// How many of the peers are on which node. The pod whose rule it is must have been [announced](Self::announce).
    pub fn peers(&self, peers: &Peers) -> Option<&ByNode> {
        self.counts.peers(peers)
    }

    /// The rules of the pods that are on nodes, and where those pods are.
    pub fn owned_rules(&self) -> impl Iterator<Item = (&Rule, &Owners)> {
        self.counts.owners()
    }

    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// A pod is about to be placed: counts the peers that its rules speak of, from now on.
    pub fn announce(&mut self, pod: &Pod) {
        for peers in pod.shape.rules.iter().flat_map(|rules| rules.peers()) {
            self.counts.count(peers, &self.namespaces, self.pods.iter().map(|(pod, id)| (&pod.0, *id)));
        }
    }

    /// A namespace is there, has other labels or (with None) is gone.
    pub fn set_namespace(&mut self, name: &Arc<str>, labels: Option<Labels>) {
        match labels {
            Some(labels) => _ = self.namespaces.insert(name.clone(), labels),
            None => _ = self.namespaces.remove(name),
        }
        self.counts.forget_selected_namespaces();
        self.epoch += 1;
    }

    /// Room is being made for the pod on the node. It counts there for pods that are not more important.
    pub fn nominate(&mut self, pod: &Arc<Pod>, node: &Arc<str>) {
        self.nominations.set(pod, node);
    }

    /// The pod needs the room no more. Returns where it was.
    pub fn withdraw_nomination(&mut self, key: &NamespacedName) -> Option<Arc<str>> {
        self.nominations.remove(key)
    }

    /// The node on which room is being made for the pod.
    pub fn nominated_node(&self, key: &NamespacedName) -> Option<&Arc<str>> {
        self.nominations.node_of(key)
    }

    /// The pods for which room is being made on the node.
    pub fn nominated_on(&self, node: NodeId) -> &[Arc<Pod>] {
        self.nodes.get(node.index()).map(|row| self.nominations.on(&row.name)).unwrap_or_default()
    }

    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Changes what is known of volumes and claims.
    pub fn change_volumes(&mut self, change: impl FnOnce(&mut Volumes)) {
        change(&mut self.volumes);
        self.epoch += 1;
    }

    /// Tries changes that are taken back before it ends: whoever keeps results need not know.
    pub fn trial<T>(&mut self, changes: impl FnOnce(&mut Self) -> T) -> T {
        let (first, length, epoch) = (self.first, self.touched.len(), self.epoch);
        let result = changes(self);
        if self.first == first {
            self.touched.truncate(length);
            self.epoch = epoch;
        }
        result
    }

    /// A disruption budget is there, has changed or (with None) is gone.
    pub fn set_budget(&mut self, key: &NamespacedName, budget: Option<Budget>) {
        match budget {
            Some(budget) => _ = self.budgets.insert(key.clone(), budget),
            None => _ = self.budgets.remove(key),
        }
    }

    /// The disruption budgets that protect the pod.
    pub fn budgets_of(&self, pod: &Pod) -> impl Iterator<Item = (&NamespacedName, &Budget)> {
        self.budgets.iter().filter(move |(key, budget)| key.namespace == pod.key.namespace && budget.protects(pod))
    }

    /// Drops what was counted for pods that no longer come.
    pub fn tidy(&mut self) {
        self.counts.tidy();
    }

    /// A Node object is there or has changed.
    pub fn set_node(&mut self, name: &Arc<str>, info: &NodeInfo) -> NodeChange {
        let id = self.row_of(name);
        let labels = self.symbols_of(&info.labels);
        let taints = self.taint_set_of(&info.taints);
        let row = &mut self.nodes[id.index()];
        let was_live = std::mem::replace(&mut row.live, true);
        row.unschedulable = info.unschedulable;
        row.taints = taints;
        let old = std::mem::replace(&mut row.labels, labels);
        self.release(&old);
        self.allocatable.set(id.index(), &info.allocatable);
        self.live += usize::from(!was_live);
        self.epoch += u64::from(!was_live);
        self.touch(id);
        if was_live { NodeChange::Updated } else { NodeChange::Added }
    }

    /// A Node object is gone. Its pods stay known until the server says otherwise.
    pub fn remove_node(&mut self, name: &str) -> NodeChange {
        let Some(&id) = self.by_name.get(name) else { return NodeChange::None };
        let row = &mut self.nodes[id.index()];
        if !std::mem::replace(&mut row.live, false) {
            return NodeChange::None;
        }
        let labels = std::mem::take(&mut row.labels);
        self.release(&labels);
        self.live -= 1;
        self.epoch += 1;
        self.touch(id);
        self.drop_empty(id);
        NodeChange::Removed
    }

    /// The server says that the pod is bound to the node that it names. Returns what was known of it before.
    pub fn set_pod(&mut self, pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        let node = pod.node.as_ref()?;
        let unchanged = |before: &&Arc<Pod>| before.uid == pod.uid && before.node == pod.node && before.counts_as(pod);
        if let Some(before) = self.pod(&pod.key).filter(unchanged).cloned() {
            self.swap(pod);
            return Some(before);
        }
        let before = self.remove_pod(&pod.key);
        self.put(pod.clone(), node);
        before
    }

    /// Puts a newer state of a pod in place of an older one that weighs the same. Nothing is touched by that.
    fn swap(&mut self, pod: &Arc<Pod>) {
        self.unconfirmed.remove(&pod.key);
        let Some((_, id)) = self.pods.remove_entry(&pod.key) else { return };
        let held = self.nodes[id.index()].pods.iter_mut().find(|known| known.key == pod.key);
        if let Some(held) = held {
            *held = pod.clone();
        }
        self.pods.insert(ByKey(pod.clone()), id);
    }

    /// The pod is to be bound to the node: it counts as if it were.
    pub fn assume(&mut self, pod: &Pod, node: NodeId) {
        let name = self.nodes[node.index()].name.clone();
        self.remove_pod(&pod.key);
        self.unconfirmed.insert(pod.key.clone());
        let pod = Arc::new(Pod { node: Some(name.clone()), ..pod.clone() });
        self.put(pod, &name);
    }

    /// The pod is gone from its node. Returns what was known of it.
    pub fn remove_pod(&mut self, key: &NamespacedName) -> Option<Arc<Pod>> {
        let (ByKey(pod), id) = self.pods.remove_entry(key)?;
        self.unconfirmed.remove(key);
        let row = &mut self.nodes[id.index()];
        if let Some(at) = row.pods.iter().position(|known| known.key == *key) {
            row.pods.swap_remove(at);
        }
        for port in &pod.shape.ports {
            if let Some(at) = row.ports.iter().position(|held| held == port) {
                row.ports.swap_remove(at);
            }
        }
        self.requested.subtract(id.index(), &pod.shape.requests);
        self.assumed.subtract(id.index(), &pod.shape.assumed);
        self.epoch += u64::from(self.counts.change(&pod, id, -1, &self.namespaces));
        self.touch(id);
        self.drop_empty(id);
        Some(pod)
    }

    fn put(&mut self, pod: Arc<Pod>, node: &Arc<str>) {
        let id = self.row_of(node);
        self.requested.add(id.index(), &pod.shape.requests);
        self.assumed.add(id.index(), &pod.shape.assumed);
        self.epoch += u64::from(self.counts.change(&pod, id, 1, &self.namespaces));
        let row = &mut self.nodes[id.index()];
        row.ports.extend_from_slice(&pod.shape.ports);
        row.pods.push(pod.clone());
        self.pods.insert(ByKey(pod), id);
        self.touch(id);
    }

    fn row_of(&mut self, name: &Arc<str>) -> NodeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let taints = self.taint_set_of(&[]);
        let row = Row {
            name: name.clone(),
            live: false,
            unschedulable: false,
            taints,
            labels: Box::default(),
            ports: Vec::new(),
            pods: Vec::new(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id.index()] = row;
                id
            }
            None => {
                self.nodes.push(row);
                NodeId(self.nodes.len() as u32 - 1)
            }
        };
        for amounts in [&mut self.allocatable, &mut self.requested, &mut self.assumed] {
            amounts.set(id.index(), &Default::default());
        }
        self.by_name.insert(name.clone(), id);
        id
    }

    fn drop_empty(&mut self, id: NodeId) {
        let row = &self.nodes[id.index()];
        if !row.live && row.pods.is_empty() {
            self.by_name.remove(&row.name);
            self.free.push(id);
        }
    }

    fn symbols_of(&mut self, labels: &[(String, String)]) -> Box<[(Symbol, Symbol)]> {
        let before = self.symbols.len();
        let held = labels.iter().map(|(key, value)| (self.symbols.hold(key), self.symbols.hold(value))).collect();
        self.epoch += u64::from(self.symbols.len() != before);
        held
    }

    fn release(&mut self, labels: &[(Symbol, Symbol)]) {
        let before = self.symbols.len();
        for (key, value) in labels {
            self.symbols.release(*key);
            self.symbols.release(*value);
        }
        self.epoch += u64::from(self.symbols.len() != before);
    }

    /// Sets are never dropped: clusters have few.
    fn taint_set_of(&mut self, taints: &[Taint]) -> TaintSet {
        let known = self.taints.iter().position(|known| known == taints);
        TaintSet(known.unwrap_or_else(|| {
            self.epoch += 1;
            self.taints.push(taints.to_vec());
            self.taints.len() - 1
        }) as u32)
    }

    fn touch(&mut self, id: NodeId) {
        // A record longer than that costs a reader more than a look at every node.
        if self.touched.len() > 1024.max(2 * self.nodes.len()) {
            self.first += self.touched.len() as u64;
            self.touched.clear();
        }
        self.touched.push(id);
    }
}

#[cfg(test)]
mod tests;
