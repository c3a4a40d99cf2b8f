//! NodeAffinity: which nodes a pod wants by their labels and names: its `nodeSelector`, and its required and preferred
//! node affinity. Selectors are translated into symbols once, so that looking at a node compares numbers. The rules
//! are those of [`api::scheduling::affinity`], and a test holds this to it.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::cache::{Cluster, Node, NodeId, Symbol};
use crate::framework::{Filter, MOST_SCORE, Plugin, PreFilter, PreFilterPlugin, PreScore, Range, Reach, Rejection, Score, Scoring};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    const NAME: &'static str = "NodeAffinity";
}

/// What a pod requires of a node.
#[derive(Debug)]
pub struct Required {
    /// Labels that it must have; None where no node has one of them.
    labels: Option<Vec<(Symbol, Symbol)>>,
    /// Of which one must match; None where there are no terms to match.
    terms: Option<Vec<Term>>,
}

/// What must hold all together. Without anything in it, nothing matches.
#[derive(Debug)]
struct Term {
    tests: Vec<Test>,
    names: Vec<(Named, Vec<Box<str>>)>,
}

#[derive(Debug)]
enum Test {
    /// No node can pass.
    Never,
    In(Symbol, Vec<Symbol>),
    NotIn(Symbol, Vec<Symbol>),
    Exists(Symbol),
    Absent(Symbol),
    Greater(Symbol, i64),
    Less(Symbol, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Among,
    NotAmong,
}

impl Required {
    pub fn of(pod: &Pod, cluster: &Cluster) -> Option<Self> {
        let required = pod.shape.node_affinity.as_ref().and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        if pod.shape.node_selector.is_empty() && required.is_none() {
            return None;
        }
        let pair = |(key, value): &(String, String)| Some((cluster.symbol(key)?, cluster.symbol(value)?));
        Some(Self {
            labels: pod.shape.node_selector.iter().map(pair).collect(),
            terms: required.map(|required| required.node_selector_terms.iter().map(|term| Term::of(term, cluster)).collect()),
        })
    }

    /// What a volume requires.
    pub fn of_selector(selector: &NodeSelector, cluster: &Cluster) -> Self {
        let terms = selector.node_selector_terms.iter().map(|term| Term::of(term, cluster)).collect();
        Self { labels: Some(Vec::new()), terms: Some(terms) }
    }

    pub fn matches(&self, node: Node<'_>) -> bool {
        let labels = self.labels.as_ref().is_some_and(|labels| labels.iter().all(|(key, value)| node.label(*key) == Some(*value)));
        labels && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The only nodes that can match, where all terms name theirs.
    fn nodes(&self, cluster: &Cluster) -> Option<Vec<NodeId>> {
        let mut nodes = Vec::new();
        for term in self.terms.as_ref()? {
            let (_, names) = term.names.iter().find(|(named, _)| *named == Named::Among)?;
            nodes.extend(names.iter().filter_map(|name| cluster.by_name(name)).map(Node::id));
        }
        nodes.sort_unstable();
        nodes.dedup();
        Some(nodes)
    }
}

impl Term {
    fn of(term: &NodeSelectorTerm, cluster: &Cluster) -> Self {
        let mut tests: Vec<Test> = term.match_expressions.iter().flatten().filter_map(|r| Test::of(r, cluster)).collect();
        let mut names = Vec::new();
        for field in term.match_fields.iter().flatten() {
            let values = || field.values.iter().flatten().map(|name| name.as_str().into()).collect();
            match (field.key.as_str(), field.operator.as_str()) {
                ("metadata.name", "In") => names.push((Named::Among, values())),
                ("metadata.name", "NotIn") => names.push((Named::NotAmong, values())),
                // Validation lets nothing else pass.
                _ => tests.push(Test::Never),
            }
        }
        let empty = term.match_expressions.as_ref().is_none_or(Vec::is_empty) && term.match_fields.as_ref().is_none_or(Vec::is_empty);
        if empty {
            tests.push(Test::Never);
        }
        Self { tests, names }
    }

    fn matches(&self, node: Node<'_>) -> bool {
        let named = |(named, names): &(Named, Vec<Box<str>>)| names.iter().any(|name| **name == **node.name()) == (*named == Named::Among);
        self.tests.iter().all(|test| test.holds(node)) && self.names.iter().all(named)
    }
}

impl Test {
    /// None where every node passes.
    fn of(requirement: &NodeSelectorRequirement, cluster: &Cluster) -> Option<Self> {
        let operator = requirement.operator.as_str();
        let Some(key) = cluster.symbol(&requirement.key) else {
            return if matches!(operator, "NotIn" | "DoesNotExist") { None } else { Some(Self::Never) };
        };
        let values = requirement.values.as_deref().unwrap_or_default();
        let symbols = || values.iter().filter_map(|value| cluster.symbol(value)).collect();
        let bound = || if let [bound] = values { bound.parse().ok() } else { None };
        Some(match operator {
            "In" => Self::In(key, symbols()),
            "NotIn" => Self::NotIn(key, symbols()),
            "Exists" => Self::Exists(key),
            "DoesNotExist" => Self::Absent(key),
            "Gt" => bound().map_or(Self::Never, |bound| Self::Greater(key, bound)),
            "Lt" => bound().map_or(Self::Never, |bound| Self::Less(key, bound)),
            _ => Self::Never,
        })
    }

    fn holds(&self, node: Node<'_>) -> bool {
        let number = |key: &Symbol| node.label(*key).and_then(|value| node.text(value).parse::<i64>().ok());
        match self {
            Self::Never => false,
            Self::In(key, values) => node.label(*key).is_some_and(|value| values.contains(&value)),
            Self::NotIn(key, values) => node.label(*key).is_none_or(|value| !values.contains(&value)),
            Self::Exists(key) => node.label(*key).is_some(),
            Self::Absent(key) => node.label(*key).is_none(),
            Self::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Self::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
    }
}

impl PreFilterPlugin for NodeAffinity {
    type State = Required;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Required>, Rejection> {
        let Some(required) = Required::of(pod, cluster) else { return Ok(PreFilter::Skip) };
        let only = required.nodes(cluster);
        Ok(PreFilter::Check { state: required, reach: Reach::Node, only })
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, required: &Required, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        if required.matches(node) { Ok(()) } else { Err(Rejection::fixed("node(s) didn't match Pod's node affinity/selector")) }
    }
}

/// Terms that a pod prefers, by their weights.
#[derive(Debug)]
pub struct Preferred(Vec<(i64, Term)>);

impl PreScore for NodeAffinity {
    type State = Preferred;

    fn pre_score(&self, pod: &Pod, cluster: &Cluster) -> Option<Scoring<Preferred>> {
        let preferred = pod.shape.node_affinity.as_ref()?.preferred_during_scheduling_ignored_during_execution.as_ref()?;
        let terms: Vec<_> = preferred.iter().map(|p| (i64::from(p.weight), Term::of(&p.preference, cluster))).collect();
        (!terms.is_empty()).then_some(Scoring { state: Preferred(terms), reach: Reach::Node })
    }
}

impl Score for NodeAffinity {
    const WEIGHT: i64 = 2;
    const NORMALIZES: bool = true;

    fn score(&self, preferred: &Preferred, _: &Pod, node: Node<'_>) -> i64 {
        preferred.0.iter().filter(|(_, term)| term.matches(node)).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, raw: i64, range: Range) -> i64 {
        if range.most == 0 { 0 } else { raw * MOST_SCORE / range.most }
    }
}

#[cfg(test)]
mod tests;
