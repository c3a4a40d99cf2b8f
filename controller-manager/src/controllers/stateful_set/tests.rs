//! StatefulSets from end to end.

use serde_json::{Value, json};

use super::*;
use crate::controllers::garbage_collector::GarbageCollector;
use crate::laws::{Scenario, check};
use crate::simulator::Simulator;

fn set(more: Value) -> Value {
    let mut spec = json!({
        "replicas": 3, "serviceName": "ledger", "selector": {"matchLabels": {"app": "ledger"}},
        "template": {"metadata": {"labels": {"app": "ledger"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "ledger"}, "spec": spec})
}

fn claims() -> Value {
    json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}])
}

fn set_image(server: &mut Simulator, image: &str) {
    server.change("statefulsets", "ledger", |set| set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
}

fn scale(server: &mut Simulator, replicas: i32) {
    server.change("statefulsets", "ledger", |set| set["spec"]["replicas"] = json!(replicas));
}

fn images(server: &Simulator) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    server.all("pods").map(|pod| (text(&pod["metadata"]["name"]), text(&pod["spec"]["containers"][0]["image"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, image)| ((*name).to_owned(), (*image).to_owned())).collect()
}

fn not_ready(server: &Simulator) -> usize {
    server.all("pods").filter(|pod| pod["status"]["phase"] != "Running").count()
}

#[test]
fn ordered_pods_come_and_go_one_by_one() {
    let server = check(&Scenario {
        controllers: &[&StatefulSetController],
        phases: &[&|s| s.create(set(json!({}))), &|s| scale(s, 1)],
        always: &|s| assert!(not_ready(s) <= 1, "two pods at once"),
    });
    assert_eq!(images(&server), pairs(&[("ledger-0", "v1")]));
    let pod = server.get("pods", "default", "ledger-0").unwrap();
    assert_eq!(pod["spec"]["hostname"], "ledger-0");
    assert_eq!(pod["spec"]["subdomain"], "ledger");
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "0");
    let status = &server.get("statefulsets", "default", "ledger").unwrap()["status"];
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(1), &json!(1)));
    assert_eq!(status["currentRevision"], status["updateRevision"]);
}

#[test]
fn an_update_goes_down_to_the_partition_and_no_further() {
    let rolling = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    let server = check(&Scenario {
        controllers: &[&StatefulSetController],
        phases: &[&|s| s.create(set(rolling.clone())), &|s| set_image(s, "v2"), &|s| s.delete("pods", "ledger-0")],
        ..Scenario::default()
    });
    assert_eq!(images(&server), pairs(&[("ledger-0", "v1"), ("ledger-1", "v2"), ("ledger-2", "v2")]));
    let status = &server.get("statefulsets", "default", "ledger").unwrap()["status"];
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(1), &json!(2)));
}

#[test]
fn parallel_pods_do_not_wait_for_each_other() {
    let server = check(&Scenario {
        controllers: &[&StatefulSetController],
        phases: &[&|s| {
            s.pods_start = false;
            s.create(set(json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}})));
        }],
        ..Scenario::default()
    });
    assert_eq!(images(&server), pairs(&[("ledger-5", "v1"), ("ledger-6", "v1"), ("ledger-7", "v1")]));
}

#[test]
fn on_delete_waits_for_the_user() {
    let server = check(&Scenario {
        controllers: &[&StatefulSetController],
        phases: &[&|s| s.create(set(json!({"updateStrategy": {"type": "OnDelete"}}))), &|s| set_image(s, "v2"), &|s| {
            s.delete("pods", "ledger-1")
        }],
        ..Scenario::default()
    });
    assert_eq!(images(&server), pairs(&[("ledger-0", "v1"), ("ledger-1", "v2"), ("ledger-2", "v1")]));
}

#[test]
fn failed_pods_are_made_again() {
    let server = check(&Scenario {
        controllers: &[&StatefulSetController],
        phases: &[&|s| s.create(set(json!({}))), &|s| {
            s.change("pods", "ledger-1", |pod| pod["status"]["phase"] = json!("Failed"));
        }],
        ..Scenario::default()
    });
    assert_eq!(server.get("pods", "default", "ledger-1").unwrap()["status"]["phase"], "Running");
}

#[test]
fn claims_outlive_their_pods_by_default() {
    let server = check(&Scenario {
        controllers: &[&StatefulSetController, &GarbageCollector],
        phases: &[&|s| s.create(set(json!({"volumeClaimTemplates": claims()}))), &|s| scale(s, 1)],
        ..Scenario::default()
    });
    assert_eq!(server.all("persistentvolumeclaims").count(), 3);
    let pod = server.get("pods", "default", "ledger-0").unwrap();
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-ledger-0");
}

#[test]
fn claims_go_with_their_pods_where_the_policy_says_so() {
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let server = check(&Scenario {
        controllers: &[&StatefulSetController, &GarbageCollector],
        phases: &[&|s| s.create(set(json!({"volumeClaimTemplates": claims(), "persistentVolumeClaimRetentionPolicy": policy}))), &|s| {
            scale(s, 1)
        }],
        ..Scenario::default()
    });
    let left: Vec<_> = server.all("persistentvolumeclaims").map(|claim| claim["metadata"]["name"].clone()).collect();
    assert_eq!(left, [json!("data-ledger-0")]);
}
