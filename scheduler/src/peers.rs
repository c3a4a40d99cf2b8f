//! [`Peers`]: the pods that a rule speaks of; [`Rules`]: what a pod asks of where its peers are, by pod affinity and
//! topology spread constraints. Rules are compiled once for each shape; who counts as a peer is kept count of by
//! [`crate::cache::Cluster`].

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use k8s_openapi::api::core::v1::{self, Affinity, PodAffinityTerm, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use machinery::labels::Selector;

use crate::pod::{Labels, Pod};

/// The labels of namespaces, by name.
pub type Namespaces = HashMap<Arc<str>, Labels>;

/// A group of pods. Those belong to it that satisfy all terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    terms: Box<[Term]>,
    /// Pods that are being deleted do not count.
    living: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    namespaces: Scope,
    labels: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scope {
    names: Box<[Box<str>]>,
    /// Namespaces with these labels too.
    selected: Option<Selector>,
}

type TopologyKeys = Box<[Box<str>]>;

/// What a pod asks of its peers' places. Most pods ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Required affinity: peers are those that satisfy all of its terms, and must be in the node's domain of each key.
    pub together: Option<(Arc<Peers>, TopologyKeys)>,
    /// Required anti-affinity: no peer may be in the node's domain.
    pub apart: Box<[Rule]>,
    /// Preferred affinity and (with negative weights) anti-affinity, and, with the weight of 1, each term of the
    /// required affinity: what this pod brings to the scoring of others.
    pub attraction: Box<[(Rule, i64)]>,
    /// How many of `attraction`, from its start, count in the scoring of the pod itself: the preferred ones.
    pub preferences: usize,
    pub spread: Box<[Spread]>,
}

/// Peers, and the label of nodes by whose values domains are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub peers: Arc<Peers>,
    pub topology_key: Box<str>,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    pub rule: Rule,
    pub max_skew: i64,
    /// `DoNotSchedule`.
    pub required: bool,
    pub min_domains: usize,
    /// Domains are those of nodes that the pod's node affinity lets pass.
    pub honors_affinity: bool,
    /// Domains are those of nodes whose taints the pod tolerates.
    pub honors_taints: bool,
}

impl Peers {
    pub fn contains(&self, pod: &Pod, namespaces: &Namespaces) -> bool {
        !(self.living && pod.deleting)
            && self
                .terms
                .iter()
                .all(|term| term.namespaces.contains(&pod.key.namespace, namespaces) && term.labels.matches_by(|key| pod.labels.get(key)))
    }

    /// Whether membership depends on the labels of namespaces.
    pub fn selects_namespaces(&self) -> bool {
        self.terms.iter().any(|term| term.namespaces.selected.as_ref().is_some_and(|selector| !selector.is_everything()))
    }
}

impl Scope {
    fn contains(&self, namespace: &str, namespaces: &Namespaces) -> bool {
        self.names.iter().any(|name| **name == *namespace)
            || self.selected.as_ref().is_some_and(|selector| {
                selector.is_everything() || namespaces.get(namespace).is_some_and(|labels| selector.matches_by(|key| labels.get(key)))
            })
    }
}

impl Rules {
    /// None where the pod has none.
    pub fn of(pod: &v1::Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
        let nothing = Affinity::default();
        let affinity = spec.affinity.as_ref().unwrap_or(&nothing);
        if constraints.is_empty() && affinity.pod_affinity.is_none() && affinity.pod_anti_affinity.is_none() {
            return None;
        }
        let rule = |term: &PodAffinityTerm| Rule {
            peers: Arc::new(Peers::of_terms([term], pod)),
            topology_key: term.topology_key.as_str().into(),
        };
        let (near, far) = (affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref());
        let together = near.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let apart = far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let liked = near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let disliked = far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let liked = liked.iter().map(|term| (rule(&term.pod_affinity_term), i64::from(term.weight)));
        let disliked = disliked.iter().map(|term| (rule(&term.pod_affinity_term), -i64::from(term.weight)));
        let preferred: Vec<_> = liked.chain(disliked).collect();
        Some(Self {
            together: (!together.is_empty()).then(|| {
                (Arc::new(Peers::of_terms(together, pod)), together.iter().map(|term| term.topology_key.as_str().into()).collect())
            }),
            apart: apart.iter().map(rule).collect(),
            preferences: preferred.len(),
            attraction: preferred.into_iter().chain(together.iter().map(|term| (rule(term), 1))).collect(),
            spread: constraints.iter().map(|constraint| Spread::of(constraint, pod)).collect(),
        })
    }

    /// All groups whose counts the pod's placement needs.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peers>> {
        let together = self.together.iter().map(|(peers, _)| peers);
        let apart = self.apart.iter().map(|rule| &rule.peers);
        let preferred = self.attraction[..self.preferences].iter().map(|(rule, _)| &rule.peers);
        together.chain(apart).chain(preferred).chain(self.spread.iter().map(|spread| &spread.rule.peers))
    }
}

impl Peers {
    fn of_terms<'a>(terms: impl IntoIterator<Item = &'a PodAffinityTerm>, pod: &v1::Pod) -> Self {
        let own = pod.metadata.namespace.as_deref().unwrap_or_default();
        let term = |term: &PodAffinityTerm| {
            let names: Box<[Box<str>]> = term.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
            let namespaces = match &term.namespace_selector {
                None if names.is_empty() => Scope { names: [own.into()].into(), selected: None },
                None => Scope { names, selected: None },
                Some(selector) => Scope { names, selected: Some(compile(Some(selector))) },
            };
            let labels = narrowed(term.label_selector.as_ref(), pod, &term.match_label_keys, &term.mismatch_label_keys);
            Term { namespaces, labels: compile(labels.as_ref()) }
        };
        Self { terms: terms.into_iter().map(term).collect(), living: false }
    }
}

impl Spread {
    fn of(constraint: &TopologySpreadConstraint, pod: &v1::Pod) -> Self {
        let own = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = narrowed(constraint.label_selector.as_ref(), pod, &constraint.match_label_keys, &None);
        let term = Term { namespaces: Scope { names: [own.into()].into(), selected: None }, labels: compile(labels.as_ref()) };
        let honors = |policy: &Option<String>, otherwise: bool| policy.as_deref().map_or(otherwise, |policy| policy == "Honor");
        Self {
            rule: Rule {
                peers: Arc::new(Peers { terms: [term].into(), living: true }),
                topology_key: constraint.topology_key.as_str().into(),
            },
            max_skew: i64::from(constraint.max_skew),
            required: constraint.when_unsatisfiable == "DoNotSchedule",
            min_domains: constraint.min_domains.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
            honors_affinity: honors(&constraint.node_affinity_policy, true),
            honors_taints: honors(&constraint.node_taints_policy, false),
        }
    }
}

/// The selector with the pod's own values of some labels required, and of others forbidden.
fn narrowed(
    selector: Option<&LabelSelector>,
    pod: &v1::Pod,
    same: &Option<Vec<String>>,
    other: &Option<Vec<String>>,
) -> Option<LabelSelector> {
    let mut selector = selector?.clone();
    let none = BTreeMap::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    for (keys, operator) in [(same, "In"), (other, "NotIn")] {
        let requirements = keys.iter().flatten().filter_map(|key| {
            let values = Some(vec![labels.get(key)?.clone()]);
            Some(LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values })
        });
        selector.match_expressions.get_or_insert_default().extend(requirements);
    }
    Some(selector)
}

/// Validation lets no selector pass that cannot be compiled; one that did selects nothing.
fn compile(selector: Option<&LabelSelector>) -> Selector {
    Selector::of(selector).unwrap_or_else(|_| Selector::nothing())
}
