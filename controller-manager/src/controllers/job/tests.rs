//! Jobs from end to end.

use serde_json::{Value, json};

use super::*;
use crate::controllers::ttl_after_finished::TimeToLiveController;
use crate::laws::{Scenario, check, count};
use crate::simulator::Simulator;

fn job(more: Value) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "x"}}, "parallelism": 1, "completions": 1, "backoffLimit": 6,
        "template": {
            "metadata": {"labels": {"batch.kubernetes.io/controller-uid": "x"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "load", "image": "i"}]},
        },
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "import"}, "spec": spec})
}

/// Ends the pods that run, as `end` says by their index or place.
fn end_pods(server: &mut Simulator, most: usize, code: i32) {
    let names: Vec<String> = server
        .all("pods")
        .filter(|pod| pod["status"]["phase"] == "Running")
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .take(most)
        .collect();
    for name in names {
        let now = json!(Time(server.now));
        server.change("pods", &name, |pod| {
            let phase = if code == 0 { "Succeeded" } else { "Failed" };
            pod["status"] = json!({
                "phase": phase,
                "containerStatuses": [{
                    "name": "load", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code, "finishedAt": now}},
                }],
            });
        });
    }
}

fn status(server: &Simulator) -> Value {
    server.get("jobs", "default", "import").unwrap()["status"].clone()
}

fn conditions_of(server: &Simulator) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let status = status(server);
    status["conditions"].as_array().into_iter().flatten().map(|c| (text(&c["type"]), text(&c["reason"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn run(phases: &[&dyn Fn(&mut Simulator)]) -> Simulator {
    check(&Scenario { controllers: &[&JobController], phases, ..Scenario::default() })
}

#[test]
fn completes_when_enough_pods_have_succeeded() {
    let server = run(&[&|s| s.create(job(json!({"parallelism": 2, "completions": 3}))), &|s| end_pods(s, 1, 0), &|s| end_pods(s, 2, 0)]);
    assert_eq!(status(&server)["succeeded"], 3);
    assert_eq!(conditions_of(&server), pairs(&[("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]));
    assert!(server.all("pods").all(|pod| pod["metadata"]["finalizers"].is_null()));
    assert_eq!(server.all("pods").count(), 3);
}

#[test]
fn failures_pause_and_then_exceed_the_limit() {
    let server = run(&[&|s| s.create(job(json!({"backoffLimit": 1}))), &|s| end_pods(s, 1, 1), &|s| end_pods(s, 1, 1)]);
    assert_eq!(status(&server)["failed"], 2);
    assert_eq!(conditions_of(&server), pairs(&[("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]));
}

#[test]
fn the_end_takes_the_other_pods_along() {
    let server = run(&[&|s| s.create(job(json!({"backoffLimit": 0, "parallelism": 2, "completions": 2}))), &|s| end_pods(s, 1, 1)]);
    assert_eq!(status(&server)["failed"], 2);
    assert!(status(&server)["active"].is_null());
    assert_eq!(server.all("pods").count(), 1);
}

#[test]
fn indexes_succeed_and_fail_on_their_own() {
    let server = run(&[
        &|s| {
            let spec = json!({
                "completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 0, "backoffLimit": i32::MAX,
            });
            s.create(job(spec));
        },
        &|s| end_pods(s, 1, 9),
        &|s| end_pods(s, 3, 0),
    ]);
    let status = status(&server);
    assert_eq!((&status["failedIndexes"], &status["completedIndexes"]), (&json!("0"), &json!("1,2")));
    assert_eq!(conditions_of(&server), pairs(&[("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")]));
}

#[test]
fn a_success_policy_ends_a_job_early() {
    let server = run(&[
        &|s| {
            let policy = json!({"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]});
            s.create(job(json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4, "successPolicy": policy})));
        },
        &|s| end_pods(s, 1, 0),
    ]);
    assert_eq!(conditions_of(&server), pairs(&[("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]));
    assert_eq!((&status(&server)["succeeded"], &status(&server)["failed"]), (&json!(1), &Value::Null));
    assert_eq!(server.all("pods").count(), 1);
}

#[test]
fn a_failure_policy_can_ignore_and_can_fail_the_job() {
    let policy = json!({"rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}},
    ]});
    let server = run(&[&|s| s.create(job(json!({"podFailurePolicy": policy}))), &|s| end_pods(s, 1, 42), &|s| end_pods(s, 1, 3)]);
    assert_eq!(status(&server)["failed"], 1);
    assert_eq!(conditions_of(&server), pairs(&[("FailureTarget", "PodFailurePolicy"), ("Failed", "PodFailurePolicy")]));
}

#[test]
fn suspension_takes_the_pods_away_and_does_not_count_them() {
    let suspend = |s: &mut Simulator, suspend: bool| s.change("jobs", "import", |job| job["spec"]["suspend"] = json!(suspend));
    let server = run(&[&|s| s.create(job(json!({"parallelism": 2, "completions": 4}))), &|s| suspend(s, true)]);
    assert_eq!(server.all("pods").count(), 0);
    assert!(status(&server)["failed"].is_null());
    assert_eq!(conditions_of(&server), pairs(&[("Suspended", "JobSuspended")]));
    let told: Vec<_> = server.log.iter().filter_map(|logged| logged.object.as_ref()).filter(|object| object["kind"] == "Job").collect();
    let suspended: Vec<_> = told.iter().filter(|job| !job["status"]["conditions"].is_null()).collect();
    assert!(!suspended.is_empty());
    assert!(suspended.iter().all(|job| job["status"]["active"].is_null()), "who sees it suspended sees nothing run");
    let server = run(&[&|s| s.create(job(json!({"parallelism": 2, "completions": 4}))), &|s| suspend(s, true), &|s| suspend(s, false)]);
    assert_eq!(server.all("pods").count(), 2);
    assert_eq!(conditions_of(&server), pairs(&[("Suspended", "JobResumed")]));
}

#[test]
fn parallelism_can_be_lowered_without_counting_failures() {
    let server = run(&[&|s| s.create(job(json!({"parallelism": 3, "completions": 8}))), &|s| {
        s.change("jobs", "import", |job| job["spec"]["parallelism"] = json!(1))
    }]);
    assert_eq!(server.all("pods").count(), 1);
    assert!(status(&server)["failed"].is_null());
    assert_eq!(status(&server)["active"], 1);
}

#[test]
fn a_deadline_ends_a_job_and_time_to_live_removes_it() {
    let phases: &[&dyn Fn(&mut Simulator)] = &[&|s| s.create(job(json!({"activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 100})))];
    let server = check(&Scenario { controllers: &[&JobController, &TimeToLiveController], phases, ..Scenario::default() });
    assert_eq!(count(&server, "jobs", |job| job["metadata"]["deletionTimestamp"].is_null()), 0);
    assert_eq!(server.all("pods").count(), 0);
}

#[test]
fn orphaned_pods_are_let_go_too() {
    use crate::controllers::garbage_collector::GarbageCollector;
    let phases: &[&dyn Fn(&mut Simulator)] = &[&|s| s.create(job(json!({}))), &|s| {
        s.change("jobs", "import", |job| job["metadata"]["finalizers"] = json!(["orphan"]));
        s.delete("jobs", "import");
    }];
    let server = check(&Scenario { controllers: &[&JobController, &GarbageCollector], phases, ..Scenario::default() });
    assert_eq!(server.all("jobs").count(), 0);
    assert!(server.all("pods").all(|pod| pod["metadata"]["finalizers"].is_null()));
    assert_eq!(server.all("pods").count(), 1);
}

#[test]
fn pods_of_a_job_that_is_gone_are_let_go() {
    let server = run(&[&|s| s.create(job(json!({}))), &|s| s.delete("jobs", "import")]);
    assert!(server.all("pods").all(|pod| pod["metadata"]["finalizers"].is_null()));
}
