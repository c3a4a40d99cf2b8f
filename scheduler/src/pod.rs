//! [`Pod`]: what the scheduler keeps of a pod. What decides where a pod can go stands in its [`Shape`], which all
//! pods of a workload share: a pod of its own costs a name, a uid and a few words.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::scheduling::{HostPort, Resources, host_ports};
use k8s_openapi::api::core::v1::{self, NodeAffinity, PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::NamespacedName;
use parking_lot::Mutex;

use crate::intern::Interner;
use crate::peers::Rules;

/// A pod as the scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub key: NamespacedName,
    pub uid: Box<str>,
    pub shape: Arc<Shape>,
    pub labels: Arc<Labels>,
    /// Where it is bound.
    pub node: Option<Arc<str>>,
    /// The node on which room is being made for it.
    pub nominated: Option<Arc<str>>,
    pub generation: i64,
    /// When its node took it up, in seconds since 1970; 0 before that.
    pub started: i64,
    pub deleting: bool,
    /// The name of the scheduler that is to bind it.
    pub scheduler: Arc<str>,
    /// Its `PodScheduled` condition, where that is not true.
    pub condition: Option<Box<Condition>>,
}

impl Pod {
    /// Whether the other state of the pod is the same to other pods: asks for as much, and has the same labels.
    pub fn counts_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shape, &other.shape) && Arc::ptr_eq(&self.labels, &other.labels) && self.deleting == other.deleting
    }
}

/// Why the pod is not scheduled, as its status says.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub reason: Box<str>,
    pub message: Box<str>,
    pub since: Option<Time>,
}

/// Labels, in order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let mut labels: Vec<(Box<str>, Box<str>)> = labels.into_iter().map(|(k, v)| (k.as_ref().into(), v.as_ref().into())).collect();
        labels.sort_unstable();
        Self(labels.into())
    }
}

/// Everything that the pods of a workload have in common, and that decides where they can go and who goes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// What the pod takes of its node; one pod is among it.
    pub requests: Resources,
    /// The same, with a little for containers that name nothing: what nodes are compared by.
    pub assumed: Resources,
    pub priority: i32,
    /// Whether room may be made for it at others' expense.
    pub preempts: bool,
    pub tolerations: Vec<Toleration>,
    /// In order of keys.
    pub node_selector: Vec<(String, String)>,
    pub node_affinity: Option<NodeAffinity>,
    pub ports: Vec<HostPort>,
    /// The names of its scheduling gates.
    pub gates: Vec<String>,
    /// The persistent volume claims that it uses.
    pub claims: Vec<ClaimName>,
    /// What it asks of where other pods are.
    pub rules: Option<Box<Rules>>,
}

/// How a pod names a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimName {
    Given(Box<str>),
    /// The claim is made for the pod, and named by it and by the volume.
    Made(Box<str>),
}

impl ClaimName {
    fn of(volume: &v1::Volume) -> Option<Self> {
        let made = || volume.ephemeral.as_ref().map(|_| Self::Made(volume.name.as_str().into()));
        let given = volume.persistent_volume_claim.as_ref();
        given.map(|claim| Self::Given(claim.claim_name.as_str().into())).or_else(made)
    }

    /// The claim's own name.
    pub fn resolve(&self, pod: &Pod) -> String {
        match self {
            Self::Given(name) => name.to_string(),
            Self::Made(volume) => format!("{}-{volume}", pod.key.name),
        }
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    /// Of what differs most between workloads; `Eq` sees to the rest.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let r = &self.requests;
        (r.cpu_milli, r.memory_bytes, r.ephemeral_storage_bytes, self.priority, self.tolerations.len()).hash(state);
        self.node_selector.hash(state);
        self.rules.hash(state);
        self.claims.hash(state);
        let terms = self.node_affinity.as_ref().and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        for term in terms.iter().flat_map(|required| &required.node_selector_terms) {
            let of = term.match_fields.iter().chain(&term.match_expressions).flatten();
            of.for_each(|requirement| (&requirement.key, &requirement.values).hash(state));
        }
    }
}

impl Shape {
    pub fn of(pod: &v1::Pod) -> Self {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        Self {
            requests: Resources::requested(pod),
            assumed: Resources::assumed_by(spec),
            priority: spec.priority.unwrap_or_default(),
            preempts: spec.preemption_policy.as_deref() != Some("Never"),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            node_selector: spec.node_selector.clone().unwrap_or_default().into_iter().collect(),
            node_affinity: spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone()),
            ports: host_ports(spec),
            claims: spec.volumes.iter().flatten().filter_map(ClaimName::of).collect(),
            rules: Rules::of(pod).map(Box::new),
            gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
        }
    }
}

/// A text that says something.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Makes [`Pod`]s, and shares what they have in common.
#[derive(Default)]
pub struct Pods {
    interned: Mutex<Interned>,
}

#[derive(Default)]
struct Interned {
    shapes: Interner<Shape>,
    labels: Interner<Labels>,
    texts: Interner<str>,
}

impl Pods {
    pub fn project(&self, pod: &v1::Pod) -> Pod {
        let shape = Arc::new(Shape::of(pod));
        let labels: Arc<Labels> = Arc::new(pod.metadata.labels.iter().flatten().collect());
        let spec = pod.spec.as_ref();
        let mut interned = self.interned.lock();
        let mut text = |text: &str| interned.texts.intern(text);
        Pod {
            key: NamespacedName {
                namespace: text(pod.metadata.namespace.as_deref().unwrap_or_default()),
                name: pod.metadata.name.as_deref().unwrap_or_default().into(),
            },
            uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
            node: given(spec.and_then(|spec| spec.node_name.as_ref())).map(&mut text),
            nominated: given(pod.status.as_ref().and_then(|status| status.nominated_node_name.as_ref())).map(&mut text),
            scheduler: text(given(spec.and_then(|spec| spec.scheduler_name.as_ref())).unwrap_or("default-scheduler")),
            generation: pod.metadata.generation.unwrap_or_default(),
            started: pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(0, |at| at.0.as_second()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            condition: condition(pod),
            shape: interned.shapes.intern(shape),
            labels: interned.labels.intern(labels),
        }
    }
}

fn condition(pod: &v1::Pod) -> Option<Box<Condition>> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status != "True")?;
    Some(Box::new(Condition {
        reason: scheduled.reason.as_deref().unwrap_or_default().into(),
        message: scheduled.message.as_deref().unwrap_or_default().into(),
        since: scheduled.last_transition_time.clone(),
    }))
}

impl AsRef<Self> for Shape {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_pods_of_a_workload_share_their_shape() {
        let pods = Pods::default();
        let a = pods.project(&fixture::pod_object("a", serde_json::json!({})));
        let b = pods.project(&fixture::pod_object("b", serde_json::json!({"nodeName": "n"})));
        let c = pods.project(&fixture::pod_object("c", serde_json::json!({"priority": 1})));
        assert!(Arc::ptr_eq(&a.shape, &b.shape) && Arc::ptr_eq(&a.labels, &b.labels));
        assert_ne!(a.shape, c.shape);
        assert_eq!(b.node.as_deref(), Some("n"));
    }
}
