//! The state machine by itself: no runtime, no server, no clock. A script of observations stands for the runtime.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod as ApiPod, PodStatus};
use serde_json::{Value, json};

use super::{Ending, Progress, Step, status::status, step};
use crate::pod::Pod;
use crate::runtime::{Action, Exit, Observation, Observed, Probes, Sandbox, State};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(spec: Value) -> Pod {
    let pod = json!({ "metadata": { "name": "p", "namespace": "shop", "uid": "u", "generation": 4 }, "spec": spec });
    let pod: ApiPod = serde_json::from_value(pod).unwrap();
    Pod::of(&pod, false, &crate::pod::Templates::default())
}

fn two_containers(policy: &str) -> Pod {
    pod(json!({ "restartPolicy": policy, "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "x" }] }))
}

fn up() -> Option<State> {
    Some(State::Running { since: at(0), probes: Probes { started: true, ready: true, live: true } })
}

fn ended(code: i32, second: i64) -> Option<State> {
    let reason = if code == 0 { "Completed" } else { "Error" };
    Some(State::Exited(Exit { since: at(0), at: at(second), code, reason: reason.into() }))
}

fn seen(states: impl IntoIterator<Item = Option<State>>) -> Observation {
    let observed = |(index, state): (usize, Option<State>)| state.map(|state| Observed { id: format!("r://{index}"), attempt: 0, state });
    Observation {
        sandbox: Some(Sandbox { addresses: vec!["10.0.0.2".into()] }),
        containers: states.into_iter().enumerate().map(observed).collect(),
        next_change: None,
    }
}

fn fresh() -> Progress {
    Progress { started_at: Some(at(0)), admitted: true, ..Progress::default() }
}

fn start(container: usize) -> Action {
    Action::Start { container, attempt: 0 }
}

fn shown(pod: &Pod, seen: &Observation, progress: &mut Progress, now: i64) -> PodStatus {
    status(pod, seen, progress, "172.16.0.1", at(now))
}

#[test]
fn the_sandbox_comes_first_and_then_all_containers() {
    let pod = two_containers("Always");
    let mut progress = fresh();
    assert_eq!(step(&pod, &Observation::default(), &mut progress, at(0)).actions, [Action::CreateSandbox]);
    assert_eq!(step(&pod, &seen([]), &mut progress, at(0)).actions, [start(0), start(1)]);
    assert_eq!(step(&pod, &seen([up(), up()]), &mut progress, at(0)), Step::default());
}

#[test]
fn policies_say_what_is_restarted_and_when_the_pod_is_over() {
    let cases = [
        ("Always", 0, vec![Action::Start { container: 0, attempt: 1 }], None),
        ("OnFailure", 1, vec![Action::Start { container: 0, attempt: 1 }], None),
        ("OnFailure", 0, vec![Action::RemoveSandbox], Some("Succeeded")),
        ("Never", 0, vec![Action::RemoveSandbox], Some("Succeeded")),
        ("Never", 3, vec![Action::RemoveSandbox], Some("Failed")),
    ];
    for (policy, code, actions, phase) in cases {
        let (pod, mut progress) = (two_containers(policy), fresh());
        let now = seen([ended(code, 5), ended(0, 5)]);
        let took = step(&pod, &now, &mut progress, at(5)).actions;
        assert_eq!(took.first(), actions.first(), "{policy} {code}");
        if let Some(phase) = phase {
            assert_eq!(shown(&pod, &now, &mut progress, 5).phase.as_deref(), Some(phase), "{policy} {code}");
        }
    }
}

#[test]
fn one_container_that_runs_keeps_the_pod_running() {
    let (pod, mut progress) = (two_containers("Never"), fresh());
    let now = seen([ended(1, 5), up()]);
    assert_eq!(step(&pod, &now, &mut progress, at(5)).actions, []);
    assert_eq!(shown(&pod, &now, &mut progress, 5).phase.as_deref(), Some("Running"));
}

#[test]
fn a_containers_own_rules_come_before_the_pods_policy() {
    let rules = json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [42] } }]);
    let spec = json!({
        "restartPolicy": "Never",
        "containers": [{ "name": "a", "image": "x", "restartPolicy": "Never", "restartPolicyRules": rules }],
    });
    let pod = pod(spec);
    assert_eq!(step(&pod, &seen([ended(42, 5)]), &mut fresh(), at(5)).actions, [Action::Start { container: 0, attempt: 1 }]);
    assert_eq!(step(&pod, &seen([ended(1, 5)]), &mut fresh(), at(5)).actions, [Action::RemoveSandbox]);
}

#[test]
fn an_init_container_that_fails_for_good_fails_the_pod() {
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "i", "image": "x" }],
        "containers": [{ "name": "a", "image": "x" }],
    });
    let (pod, mut progress) = (pod(spec), fresh());
    assert_eq!(step(&pod, &seen([]), &mut progress, at(0)).actions, [start(0)]);
    let now = seen([ended(1, 2)]);
    assert_eq!(step(&pod, &now, &mut progress, at(2)).actions, [Action::RemoveSandbox]);
    let status = shown(&pod, &now, &mut progress, 2);
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(
        status.container_statuses.unwrap()[0].state.as_ref().unwrap().waiting.as_ref().unwrap().reason.as_deref(),
        Some("PodInitializing")
    );
}

#[test]
fn sidecars_end_last_and_in_reverse() {
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [
            { "name": "s1", "image": "x", "restartPolicy": "Always" },
            { "name": "s2", "image": "x", "restartPolicy": "Always" },
        ],
        "containers": [{ "name": "a", "image": "x" }],
    });
    let (pod, mut progress) = (pod(spec), fresh());
    let stops = |step: Step| -> Vec<usize> {
        let stopped = |action: &Action| match action {
            Action::Stop { container, .. } => Some(*container),
            _ => None,
        };
        step.actions.iter().filter_map(stopped).collect()
    };
    let now = seen([up(), up(), ended(0, 9)]);
    assert_eq!(stops(step(&pod, &now, &mut progress, at(9))), [1]);
    assert_eq!(shown(&pod, &now, &mut progress, 9).phase.as_deref(), Some("Running"));
    assert_eq!(stops(step(&pod, &now, &mut progress, at(9))), [0usize; 0], "nothing is asked for twice");
    assert_eq!(stops(step(&pod, &seen([up(), ended(143, 10), ended(0, 9)]), &mut progress, at(10))), [0]);
    let last = seen([ended(143, 11), ended(143, 10), ended(0, 9)]);
    assert_eq!(step(&pod, &last, &mut progress, at(11)).actions, [Action::RemoveSandbox]);
    assert_eq!(shown(&pod, &last, &mut progress, 11).phase.as_deref(), Some("Succeeded"));
}

#[test]
fn a_deletion_stops_everything_and_a_second_one_can_only_shorten_the_grace() {
    let (mut pod, mut progress) = (two_containers("Always"), fresh());
    let both = seen([up(), up()]);
    pod.deletion = Some(crate::pod::Deletion { deadline: at(130) });
    let grace = |step: &Step| match step.actions.first() {
        Some(Action::Stop { grace, .. }) => Some(grace.as_secs()),
        _ => None,
    };
    assert_eq!(grace(&step(&pod, &both, &mut progress, at(100))), Some(30));
    pod.deletion = Some(crate::pod::Deletion { deadline: at(105) });
    assert_eq!(grace(&step(&pod, &both, &mut progress, at(101))), Some(4));
    pod.deletion = Some(crate::pod::Deletion { deadline: at(150) });
    assert_eq!(grace(&step(&pod, &both, &mut progress, at(102))), None);

    let down = seen([ended(143, 103), ended(143, 103)]);
    let last = step(&pod, &down, &mut progress, at(103));
    assert_eq!((last.actions, last.gone), (vec![Action::RemoveSandbox], false));
    let gone = step(&pod, &Observation { sandbox: None, ..down }, &mut progress, at(103));
    assert!(gone.actions.is_empty() && gone.gone);
}

#[test]
fn a_pod_that_others_declared_failed_is_stopped_and_stays_failed() {
    let (mut pod, mut progress) = (two_containers("Always"), fresh());
    pod.phase = Some("Failed".into());
    assert_eq!(step(&pod, &seen([up(), up()]), &mut progress, at(1)).actions.len(), 2);
    assert_eq!(progress.ending, Some(Ending::Declared));
    assert_eq!(shown(&pod, &seen([up(), up()]), &mut progress, 1).phase.as_deref(), Some("Failed"));
}

#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    let (pod, mut progress) = (two_containers("Always"), fresh());
    let dead = Some(State::Running { since: at(0), probes: Probes { started: true, ready: false, live: false } });
    let actions = step(&pod, &seen([dead, up()]), &mut progress, at(60)).actions;
    assert_eq!(actions, [Action::Stop { container: 0, grace: SignedDuration::from_secs(30) }]);
    let actions = step(&pod, &seen([ended(137, 61), up()]), &mut progress, at(61)).actions;
    assert_eq!(actions, [Action::Start { container: 0, attempt: 1 }]);
}

#[test]
fn conditions_keep_the_time_of_their_last_change_and_name_the_generation() {
    let (pod, mut progress) = (two_containers("Always"), fresh());
    let waiting = seen([up(), Some(State::Creating)]);
    step(&pod, &waiting, &mut progress, at(10));
    let before = shown(&pod, &waiting, &mut progress, 10).conditions.unwrap();
    let ready = seen([up(), up()]);
    step(&pod, &ready, &mut progress, at(20));
    let after = shown(&pod, &ready, &mut progress, 20).conditions.unwrap();
    let times: Vec<_> = after.iter().map(|c| (c.type_.as_str(), c.last_transition_time.as_ref().unwrap().0.as_second())).collect();
    assert_eq!(
        times,
        [("PodReadyToStartContainers", 10), ("Initialized", 10), ("Ready", 20), ("ContainersReady", 20), ("PodScheduled", 0)]
    );
    assert!(after.iter().chain(&before).all(|condition| condition.observed_generation == Some(4)));
    assert_eq!(before[2].message.as_deref(), Some("containers with unready status: [b]"));
}
