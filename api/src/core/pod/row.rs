//! What `kubectl get pods` shows of a pod: how many containers are ready, and in a word how it is doing.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus};
use machinery::table::{self, RowCondition};
use serde_json::{Value, json};

use super::is_over;
use crate::kind::Column;
use crate::scheduling::resources::is_sidecar;
use crate::validate::text;

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready", "How many of the containers are ready."),
    Column::text("Status", "How the pod is doing, in a word."),
    Column::text("Restarts", "How often containers were restarted, and when last."),
    Column::AGE,
    Column::text("IP", "The pod's first address.").wide(),
    Column::text("Node", "The node that the pod is bound to.").wide(),
    Column::text("Nominated Node", "The node that preemption makes room on.").wide(),
    Column::text("Readiness Gates", "How many of the readiness gates are passed.").wide(),
];

pub(super) fn conditions(pod: &Pod) -> Vec<RowCondition> {
    let completed = |reason, message| vec![RowCondition { kind: "Completed", status: "True", reason, message }];
    match pod.status.as_ref().map(|s| text(&s.phase)) {
        Some("Succeeded") => completed("Succeeded", "the pod has ended well"),
        Some("Failed") => completed("Failed", "the pod has ended in failure"),
        _ => Vec::new(),
    }
}

pub(super) fn cells(pod: &Pod, now: Timestamp) -> Vec<Value> {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let summary = summarize(pod, &spec, &status);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c)).count();
    let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
    let ip = status.pod_ips.as_ref().and_then(|ips| ips.first()).map_or("", |ip| ip.ip.as_str());
    vec![
        json!(pod.metadata.name),
        json!(format!("{}/{}", summary.ready, spec.containers.len() + sidecars)),
        json!(summary.reason),
        json!(summary.restarts.shown(now)),
        json!(table::age(&pod.metadata, now)),
        json!(or_none(ip)),
        json!(or_none(text(&spec.node_name))),
        json!(or_none(text(&status.nominated_node_name))),
        json!(gates(&spec, &status)),
    ]
}

fn gates(spec: &PodSpec, status: &PodStatus) -> String {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates.iter().filter(|gate| has_condition(status, &gate.condition_type)).count();
    format!("{passed}/{}", gates.len())
}

fn has_condition(status: &PodStatus, kind: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True")
}

#[derive(Default)]
struct Restarts {
    count: i32,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count += container.restart_count;
        let ended = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        self.last = self.last.max(ended.and_then(|t| t.finished_at.as_ref()).map(|t| t.0));
    }

    fn shown(&self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count != 0 => {
                format!("{} ({} ago)", self.count, table::human_duration(now.as_second() - last.as_second()))
            }
            _ => self.count.to_string(),
        }
    }
}

struct Summary {
    ready: usize,
    reason: String,
    restarts: Restarts,
}

fn summarize(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Summary {
    let phase = text(&status.phase);
    let mut reason = if text(&status.reason).is_empty() { phase } else { text(&status.reason) }.to_owned();
    let gated = |c: &k8s_openapi::api::core::v1::PodCondition| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated");
    if status.conditions.iter().flatten().any(gated) {
        reason = "SchedulingGated".to_owned();
    }
    let init = initialization(spec, status);
    let mut ready = init.ready_sidecars;
    let mut restarts = init.restarts;
    let initialized = init.stuck_at.is_none() || has_condition(status, "Initialized");
    if let Some(stuck_at) = init.stuck_at {
        reason = stuck_at;
    }
    if initialized {
        restarts = init.sidecar_restarts;
        let mut running = false;
        // The first container has the last word.
        for container in status.container_statuses.iter().flatten().rev() {
            restarts.add(container);
            match container.state.as_ref().and_then(why_not_running) {
                Some(why) => reason = why,
                None => {
                    let runs = container.ready && container.state.as_ref().is_some_and(|s| s.running.is_some());
                    running |= runs;
                    ready += usize::from(runs);
                }
            }
        }
        // Where one container is done and another runs, the pod runs.
        if reason == "Completed" && running {
            reason = if has_condition(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if pod.metadata.deletion_timestamp.is_some() {
        if text(&status.reason) == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !is_over(pod) {
            reason = "Terminating".to_owned();
        }
    }
    Summary { ready, reason, restarts }
}

struct Initialization {
    /// The reason to show while an init container has not done its part.
    stuck_at: Option<String>,
    ready_sidecars: usize,
    restarts: Restarts,
    sidecar_restarts: Restarts,
}

fn initialization(spec: &PodSpec, status: &PodStatus) -> Initialization {
    let containers = spec.init_containers.as_deref().unwrap_or_default();
    let mut init =
        Initialization { stuck_at: None, ready_sidecars: 0, restarts: Restarts::default(), sidecar_restarts: Restarts::default() };
    for (i, container) in status.init_container_statuses.iter().flatten().enumerate() {
        init.restarts.add(container);
        let sidecar = containers.iter().any(|c: &Container| c.name == container.name && is_sidecar(c));
        if sidecar {
            init.sidecar_restarts.add(container);
        }
        let ended = container.state.as_ref().and_then(|s| s.terminated.as_ref());
        if ended.is_some_and(|t| t.exit_code == 0) {
            continue;
        }
        if sidecar && container.started == Some(true) {
            init.ready_sidecars += usize::from(container.ready);
            continue;
        }
        let why = container.state.as_ref().and_then(why_not_running).filter(|why| why != "PodInitializing");
        let progress = || format!("{i}/{}", containers.len());
        init.stuck_at = Some(format!("Init:{}", why.unwrap_or_else(progress)));
        break;
    }
    init
}

/// Why a container does not run, where its state says so.
fn why_not_running(state: &ContainerState) -> Option<String> {
    if let Some(reason) = state.waiting.as_ref().map(|w| text(&w.reason)).filter(|reason| !reason.is_empty()) {
        return Some(reason.to_owned());
    }
    let ended = state.terminated.as_ref()?;
    Some(match (text(&ended.reason), ended.signal.unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", ended.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(pod: Value) -> (String, String, String) {
        let cells = cells(&serde_json::from_value(pod).unwrap(), Timestamp::from_second(1000).unwrap());
        let text = |i: usize| cells[i].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    fn container(name: &str, ready: bool, restarts: i32, state: Value) -> Value {
        json!({"name": name, "image": "", "imageID": "", "ready": ready, "restartCount": restarts, "state": state})
    }

    #[test]
    fn states_of_containers() {
        let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let row = |statuses: Value| shown(json!({"spec": spec, "status": {"phase": "Running", "containerStatuses": statuses}}));
        let running = json!({"running": {}});
        let (ready, reason, restarts) = row(json!([container("a", true, 3, running.clone()), container("b", false, 1, running.clone())]));
        assert_eq!((ready.as_str(), reason.as_str(), restarts.as_str()), ("1/2", "Running", "4"));
        for (state, expected) in [
            (json!({"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff"),
            (json!({"terminated": {"exitCode": 7}}), "ExitCode:7"),
            (json!({"terminated": {"exitCode": 137, "signal": 9}}), "Signal:9"),
            (json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), "NotReady"),
        ] {
            assert_eq!(row(json!([container("a", false, 0, state), container("b", true, 0, running.clone())])).1, expected);
        }
    }

    #[test]
    fn initialization_and_sidecars() {
        let spec = json!({
            "containers": [{"name": "a"}],
            "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        });
        let mut sidecar = container("s", true, 2, json!({"running": {}}));
        sidecar["started"] = true.into();
        sidecar["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:15:00Z"}});
        let row = |init: Value| {
            let status = json!({"phase": "Pending", "initContainerStatuses": [sidecar.clone(), init]});
            shown(json!({"spec": spec, "status": status}))
        };
        let waiting = row(container("i", false, 1, json!({"waiting": {"reason": "PodInitializing"}})));
        assert_eq!(waiting, ("1/2".to_owned(), "Init:1/2".to_owned(), "3 (100s ago)".to_owned()));
        assert_eq!(row(container("i", false, 0, json!({"terminated": {"exitCode": 2}}))).1, "Init:ExitCode:2");
        let done = row(container("i", false, 9, json!({"terminated": {"exitCode": 0}})));
        assert_eq!((done.1.as_str(), done.2.as_str()), ("Pending", "2 (100s ago)"));
    }

    #[test]
    fn deletion_and_gates() {
        let deleted = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
        assert_eq!(shown(deleted).1, "Terminating");
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"});
        assert_eq!(shown(json!({"status": {"phase": "Pending", "conditions": [condition]}})).1, "SchedulingGated");
    }
}
