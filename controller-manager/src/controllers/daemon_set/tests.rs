//! DaemonSets from end to end.

use serde_json::{Value, json};

use super::*;
use crate::laws::{Scenario, check, count};
use crate::simulator::Simulator;

fn node(name: &str, pool: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"pool": pool}}, "spec": {}})
}

fn nodes(server: &mut Simulator) {
    for name in ["a", "b", "c"] {
        server.create(node(name, "daemons"));
    }
    server.create(node("other", "none"));
}

fn daemon_set(strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": strategy, "revisionHistoryLimit": 1,
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"nodeSelector": {"pool": "daemons"}, "containers": [{"name": "c", "image": "v1"}]},
            },
        },
    })
}

fn rolling(surge: i32, unavailable: i32) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn set_image(server: &mut Simulator, image: &str) {
    server.change("daemonsets", "agent", |set| set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
}

fn with_image(server: &Simulator, image: &str) -> usize {
    count(server, "pods", |pod| pod["spec"]["containers"][0]["image"] == image)
}

#[test]
fn runs_one_pod_on_each_node_that_fits() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(rolling(0, 1))), &|s| {
            s.change("nodes", "c", |node| {
                node["spec"]["taints"] = json!([{"key": "sick", "effect": "NoExecute"}]);
            });
        }],
        always: &|s| assert!(s.all("pods").count() <= 3),
    });
    assert_eq!(server.all("pods").count(), 2);
    let status = &server.get("daemonsets", "default", "agent").unwrap()["status"];
    assert_eq!((status["desiredNumberScheduled"].clone(), status["numberAvailable"].clone()), (json!(2), json!(2)));
    assert_eq!(server.all("controllerrevisions").count(), 1);
}

#[test]
fn a_cordoned_or_tainted_node_keeps_what_it_has() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(rolling(0, 1))), &|s| {
            s.change("nodes", "c", |node| node["spec"]["taints"] = json!([{"key": "full", "effect": "NoSchedule"}]));
        }],
        ..Scenario::default()
    });
    assert_eq!(server.all("pods").count(), 3);
    assert_eq!(server.get("daemonsets", "default", "agent").unwrap()["status"]["numberMisscheduled"], 1);
}

#[test]
fn an_update_replaces_as_many_at_once_as_may_be_missing() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(rolling(0, 1))), &|s| set_image(s, "v2"), &|s| set_image(s, "v1")],
        ..Scenario::default()
    });
    assert_eq!(with_image(&server, "v1"), 3);
    let mut numbers: Vec<_> = server.all("controllerrevisions").map(|r| r["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3], "a rollback renumbers its revision");
}

#[test]
fn a_surging_update_never_leaves_a_node_without() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(rolling(1, 0))), &|s| set_image(s, "v2")],
        ..Scenario::default()
    });
    assert_eq!((with_image(&server, "v1"), with_image(&server, "v2")), (0, 3));
}

#[test]
fn on_delete_waits_for_the_user() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(json!({"type": "OnDelete"}))), &|s| set_image(s, "v2"), &|s| {
            let name = s.all("pods").next().unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
            s.delete("pods", &name);
        }],
        ..Scenario::default()
    });
    assert_eq!((with_image(&server, "v1"), with_image(&server, "v2")), (2, 1));
}

#[test]
fn failed_pods_are_replaced_after_a_moment() {
    let server = check(&Scenario {
        controllers: &[&DaemonSetController],
        phases: &[&nodes, &|s| s.create(daemon_set(rolling(0, 1))), &|s| {
            let name = s.all("pods").next().unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
            s.change("pods", &name, |pod| pod["status"]["phase"] = json!("Failed"));
        }],
        ..Scenario::default()
    });
    assert_eq!(count(&server, "pods", |pod| pod["status"]["phase"] == "Running"), 3);
    assert_eq!(server.all("pods").count(), 3);
}
