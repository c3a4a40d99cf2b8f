use serde_json::{Value, json};

use super::*;
use crate::laws::{Scenario, check};
use crate::simulator::Simulator;

/// The simulator's clock begins at 22:13:20 on 14 November 2023.
fn cron(schedule: &str, policy: &str, limit: i32) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {
            "schedule": schedule, "concurrencyPolicy": policy, "successfulJobsHistoryLimit": limit,
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}},
        },
    })
}

fn finish(server: &mut Simulator) {
    let names: Vec<String> = server.all("jobs").map(|job| job["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
    let now = server.now;
    for name in names {
        server.change("jobs", &name, |job| {
            job["status"] = json!({
                "startTime": Time(now), "completionTime": Time(now), "succeeded": 1,
                "conditions": [{"type": "Complete", "status": "True"}],
            });
        });
    }
}

fn run(phases: &[&dyn Fn(&mut Simulator)]) -> Simulator {
    check(&Scenario { controllers: &[&CronJobController], phases, ..Scenario::default() })
}

fn names(server: &Simulator) -> Vec<String> {
    server.all("jobs").map(|job| job["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_job_is_made_for_each_point_and_finished_ones_are_few() {
    let create = |s: &mut Simulator| s.create(cron("30 22,23 14 11 *", "Allow", 1));
    let server = run(&[&create]);
    assert_eq!(names(&server), ["nightly-28333350", "nightly-28333410"]);
    let cron = server.all("cronjobs").next().unwrap();
    assert_eq!(cron["status"]["active"].as_array().map(Vec::len), Some(2));
    assert_eq!(cron["status"]["lastScheduleTime"], "2023-11-14T23:30:00Z");
    let server = run(&[&create, &finish]);
    assert_eq!(names(&server), ["nightly-28333410"]);
    assert!(server.all("cronjobs").next().unwrap()["status"]["active"].is_null());
}

#[test]
fn a_job_that_runs_forbids_the_next_or_makes_place_for_it() {
    let server = run(&[&|s| s.create(cron("30 22,23 14 11 *", "Forbid", 1))]);
    assert_eq!(names(&server), ["nightly-28333350"]);
    let server = run(&[&|s| s.create(cron("30 22,23 14 11 *", "Replace", 1))]);
    assert_eq!(names(&server), ["nightly-28333410"]);
}

#[test]
fn nothing_is_made_while_it_is_suspended() {
    let server = run(&[&|s| {
        let mut suspended = cron("30 22 14 11 *", "Allow", 1);
        suspended["spec"]["suspend"] = json!(true);
        s.create(suspended);
        s.pass(7200);
    }]);
    assert_eq!(names(&server), Vec::<String>::new());
}
