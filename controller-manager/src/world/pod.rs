//! [`PodRow`]: what controllers need of a pod, a few hundred bytes of it. Five thousand pods are one table of these,
//! shared by all controllers.

use std::sync::Arc;

use api::quota::PodUsage;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodResourceClaim, PodResourceClaimStatus, PodSpec, PodStatus, Toleration};

use super::row::{Header, Interner, Row};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some("Unknown") => Self::Unknown,
            _ => Self::Pending,
        }
    }

    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A named port of a container, as Services refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    pub name: String,
    pub port: i32,
    pub protocol: String,
}

/// How a finished pod ended: what a Job's policies ask about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Container name and exit code, init containers first.
    pub exits: Vec<(String, i32)>,
    /// Condition type and status.
    pub conditions: Vec<(String, String)>,
    /// When the last container ended.
    pub finished: Option<Timestamp>,
}

/// The devices that a pod asks for, and the claims that were made for it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceClaims {
    pub asked: Vec<PodResourceClaim>,
    pub made: Vec<PodResourceClaimStatus>,
}

impl DeviceClaims {
    fn of(spec: &PodSpec, status: &PodStatus) -> Option<Box<Self>> {
        let asked = spec.resource_claims.clone().filter(|asked| !asked.is_empty())?;
        Some(Box::new(Self { asked, made: status.resource_claim_statuses.clone().unwrap_or_default() }))
    }

    /// The claim that stands for an entry of `asked`: as named there, or as it was made. `Some(None)`: none is needed.
    pub fn name_of<'a>(&'a self, asked: &'a PodResourceClaim) -> Option<Option<&'a str>> {
        if let Some(name) = &asked.resource_claim_name {
            return Some(Some(name));
        }
        let made = self.made.iter().find(|made| made.name == asked.name)?;
        Some(made.resource_claim_name.as_deref())
    }

    /// The names of all claims that are known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().filter_map(|asked| self.name_of(asked).flatten())
    }
}

pub struct PodRow {
    header: Header,
    pub phase: Phase,
    /// Since when the pod is ready; None while it is not. A ready condition without a time counts from creation.
    pub ready_since: Option<Timestamp>,
    /// When the Ready condition last changed, whatever it says.
    pub ready_changed: Option<Timestamp>,
    pub scheduled: bool,
    /// The condition `DisruptionTarget` is true.
    pub disrupted: bool,
    /// The node that the pod is bound to.
    pub node: Option<Arc<str>>,
    /// The one node that required affinity by `metadata.name` allows, as DaemonSets pin their pods.
    pub pinned: Option<Arc<str>>,
    pub ips: Box<[Box<str>]>,
    pub ports: Box<[NamedPort]>,
    pub hostname: Option<Box<str>>,
    pub subdomain: Option<Box<str>>,
    pub tolerations: Arc<[Toleration]>,
    /// The largest restart count of a container.
    pub most_restarts: i32,
    /// All restarts of all containers.
    pub restarts: i32,
    /// `controller.kubernetes.io/pod-deletion-cost`.
    pub deletion_cost: i32,
    /// `batch.kubernetes.io/job-completion-index`.
    pub completion_index: Option<i32>,
    /// `batch.kubernetes.io/job-index-failure-count`, and the ignored ones.
    pub index_failures: Option<i32>,
    /// Names of the claims that the pod's volumes use.
    pub claims: Box<[Box<str>]>,
    pub devices: Option<Box<DeviceClaims>>,
    /// The claim that the scheduler has made for the pod's extended resources.
    pub extended_claim: Option<Box<str>>,
    pub outcome: Option<Box<Outcome>>,
    pub generation: i64,
    /// What quotas see in the pod while it runs.
    pub usage: Arc<PodUsage>,
    /// From then on the pod takes no resources any more, even if nobody says that it ended.
    pub expires: Option<Timestamp>,
}

impl PodRow {
    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Ready for at least `min_ready_seconds`.
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        let Some(since) = self.ready_since else { return false };
        min_ready_seconds <= 0 || since.as_second() + i64::from(min_ready_seconds) <= now.as_second()
    }

    /// Neither finished nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.phase.is_finished() && !self.header.is_terminating()
    }
}

impl Row for PodRow {
    type Source = Pod;

    fn project(pod: &Pod, intern: &Interner) -> Self {
        let header = Header::of(&pod.metadata, intern);
        let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let status = pod.status.as_ref().unwrap_or(&no_status);
        let phase = Phase::parse(status.phase.as_deref());
        let condition = |name: &str| status.conditions.iter().flatten().find(|c| c.type_ == name);
        let ready = condition("Ready");
        let ready_changed = ready.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0);
        let annotation = |name: &str| pod.metadata.annotations.as_ref().and_then(|a| a.get(name)?.parse::<i32>().ok());
        let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        Self {
            phase,
            ready_since: ready.filter(|c| c.status == "True").and(ready_changed.or(header.created)),
            ready_changed,
            scheduled: condition("PodScheduled").is_some_and(|c| c.status == "True"),
            disrupted: condition("DisruptionTarget").is_some_and(|c| c.status == "True"),
            node: spec.node_name.as_deref().filter(|n| !n.is_empty()).map(|node| intern.text(node)),
            pinned: pinned_node(spec).map(|node| intern.text(node)),
            ips: addresses(status),
            ports: named_ports(spec),
            hostname: spec.hostname.as_deref().map(Into::into),
            subdomain: spec.subdomain.as_deref().map(Into::into),
            tolerations: intern.tolerations(spec.tolerations.as_deref().unwrap_or_default()),
            most_restarts: statuses().map(|s| s.restart_count).max().unwrap_or(0),
            restarts: statuses().map(|s| s.restart_count).sum(),
            deletion_cost: annotation("controller.kubernetes.io/pod-deletion-cost").unwrap_or(0),
            completion_index: annotation("batch.kubernetes.io/job-completion-index"),
            index_failures: annotation("batch.kubernetes.io/job-index-failure-count"),
            claims: spec
                .volumes
                .iter()
                .flatten()
                .filter_map(|v| v.persistent_volume_claim.as_ref())
                .map(|claim| claim.claim_name.as_str().into())
                .collect(),
            devices: DeviceClaims::of(spec, status),
            extended_claim: status.extended_resource_claim_status.as_ref().map(|made| made.resource_claim_name.as_str().into()),
            outcome: phase.is_finished().then(|| Box::new(outcome(status, statuses()))),
            generation: pod.metadata.generation.unwrap_or(0),
            usage: intern.usage(PodUsage::of(pod)),
            expires: PodUsage::expiry(pod),
            header,
        }
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn node(&self) -> Option<&Arc<str>> {
        self.node.as_ref()
    }
}

impl std::ops::Deref for PodRow {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

fn addresses(status: &PodStatus) -> Box<[Box<str>]> {
    let all = status.pod_ips.as_deref().unwrap_or_default();
    if all.is_empty() {
        return status.pod_ip.iter().filter(|ip| !ip.is_empty()).map(|ip| ip.as_str().into()).collect();
    }
    all.iter().map(|ip| ip.ip.as_str().into()).collect()
}

fn named_ports(spec: &PodSpec) -> Box<[NamedPort]> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let name = port.name.clone().filter(|name| !name.is_empty())?;
            Some(NamedPort { name, port: port.container_port, protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()) })
        })
        .collect()
}

fn pinned_node(spec: &PodSpec) -> Option<&str> {
    let required = spec.affinity.as_ref()?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let [term] = required.node_selector_terms.as_slice() else {
        // DaemonSets give every term the same pin.
        return required.node_selector_terms.first().and_then(pin_of);
    };
    pin_of(term)
}

fn pin_of(term: &k8s_openapi::api::core::v1::NodeSelectorTerm) -> Option<&str> {
    let field = term.match_fields.iter().flatten().find(|f| f.key == "metadata.name" && f.operator == "In")?;
    match field.values.as_deref()? {
        [node] => Some(node),
        _ => None,
    }
}

fn outcome<'a>(status: &PodStatus, containers: impl Iterator<Item = &'a ContainerStatus>) -> Outcome {
    let ended: Vec<_> = containers.filter_map(|c| Some((c, c.state.as_ref()?.terminated.as_ref()?))).collect();
    Outcome {
        exits: ended.iter().map(|(c, end)| (c.name.clone(), end.exit_code)).collect(),
        conditions: status.conditions.iter().flatten().map(|c| (c.type_.clone(), c.status.clone())).collect(),
        finished: ended.iter().filter_map(|(_, end)| end.finished_at.as_ref()).map(|t| t.0).max(),
    }
}
