//! [`Pod`]: what the kubelet keeps of a pod, and no more. With thousands of nodes in one process it has all pods
//! of the cluster in memory, and an API object is several times as large.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::scheduling::ports::{HostPort, host_ports};
use api::scheduling::resources::{Resources, is_sidecar};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    self as core, Affinity, Container as ApiContainer, ContainerRestartRule, PodCondition, PodSpec, PodStatus, Probe as ApiProbe,
    ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use machinery::shared::{Pool, Recent};
use machinery::{NamespacedName, ResourceVersion};

/// The condition types that the kubelet owns; all others are somebody else's.
pub const OWN_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// Taints by which the control plane says that it does not hear of a node. Its kubelet knows better.
pub const OWN_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// The identity of a pod over its life: a pod made anew under the same name is another one.
pub type Uid = Arc<str>;

/// Labels or annotations.
type Texts = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub uid: Uid,
    /// The metadata that is the pod's own; [`Pod::metadata`] has all.
    meta: ObjectMeta,
    labels: Option<Arc<Texts>>,
    annotations: Option<Arc<Texts>>,
    owners: Option<Arc<[OwnerReference]>>,
    pub version: ResourceVersion,
    pub node: Arc<str>,
    pub host_network: bool,
    pub restart_policy: RestartPolicy,
    pub active_deadline_seconds: Option<i64>,
    pub deletion: Option<Deletion>,
    pub readiness_gates: Vec<String>,
    /// Init containers in order, then the others.
    pub containers: Arc<[Container]>,
    pub host_ports: Vec<HostPort>,
    pub requests: Resources,
    /// The part of the spec that says which nodes the pod wants, where there is one.
    pub placement: Option<Box<PodSpec>>,
    /// Of NoExecute taints, the only ones that a kubelet refuses pods for.
    pub tolerations: Vec<Toleration>,
    /// The phase that the API server shows.
    pub phase: Option<String>,
    pub qos_class: Option<String>,
    /// Those that are not the kubelet's.
    pub conditions: Vec<PodCondition>,
    /// What else of the status is not the kubelet's, where there is anything.
    pub foreign: Option<Box<PodStatus>>,
    /// When each container ran, of a pod that has ended.
    pub ended: Box<[Option<(Timestamp, Timestamp)>]>,
    /// The whole status, in pods that may have run here before this process.
    pub history: Option<Box<PodStatus>>,
}

/// The pod has been deleted and is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When its grace ends.
    pub deadline: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that goes on running beside the others.
    Sidecar,
    Main,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub name: String,
    pub kind: Kind,
    pub image: String,
    /// `command` followed by `args`.
    pub command: Vec<String>,
    /// Its own restart policy, where it has one.
    pub restart_policy: Option<RestartPolicy>,
    pub restart_rules: Vec<RestartRule>,
    pub startup: Option<Probe>,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    pub resources: Option<Box<ResourceRequirements>>,
}

/// Restarts the container, or not, for certain exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRule {
    pub codes: Vec<i32>,
    /// Whether the rule is for these codes, or for all others.
    pub within: bool,
}

/// When a probe's first answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub initial_delay_seconds: i64,
    pub period_seconds: i64,
    pub success_threshold: i64,
}

impl Pod {
    /// What the kubelet needs of an API object. `with_history` keeps the whole status too.
    pub fn of(pod: &core::Pod, with_history: bool, templates: &Templates) -> Self {
        let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let status = pod.status.as_ref().unwrap_or(&no_status);
        let meta = &pod.metadata;
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            version: meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default(),
            node: spec.node_name.as_deref().unwrap_or_default().into(),
            host_network: spec.host_network.unwrap_or_default(),
            restart_policy: spec.restart_policy.as_deref().and_then(RestartPolicy::parse).unwrap_or(RestartPolicy::Always),
            active_deadline_seconds: spec.active_deadline_seconds,
            deletion: meta.deletion_timestamp.as_ref().map(|at| Deletion { deadline: at.0 }),
            readiness_gates: spec.readiness_gates.iter().flatten().map(|gate| gate.condition_type.clone()).collect(),
            host_ports: host_ports(spec),
            requests: Resources::requested(pod),
            placement: placement(spec),
            tolerations: tolerations(spec),
            ended: ended(spec, status),
            containers: templates.containers(containers(spec)),
            phase: status.phase.clone(),
            history: with_history.then(|| Box::new(status.clone())),
            qos_class: status.qos_class.clone(),
            conditions: foreign_conditions(status),
            foreign: foreign(status),
            labels: templates.texts(meta.labels.as_ref()),
            annotations: templates.texts(meta.annotations.as_ref()),
            owners: templates.owners(meta.owner_references.as_ref()),
            meta: own_metadata(meta),
        }
    }

    /// The object's metadata, without managed fields.
    pub fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            labels: self.labels.as_deref().cloned(),
            annotations: self.annotations.as_deref().cloned(),
            owner_references: self.owners.as_ref().map(|owners| owners.to_vec()),
            ..self.meta.clone()
        }
    }

    /// A status that says what is not the kubelet's to say.
    pub fn foreign_status(&self) -> PodStatus {
        let rest = self.foreign.as_deref().cloned().unwrap_or_default();
        PodStatus { qos_class: self.qos_class.clone(), conditions: Some(self.conditions.clone()), ..rest }
    }

    pub fn key(&self) -> NamespacedName {
        NamespacedName::of(&self.meta)
    }

    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// How long it may take to end, where its deletion does not say.
    pub fn grace_seconds(&self) -> i64 {
        self.meta.deletion_grace_period_seconds.unwrap_or(30)
    }

    pub fn generation(&self) -> Option<i64> {
        self.meta.generation
    }

    /// Whether it ended, as the API server shows it.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    pub fn is_owned_by(&self, kind: &str) -> bool {
        self.owners.iter().flat_map(|owners| owners.iter()).any(|owner| owner.kind == kind)
    }

    /// An annotation for one container (`<name>.<container>`), or else for all (`<name>`).
    pub fn annotation(&self, prefix: &str, name: &str, container: &str) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        let own = annotations.get(&format!("{prefix}/{name}.{container}"));
        own.or_else(|| annotations.get(&format!("{prefix}/{name}"))).map(String::as_str)
    }
}

impl RestartPolicy {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }
}

fn containers(spec: &PodSpec) -> Vec<Container> {
    let init = spec.init_containers.iter().flatten().map(|container| {
        let kind = if is_sidecar(container) { Kind::Sidecar } else { Kind::Init };
        Container::of(container, kind)
    });
    init.chain(spec.containers.iter().map(|container| Container::of(container, Kind::Main))).collect()
}

/// When the containers of a pod that has ended ran; nothing for one that has not.
fn ended(spec: &PodSpec, status: &PodStatus) -> Box<[Option<(Timestamp, Timestamp)>]> {
    if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Box::default();
    }
    let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let life = |container: &ApiContainer| {
        let ended = statuses().find(|one| one.name == container.name)?.state.as_ref()?.terminated.as_ref()?;
        Some((ended.started_at.as_ref()?.0, ended.finished_at.as_ref()?.0))
    };
    spec.init_containers.iter().flatten().chain(&spec.containers).map(life).collect()
}

/// Labels, annotations and owners are many pods' in common, and managed fields nothing to a kubelet.
fn own_metadata(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        creation_timestamp: meta.creation_timestamp.clone(),
        deletion_grace_period_seconds: meta.deletion_grace_period_seconds,
        deletion_timestamp: meta.deletion_timestamp.clone(),
        finalizers: meta.finalizers.clone(),
        generate_name: meta.generate_name.clone(),
        generation: meta.generation,
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        resource_version: meta.resource_version.clone(),
        uid: meta.uid.clone(),
        ..ObjectMeta::default()
    }
}

/// Conditions that are not the kubelet's. Of the usual one, a vector grown by itself would have room for three more.
fn foreign_conditions(status: &PodStatus) -> Vec<PodCondition> {
    let foreign = || status.conditions.iter().flatten().filter(|c| !OWN_CONDITIONS.contains(&c.type_.as_str()));
    let mut conditions = Vec::with_capacity(foreign().count());
    conditions.extend(foreign().cloned());
    conditions
}

impl Container {
    fn of(container: &ApiContainer, kind: Kind) -> Self {
        Self {
            name: container.name.clone(),
            kind,
            image: container.image.clone().unwrap_or_default(),
            command: container.command.iter().flatten().chain(container.args.iter().flatten()).cloned().collect(),
            restart_policy: container.restart_policy.as_deref().and_then(RestartPolicy::parse),
            restart_rules: container.restart_policy_rules.iter().flatten().filter_map(RestartRule::of).collect(),
            startup: container.startup_probe.as_ref().map(Probe::of),
            readiness: container.readiness_probe.as_ref().map(Probe::of),
            liveness: container.liveness_probe.as_ref().map(Probe::of),
            resources: container.resources.clone().filter(|resources| *resources != ResourceRequirements::default()).map(Box::new),
        }
    }
}

impl RestartRule {
    fn of(rule: &ContainerRestartRule) -> Option<Self> {
        let codes = rule.exit_codes.as_ref().filter(|_| rule.action == "Restart")?;
        Some(Self { codes: codes.values.clone().unwrap_or_default(), within: codes.operator == "In" })
    }

    pub fn applies(&self, code: i32) -> bool {
        self.codes.contains(&code) == self.within
    }
}

impl Probe {
    fn of(probe: &ApiProbe) -> Self {
        Self {
            initial_delay_seconds: probe.initial_delay_seconds.unwrap_or_default().into(),
            period_seconds: probe.period_seconds.unwrap_or(10).into(),
            success_threshold: probe.success_threshold.unwrap_or(1).into(),
        }
    }

    /// How long after its first chance the probe has succeeded, if every answer is a success.
    pub fn seconds_until_success(&self) -> i64 {
        self.initial_delay_seconds + self.period_seconds * (self.success_threshold - 1).max(0)
    }
}

/// Lets pods that were made from one template share what the template says.
#[derive(Default)]
pub struct Templates {
    containers: Recent<[Container]>,
    texts: Pool<Texts>,
    owners: Recent<[OwnerReference]>,
}

impl Templates {
    fn containers(&self, containers: Vec<Container>) -> Arc<[Container]> {
        self.containers.share_slice(&containers)
    }

    fn texts(&self, texts: Option<&Texts>) -> Option<Arc<Texts>> {
        texts.map(|texts| self.texts.share(texts, |texts| Arc::new(texts.clone())))
    }

    fn owners(&self, owners: Option<&Vec<OwnerReference>>) -> Option<Arc<[OwnerReference]>> {
        owners.map(|owners| self.owners.share_slice(owners))
    }
}

/// The part of a spec that says which nodes the pod wants; None where it says nothing.
fn placement(spec: &PodSpec) -> Option<Box<PodSpec>> {
    let node_affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let says_something = node_affinity.is_some() || spec.node_selector.as_ref().is_some_and(|selector| !selector.is_empty());
    says_something.then(|| {
        Box::new(PodSpec {
            affinity: node_affinity.map(|node_affinity| Affinity { node_affinity: Some(node_affinity), ..Affinity::default() }),
            node_selector: spec.node_selector.clone(),
            ..PodSpec::default()
        })
    })
}

/// The tolerations that matter to a kubelet; those of its own taints do not.
fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let matters = |toleration: &&Toleration| {
        let effect = matches!(toleration.effect.as_deref(), None | Some("" | "NoExecute"));
        effect && !toleration.key.as_deref().is_some_and(|key| OWN_TAINTS.contains(&key))
    };
    spec.tolerations.iter().flatten().filter(matters).cloned().collect()
}

/// What of a status, besides conditions, is not the kubelet's; None where there is nothing.
fn foreign(status: &PodStatus) -> Option<Box<PodStatus>> {
    let foreign = PodStatus {
        allocated_resources: status.allocated_resources.clone(),
        ephemeral_container_statuses: status.ephemeral_container_statuses.clone(),
        extended_resource_claim_status: status.extended_resource_claim_status.clone(),
        node_allocatable_resource_claim_statuses: status.node_allocatable_resource_claim_statuses.clone(),
        nominated_node_name: status.nominated_node_name.clone(),
        resize: status.resize.clone(),
        resource_claim_statuses: status.resource_claim_statuses.clone(),
        resources: status.resources.clone(),
        ..PodStatus::default()
    };
    (foreign != PodStatus::default()).then(|| Box::new(foreign))
}
