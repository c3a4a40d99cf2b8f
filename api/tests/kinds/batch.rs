//! The group `batch`.

use serde_json::{Value, json};

use crate::{Kit, with};

fn job() -> Value {
    json!({
        "metadata": {"name": "import", "namespace": "n"},
        "spec": {"template": {
            "metadata": {"labels": {"app": "import"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "load", "image": "registry.example/load:7"}]},
        }},
    })
}

#[test]
fn jobs_make_their_selector() {
    let made = Kit::of("batch", "v1", "jobs").golden(job());
    let labels = json!({
        "app": "import",
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "import",
        "controller-uid": "u1",
        "job-name": "import",
    });
    assert_eq!(made["metadata"]["labels"], labels);
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}));
    let mut spec = made["spec"].clone();
    spec.as_object_mut().unwrap().retain(|key, _| key != "template" && key != "selector");
    assert_eq!(
        spec,
        json!({
            "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "manualSelector": false, "parallelism": 1,
            "podReplacementPolicy": "TerminatingOrFailed", "suspend": false,
        })
    );
}

#[test]
fn own_labels_of_a_job_stay_as_they_are() {
    let made = Kit::of("batch", "v1", "jobs").golden(with(&job(), &[("metadata.labels", json!({"app": "import"}))]));
    assert_eq!(made["metadata"]["labels"], json!({"app": "import"}));
}

#[test]
fn defaults_that_hang_together() {
    let kit = Kit::of("batch", "v1", "jobs");
    let made = kit.golden(with(
        &job(),
        &[
            ("spec.completionMode", json!("Indexed")),
            ("spec.completions", json!(2)),
            ("spec.backoffLimitPerIndex", json!(1)),
            ("spec.podFailurePolicy", json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]})),
        ],
    ));
    assert_eq!(made["spec"]["backoffLimit"], i32::MAX);
    assert_eq!(made["spec"]["podReplacementPolicy"], "Failed");
    assert_eq!(made["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"], "True");
}

#[test]
fn bad_jobs_are_refused() {
    let rule = |rule: Value| ("spec.podFailurePolicy", json!({"rules": [rule]}));
    let codes = |operator: &str, values: Value| json!({"action": "FailJob", "onExitCodes": {"operator": operator, "values": values}});
    let at = |suffix: &str| format!("spec.podFailurePolicy.rules[0]{suffix}");
    Kit::of("batch", "v1", "jobs").refuses(
        &job(),
        &[
            (&[("spec.parallelism", json!(-1)), ("spec.backoffLimit", json!(-1))], "Invalid spec.parallelism; Invalid spec.backoffLimit"),
            (&[("spec.template.spec.restartPolicy", json!("Always"))], "Required spec.template.spec.restartPolicy"),
            (
                &[("spec.template.spec.restartPolicy", json!("OnFailure")), rule(codes("In", json!([1])))],
                "Invalid spec.template.spec.restartPolicy",
            ),
            (&[rule(codes("In", json!([0])))], &format!("Invalid {}", at(".onExitCodes.values[0]"))),
            (&[rule(codes("In", json!([5, 3])))], &format!("Invalid {}", at(".onExitCodes.values"))),
            (&[rule(json!({"action": "Explode", "onPodConditions": [{"type": "T"}]}))], &format!("NotSupported {}", at(".action"))),
            (&[rule(json!({"action": "Ignore"}))], &format!("Invalid {}", at(""))),
            (&[rule(json!({"action": "FailIndex", "onPodConditions": [{"type": "T"}]}))], &format!("Invalid {}", at(".action"))),
            (
                &[rule(json!({"action": "Count", "onExitCodes": {"containerName": "nobody", "operator": "NotIn", "values": [1]}}))],
                &format!("Invalid {}", at(".onExitCodes.containerName")),
            ),
            (
                &[("spec.podReplacementPolicy", json!("TerminatingOrFailed")), rule(codes("In", json!([1])))],
                "NotSupported spec.podReplacementPolicy",
            ),
            (&[("spec.completionMode", json!("Indexed")), ("spec.parallelism", json!(1))], "Required spec.completions"),
            (&[("spec.maxFailedIndexes", json!(1))], "Required spec.backoffLimitPerIndex; Invalid spec.maxFailedIndexes"),
            (&[("spec.managedBy", json!("me"))], "Invalid spec.managedBy"),
            (&[("spec.template.metadata.labels.job-name", json!("other"))], "Invalid spec.template.metadata.labels[job-name]"),
            (&[("spec.manualSelector", json!(true))], "Required spec.selector; Invalid spec.template.metadata.labels"),
            (&[("spec.successPolicy", json!({"rules": [{"succeededCount": 1}]}))], "Invalid spec.successPolicy"),
        ],
    );
}

#[test]
fn jobs_change_within_limits() {
    let kit = Kit::of("batch", "v1", "jobs");
    let old = kit.created(with(&job(), &[("spec.suspend", json!(true)), ("spec.completions", json!(4))]));
    let labels = "Invalid spec.template.metadata.labels";
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.completions", json!(5))], "Invalid spec.completions"),
            (&[("spec.completionMode", json!("Indexed"))], "Invalid spec.completionMode"),
            (
                &[("spec.selector", json!({"matchLabels": {"a": "b"}}))],
                &format!("Invalid spec.selector; {labels}; {labels}; Invalid spec.selector"),
            ),
            (&[("spec.template.spec.containers.0.image", json!("x"))], "Invalid spec.template.spec"),
            (&[("spec.template.spec.nodeSelector", json!({"a": "b"}))], ""),
            (&[("spec.parallelism", json!(2)), ("spec.backoffLimit", json!(9)), ("spec.activeDeadlineSeconds", json!(600))], ""),
        ],
    );
    let indexed = [("spec.completionMode", json!("Indexed")), ("spec.completions", json!(3)), ("spec.parallelism", json!(3))];
    let old = kit.created(with(&job(), &indexed));
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.completions", json!(5)), ("spec.parallelism", json!(5))], ""),
            (&[("spec.completions", json!(4))], "Invalid spec.completions"),
        ],
    );
}

#[test]
fn impossible_statuses_are_refused() {
    let kit = Kit::of("batch", "v1", "jobs");
    let (old, _) = kit.update(&*kit.created(job()), "status", &[("status.ready", json!(0))]);
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[("status.active", json!(-1))], "Invalid status.active; Invalid status.ready"),
            (
                &[("status.conditions", json!([{"type": "Complete", "status": "True"}]))],
                "Required status.completionTime; Invalid status.conditions; Required status.startTime",
            ),
            (
                &[("status.succeeded", json!(-2)), ("status.failed", json!(-1))],
                "Invalid status.succeeded; Invalid status.failed; Invalid status.failed; Invalid status.succeeded",
            ),
            (&[("status.completedIndexes", json!("0"))], "Invalid status.completedIndexes"),
        ],
    );
}

fn cron() -> Value {
    json!({
        "metadata": {"name": "nightly", "namespace": "n"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job()["spec"]}},
    })
}

#[test]
fn cron_jobs() {
    let kit = Kit::of("batch", "v1", "cronjobs");
    let made = kit.golden(cron());
    let mut spec = made["spec"].clone();
    spec.as_object_mut().unwrap().remove("jobTemplate");
    assert_eq!(
        spec,
        json!({
            "concurrencyPolicy": "Allow", "failedJobsHistoryLimit": 1, "schedule": "0 3 * * *",
            "successfulJobsHistoryLimit": 3, "suspend": false,
        })
    );
    assert_eq!(made["status"], json!({}));
    assert_eq!(made["spec"]["jobTemplate"]["spec"].get("backoffLimit"), None);
    kit.refuses(
        &cron(),
        &[
            (&[("spec.schedule", json!("0 3 * *"))], "Invalid spec.schedule"),
            (&[("spec.schedule", json!(""))], "Required spec.schedule"),
            (&[("spec.schedule", json!("TZ=UTC 0 3 * * *"))], "Invalid spec.schedule"),
            (&[("spec.timeZone", json!("Europe/Zurich"))], ""),
            (&[("spec.timeZone", json!("europe/zurich"))], "Invalid spec.timeZone"),
            (&[("spec.timeZone", json!("../etc/passwd"))], "Invalid spec.timeZone"),
            (&[("spec.timeZone", json!("Local"))], "Invalid spec.timeZone"),
            (&[("spec.timeZone", json!(""))], "Invalid spec.timeZone"),
            (&[("spec.concurrencyPolicy", json!("Maybe"))], "NotSupported spec.concurrencyPolicy"),
            (&[("spec.jobTemplate.spec.manualSelector", json!(true))], "NotSupported spec.jobTemplate.spec.manualSelector"),
            (&[("metadata.name", json!("a".repeat(53)))], "Invalid metadata.name"),
        ],
    );
}
