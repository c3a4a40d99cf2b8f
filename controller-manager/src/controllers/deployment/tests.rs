//! Rollouts from end to end, with the ReplicaSet controller beside.

use serde_json::{Value, json};

use super::*;
use crate::controllers::replica_set::ReplicaSetController;
use crate::laws::{Scenario, check, count};
use crate::simulator::Simulator;

const BOTH: [&dyn Controller; 2] = [&DeploymentController, &ReplicaSetController];

fn deployment(replicas: i32, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"example.com/copied": "yes"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 1,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
        },
    })
}

fn rolling(surge: i32, unavailable: i32) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn set_image(server: &mut Simulator, image: &str) {
    server.change("deployments", "web", |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
}

fn active(server: &Simulator) -> usize {
    count(server, "pods", |pod| pod["metadata"]["deletionTimestamp"].is_null())
}

fn with_image(server: &Simulator, image: &str) -> usize {
    count(server, "pods", |pod| pod["spec"]["containers"][0]["image"] == image)
}

fn conditions(server: &Simulator) -> Vec<(String, String, String)> {
    let deployment = server.get("deployments", "default", "web").unwrap();
    let text = |c: &Value, field: &str| c[field].as_str().unwrap().to_owned();
    let conditions = deployment["status"]["conditions"].as_array().unwrap();
    conditions.iter().map(|c| (text(c, "type"), text(c, "status"), text(c, "reason"))).collect()
}

#[test]
fn rolls_out_within_surge_and_availability() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[&|s| s.create(deployment(3, rolling(1, 1))), &|s| set_image(s, "v2")],
        always: &|s| assert!(active(s) <= 4),
    });
    assert_eq!((with_image(&server, "v1"), with_image(&server, "v2")), (0, 3));
    let deployment = server.get("deployments", "default", "web").unwrap();
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert_eq!(deployment["status"]["availableReplicas"], 3);
    assert!(deployment["status"]["unavailableReplicas"].is_null());
    let expected = [("Available", "True", "MinimumReplicasAvailable"), ("Progressing", "True", "NewReplicaSetAvailable")];
    assert_eq!(conditions(&server), expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
}

#[test]
fn a_rollback_reuses_its_replica_set_under_a_new_revision() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[&|s| s.create(deployment(1, rolling(1, 0))), &|s| set_image(s, "v2"), &|s| set_image(s, "v1")],
        ..Scenario::default()
    });
    assert_eq!(server.all("replicasets").count(), 2);
    let current = server.all("replicasets").find(|set| set["spec"]["replicas"] == 1).unwrap();
    let annotations = &current["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(annotations["example.com/copied"], "yes");
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[&|s| s.create(deployment(1, rolling(1, 0))), &|s| set_image(s, "v2"), &|s| set_image(s, "v3"), &|s| set_image(s, "v4")],
        ..Scenario::default()
    });
    assert_eq!(server.all("replicasets").count(), 2);
}

#[test]
fn recreate_never_mixes_revisions() {
    check(&Scenario {
        controllers: &BOTH,
        phases: &[&|s| s.create(deployment(2, json!({"type": "Recreate"}))), &|s| set_image(s, "v2")],
        always: &|s| assert!(with_image(s, "v1") == 0 || with_image(s, "v2") == 0),
    });
}

#[test]
fn scaling_in_the_midst_of_a_rollout_keeps_proportions() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[
            &|s| s.create(deployment(10, rolling(3, 2))),
            &|s| {
                // New pods do not start: the rollout stands still at 8 old and 5 new.
                s.pods_start = false;
                set_image(s, "v2");
            },
            &|s| s.change("deployments", "web", |d| d["spec"]["replicas"] = json!(15)),
        ],
        ..Scenario::default()
    });
    let mut sizes: Vec<i64> = server.all("replicasets").map(|set| set["spec"]["replicas"].as_i64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [7, 11]);
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll_out() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[
            &|s| s.create(deployment(1, rolling(1, 0))),
            &|s| s.change("deployments", "web", |d| d["spec"]["paused"] = json!(true)),
            &|s| set_image(s, "v2"),
            &|s| s.change("deployments", "web", |d| d["spec"]["replicas"] = json!(2)),
        ],
        ..Scenario::default()
    });
    assert_eq!((with_image(&server, "v1"), with_image(&server, "v2")), (2, 0));
    assert_eq!(conditions(&server)[1].2, "DeploymentPaused");
}

#[test]
fn a_rollout_that_stands_still_exceeds_its_deadline() {
    let server = check(&Scenario {
        controllers: &BOTH,
        phases: &[&|s| {
            s.pods_start = false;
            s.create(deployment(1, rolling(1, 0)));
        }],
        ..Scenario::default()
    });
    let expected = ("Progressing".to_owned(), "False".to_owned(), "ProgressDeadlineExceeded".to_owned());
    assert!(conditions(&server).contains(&expected), "{:?}", conditions(&server));
}
