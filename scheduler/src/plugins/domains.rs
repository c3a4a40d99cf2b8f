//! Sums by topology domain: by the values of a label of nodes.

use hashbrown::HashMap;

use crate::cache::{ByNode, Cluster, Node, Symbol};

/// Amounts in each domain of a topology key.
#[derive(Debug)]
pub struct Domains {
    /// None where no node has the label.
    key: Option<Symbol>,
    sums: HashMap<Symbol, i64>,
}

impl Domains {
    pub fn new(topology_key: &str, cluster: &Cluster) -> Self {
        Self { key: cluster.symbol(topology_key), sums: HashMap::new() }
    }

    /// Adds amounts that are known by node, each in its node's domain.
    pub fn add_all(&mut self, amounts: &ByNode, factor: i64, cluster: &Cluster) {
        for (id, amount) in amounts {
            if let Some(domain) = cluster.node(*id).and_then(|node| self.of(node)) {
                *self.sums.entry(domain).or_default() += factor * amount;
            }
        }
    }

    /// Adds to a domain, which is known from then on even if the amount is 0.
    pub fn add(&mut self, domain: Symbol, amount: i64) {
        *self.sums.entry(domain).or_default() += amount;
    }

    /// The node's domain.
    pub fn of(&self, node: Node<'_>) -> Option<Symbol> {
        node.label(self.key?)
    }

    /// What was added in the domain.
    pub fn sum(&self, domain: Symbol) -> i64 {
        self.sums.get(&domain).copied().unwrap_or_default()
    }

    /// Whether anything was added in the node's domain.
    pub fn any(&self, node: Node<'_>) -> bool {
        self.of(node).is_some_and(|domain| self.sum(domain) != 0)
    }

    /// How many domains are known.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The least sum of all known domains.
    pub fn least(&self) -> i64 {
        self.sums.values().copied().min().unwrap_or_default()
    }
}
