//! Which nodes a DaemonSet's pods fit, by the predicates that the scheduler goes by, and what such a pod looks like.

use api::scheduling::{affinity, taints};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec, Toleration};

use crate::controllers::replicas::pod_of;
use crate::controllers::revisions::HASH_LABEL;
use crate::world::{NodeRow, Whole};

/// Carried over from the time when DaemonSets counted their templates.
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

/// What every daemon pod tolerates: conditions of its node that a daemon is there to see through.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The same, for pods in the host's network.
const TOLERATED_IN_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether a node is to have a pod, and whether one that it has may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub run: bool,
    pub stay: bool,
}

pub(super) struct Placement {
    /// The template's spec, with the daemon's tolerations.
    spec: PodSpec,
}

impl Placement {
    pub(super) fn of(template: &PodTemplateSpec) -> Self {
        let mut spec = template.spec.clone().unwrap_or_default();
        tolerate(&mut spec);
        Self { spec }
    }

    pub(super) fn judge(&self, node: &NodeRow) -> Verdict {
        let elsewhere = self.spec.node_name.as_deref().is_some_and(|name| !name.is_empty() && name != node.name());
        if elsewhere || !affinity::matches_node(&self.spec, node.name(), &node.labels) {
            return Verdict { run: false, stay: false };
        }
        let tolerations = self.spec.tolerations.as_deref().unwrap_or_default();
        let repels = |effects: &[&str]| taints::first_untolerated(&node.taints, tolerations, effects).is_some();
        Verdict { run: !repels(&["NoSchedule", "NoExecute"]), stay: !repels(&["NoExecute"]) }
    }

    /// The pod for a node. It is left to the scheduler, which can place it on that node alone.
    pub(super) fn pod(&self, set: &Whole<DaemonSet>, template: &PodTemplateSpec, node: &str, name: String, hash: &str) -> Pod {
        let mut pod = pod_of(template, set, name, &format!("{}-", set.header().name()));
        let mut spec = self.spec.clone();
        pin(&mut spec, node);
        pod.spec = Some(spec);
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
        if let Some(generation) = set.metadata.annotations.as_ref().and_then(|a| a.get(GENERATION_ANNOTATION)) {
            labels.insert(GENERATION_LABEL.to_owned(), generation.clone());
        }
        pod
    }
}

fn tolerate(spec: &mut PodSpec) {
    let host = spec.host_network == Some(true);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(host.then_some(TOLERATED_IN_HOST_NETWORK)) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
}

/// Requires the node by its name, in each of the terms that the template requires.
fn pin(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement { key: "metadata.name".to_owned(), operator: "In".to_owned(), values: Some(vec![node.to_owned()]) };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(|| NodeSelector { node_selector_terms: Vec::new() });
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![field.clone()]);
    }
}
