//! Deletion in every cascade mode, of many at once, of a whole namespace, and with finalizers.

use kybern_tests::cluster::Cluster;
use kybern_tests::kubectl::Kubectl;

use crate::{config_map, deployment};

fn running(cluster: &Cluster, namespace: &str) -> Kubectl {
    let kubectl = cluster.kubectl.in_namespace(namespace);
    kubectl.feed(&["apply"], &deployment("web", 2, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    kubectl
}

pub fn background(cluster: &Cluster) {
    let kubectl = running(cluster, "delete-background");
    kubectl.ok(&["delete", "deployment", "web", "--cascade=background"]);
    assert!(kubectl.fails(&["get", "deployment", "web"]).contains("not found"));
    kubectl.wait_until("nothing to be left", &["get", "replicasets,pods", "-o", "name"], str::is_empty);
}

pub fn foreground(cluster: &Cluster) {
    let kubectl = running(cluster, "delete-foreground");
    // A pod that holds on holds its owners too.
    let pod = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    kubectl.ok(&["patch", "pod", &pod, "--type=merge", "-p", hold]);
    kubectl.ok(&["delete", "deployment", "web", "--cascade=foreground", "--wait=false"]);
    kubectl.wait_value(&format!("pod/{pod}"), ".metadata.finalizers[0]", "example.com/hold");
    kubectl.wait_until("the other pod to go", &["get", "pods", "-o", "name"], |t| t == format!("pod/{pod}\n"));
    assert_eq!(kubectl.value("deployment/web", ".metadata.finalizers[0]"), "foregroundDeletion");
    kubectl.ok(&["patch", "pod", &pod, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    kubectl.wait_gone("deployment/web");
    assert_eq!(kubectl.ok(&["get", "replicasets,pods", "-o", "name"]), "");
}

pub fn orphan(cluster: &Cluster) {
    let kubectl = running(cluster, "delete-orphan");
    kubectl.ok(&["delete", "deployment", "web", "--cascade=orphan"]);
    kubectl.wait_gone("deployment/web");
    assert_eq!(kubectl.ok(&["get", "replicasets", "-o", "jsonpath={.items[*].metadata.ownerReferences}"]), "");
    assert_eq!(kubectl.ok(&["get", "pods", "-o", "name"]).lines().count(), 2);
    // A Deployment with the same selector takes them over, and its pods stay as they are.
    let before = kubectl.ok(&["get", "pods", "-o", "name"]);
    kubectl.feed(&["apply"], &deployment("web", 2, "registry.example/web:1"));
    kubectl.wait_until("the adoption", &["get", "replicasets", "-o", "jsonpath={.items[*].metadata.ownerReferences[0].kind}"], |t| {
        t == "Deployment"
    });
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(kubectl.ok(&["get", "pods", "-o", "name"]), before);
}

pub fn many(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("delete-many");
    let maps: Vec<String> = (0..10).map(|n| config_map(&format!("map-{n}"), "number", &format!("'{n}'"))).collect();
    kubectl.feed(&["create"], &maps.join("---\n"));
    kubectl.ok(&["label", "configmap", "map-1", "map-2", "doomed=yes"]);
    let deleted = kubectl.ok(&["delete", "configmaps", "-l", "doomed=yes"]);
    assert_eq!(deleted.lines().count(), 2, "{deleted}");
    kubectl.feed(&["delete"], &maps[3..5].join("---\n"));
    assert!(kubectl.fails(&["delete", "configmap", "map-1"]).contains("not found"));
    kubectl.ok(&["delete", "configmap", "map-1", "--ignore-not-found"]);
    kubectl.ok(&["delete", "configmaps", "--all"]);
    // A controller of the cluster's puts its own back.
    kubectl.wait_until("the root certificate", &["get", "configmaps", "-o", "name"], |t| t == "configmap/kube-root-ca.crt\n");
}

pub fn namespace(cluster: &Cluster) {
    let kubectl = running(cluster, "delete-namespace");
    kubectl.ok(&["create", "configmap", "settings"]);
    kubectl.ok(&["delete", "namespace", "delete-namespace", "--timeout=60s"]);
    kubectl.wait_gone("namespace/delete-namespace");
    assert_eq!(kubectl.ok(&["get", "pods,configmaps,deployments,replicasets,serviceaccounts", "-o", "name"]), "");
    assert!(kubectl.fails(&["create", "configmap", "late"]).contains("not found"));
    assert!(kubectl.fails(&["delete", "namespace", "kube-system"]).to_lowercase().contains("forbidden"));
}

pub fn finalizers(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("finalizing");
    let held = config_map("held", "k", "v").replace("metadata: {", "metadata: {finalizers: [example.com/hold], ");
    kubectl.feed(&["create"], &held);
    kubectl.ok(&["delete", "configmap", "held", "--wait=false"]);
    assert!(!kubectl.value("configmap/held", ".metadata.deletionTimestamp").is_empty());
    kubectl.ok(&["annotate", "configmap", "held", "still=here"]);
    kubectl.ok(&["patch", "configmap", "held", "--type=json", "-p", r#"[{"op":"remove","path":"/metadata/finalizers"}]"#]);
    assert!(kubectl.fails(&["get", "configmap", "held"]).contains("not found"));
    // A pod without grace, at once.
    kubectl.ok(&["run", "slow", "--image=registry.example/slow:1"]);
    kubectl.wait_value("pod/slow", ".status.phase", "Running");
    kubectl.ok(&["delete", "pod", "slow", "--force", "--grace-period=0"]);
    assert!(kubectl.fails(&["get", "pod", "slow"]).contains("not found"));
}
