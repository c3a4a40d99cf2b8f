//! What users see of a pod: its phase, conditions and container statuses.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP, PodCondition, PodIP,
    PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Backoff, ContainerProgress, Ending, LastExit, PULL_ERROR_SHOWN, Progress, restart};
use crate::pod::{Container, Kind, OWN_CONDITIONS, Pod};
use crate::runtime::{Exit, Observation, Observed, State};

/// The last states of the kubelet's own conditions and when they came about, in the order of [`OWN_CONDITIONS`].
pub type Transitions = [Option<(bool, Timestamp)>; OWN_CONDITIONS.len()];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    fn parse(text: Option<&str>) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed].into_iter().find(|phase| Some(phase.as_str()) == text)
    }
}

/// The status of a pod on the node with address `host`.
pub fn status(pod: &Pod, seen: &Observation, progress: &mut Progress, host: &str, now: Timestamp) -> PodStatus {
    if let Some(rejection) = progress.rejection.clone() {
        return PodStatus {
            phase: Some(Phase::Failed.as_str().to_owned()),
            reason: Some(rejection.reason),
            message: Some(rejection.message),
            start_time: progress.started_at.map(time),
            observed_generation: pod.generation(),
            ..pod.foreign_status()
        };
    }
    let view = View { pod, seen, progress, now };
    let (init, main): (Vec<usize>, Vec<usize>) = (0..pod.containers.len()).partition(|c| pod.containers[*c].kind != Kind::Main);
    let phase = view.phase();
    let (reason, message) = view.reason(phase);
    let init: Vec<_> = init.into_iter().map(|container| view.container(container, phase)).collect();
    let main: Vec<_> = main.into_iter().map(|container| view.container(container, phase)).collect();
    let facts = view.facts(phase, &init, &main);
    let addresses =
        if pod.host_network && (seen.sandbox.is_some() || progress.over) { vec![host.to_owned()] } else { progress.addresses.clone() };
    let started_at = progress.started_at;
    let mut conditions = own_conditions(pod, progress, facts, now);
    conditions.extend(pod.conditions.iter().cloned());
    // Whoever binds a pod says that it is scheduled; of one that was made for its node the kubelet does.
    if conditions.iter().all(|condition| condition.type_ != "PodScheduled") {
        conditions.push(scheduled(pod, started_at.unwrap_or(now)));
    }
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason,
        message,
        start_time: started_at.map(time),
        host_ip: Some(host.to_owned()),
        host_ips: Some(vec![HostIP { ip: host.to_owned() }]),
        pod_ip: addresses.first().cloned(),
        pod_ips: (!addresses.is_empty()).then(|| addresses.into_iter().map(|ip| PodIP { ip }).collect()),
        conditions: Some(conditions),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(main),
        observed_generation: pod.generation(),
        ..pod.foreign_status()
    }
}

/// The API's times count whole seconds.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

struct View<'a> {
    pod: &'a Pod,
    seen: &'a Observation,
    progress: &'a Progress,
    now: Timestamp,
}

/// A condition's status, reason and message.
type Fact = (bool, Option<&'static str>, Option<String>);

impl View<'_> {
    fn phase(&self) -> Phase {
        if self.progress.ending == Some(Ending::DeadlineExceeded) {
            return if self.progress.over { Phase::Failed } else { self.phase_of_containers() };
        }
        if self.progress.ending == Some(Ending::Declared) {
            return Phase::parse(self.pod.phase.as_deref()).unwrap_or(Phase::Failed);
        }
        match self.phase_of_containers() {
            // A pod is not over before its sidecars are.
            Phase::Succeeded | Phase::Failed if !self.progress.over => Phase::Running,
            phase => phase,
        }
    }

    fn phase_of_containers(&self) -> Phase {
        if !self.is_initialized() && !self.progress.over {
            return Phase::Pending;
        }
        let (mut waiting, mut up, mut failed, mut ended) = (0, 0, 0, 0);
        for (index, container) in self.of_kind(Kind::Main) {
            match self.seen.container(index).map(|observed| &observed.state) {
                Some(State::Running { .. }) => up += 1,
                Some(State::Exited(exit)) if self.progress.over || !self.restarts(container, exit) => {
                    ended += 1;
                    failed += i32::from(exit.code != 0);
                }
                // It ran before and will run again.
                Some(State::Exited(_)) => up += 1,
                Some(_) if self.progress.containers[index].restarts > 0 => up += 1,
                _ => waiting += 1,
            }
        }
        let init_failed = self.of_kind(Kind::Init).any(|(index, _)| self.exit(index).is_some_and(|exit| exit.code != 0));
        match (self.progress.over, waiting, up) {
            (true, ..) if init_failed || failed > 0 || (waiting > 0 && ended == 0) => Phase::Failed,
            (true, ..) => Phase::Succeeded,
            (false, 0, 0) if failed > 0 => Phase::Failed,
            (false, 0, 0) => Phase::Succeeded,
            (false, 0, _) => Phase::Running,
            _ => Phase::Pending,
        }
    }

    fn reason(&self, phase: Phase) -> (Option<String>, Option<String>) {
        if self.progress.ending == Some(Ending::DeadlineExceeded) && phase == Phase::Failed {
            let message = "the pod ran for longer than its activeDeadlineSeconds";
            return (Some("DeadlineExceeded".to_owned()), Some(message.to_owned()));
        }
        (None, None)
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (usize, &Container)> {
        self.pod.containers.iter().enumerate().filter(move |(_, container)| container.kind == kind)
    }

    fn exit(&self, container: usize) -> Option<&Exit> {
        match &self.seen.container(container)?.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }

    fn restarts(&self, container: &Container, exit: &Exit) -> bool {
        self.progress.ending.is_none() && restart::wanted(self.pod, container, exit.code)
    }

    /// Whether all init containers have done their part.
    fn is_initialized(&self) -> bool {
        let main_started = self.of_kind(Kind::Main).any(|(index, _)| self.seen.container(index).is_some());
        main_started
            || self.pod.containers.iter().enumerate().all(|(index, container)| match (container.kind, self.seen.container(index)) {
                (Kind::Main, _) => true,
                (Kind::Init, Some(observed)) => matches!(&observed.state, State::Exited(exit) if exit.code == 0),
                (Kind::Sidecar, Some(observed)) => matches!(observed.state, State::Running { probes, .. } if probes.started),
                (_, None) => false,
            })
    }

    fn container(&self, index: usize, phase: Phase) -> ContainerStatus {
        let container = &self.pod.containers[index];
        let progress = &self.progress.containers[index];
        let observed = self.seen.container(index);
        let has_init = self.pod.containers.iter().any(|container| container.kind != Kind::Main);
        let over = matches!(phase, Phase::Succeeded | Phase::Failed);
        let (state, last) = match observed {
            Some(observed) => self.state(container, progress, observed),
            None if has_init || over => (waiting("PodInitializing", None), None),
            None => (waiting("ContainerCreating", None), None),
        };
        let probes = observed.and_then(|observed| match observed.state {
            State::Running { probes, .. } => Some(probes),
            _ => None,
        });
        let done_init = container.kind == Kind::Init && observed.is_some_and(|o| matches!(&o.state, State::Exited(exit) if exit.code == 0));
        let ready = done_init || probes.is_some_and(|probes| probes.started && probes.ready);
        let exists = observed.filter(|observed| !matches!(observed.state, State::Creating | State::NoImage { .. }));
        let last = last.or_else(|| progress.last.as_ref().map(terminated_before));
        let id = exists.map(|observed| observed.id.clone()).or_else(|| progress.last.as_ref().map(|last| last.id.clone()));
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: if id.is_some() { image_id(&container.image) } else { String::new() },
            container_id: id,
            ready,
            started: Some(probes.is_some_and(|probes| probes.started)),
            restart_count: i32::try_from(progress.restarts).unwrap_or(i32::MAX),
            state: Some(state),
            last_state: last,
            allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
            resources: container.resources.as_deref().map(without_claims),
            ..ContainerStatus::default()
        }
    }

    /// The present state, and the last one where the present attempt's end has become it.
    fn state(&self, container: &Container, progress: &ContainerProgress, observed: &Observed) -> (ContainerState, Option<ContainerState>) {
        match &observed.state {
            State::Creating => (waiting("ContainerCreating", None), None),
            State::NoImage { at, message, .. } if self.now.duration_since(*at) >= PULL_ERROR_SHOWN => {
                (waiting("ImagePullBackOff", Some(format!("waiting to pull the image again: {message}"))), None)
            }
            State::NoImage { reason, message, .. } => (waiting(reason, Some(message.clone())), None),
            State::Running { since, .. } => {
                let running = ContainerStateRunning { started_at: Some(time(*since)) };
                (ContainerState { running: Some(running), ..ContainerState::default() }, None)
            }
            State::Exited(exit) => {
                let ended = terminated(&observed.id, exit);
                if !self.restarts(container, exit) || progress.crash == Backoff::default() {
                    return (ended, None);
                }
                let delay = progress.crash.crash_delay().as_secs();
                let message = format!("waiting {delay} s before container {} of pod {} is started again", container.name, self.pod.key());
                (waiting("CrashLoopBackOff", Some(message)), Some(ended))
            }
        }
    }

    /// What the kubelet's conditions say, in the order of [`OWN_CONDITIONS`].
    fn facts(&self, phase: Phase, init: &[ContainerStatus], main: &[ContainerStatus]) -> [Fact; OWN_CONDITIONS.len()] {
        let has_network = (self.seen.sandbox.is_some(), None, None);
        let ended = match phase {
            Phase::Succeeded => Some("PodCompleted"),
            Phase::Failed => Some("PodFailed"),
            _ => None,
        };
        let initialized = match (self.is_initialized(), ended) {
            (true, ended) => (true, ended.filter(|reason| *reason == "PodCompleted"), None),
            (false, Some("PodCompleted")) => (true, Some("PodCompleted"), None),
            (false, _) => {
                let unfinished = self.of_unfinished_init(init);
                (false, Some("ContainersNotInitialized"), Some(format!("containers with incomplete status: [{}]", unfinished.join(" "))))
            }
        };
        let sidecars =
            init.iter().zip(self.pod.containers.iter()).filter(|(_, container)| container.kind == Kind::Sidecar).map(|(status, _)| status);
        let unready: Vec<&str> = main.iter().chain(sidecars).filter(|status| !status.ready).map(|status| &*status.name).collect();
        let containers_ready = match (ended, unready.is_empty()) {
            (Some(reason), _) => (false, Some(reason), None),
            (None, true) => (true, None, None),
            (None, false) => (false, Some("ContainersNotReady"), Some(format!("containers with unready status: [{}]", unready.join(" ")))),
        };
        let ready = match containers_ready.0.then(|| self.closed_gates()).filter(|gates| !gates.is_empty()) {
            Some(gates) => (false, Some("ReadinessGatesNotReady"), Some(gates.join(", "))),
            None => containers_ready.clone(),
        };
        [has_network, initialized, ready, containers_ready]
    }

    fn of_unfinished_init<'a>(&self, init: &'a [ContainerStatus]) -> Vec<&'a str> {
        let kinds = self.pod.containers.iter().map(|container| container.kind);
        let unfinished = init.iter().zip(kinds).filter(|(status, kind)| match kind {
            Kind::Sidecar => status.started != Some(true),
            _ => !status.ready,
        });
        unfinished.map(|(status, _)| &*status.name).collect()
    }

    fn closed_gates(&self) -> Vec<String> {
        let is_open = |gate: &str| self.pod.conditions.iter().any(|c| c.type_ == gate && c.status == "True");
        let closed = self.pod.readiness_gates.iter().filter(|gate| !is_open(gate));
        closed.map(|gate| format!("the readiness gate {gate:?} is not open")).collect()
    }
}

fn own_conditions(pod: &Pod, progress: &mut Progress, facts: [Fact; OWN_CONDITIONS.len()], now: Timestamp) -> Vec<PodCondition> {
    let all = OWN_CONDITIONS.iter().zip(facts).zip(&mut progress.transitions);
    all.map(|((condition, (is_true, reason, message)), transition)| {
        let since = match *transition {
            Some((before, since)) if before == is_true => since,
            _ => now,
        };
        *transition = Some((is_true, since));
        PodCondition {
            type_: (*condition).to_owned(),
            status: if is_true { "True" } else { "False" }.to_owned(),
            reason: reason.map(str::to_owned),
            message,
            last_transition_time: Some(time(since)),
            observed_generation: pod.generation(),
            last_probe_time: None,
        }
    })
    .collect()
}

fn scheduled(pod: &Pod, since: Timestamp) -> PodCondition {
    PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(time(since)),
        observed_generation: pod.generation(),
        ..PodCondition::default()
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated_before(last: &LastExit) -> ContainerState {
    terminated(&last.id, &last.exit)
}

fn terminated(id: &str, exit: &Exit) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: Some(id.to_owned()),
        exit_code: exit.code,
        reason: Some(exit.reason.clone()),
        started_at: Some(time(exit.since)),
        finished_at: Some(time(exit.at)),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn without_claims(resources: &ResourceRequirements) -> ResourceRequirements {
    ResourceRequirements { claims: None, ..resources.clone() }
}

/// An image's digest form. Images are opaque here: the same name always has the same digest.
fn image_id(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    // A colon after the last slash begins a tag; one before it belongs to a port.
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    format!("{repository}@sha256:{}", crate::digest(image))
}
